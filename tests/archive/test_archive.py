"""An archive holds what was committed, whatever ends the campaign, and says what it cannot read."""

import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord, content_hash
from xplore.archive.tables import FILE, SCHEMA
from xplore.inputs.media import from_png, to_png

META = {
    "layout": [{"name": "net", "layers": [{"name": "fc", "kind": "dense", "units": 12}]}],
    "criteria": ["one", "two"],
}
SMALL_CAMPAIGN = """
import sys
from pathlib import Path
from laws.parts import pictures, relatives
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.campaign.settings import Plan
from xplore.constraints import Lighting
from xplore.coverage import NeuronCoverage
from xplore.engine.step import Method
from xplore.objectives import Joint
from xplore.oracles import LabelsDiffer
from xplore.search import GridSearch
from xplore.evaluation.sources import Held
from xplore.campaign.judge import Judge

panel, codes = relatives(1, (8, 8, 1), channels=()), pictures(0, 4000, (8, 8, 1))
method = Method(panel, Joint(), Lighting(), LabelsDiffer(), GridSearch(steps=8))
judge = Judge(panel, method.oracle, method.constraint, (NeuronCoverage(),))
layout = panel.check(codes.shape[1:])
layers = [{"name": m, "layers": [{"units": la.units} for la in each]} for m, each in layout.models]
archive = Archive.create(Path(sys.argv[1]), {"layout": layers, "criteria": ["nc"]})
campaign = Campaign(method, judge, layout, Held(codes), Plan(lanes=16, round_size=64))
for tally in campaign.run(archive):
    print(tally.closed, tally.findings + tally.already_differ, flush=True)
print("ended")
"""


def finding(seed, rng, size=8):
    before, after = (to_png(rng.integers(0, 256, (size, size, 1), np.uint8)) for _ in range(2))
    return Finding(
        id=content_hash(before + after)[:12],
        origin="search",
        seed=seed,
        before=before,
        after=after,
        media="image/png",
        label=None,
        decisions=(0, 1),
        probabilities=rng.random((2, 3)).astype(np.float32),
        reasons=() if seed % 2 else ("seed_wrong",),
        measures={"agreed": 0},
        steps=3,
        covered=rng.random((2, 12)) < 0.5,
    )


def filled(folder, batches=4, size=8):
    """An archive with some batches; returns it and what it should hold."""
    rng = np.random.default_rng(0)
    archive, held = Archive.create(folder, META), []
    for batch in range(batches):
        found = [finding(seed, rng, size) for seed in range(5 * batch, 5 * batch + 5)]
        archive.commit([SeedRecord(f.seed, 0, None, (0, 0), "found", 1, 3, 6) for f in found], found)
        held += found
    return archive, held


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    filled(folder)[0].close()
    with sqlite3.connect(folder / FILE) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    return folder / FILE


def test_what_is_read_is_what_was_written(tmp_path):
    written, held = filled(tmp_path)
    written.close()
    archive = Archive.open(tmp_path)
    read = list(archive.findings(origin=None))
    assert [f.seed for f in read] == [s.seed for s in archive.seeds()] == list(range(20))
    for one, two in zip(held, read, strict=True):
        for name in (
            "id",
            "origin",
            "seed",
            "before",
            "after",
            "media",
            "label",
            "decisions",
            "reasons",
            "measures",
            "steps",
        ):
            assert getattr(one, name) == getattr(two, name)
        np.testing.assert_array_equal(one.covered, two.covered)
        np.testing.assert_array_equal(one.probabilities, two.probabilities)
        assert two.id == content_hash(two.before + two.after)[:12]
    np.testing.assert_array_equal(archive.coverage(), np.any([f.covered for f in held], axis=0))
    valid = np.any([f.covered for f in held if f.valid], axis=0)
    np.testing.assert_array_equal(archive.coverage(valid=True), valid)
    archive.close()


def test_artefacts_lie_under_the_hash_of_their_bytes(tmp_path):
    archive, held = filled(tmp_path)
    archive.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        stored = dict(db.execute("SELECT hash, data FROM artefacts"))
    db.close()
    assert stored == {content_hash(data): data for f in held for data in (f.before, f.after)}


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path):
    archive, held = filled(tmp_path)
    rng = np.random.default_rng(9)
    new = [finding(seed, rng) for seed in (50, 3)]  # the fate of seed 3 is known
    with pytest.raises((InputError, sqlite3.IntegrityError)):
        archive.commit([SeedRecord(f.seed, 0, None, (0, 0), "found") for f in new], new)
    assert {f.id for f in archive.findings()} == {f.id for f in held}
    assert 50 not in {s.seed for s in archive.seeds()}
    archive.close()


