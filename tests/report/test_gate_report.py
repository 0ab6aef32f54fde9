"""A gate's folder says what the gate said, in every format: built archives of every kind of gate, no JAX."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xplore._util.statistics import share
from xplore.archive import Archive
from xplore.archive.gate_record import DISAGREEMENTS, FLIPS, WHERE, GateRecord, Line, decide, gate_of
from xplore.report import gate, reporter
from xplore.report.html import fragment
from xplore.report.reading import read
from xplore.report.summary import summary


def line(where: str, flips: int, seeds: int, allowed: float = 0.02, **more: Any) -> Line:
    came = share(flips, seeds)
    fails = more.pop("fails", came is not None and came["low"] > allowed)
    given = {"of": None, "name": None, **more}
    return Line(where, given.pop("of"), given.pop("name"), flips, seeds, came, allowed, fails, **given)


NULL = {"allowed": 0.2, "limit": "null", "null": (0.05, 0.1, 0.07)}
VOID = {**NULL, "void": "the limit lies 36 points above what each training came to"}
KINDS = {
    "failed": (FLIPS, 0.02, 0, [line("data", 12, 60), line("near", 1, 40, fails=False)]),
    "failed near": (FLIPS, 0.02, 0, [line("data", 0, 60), line("near", 30, 58)]),
    "passed": (FLIPS, 0.02, 0, [line("data", 0, 60), line("near", 1, 58, fails=False)]),
    "no limit": (FLIPS, None, 0, [line("data", 3, 60, 0.0), line("near", 0, 57, 0.0)]),
    "undecided": (FLIPS, None, 3, [line("data", 3, 60, **VOID), line("near", 0, 57, **NULL)]),
    "nothing compared": (FLIPS, 0.1, 0, [line("data", 0, 0, void="there is no seed"), line("near", 0, 0)]),
    "a class": (
        FLIPS, None, 3,
        [
            *(line("data", 9, 60, **VOID), line("near", 0, 51, **NULL)),
            *(line("data", 9, 9, of=3, name="3", **NULL), line("near", 0, 9, of=4, name="4", **NULL)),
        ],
    ),
    "disagreements": (DISAGREEMENTS, 0.02, 0, [line("data", 12, 60), line("near", 1, 40, fails=False)]),
    "of a later version": ("something else", 0.02, 0, [line("data", 12, 60), line("near", 1, 40)]),
}  # fmt: skip
DECIDED = {"passed": "passed", "undecided": "undecided", "nothing compared": "undecided"}
FORMATS = ("html", "md", "json", "junit")


def record(kind: str, flipped: tuple[int, ...] = ()) -> GateRecord:
    counted, allow, trainings, lines = KINDS[kind]
    return GateRecord(counted, allow, trainings, decide(lines), tuple(lines), flipped)


@pytest.fixture
def gated(build, tmp_path):
    """A campaign of two models, as a gate of a kind left it; with the seeds that differ as they are."""

    def make(kind: str, **traits: Any) -> Archive:
        found = build(**{"seeds": 150, "models": ("old", "new"), **traits})
        seeds = tuple(row.seed for row in read(found).rows if row.origin == "seed")
        shutil.copytree(found.path.parent, tmp_path / "gate")  # with its log
        archive = Archive.open(tmp_path / "gate", write=True)
        archive.note(gate=record(kind, seeds).meta())
        return archive

    return make


def written(archive: Archive, tmp_path) -> dict[str, str]:
    return {kind: reporter(kind).write(archive, tmp_path).read_text("utf-8") for kind in FORMATS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_headed_by_what_the_gate_said(gated, tmp_path, kind):
    archive = gated(kind)
    said, texts = record(kind), written(archive, tmp_path)
    expected = DECIDED.get(kind, "failed")
    assert said.decision == expected == json.loads(texts["json"])["gate"]["decision"]
    headline = gate.verdict(said)
    assert headline.startswith(f"Gate {gate.STATES[expected]}: ")
    (h1,) = re.findall("<h1>(.*?)</h1>", texts["html"])
    assert h1 == headline.replace("&", "&amp;")
    assert re.search(r"\*\*(.*?)\*\*", texts["md"])[1].startswith(f"Gate {gate.STATES[expected]}: ")
    suite = ET.fromstring(texts["junit"])[0]
    assert suite.find("system-out").text.startswith(headline)
    assert headline in fragment(archive)
    assert "No valid finding" not in texts["html"].partition("</header>")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_shares_intervals_limits_and_where_they_come_from_are_told(gated, tmp_path, kind):
    texts, said = written(gated(kind), tmp_path), record(kind)
    for row in gate.table(said):
        for part in ("name", "share", "interval", "allowed", "limit", "why"):
            assert row[part] in texts["html"], part
            if row["whole"] or row["fails"]:
                assert row[part].replace("\xa0", " ") in texts["md"].replace("\xa0", " "), part
    figures = json.loads(texts["json"])["gate"]
    assert [one["share"] for one in figures["lines"]] == [one.share for one in said.lines]


@pytest.mark.parametrize("kind", KINDS)
def test_junit_has_a_case_for_each_thing_that_was_asked(gated, tmp_path, kind):
    suite, said = ET.fromstring(written(gated(kind), tmp_path)["junit"])[0], record(kind)
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == [f"gate: {gate.name(line)}" for line in said.lines]
    assert int(suite.attrib["tests"]) == len(cases)
    for line, case in zip(said.lines, cases, strict=True):
        assert (case.find("failure") is not None) == line.fails
        assert line.fails or line.void or len(case) == 0, "what passed is a case that passes"
    bad = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    assert (bad == 0) == (said.decision == "passed"), "whoever reads JUnit alone sees what the exit code says"


def test_a_passing_gate_is_no_red_suite_though_something_was_found(gated, tmp_path):
    """Fault groups within what is allowed are no failures."""
    archive = gated("passed")
    assert read(archive).groups
    suite = ET.fromstring(written(archive, tmp_path)["junit"])[0]
    assert (suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == ("0", "0", "0")


@pytest.mark.parametrize("traits", [{}, {"labelled": False}, {"photographs": 80, "seeds": 60}], ids=str)
def test_seeds_that_flip_are_shown_with_pictures(gated, tmp_path, traits):
    archive = gated("failed", **traits)
    texts, flipped = written(archive, tmp_path), read(archive).gate.flipped
    assert flipped
    section = re.search(r'id="flipped".*?</section>', texts["html"], re.S)[0]
    pictures = re.findall(r'<img[^>]*src="data:image/[a-z]+;base64,[^"]+" alt="seed (\d+):', section)
    assert {*map(int, pictures)} <= {*flipped} and pictures
    links = re.findall(r"!\[seeds [^\]]*\]\(([^)]+)\)", texts["md"])
    assert links and all((tmp_path / link).read_bytes().startswith(b"\x89PNG") for link in links)
    failure = ET.fromstring(texts["junit"]).find(".//failure")
    assert any(str(seed) in failure.text for seed in flipped)


@pytest.mark.parametrize("seeds", [0, 60])
def test_a_gate_that_was_cut_off_did_not_finish(build, tmp_path, seeds):
    meta = {"gate": GateRecord(FLIPS, 0.02, 0).meta(), "finished": False}
    archive = build(seeds=seeds, models=("old", "new"), meta=meta)
    texts = written(archive, tmp_path)
    assert "<h1>The gate did not finish: there is no verdict.</h1>" in texts["html"]
    assert "**The gate did not finish: there is no verdict.**" in texts["md"]
    assert json.loads(texts["json"])["gate"]["decision"] is None
    suite = ET.fromstring(texts["junit"])[0]
    assert (suite.attrib["tests"], suite.attrib["errors"]) == ("1", "1")


def test_archives_without_a_gate_are_as_before(build, tmp_path):
    texts = written(build(seeds=60), tmp_path)
    assert summary(build(seeds=60))["gate"] is None
    assert not any(
        "gate" in text.lower().replace('"gate": null', "") for text in (texts["json"], texts["junit"])
    )
    assert "<h1>The three models disagree" in texts["html"] and 'class="band"' in texts["html"]


MARK = "<script>alert(7)</script>"


def test_what_a_gate_says_is_text(gated, build, tmp_path):
    lines = [line("data", 9, 9, of=3, name=MARK, **NULL), line("data", 9, 60, **{**VOID, "void": MARK})]
    meta = {"gate": GateRecord(MARK, None, 3, "failed", tuple(lines), (5,)).meta(), "name": MARK}
    archive = build(seeds=60, models=("old", "new"), meta=meta)
    texts = written(archive, tmp_path)
    for kind in ("html", "md", "junit"):
        assert "<script>alert" not in texts[kind] and "alert" in texts[kind], kind
    assert "<script>alert" not in fragment(archive)


parts = st.floats(0, 1, allow_nan=False) | st.sampled_from([0.0, 1.0])


@st.composite
def lines_of(draw: st.DrawFn) -> Line:
    seeds = draw(st.integers(0, 10**6))
    flips = draw(st.integers(0, seeds))
    of = draw(st.none() | st.integers(-(2**31), 2**31))
    return Line(
        draw(st.sampled_from(sorted(WHERE))), of, None if of is None else draw(st.text()), flips, seeds,
        share(flips, seeds), draw(parts), draw(st.booleans()), draw(st.text(max_size=20)),
        draw(st.sampled_from(["allow", "null"])), tuple(draw(st.lists(parts, max_size=3))),
    )  # fmt: skip


@given(lines=st.lists(lines_of(), max_size=4), allow=st.none() | parts, seeds=st.lists(st.integers(0, 2**40)))
def test_what_is_noted_is_what_is_read(lines, allow, seeds):
    """Through JSON and back; and each is put into words."""
    noted = GateRecord(FLIPS, allow, len(lines), decide(lines), tuple(lines), tuple(seeds))
    assert gate_of({"gate": json.loads(json.dumps(noted.meta(), allow_nan=False))}) == noted
    assert gate_of({"gate": replace(noted, decision=None, lines=()).meta()}).decision is None
    assert gate.verdict(noted).startswith(f"Gate {gate.STATES[noted.decision]}")
    for words in (gate.lines(noted), gate.headline(noted), gate.table(noted)):
        assert isinstance(words, list)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value inside of another."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inside for place in places(item, (*at, key)))]


SOUND = json.loads(json.dumps(record("a class", (3, 5)).meta()))
ODD = st.sampled_from(
    [None, True, -1, 2, 0.5, 1e300, float("nan"), float("inf"), "x", [], {}, [None], {"share": float("nan")}]
)


@given(at=st.sampled_from(places(SOUND)), value=ODD)
def test_a_record_of_any_kind_is_refused_or_told(at, value):
    """Nothing that is read back is of another kind than what is written: JSON takes it, and it has words."""
    forged = json.loads(json.dumps({"gate": SOUND}))
    place = forged
    for step in ("gate", *at)[:-1]:
        place = place[step]
    place[("gate", *at)[-1]] = value
    try:
        came = gate_of(forged)
    except ValueError:
        return
    if came is not None:
        json.dumps(came.meta(), allow_nan=False)
        for words in (gate.lines, gate.headline, gate.table, gate.verdict):
            words(came)


@pytest.mark.parametrize("kind", ["failed", "failed near", "a class", "passed"])
def test_regression_inputs_of_a_gate_are_those_of_what_failed(gated, kind):
    """Where single classes failed, those of other classes say what any training does."""
    from xplore.campaign.result import Result
    from xplore.regression.fixture import _examples

    archive = gated(kind)
    groups = read(archive).groups
    kept = _examples(Result(archive.path.parent))
    wanted = [group for group in groups if kind != "a class" or group.expected == 3]
    assert len(kept) == len(wanted) > 0 and (kind != "a class" or len(groups) > len(wanted))
    assert {finding.disagreement for finding in kept} == {(g.expected, g.decisions) for g in wanted}


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.01, 1.0)), min_size=1, max_size=9))
def test_the_closest_comparison_uses_up_most_of_its_limit(counts):
    lines = [line("data", flips, 40, allowed, of=i, name=str(i)) for i, (flips, allowed) in enumerate(counts)]
    one = gate.closest(lines)
    assert one.flips / one.allowed == max(other.flips / other.allowed for other in lines)
    order = gate.table(GateRecord(FLIPS, None, 3, "failed", tuple(lines)))
    assert [row["fails"] for row in order] == sorted((row["fails"] for row in order), reverse=True)


@pytest.mark.parametrize("format", FORMATS[:2])
def test_the_versions_have_the_names_that_the_user_gave(gated, tmp_path, format):
    archive = gated("failed")
    archive = Archive.open(archive.path.parent, write=True)
    archive.note(gate=replace(record("failed"), versions=("v<1>", "v2")).meta())
    text = reporter(format).write(archive, tmp_path).read_text("utf-8")
    assert "Old: v&lt;1&gt;, new: v2." in text and "v<1>" not in text
