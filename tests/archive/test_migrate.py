"""An archive of an older version becomes an up-to-date copy, and stays as it is."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.migrate import migrate
from xplore.archive.records import SeedRecord, content_hash
from xplore.archive.tables import FILE, SCHEMA
from xplore.cli import app
from xplore.inputs.media import to_png
from xplore.report import FORMATS, reporter
from xplore.report.summary import summary

SCHEMA_2 = """
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
META = {
    "name": "digits",
    "created": "2026-01-02T03:04:05+00:00",
    "models": [{"name": name, "digest": name * 32, "parameters": 9, "neurons": 6} for name in "ab"],
    "layout": [{"name": name, "layers": [{"name": "fc", "kind": "dense", "units": 6}]} for name in "ab"],
    "criteria": ["NeuronCoverage(t=0.25)", "NeuronCoverage(t=0.5)"],
    "main_criterion": 0,
    "classes": ["0", "1", "2"],
    "seconds": 2.5,
    "finished": True,
}
RNG = np.random.default_rng(2)
IMAGES = [to_png(RNG.integers(0, 256, (5, 4, 1), np.uint8)) for _ in range(4)]
COVERED = RNG.random((3, 2, 12)) < 0.4
PROBABILITIES = RNG.random((2, 3)).astype(np.float32)


def packed(covered: np.ndarray) -> bytes:
    return zlib.compress(np.packbits(covered, axis=1).tobytes())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Five seeds: a finding, one that does not count, a seed that differs, one without its own."""
    folder = tmp_path / "old"
    folder.mkdir()
    fates = ["found", "found", "already_differ", "not_found", "found"]
    told = [("f0", "search", 0, 0, 1, 2, []), ("f1", "search", 1, 2, 3, 1, ["seed_wrong"])]
    told += [("f2", "seed", 2, 3, 3, None, ["already_differ"])]
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.executescript(SCHEMA_2 + "PRAGMA user_version = 2")
        db.executemany("INSERT INTO meta VALUES (?,?)", [(k, json.dumps(v)) for k, v in META.items()])
        db.executemany(
            "INSERT INTO artefacts VALUES (?,?,?)", [(content_hash(i), "image/png", i) for i in IMAGES]
        )
        db.execute("INSERT INTO rounds VALUES (0, 5, ?)", (packed(COVERED[0]),))
        seeds = [(i, 0, 2, "[2, 2]", fate, 1, 4, 8) for i, fate in enumerate(fates)]
        db.executemany("INSERT INTO seeds VALUES (?,?,?,?,?,?,?,?)", seeds)
        rows = [
            (name, origin, seed, content_hash(IMAGES[a]), content_hash(IMAGES[b]), label, "[2, 1]",
             PROBABILITIES.tobytes(), not why, json.dumps(why), '{"agreed": 2, "l2": 0.5}', 4,
             packed(COVERED[seed]))
            for name, origin, seed, a, b, label, why in told
        ]  # fmt: skip
        db.executemany("INSERT INTO findings VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
    return folder


def test_the_copy_is_up_to_date_and_holds_the_same(old: Path, tmp_path: Path) -> None:
    before = (old / FILE).read_bytes()
    with pytest.raises(InputError, match=f"version {SCHEMA}, got 2; xplore migrate .*old --out NEW"):
        Archive.open(old)
    done = CliRunner().invoke(app, ["migrate", str(old), "--out", str(tmp_path / "new")])
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "new"))
    assert (old / FILE).read_bytes() == before and [f.name for f in old.iterdir()] == [FILE]
    assert [f.name for f in (tmp_path / "new").iterdir()] == [FILE]
    with closing(sqlite3.connect(tmp_path / "new" / FILE)) as db:
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with closing(Archive.open(tmp_path / "new")) as archive:  # its tables are exactly today's
        findings, meta = list(archive.findings(origin=None)), archive.meta
        found = [("f0", "found"), ("f1", "found"), ("f2", "already_differ"), (None, "not_found")]
        assert list(archive.seeds()) == [
            SeedRecord(i, 0, 2, (2, 2), fate, 1, 4, 8, name)
            for i, (name, fate) in enumerate([*found, (None, "found")])
        ]
        np.testing.assert_array_equal(archive.seed_coverage(), COVERED[0])
        assert archive.answers() == {} and list(archive.rounds()) == [(0, 5, "")]
        assert summary(archive)["valid"] == 1 and summary(archive)["agree_wrongly"] == 0
        for name in FORMATS:
            assert reporter(name).write(archive, tmp_path / "new").exists()
    assert meta == META
    assert [(f.id, f.seed, f.label, f.reasons) for f in findings] == [
        ("f0", 0, 2, ()),
        ("f1", 1, 1, ("seed_wrong",)),
        ("f2", 2, None, ("already_differ",)),
    ]
    for i, f in enumerate(findings):
        assert (f.campaign, f.decisions, f.hidden.size, f.shrunk) == (0, (2, 1), 0, None)
        np.testing.assert_array_equal(f.covered, COVERED[i])
        np.testing.assert_array_equal(f.probabilities, PROBABILITIES)
    assert (findings[0].before, findings[0].after) == (IMAGES[0], IMAGES[1])


def test_a_copy_of_todays_is_the_same(old: Path, tmp_path: Path) -> None:
    migrate(old, tmp_path / "a")
    migrate(tmp_path / "a", tmp_path / "b")
    with closing(Archive.open(tmp_path / "a")) as a, closing(Archive.open(tmp_path / "b")) as b:
        assert list(a.seeds()) == list(b.seeds()) and a.meta == b.meta
        assert [f.id for f in a.findings(origin=None)] == [f.id for f in b.findings(origin=None)] != []


SPOILT = {
    "newer": (f"PRAGMA user_version = {SCHEMA + 1}", f"version {SCHEMA}, got {SCHEMA + 1}; use the version"),
    "too old": ("PRAGMA user_version = 1", "use the version of xplore that wrote it"),
    "a view": ("CREATE VIEW more AS SELECT 1", "the tables of an archive"),
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON seeds BEGIN DELETE FROM seeds; END", "the tables of"),
    "no seed": ("PRAGMA foreign_keys=OFF; DELETE FROM seeds WHERE seed = 1", "points nowhere"),
    "no pictures": ("PRAGMA foreign_keys=OFF; DELETE FROM artefacts", "points nowhere"),
    "no bits": ("UPDATE findings SET covered = x'00'", "whole, got damage"),
    "another picture": ("UPDATE artefacts SET data = CAST(data || x'00' AS BLOB)", "the hash"),
    "no JSON": ("UPDATE seeds SET decisions = '['", "whole, got damage"),
    "cut": ("", "damage|an archive of xplore"),
}


@pytest.mark.parametrize(("sql", "told"), SPOILT.values(), ids=SPOILT)
def test_what_cannot_be_copied_is_refused_and_left_alone(
    sql: str, told: str, old: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(old / FILE)) as db:
        db.executescript(sql)
    before = (old / FILE).read_bytes()[: None if sql else -4000]
    (old / FILE).write_bytes(before)
    with pytest.raises(InputError, match=told):
        migrate(old, tmp_path / "new")
    assert (old / FILE).read_bytes() == before and not (tmp_path / "new").exists()


def test_a_folder_that_holds_one_is_not_overwritten(old: Path, tmp_path: Path) -> None:
    migrate(old, tmp_path / "new")
    before = (tmp_path / "new" / FILE).read_bytes()
    with pytest.raises(InputError, match="nothing was overwritten"):
        migrate(old, tmp_path / "new")
    assert (tmp_path / "new" / FILE).read_bytes() == before
