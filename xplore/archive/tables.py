"""How an archive is laid out as tables, and how older ones are brought up to date.

A file may come from anyone: it is opened with limits, and refused unless its tables are exactly these, so
that SQLite runs no view and no trigger of a stranger's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

from xplore._util.errors import InputError, one_line, shell

FILE = "archive.sqlite"
SCHEMA = 3
LARGEST_VALUE = 2**26
"""Bytes of one value at most: no picture, and no finding, is larger."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE artefacts (hash TEXT PRIMARY KEY, media TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE rounds (
  campaign INTEGER NOT NULL, round INTEGER NOT NULL, seeds INTEGER NOT NULL, digest TEXT NOT NULL,
  seed_coverage BLOB NOT NULL, PRIMARY KEY (campaign, round)
);
CREATE TABLE seeds (
  campaign INTEGER NOT NULL, seed INTEGER NOT NULL, round INTEGER NOT NULL, label INTEGER,
  decisions TEXT NOT NULL, fate TEXT NOT NULL, tries INTEGER NOT NULL, steps INTEGER NOT NULL,
  queries INTEGER NOT NULL, finding TEXT REFERENCES findings(id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (campaign, seed)
);
CREATE TABLE findings (
  id TEXT PRIMARY KEY, origin TEXT NOT NULL, campaign INTEGER NOT NULL, seed INTEGER NOT NULL,
  seed_artefact TEXT NOT NULL REFERENCES artefacts(hash), artefact TEXT NOT NULL REFERENCES artefacts(hash),
  label INTEGER, decisions TEXT NOT NULL, probabilities BLOB NOT NULL, valid INTEGER NOT NULL,
  reasons TEXT NOT NULL, measures TEXT NOT NULL, steps INTEGER NOT NULL, covered BLOB NOT NULL,
  hidden BLOB NOT NULL, latents BLOB NOT NULL,
  FOREIGN KEY (campaign, seed) REFERENCES seeds(campaign, seed) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX findings_seed ON findings(campaign, seed);
CREATE TABLE shrunk (
  finding TEXT PRIMARY KEY REFERENCES findings(id), artefact TEXT NOT NULL REFERENCES artefacts(hash),
  probabilities BLOB NOT NULL, measures TEXT NOT NULL, queries INTEGER NOT NULL
);
CREATE TABLE answers (
  finding TEXT NOT NULL REFERENCES findings(id), reviewer TEXT NOT NULL, answer TEXT NOT NULL,
  time TEXT NOT NULL, PRIMARY KEY (finding, reviewer)
);
"""

_TABLES_2 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE artefacts (hash TEXT PRIMARY KEY, media TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE rounds (
  round INTEGER PRIMARY KEY, seeds INTEGER NOT NULL, seed_coverage BLOB NOT NULL
);
CREATE TABLE seeds (
  seed INTEGER PRIMARY KEY, round INTEGER NOT NULL, label INTEGER, decisions TEXT NOT NULL,
  fate TEXT NOT NULL, tries INTEGER NOT NULL, steps INTEGER NOT NULL, queries INTEGER NOT NULL
);
CREATE TABLE findings (
  id TEXT PRIMARY KEY, origin TEXT NOT NULL, seed INTEGER NOT NULL REFERENCES seeds(seed),
  seed_artefact TEXT NOT NULL REFERENCES artefacts(hash), artefact TEXT NOT NULL REFERENCES artefacts(hash),
  label INTEGER, decisions TEXT NOT NULL, probabilities BLOB NOT NULL, valid INTEGER NOT NULL,
  reasons TEXT NOT NULL, measures TEXT NOT NULL, steps INTEGER NOT NULL, covered BLOB NOT NULL
);
CREATE INDEX findings_seed ON findings(seed);
"""


def _from_2(db: sqlite3.Connection) -> None:
    """Schema 2 had one campaign an archive, and neither shrunk findings nor answers nor hidden layers."""
    for table in ("rounds", "seeds", "findings"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    db.execute("DROP INDEX findings_seed")
    for statement in _statements():
        if "TABLE meta" not in statement and "TABLE artefacts" not in statement:
            db.execute(statement)
    db.execute("INSERT INTO rounds SELECT 0, round, seeds, '', seed_coverage FROM old_rounds")
    db.execute(
        "INSERT INTO seeds SELECT 0, s.seed, s.round, s.label, s.decisions, s.fate, s.tries, s.steps,"
        " s.queries, (SELECT f.id FROM old_findings f WHERE f.seed = s.seed) FROM old_seeds s"
    )
    db.execute(
        "INSERT INTO findings SELECT id, origin, 0, seed, seed_artefact, artefact, label, decisions,"
        " probabilities, valid, reasons, measures, steps, covered, x'', x'' FROM old_findings"
    )
    for table in ("findings", "seeds", "rounds"):
        db.execute(f"DROP TABLE old_{table}")


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {2: _from_2}
"""What brings an archive of a version to the next one."""
_LAYOUTS = {2: _TABLES_2, SCHEMA: _TABLES}


def damaged(path: Path, why: str, fix: str = "take a copy of it from where it came") -> InputError:
    """What is said of an archive that is not what it says."""
    return InputError(str(path), expected="an archive that is whole", got=f"damage ({why})", fix=fix)


def holds(path: Path) -> bool:
    """Is there a campaign's archive at this path?

    What is left of a process that was killed while it made one is none: a file without tables, or one of
    which nothing was noted. Versions before this one made an archive in its place.
    """
    if not path.is_file():
        return path.exists()
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            limit(db)
            layout = _layout(db)
            ours = any(layout == _known(version) for version in _LAYOUTS)
            return bool(layout) and not (ours and not db.execute("SELECT count(*) FROM meta").fetchone()[0])
    except (sqlite3.Error, UnicodeDecodeError):
        return True


def unused(folder: Path, *, fix: str) -> Path:
    """Where a folder's archive is to be; an InputError if it already holds one."""
    path = Path(folder) / FILE
    if holds(path):
        wanted, fix = "a folder without a campaign", f"{fix}; nothing was overwritten"
        raise InputError(f"output folder {folder}", expected=wanted, got=f"one that holds {FILE}", fix=fix)
    return path


def create(path: Path) -> sqlite3.Connection:
    """A new file with empty tables, open to write. Raises `OSError` or `sqlite3.Error`."""
    db = sqlite3.connect(path, check_same_thread=False)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    db.executescript("BEGIN;" + _TABLES + f"PRAGMA user_version={SCHEMA}; COMMIT;")
    db.execute("PRAGMA foreign_keys=ON")
    return db


def connect(path: Path, *, write: bool = False, version: int | None = SCHEMA) -> sqlite3.Connection:
    """Open a file that is an archive of this `version` (None: any that can be migrated).

    Raises:
        InputError: there is none, it is damaged, or another version of xplore wrote it.
    """
    if not path.is_file():
        raise InputError(str(path), expected="an archive", got="no such file", fix="name a campaign's folder")
    try:
        # A campaign writes beside the lanes; a result may be collected, and so closed, in another thread.
        uri = f"{path.resolve().as_uri()}?mode={'rw' if write else 'ro'}"
        db = sqlite3.connect(uri, uri=True, check_same_thread=False)
        with ExitStack() as undo:
            undo.callback(db.close)
            limit(db)
            _check(db, path, version)
            if write:
                db.executescript(
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
                )
            undo.pop_all()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error) and "unable to open" not in str(error):
            raise InputError(str(path), expected="an archive of xplore", got=one_line(error)) from error
        wanted = "an archive that can be written" if write else "an archive that can be read"
        raise InputError(str(path), expected=wanted, got=str(error), fix="take a copy of it") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes what is damaged
        raise InputError(str(path), expected="an archive of xplore", got=str(error)) from error
    return db


def limit(db: sqlite3.Connection) -> None:
    """Read a stranger's file with care."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    db.executescript("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;")


def _check(db: sqlite3.Connection, path: Path, version: int | None) -> None:
    came = db.execute("PRAGMA user_version").fetchone()[0]
    if came != version and (version is not None or came not in (*MIGRATIONS, SCHEMA)):
        fix = "use the version of xplore that wrote it"
        if came in MIGRATIONS:
            command = shell("xplore", "migrate", path.parent, "--out", "NEW")
            fix = f"{command} writes one that can be read, this one stays as it is"
        raise InputError(str(path), expected=f"schema version {SCHEMA}", got=str(came), fix=fix)
    if _layout(db) != _known(came):
        raise InputError(
            str(path), expected="the tables of an archive", got="others", fix="take a copy from where it came"
        )


def migrated(db: sqlite3.Connection) -> None:
    """Bring a copy up to date, whole or not at all."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.execute("PRAGMA foreign_keys=OFF")
    with db:
        db.execute("BEGIN")
        for step in range(version, SCHEMA):
            MIGRATIONS[step](db)
        db.execute(f"PRAGMA user_version={SCHEMA}")


def _statements() -> list[str]:
    return [part.strip() for part in _TABLES.split(";") if part.strip()]


def _layout(db: sqlite3.Connection) -> set[tuple[str, ...]]:
    rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {(kind, name, " ".join(sql.replace('"', "").split())) for kind, name, sql in rows}


@cache
def _known(version: int) -> frozenset[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_LAYOUTS[version])
        return frozenset(_layout(db))
