"""Merging is a join: commutative, associative, idempotent; and what is merged is never altered."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import tiny
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

import xplore
from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord, Shrunk, content_hash
from xplore.archive.tables import FILE
from xplore.campaign.merge import joined
from xplore.campaign.resume import resumed
from xplore.campaign.settings import Budget
from xplore.constraints import Ball
from xplore.inputs.media import to_png
from xplore.report.reading import read

KNOWN: dict[str, Any] = {
    "models": [{"name": name, "digest": name * 32, "neurons": 6} for name in "ab"],
    "layout": [{"name": name, "layers": [{"name": "fc", "kind": "dense", "units": 6}]} for name in "ab"],
    "criteria": ["one", "two"],
    "media": "image/png",
    "classes": ["0", "1", "2"],
    "main_criterion": 0,
    "constraint": "Ball()",
    "search": "GridSearch()",
}
IDS = ("9c", "0a", "5f")
TABLES = ("meta", "artefacts", "rounds", "seeds", "findings", "shrunk", "answers")
INPUTS = [to_png(np.random.default_rng(i).integers(0, 256, (4, 4, 1), np.uint8)) for i in range(8)]


@cache
def campaign(name: str) -> tuple[tuple[SeedRecord, Finding | None, Shrunk | None], ...]:
    """What becomes of a campaign's seeds; several seeds lead to the same content, in other campaigns too."""
    rng, told = np.random.default_rng(int(name, 16)), []
    for seed in range(12):
        before, after, small = rng.choice(INPUTS[:4]), rng.choice(INPUTS[4:]), rng.choice(INPUTS)
        probabilities = rng.random((2, 3)).astype(np.float32)
        finding = Finding(
            *(content_hash(before + after)[:12], "search", seed, before, after, "image/png", 0, (0, 1)),
            *(probabilities, ("seed_wrong",) if rng.random() < 0.3 else (), {"l2": rng.random()}, seed),
            covered=rng.random((2, 12)) < 0.06,
            hidden=rng.random(3).astype(np.float16),
        )
        found = rng.random() < 0.7
        fate = "found" if found else "not_found"
        record = SeedRecord(seed, seed // 4, 0, (0, 0), fate, 1, 2, 4, finding.id if found else None)
        shrunk = Shrunk(small, probabilities, {"l2": rng.random()}, int(rng.integers(1, 50)))
        told.append((record, finding if found else None, shrunk if rng.random() < 0.5 else None))
    return tuple(told)


def smallest(told: Sequence[tuple[SeedRecord, Finding | None, Shrunk | None]]) -> dict[str, Shrunk]:
    return {f.id: small for _, f, small in reversed(told) if f and small}


def write(folder: Path, name: str, seeds: int, answered: Sequence[tuple[int, str, str, str]] = ()) -> Path:
    """A copy of a campaign that was cut off after some seeds."""
    told = campaign(name)[:seeds]
    meta = {"id": name, "name": f"run {name}", "rng": int(name, 16), "created": f"2026-01-{seeds + 1:02}"}
    meta |= {"finished": seeds == 12, "seconds": seeds / 4, "command": f"xplore run {name}"}
    with closing(Archive.create(folder, KNOWN | meta | {"labelled": True, "seeds_total": 12})) as archive:
        for index in range(-(-seeds // 4)):
            part = told[4 * index : 4 * index + 4]
            covered = np.random.default_rng([int(name, 16), index]).random((2, 12)) < 0.4
            archive.commit_round(index, len(part), covered, f"{name} {index} {len(part)}")
            archive.commit([record for record, _, _ in part], [f for _, f, _ in part if f])
        ids = [f.id for _, f, _ in told if f]
        archive.keep_shrunk(smallest(told))
        for at, *answer in answered if ids else ():
            archive.answer(ids[at % len(ids)], *answer)
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def merged(out: Path, *folders: Path) -> Path:
    joined(folders, out)
    return out


def content(folder: Path) -> dict[str, list[Any]]:
    """Every row of every table but inputs that nothing refers to any more."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        rows = {table: sorted(map(repr, db.execute(f"SELECT * FROM {table}"))) for table in TABLES}
        used = "SELECT artefact FROM findings UNION SELECT seed_artefact FROM findings"
        where = f" WHERE hash IN ({used} UNION SELECT artefact FROM shrunk)"
        return rows | {"artefacts": sorted(map(repr, db.execute("SELECT * FROM artefacts" + where)))}


answers = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["valid", "invalid"]),
        st.sampled_from(["2026-03-01T10:00:00+00:00", "2026-03-01T11:30:00+02:00", "2026-03-02", "once"]),
    ),
    max_size=3,
)
copies = st.tuples(st.sampled_from(IDS), st.integers(0, 12), answers)


@examples(12)
@given(parts=st.lists(copies, min_size=3, max_size=3))
def test_merging_is_a_join(parts: list[tuple[str, int, list[Any]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        a, b, c = (write(place / f"{i}", *part) for i, part in enumerate(parts))
        before = [content(one) for one in (a, b, c)]
        both = merged(place / "ab", a, b)
        assert content(both) == content(merged(place / "ba", b, a))
        every = content(merged(place / "ab c", both, c))
        assert every == content(merged(place / "a bc", a, merged(place / "bc", b, c)))
        assert every == content(merged(place / "abc", c, a, b, a))
        assert content(merged(place / "aa", a, a)) == content(a)
        assert content(merged(place / "ab ab", both, both)) == content(both)
        assert content(merged(place / "ab a", both, a)) == content(both), "what is in it adds nothing"
        assert [content(one) for one in (a, b, c)] == before


@examples(8)
@given(name=st.sampled_from(IDS), cut=st.integers(0, 12), seeds=st.integers(0, 12))
def test_a_copy_that_was_cut_off_adds_nothing_to_a_longer_one(name: str, cut: int, seeds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cut, seeds = sorted((cut, seeds))
        short, long = write(Path(folder, "a"), name, cut), write(Path(folder, "b"), name, seeds)
        assert content(merged(Path(folder, "c"), short, long)) == content(long)


def test_a_merged_archive_holds_what_each_holds(place: Path) -> None:
    folders = [write(place / name, name, 12, [(0, "ann", "valid", "2026-03-02")]) for name in IDS]
    with closing(Archive.open(merged(place / "all", *folders))) as archive:
        kept = {f.id: f for f in archive.findings()}
        seeds, account, told = list(archive.seeds()), archive.meta, archive.answers()
        covered, valid, at_first = archive.coverage(), archive.coverage(valid=True), archive.seed_coverage()
    order = sorted(IDS)
    assert [part["id"] for part in account["merged"]] == order
    assert [(s.campaign, s.seed) for s in seeds] == [(i, n) for i in range(3) for n in range(12)]
    found = [(order[s.campaign], s.seed) for s in seeds if s.finding]
    assert len(kept) < len(found), "duplicates by content fell together"
    for name, finding in kept.items():
        first = min(at for at in found if campaign(at[0])[at[1]][0].finding == name)
        of = campaign(first[0])[first[1]][1]
        assert of is not None and (order[finding.campaign], finding.seed) == first
        np.testing.assert_array_equal(finding.covered, of.covered)
        np.testing.assert_array_equal(finding.hidden, of.hidden)
        assert (finding.measures, finding.before, finding.after) == (of.measures, of.before, of.after)
    shrunk = [smallest(campaign(name)) for name in order]
    longest = {
        name: max(each[name].queries for each in shrunk if name in each) for each in shrunk for name in each
    }
    assert {name: f.shrunk.queries for name, f in kept.items() if f.shrunk} == longest
    np.testing.assert_array_equal(covered, np.any([f.covered for f in kept.values()], axis=0))
    np.testing.assert_array_equal(valid, np.any([f.covered for f in kept.values() if f.valid], axis=0))
    assert at_first.any() and told and {a for each in told.values() for a in each.values()} == {"valid"}
    assert account["steps"] == sum(s.steps for s in seeds) == 72
    assert (account["seconds"], account["seeds_total"], account["finished"]) == (9.0, 36, True)
    assert account["rng"] is None and account["constraint"] == "Ball()"


def test_the_newest_answer_of_a_reviewer_counts(place: Path) -> None:
    early = [(0, "ann", "valid", "2026-03-01T11:30:00+02:00"), (0, "bob", "unsure", "2026-03-01")]
    a = write(place / "a", "0a", 12, early)
    b = write(place / "b", "0a", 12, [(0, "ann", "invalid", "2026-03-01T10:00:00+00:00")])
    with closing(Archive.open(merged(place / "c", a, b))) as archive:
        (told,) = archive.answers().values()
    assert told == {"ann": "invalid", "bob": "unsure"}


@pytest.mark.slow
def test_reports_tell_seeds_of_several_campaigns_apart(place: Path) -> None:
    folders = [write(place / name, name, 12) for name in IDS]
    result = xplore.merge(folders, place / "all")
    figures, fates = result.summary, Counter[str]()
    for folder in folders:
        with closing(Archive.open(folder)) as one:
            fates += Counter(seed.fate for seed in one.seeds())
    valid = {finding.id for finding in result.valid}
    with_valid = [seed for seed in result.archive.seeds() if seed.finding in valid]
    assert figures["seeds_with_valid_finding"] == len(with_valid) > len(valid) == figures["valid"] > 0
    assert figures["fates"] == fates and figures["seeds"] == fates.total() == 36
    reading = read(result.archive)
    assert reading.first.max() > 12, "the curve goes on over all campaigns"
    assert "(campaign 2)" in (place / "all" / "report.html").read_text()
    assert figures["queries"] == 3 * 48 and "Merged from 3 campaigns" in figures["notes"][-1]


@pytest.mark.slow
def test_seeds_that_several_campaigns_searched_are_told(place: Path) -> None:
    """However they are joined; those of other seeds are not."""
    how: dict[str, Any] = {"constraint": Ball(0.1), "steps": 2, "tries": 1, "lanes": 8, "progress": False}
    for rng in (0, 1, 2):
        xplore.run([tiny.one(), tiny.two()], tiny.images(), out=place / f"rng{rng}", rng=rng, **how)
    xplore.run([tiny.one(), tiny.two()], tiny.images(40)[tiny.N :], out=place / "other", **how)
    told = "Several campaigns searched the same seeds: {} are counted once more"

    def notes(name: str, *parts: str) -> list[str]:
        return xplore.merge([place / part for part in parts], place / name).summary["notes"]

    assert notes("ab", "rng0", "rng1")[0].startswith(told.format(tiny.N))
    assert notes("abc", "ab", "rng2") == notes("bca", "rng2", "rng1", "rng0") == notes("all", "abc", "ab")
    assert notes("again", "abc", "rng0")[0].startswith(told.format(2 * tiny.N))
    assert not [note for note in notes("apart", "rng0", "other") if "same seeds" in note]


OTHER = {
    "models": [{**KNOWN["models"][0], "digest": "f" * 64}, KNOWN["models"][1]],
    "layout": [{**KNOWN["layout"][0], "layers": [{"name": "fc", "units": 3}]}, KNOWN["layout"][1]],
    "criteria": ["one", "three"],
    "media": "application/json",
    "classes": ["cat", "dog", "cow"],
    "oracle": "ValuesDiffer()",
    "decisions": {"kind": "labels"},
    "table": {"columns": []},
}


@pytest.mark.parametrize("key", OTHER)
def test_campaigns_that_cannot_be_united_are_refused(key: str, place: Path) -> None:
    a, b = write(place / "a", "0a", 8), write(place / "b", "5f", 8)
    with closing(Archive.open(b, write=True)) as archive:
        archive.note(**{key: OTHER[key]})
    with pytest.raises(InputError, match=f"the {key} of .*nothing was written"):
        joined([a, b], place / "c" / "d")
    assert not (place / "c").exists()


def test_a_folder_that_holds_a_campaign_is_not_overwritten(place: Path) -> None:
    a, b = write(place / "a", "0a", 8), write(place / "b", "5f", 8)
    before = (b / FILE).read_bytes()
    with pytest.raises(InputError, match="nothing was overwritten"):
        joined([a], b)
    assert (b / FILE).read_bytes() == before
    with pytest.raises(InputError, match="at least one"):
        joined([], place / "c")


def test_damage_in_one_of_them_leaves_nothing(place: Path) -> None:
    a, b = write(place / "a", "0a", 12), write(place / "b", "5f", 12)
    with closing(sqlite3.connect(b / FILE)) as db, db:
        db.execute("UPDATE seeds SET campaign = 7 WHERE seed = 11")
    with pytest.raises(InputError, match=r"b/archive\.sqlite.*whole.*damage"):
        joined([a, b], place / "c")
    assert not (place / "c").exists()


@pytest.mark.slow
def test_two_real_campaigns_one_of_them_cut_off(place: Path) -> None:
    """Bytes of all files stay as they are; a log that a killed campaign left behind is read."""
    whole, other, log = (place / name for name in ("whole", "other", "log"))
    for folder, rng, findings in ((whole, 0, None), (other, 1, 2)):  # the first are the same in both
        running = small.campaign(128, rng=rng, budget=Budget(findings=findings))
        with closing(small.archive(running, folder)) as kept:
            for tally in running.run(kept):
                if folder == whole and tally.closed > 30 and not log.exists():
                    shutil.copytree(folder, log)  # as a kill leaves it: the file, and a log beside it
    assert (log / f"{FILE}-wal").stat().st_size
    before = {file: file.read_bytes() for file in place.rglob(f"{FILE}*") if "-shm" not in file.name}
    both = merged(place / "both", log, other, whole)
    assert {file: file.read_bytes() for file in before} == before
    assert content(merged(place / "again", whole, log))["seeds"] == content(whole)["seeds"]
    assert content(both) == content(merged(place / "ba", whole, other))
    with closing(Archive.open(both)) as archive:
        counts = [sum(s.campaign == i for s in archive.seeds()) for i in range(2)]
        findings = list(archive.findings())
        assert max(counts) == 128 > min(counts) > 16 and len({f.campaign for f in findings}) == 2
    running = small.campaign(128)
    models = list(running.method.panel.models)
    assert list(xplore.replay(both, models).values()) == [True] * len(findings)
    with pytest.raises(InputError, match="one campaign, got several"):
        resumed(both, {})
