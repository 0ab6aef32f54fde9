"""Findings on disk: one SQLite file a campaign, which holds all of it.

A batch of judged inputs commits in one transaction: seeds' fates, findings, what they covered and their
inputs. Coverage is not stored apart: it is the union of the findings' rows, so that archives merge
and a file killed at any instant holds what was committed, and nothing that contradicts it.

NumPy and the standard library only: a report can be drawn where JAX is not installed.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from xplore.errors import InputError, told
from xplore.finding import Finding, SeedRecord, content_hash

FILE = "archive.sqlite"
SCHEMA = 2
_TABLES = """
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


def unused(folder: Path, *, fix: str) -> Path:
    """Where a folder's archive is to be; an InputError if it already holds one."""
    path = Path(folder) / FILE
    if path.exists():
        wanted, fix = "a folder without a campaign", f"{fix}; nothing was overwritten"
        raise InputError(f"output folder {folder}", expected=wanted, got=f"one that holds {FILE}", fix=fix)
    return path


def from_zoo(meta: dict[str, Any]) -> bool:
    """Are the models of a campaign all of xplore's own zoo? No other code that an archive names is imported.

    >>> from_zoo({"config": {"models": [{"use": "xplore.models.lenet:lenet1"}]}}), from_zoo({})
    (True, False)
    """
    config = meta.get("config")
    parts = config.get("models") if isinstance(config, dict) else None
    named = [str(part.get("use")) for part in parts or ()]
    arguments = [[value for key, value in part.items() if key != "use"] for part in parts or ()]
    nested = '"use"' in json.dumps(arguments)
    return bool(named) and not nested and all(name.startswith("xplore.models.") for name in named)


