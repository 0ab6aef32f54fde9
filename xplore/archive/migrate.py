"""Archives of older versions, as copies that this version reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from xplore._util.folders import alone, whole
from xplore.archive import Archive, tables


def migrate(folder: str | Path, out: str | Path) -> Path:
    """Write an up-to-date copy of an archive of an older version, and return its folder.

    The copy is read whole before it is there; the archive that was given is not altered.

    Raises:
        InputError: a newer version wrote it, it is damaged, or `out` holds a campaign or cannot be written.
    """
    path, out = Path(folder), Path(out)
    path = path / tables.FILE if path.is_dir() else path
    with alone(out), closing(tables.connect(path, version=None)) as old:
        _upgraded(old, path, tables.unused(out, fix="choose a new folder with out="))
    return out


def _upgraded(old: sqlite3.Connection, path: Path, target: Path) -> None:
    """The copy, at `target` once it was read whole."""
    with whole(target) as partial:
        try:
            _copied(old, partial)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise tables.damaged(path, str(error)) from error
        with closing(Archive(tables.connect(partial), path)) as copy:
            _read(copy)


def _copied(old: sqlite3.Connection, path: Path) -> None:
    """A copy with today's tables, and nothing in them that points nowhere."""
    with closing(sqlite3.connect(path)) as new:
        old.backup(new)
        tables.limit(new)
        integrity = new.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if integrity != "ok":
            raise sqlite3.DatabaseError(integrity)
        tables.migrated(new)
        loose = new.execute("PRAGMA foreign_key_check").fetchone()
        if loose:
            raise sqlite3.DatabaseError(f"a row of {loose[0]} that points nowhere")
        new.executescript("PRAGMA journal_mode=DELETE; VACUUM;")


def _read(archive: Archive) -> None:
    """All that an archive holds; an `InputError` where it is damaged."""
    for _ in archive.seeds():
        pass
    if archive.meta.get("layout"):
        archive.seed_coverage()
        for _ in archive.findings(origin=None):
            pass