def consistent(folder):
    """The seeds and findings of an archive in which each finding has its seed and its pictures."""
    archive = Archive.open(folder)
    seeds = {record.seed: record for record in archive.seeds()}
    findings = list(archive.findings(origin=None))
    with sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True) as db:
        (count,) = db.execute("SELECT count(*) FROM findings").fetchone()
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert count == len(findings), "no finding without a picture"
    for found in findings:
        assert seeds[found.seed].fate in ("found", "already_differ")
        assert from_png(found.after).shape == from_png(found.before).shape
    told = {found.seed for found in findings}
    assert {s for s, record in seeds.items() if record.fate in ("found", "already_differ")} == told
    assert archive.coverage().any() or not findings
    archive.close()
    return seeds, findings


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 4, 15, 40])
def test_a_killed_campaign_leaves_every_committed_batch(lines, tmp_path, tmp_path_factory):
    root = Path(__file__).parents[2]
    cache = str(tmp_path_factory.getbasetemp() / "compiled")
    path = os.pathsep.join(map(str, (root, root / "tests", root / "tests" / "helpers")))
    settings = {"PYTHONPATH": path, "JAX_COMPILATION_CACHE_DIR": cache}
    settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    child = subprocess.Popen(
        [sys.executable, "-c", SMALL_CAMPAIGN, str(tmp_path)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told = [child.stdout.readline() for _ in range(lines)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(random.Random(lines).random() / 20)
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().splitlines(keepends=True)
    finally:
        child.kill()
        child.stdout.close()
        child.wait()
    whole = [line.split() for line in told if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL and ["ended"] not in whole, "killed on the way"
    closed, found = map(int, whole[-1])
    seeds, findings = consistent(tmp_path)
    assert len(seeds) >= closed and len(findings) >= found
    with pytest.raises(InputError, match="without a campaign"):
        Archive.create(tmp_path, META)


@pytest.mark.parametrize("name", ["nowhere", "empty", "empty/archive.sqlite"])
def test_a_missing_archive_is_an_input_error(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no such file"):
        Archive.open(tmp_path / name)


@pytest.mark.parametrize("version", [0, SCHEMA + 1, 2**31 - 1])
def test_another_version_is_an_input_error(version, sound, tmp_path):
    shutil.copy(sound, tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute(f"PRAGMA user_version={version}")
    db.close()
    with pytest.raises(InputError, match=f"version {SCHEMA}, got {version}"):
        Archive.open(tmp_path)


@examples(40)
@given(content=st.binary(max_size=200), header=st.booleans())
def test_random_bytes_are_an_input_error(content, header, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "random.sqlite"
    file.write_bytes((b"SQLite format 3\0" if header else b"") + content)
    with pytest.raises(InputError, match=r"random\.sqlite"):
        Archive.open(file)


@examples(80)
@given(
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=40
    ),
    reach=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    cut=st.floats(0, 1),
)
def test_damage_is_an_input_error_or_leaves_an_archive(sound, tmp_path_factory, flips, reach, cut):
    content = bytearray(sound.read_bytes())
    del content[int(len(content) * (1 - cut * cut / 2)) :]
    for place, byte in flips:
        content[int(place * reach * len(content))] ^= byte
    file = tmp_path_factory.getbasetemp() / "damaged.sqlite"
    file.write_bytes(bytes(content))
    try:
        with contextlib.closing(Archive.open(file)) as archive:
            list(archive.seeds()), list(archive.findings(origin=None))
            archive.coverage(), archive.seed_coverage()
    except InputError as error:
        assert "damaged.sqlite" in str(error)


def test_a_picture_that_changed_is_told(sound, tmp_path):
    shutil.copy(sound, tmp_path / FILE)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute("UPDATE artefacts SET data = CAST(data || x'00' AS BLOB)")
    with contextlib.closing(Archive.open(tmp_path)) as archive, pytest.raises(InputError, match="the hash"):
        list(archive.findings())


def test_a_folder_that_holds_a_campaign_is_not_altered(sound, tmp_path):
    shutil.copy(sound, tmp_path / FILE)
    with pytest.raises(InputError, match="nothing was overwritten"):
        Archive.create(tmp_path, META)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {FILE: sound.read_bytes()}


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="can be written"):
        Archive.create(tmp_path / "file" / "folder", META)


@pytest.mark.parametrize("room", [300_000, 600_000])
def test_a_full_disk_ends_in_an_input_error_and_keeps_what_was_committed(room, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    rng, kept = np.random.default_rng(0), []
    archive = Archive.create(tmp_path, META)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # no file can grow beyond
    try:
        with pytest.raises(InputError, match="what was committed before is kept"):
            for seed in range(1000):
                found = finding(seed, rng, 64)
                archive.commit([SeedRecord(seed, 0, None, (0, 0), "found")], [found])
                kept.append(found.id)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob(FILE + "*"):
        shutil.copy(file, copy)
    archive.close()
    for folder in (tmp_path, copy):
        _, findings = consistent(folder)
        assert [f.id for f in sorted(findings, key=lambda f: f.seed)] == kept
    assert len(kept) > 2