def pack(covered: Bool[np.ndarray, "k u"]) -> bytes:
    """Bits, compressed.

    >>> unpack(pack(np.eye(3, dtype=bool)), 3).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    return zlib.compress(np.packbits(covered, axis=1).tobytes())


def unpack(data: bytes, units: int) -> Bool[np.ndarray, "k u"]:
    width = -(-units // 8)
    if not width:  # models without neurons
        return np.zeros((1, 0), bool)
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(-1, width)
    return np.unpackbits(rows, axis=1, count=units).astype(bool)


class Archive:
    """A campaign on disk. `meta` holds what was run: config, models, layout, criteria, versions, device."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path
        self._writes = False

    @classmethod
    def create(cls, folder: Path, meta: dict[str, Any]) -> Archive:
        """A new archive in a folder that holds none.

        Raises:
            InputError: the folder already holds a campaign, or cannot be written.
        """
        path = unused(folder, fix="choose a new folder with --out")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path)
            db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
            db.executescript("BEGIN;" + _TABLES + f"PRAGMA user_version={SCHEMA}; COMMIT;")
        except (OSError, sqlite3.Error) as error:
            what, wanted = f"output folder {folder}", "a folder that can be written"
            raise InputError(what, expected=wanted, got=str(error), fix="choose --out") from error
        db.execute("PRAGMA foreign_keys=ON")
        archive = cls(db, path)
        archive._writes = True
        archive.note(**meta)
        return archive

    @classmethod
    def open(cls, folder: Path) -> Archive:
        """An archive that exists, read only.

        Raises:
            InputError: there is none, it is damaged, or another version of xplore wrote it.
        """
        path = Path(folder)
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise InputError(
                str(path), expected="an archive", got="no such file", fix="name a campaign's folder"
            )
        try:
            # A result may be collected, and so closed, in another thread.
            db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            version = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute("SELECT count(*) FROM meta, rounds").fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes what is damaged
            raise InputError(str(path), expected="an archive of xplore", got=str(error)) from error
        if version != SCHEMA:
            raise InputError(str(path), expected=f"schema version {SCHEMA}", got=str(version))
        return cls(db, path)

    def close(self) -> None:
        """Close; what was written is one file from now on, without a log beside it."""
        # Without room, or while someone reads, the log stays, and nothing is lost.
        with closing(self._db), suppress(sqlite3.OperationalError):
            if self._writes:
                self._db.execute("PRAGMA journal_mode=DELETE")

    def note(self, **meta: Any) -> None:
        """Add to, or replace in, what is known of the campaign as a whole."""
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        self._write([("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)])

    def commit(self, seeds: Sequence[SeedRecord], findings: Sequence[Finding]) -> None:
        """One batch, whole or not at all."""
        inputs = {content_hash(data): (f.media, data) for f in findings for data in (f.before, f.after)}
        self._write(
            [
                ("INSERT OR IGNORE INTO artefacts VALUES (?,?,?)", [(k, *v) for k, v in inputs.items()]),
                ("INSERT INTO seeds VALUES (?,?,?,?,?,?,?,?)", [_seed_row(s) for s in seeds]),
                (
                    "INSERT OR IGNORE INTO findings VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    [_row(f) for f in findings],
                ),
            ]
        )

    def commit_round(self, index: int, seeds: int, seed_coverage: Bool[np.ndarray, "criteria u"]) -> None:
        """The seeds of a round were read: what they cover as they are."""
        self._write([("INSERT INTO rounds VALUES (?,?,?)", [(index, seeds, pack(seed_coverage))])])

    def _write(self, statements: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
        try:
            with self._db:
                for sql, rows in statements:
                    self._db.executemany(sql, rows)
        except sqlite3.OperationalError as error:
            raise InputError(
                str(self.path),
                expected="room and the right to write",
                got=str(error),
                fix="free some disk or choose another --out; what was committed before is kept",
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Damage that is met on the way is told as such; the file is never altered."""
        try:
            yield
        except InputError:
            raise
        except (sqlite3.Error, zlib.error, ValueError, TypeError, KeyError) as error:
            raise InputError(
                str(self.path),
                expected="an archive that is whole",
                got=f"damage ({told(error)})",
                fix="take a copy of it, or run the campaign again into another folder",
            ) from error

    @property
    def meta(self) -> dict[str, Any]:
        with self._reading():
            return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM meta")}

    def seeds(self) -> Iterator[SeedRecord]:
        """Every seed whose fate is known, in order."""
        with self._reading():
            for row in self._db.execute("SELECT * FROM seeds ORDER BY seed"):
                seed, index, label, decisions, *rest = row
                yield SeedRecord(seed, index, label, tuple(json.loads(decisions)), *rest)

    def findings(self, *, origin: str | None = "search", prefix: str = "") -> Iterator[Finding]:
        """Findings in the order of their seeds; `prefix` selects by the start of the id.

        Raises:
            InputError: the archive is damaged; inputs must have the hash under which they lie.
        """
        query = (
            "SELECT f.id, f.origin, f.seed, s.data, a.data, f.label, f.decisions, f.probabilities, f.reasons,"
            " f.measures, f.steps, f.covered, s.hash, a.hash, a.media FROM findings f"
            " JOIN artefacts a ON a.hash = f.artefact JOIN artefacts s ON s.hash = f.seed_artefact"
            " WHERE (?1 IS NULL OR f.origin = ?1) AND substr(f.id, 1, length(?2)) = ?2 ORDER BY f.seed, f.id"
        )
        with self._reading():
            units = self.units
            for row in self._db.execute(query, (origin, prefix)):
                name, source, seed, before, after, label = row[:6]
                if (content_hash(before), content_hash(after)) != row[12:14]:
                    raise ValueError(f"an input of finding {name} does not have the hash it lies under")
                decisions = tuple(json.loads(row[6]))
                probabilities = np.frombuffer(row[7], np.float32).reshape(len(decisions), -1)
                reasons, measures = tuple(json.loads(row[8])), json.loads(row[9])
                judged = (decisions, probabilities, reasons, measures, row[10], unpack(row[11], units))
                yield Finding(name, source, seed, before, after, row[14], label, *judged)

    @property
    def units(self) -> int:
        with self._reading():
            return sum(layer["units"] for model in self.meta["layout"] for layer in model["layers"])

    def seed_coverage(self) -> Bool[np.ndarray, "criteria u"]:
        """What the seeds cover as they are, all of them together."""
        return self._union("SELECT seed_coverage FROM rounds")

    def coverage(self, *, valid: bool = False) -> Bool[np.ndarray, "criteria u"]:
        """What was covered by inputs on which models differ; with `valid`, by valid findings alone."""
        where = " WHERE valid AND origin = 'search'" if valid else ""
        return self._union("SELECT covered FROM findings" + where)

    def _union(self, query: str) -> Bool[np.ndarray, "criteria u"]:
        with self._reading():
            covered = np.zeros((len(self.meta["criteria"]), self.units), bool)
            for (data,) in self._db.execute(query):
                covered |= unpack(data, covered.shape[1])
            return covered


def _seed_row(s: SeedRecord) -> tuple[Any, ...]:
    return (s.seed, s.round, s.label, json.dumps(s.decisions), s.fate, s.tries, s.steps, s.queries)


def _row(f: Finding) -> tuple[Any, ...]:
    inputs = (content_hash(f.before), content_hash(f.after))
    probabilities = f.probabilities.astype(np.float32).tobytes()
    judged = (json.dumps(f.decisions), probabilities, f.valid, json.dumps(f.reasons))
    return (
        f.id,
        f.origin,
        f.seed,
        *inputs,
        f.label,
        *judged,
        json.dumps(f.measures),
        f.steps,
        pack(f.covered),
    )
