"""Two campaigns side by side: counted by hand, against published figures, and on campaigns that differ."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

import xplore
from xplore._util.errors import InputError
from xplore._util.statistics import correlation, difference, share
from xplore.archive import Archive
from xplore.campaign.settings import Budget
from xplore.constraints import Ball
from xplore.data import phishing
from xplore.models.phishing import phishing1, phishing2
from xplore.report import wording
from xplore.report.compare import FORMATS, KINDS, PICTURED, how_paired, table, verdict, write
from xplore.report.comparison import SETTINGS, both, compare, compared
from xplore.report.reading import read
from xplore.report.summary import summary


def told(a, b):
    return compared(*both(a, b))


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17:873, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_of_shares_is_the_published_one(one, other, low, high):
    gap = difference(share(*one), share(*other))
    assert (gap["low"], gap["high"]) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0)


def paired(counts):
    pairs = dict(zip(("both", "only_a", "only_b", "neither"), counts, strict=True))
    n = sum(counts)
    a, b = share(pairs["both"] + pairs["only_a"], n), share(pairs["both"] + pairs["only_b"], n)
    return pairs, difference(b, a, correlation(pairs)), difference(b, a), difference(a, b, correlation(pairs))


@given(COUNTS)
def test_intervals_hold_the_difference_and_mirror(counts):
    pairs, gap, free, back = paired(counts)
    assert -1 <= gap["low"] <= gap["difference"] + 1e-12 and gap["difference"] - 1e-12 <= gap["high"] <= 1
    assert gap["low"] == pytest.approx(-back["high"], abs=1e-12)
    assert -1 <= correlation(pairs) <= 1
    if correlation(pairs) > 0:
        assert gap["high"] - gap["low"] <= free["high"] - free["low"]


def test_paired_intervals_hold_the_truth_as_often_as_they_say():
    """2,000 draws of 80 pairs from a known table."""
    rng, parts = np.random.default_rng(0), np.array([0.4, 0.1, 0.2, 0.3])
    gaps = [paired(tuple(map(int, rng.multinomial(80, parts))))[1] for _ in range(2000)]
    held = np.mean([gap["low"] <= 0.1 <= gap["high"] for gap in gaps])
    assert 0.93 <= held <= 0.985


def test_a_campaign_beside_its_like(build):
    """Same seeds, other randomness: everything is compared, and the parts add up."""
    a, b = build(seeds=120, shrunk=True), build(seeds=120, rng=1, found=0.4)
    came, one, other = told(a, b), summary(a), summary(b)
    seeds, groups = came["seeds"], came["groups"]
    assert came["same_seeds"] and came["valid_share"]["paired"] and sum(seeds.values()) == 120
    assert seeds["both"] + seeds["only_a"] == one["seeds_with_valid_finding"]
    assert seeds["both"] + seeds["only_b"] == other["seeds_with_valid_finding"] > 0
    assert all(groups[kind] for kind in KINDS)
    for side, figures in (("a", one), ("b", other)):
        disagreements = {(g["expected"], *g["decisions"]) for g in figures["groups"]}
        assert len(groups["both"]) + len(groups[f"only_{side}"]) == len(disagreements)
        assert sum(g[side] for kind in KINDS for g in groups[kind]) == figures["valid"]
        for model, covered in came["coverage"].items():
            for name, n in covered.items():
                reached = (n["both"] + n[f"only_{side}"]) / n["units"]
                assert reached == pytest.approx(figures["coverage"][model][name])
    assert came["valid_share"]["a"] == one["valid_share"] and came["sizes"]["l2"]["b"] > 0
    assert came["smallest"]["l2"]["a"] < came["sizes"]["l2"]["a"] and came["smallest"]["l2"]["b"] is None
    assert came["differ"] == []


OTHERWISE = {
    "objective": ("Joint(lambda2=0.1)", "Joint(lambda2=0.0)"),
    "oracle": ("LabelsDiffer()", "NegativeFlips()"),
    "search": ("Gradient()", "Random()"),
    "constraint": ("Ball(bound=0.1)", "Ball(bound=0.2)"),
    "rng": (0, 3),
    "criteria": (["X", "Y", "Z"], ["X", "Y", "NeuronCoverage(t=0.5)"]),
    "evidence": (["reference_model"], []),
    "round_size": (64, 32),
    "lowering": ("as_written", "fast"),
    "dtype": ("float32", "bfloat16"),
}


@pytest.mark.parametrize("key", OTHERWISE)
def test_every_setting_that_differs_is_told_first(build, key):
    meta = {name: values[0] for name, values in OTHERWISE.items()}
    a, b = build(meta=meta), build(meta={**meta, key: OTHERWISE[key][1]})
    assert told(a, b)["settings"] == [key]
    for text in (FORMATS["html"], FORMATS["md"]):
        assert f"They differ in: {SETTINGS[key]} (A: " in text(*both(a, b), told(a, b))
    like = build(meta=meta, rng=1)
    assert told(a, like)["settings"] == []
    assert "No setting that is recorded differs." in FORMATS["md"](*both(a, like), told(a, like))


def test_a_part_that_prints_the_same_and_is_another_is_told(build):
    """As a constraint with another table of limits, of which NumPy prints the ends alone."""
    meta = {"versions": {"xplore": "0.1.0", "python": "3.11.7"}, "constraint": "Features(limits=[...])"}
    a, b = (build(meta={**meta, "digests": {"constraint": {"limits": name}}}) for name in ("1a", "2b"))
    assert told(a, b)["differ"] == ["The constraint prints the same in both, and is another, by its limits."]
    assert told(a, build(meta={**meta, "digests": a.meta["digests"]}, rng=1))["differ"] == []


def test_valid_findings_those_in_doubt_and_the_others_add_up(build):
    figures = told(build(seeds=60), build(seeds=60, rng=1))["figures"]
    for side in "ab":
        parts = [figures[key][side] for key in ("valid", "in_doubt", "invalid")]
        assert sum(parts) == figures["findings"][side] and parts[0] > 0 < parts[2]


def test_a_campaign_without_a_whole_round_is_said_to_have_none(tmp_path):
    """It was ended by its budget: the share of those that ended first would be biased."""
    models, how = [tiny.one(), tiny.two()], {"constraint": Ball(0.1), "lanes": 8, "progress": False}
    for name, queries in (("whole", None), ("cut", 20)):
        out, budget = tmp_path / name, Budget(queries=queries)
        xplore.run(models, tiny.images(60), out=out, budget=budget, steps=4, tries=2, **how)
    came = compare(tmp_path / "whole", tmp_path / "cut")
    judged = came["figures"]["seeds"]["b"]
    assert 0 < judged < 60 and came["valid_share"]["b"] is None
    assert verdict(came).startswith(
        f"B judged {judged} seeds and no whole round of 256: seeds that are divided end"
    )
    came["figures"]["seeds"]["b"] = 0
    assert verdict(came) == "B has not judged a seed yet."


def test_other_sizes_of_rounds_are_said_to_hide_whether_seeds_are_the_same(build):
    a, b = build(meta={"round_size": 256}), build(meta={"round_size": 8}, rng=1)
    came = told(a, b)
    assert came["differ"][0].startswith("Rounds have 256 and 8 seeds")
    assert (
        "round_size" in came["settings"]
        and "rounds" not in " ".join(told(a, build(meta={"round_size": 256}, rng=1))["differ"]).lower()
    )
    came["same_seeds"], came["valid_share"]["paired"] = False, False
    assert how_paired(came) == "seeds as if they were independent"
    came["campaigns"]["b"]["round_size"] = 256
    assert how_paired(came) == "independent seeds"


def test_seeds_that_lead_to_one_finding_count_each(tmp_path):
    """Of pages many are equal, and what is found of them is one finding."""
    pages, models = phishing.load(), [phishing1(), phishing2()]
    how = {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    for changes in (1, 2):
        chart, out = phishing.realistic(changes), tmp_path / str(changes)
        xplore.run(models, pages.images[:80], pages.labels[:80], constraint=chart, out=out, **how)
    came = compare(tmp_path / "1", tmp_path / "2")
    of, seeds = came["figures"], came["seeds"]
    assert of["valid"]["b"] < of["seeds_with_valid_finding"]["b"], "some are shared"
    for side in "ab":
        assert seeds["both"] + seeds[f"only_{side}"] == of["seeds_with_valid_finding"][side]
    assert sum(seeds.values()) == 80


def test_what_does_not_count_is_told_with_its_reasons(build):
    a, b = (
        build(seeds=120, meta={"search": "Gradient(steps=10)"}),
        build(seeds=120, rng=1, meta={"search": "Random(steps=10)"}),
    )
    lines = {label: (one, other) for label, one, other in table(told(a, b))}
    for side, archive in enumerate((a, b)):
        figures = summary(archive)
        reasons = figures["invalid_by_reason"]
        assert reasons and all(
            f"{wording.reason(name)} {n}" in lines["invalid findings"][side] for name, n in reasons.items()
        )
    assert lines["gradient steps"][1] == "–" != lines["gradient steps"][0]
    came = told(a, b)["reaching"]
    assert came == {
        side: sum(1 for _ in archive.findings(origin=None)) for side, archive in (("a", a), ("b", b))
    }
    assert f"by the {came['a']} inputs of A and the {came['b']} of B" in FORMATS["html"](
        *both(a, b), told(a, b)
    )


def test_what_is_found_over_queries_is_counted_by_hand(build):
    """One seed after the other: at the end all, at equal queries those that came until then."""
    a, b = build(seeds=120), build(seeds=60, rng=1, found=0.4)
    came, ends = told(a, b), {}
    for side, archive in (("a", a), ("b", b)):
        reading = read(archive)
        at, spent = reading.queries_until_found, reading.seeds.queries
        figures = summary(archive)
        assert np.count_nonzero(at) == figures["seeds_with_valid_finding"]
        assert spent == sum(seed.queries for seed in archive.seeds())
        ends[side] = spent
    valid = {finding.seed for finding in a.findings() if finding.valid}
    queries, count = min(ends.values()), 0
    for seed in a.seeds():
        queries -= seed.queries
        count += queries >= 0 and seed.seed in valid
    assert came["at_equal_queries"]["queries"] == ends["b"] < ends["a"]
    assert came["at_equal_queries"]["a"] == count < np.count_nonzero(read(a).queries_until_found)
    assert came["at_equal_queries"]["b"] == summary(b)["seeds_with_valid_finding"]
    page = FORMATS["html"](*both(a, b), came)
    assert "Found over queries" in page and f" by {ends['b']:,} model queries" in page


def test_groups_are_told_apart_by_hand(build, archives, tmp_path):
    """A group in one campaign alone is in that campaign's findings, and in none of the other's."""
    a, b = build(seeds=60), build(seeds=60, rng=1)
    found = [{(f.expected, f.decisions) for f in x.findings() if f.valid} for x in (a, b)]
    groups = told(a, b)["groups"]
    expected = {"only_a": found[0] - found[1], "only_b": found[1] - found[0], "both": found[0] & found[1]}
    for kind, keys in expected.items():
        shown = {(int(g["expected"]), tuple(map(int, g["answers"]))) for g in groups[kind]}
        assert shown == keys and keys
        for group in groups[kind]:
            off = {str(d) for d in group["answers"]} - {group["expected"]}
            assert set(group["answered"]) == off and len(group["by"]) == sum(
                x in off for x in group["answers"]
            )


@pytest.mark.parametrize(
    ("traits", "says", "by"),
    [
        ({"models": ("lenet5", "lenet4", "lenet1")}, None, True),
        ({"models": ("lenet1", "resnet")}, "only A has lenet4, lenet5; only B has resnet", False),
        ({"units": (4, 4, 12, 12, 9, 10)}, "The layers differ of lenet1, lenet4, lenet5", True),
        ({"labelled": False}, "One has labels", True),
        ({"classes": tuple("abcdefghij")}, "called otherwise", True),
        ({"meta": {"criteria": ["X", "NeuronCoverage(t=0.25)", "Y"]}}, "The criteria differ", True),
        ({"meta": {"finished": False}}, "B did not judge all its seeds: unfinished", True),
        ({"photographs": 40}, None, True),
        ({"seeds": 0}, None, True),
        ({"missing": ("layout", "criteria", "models", "name", "config")}, "only A has", False),
    ],
)
def test_what_differs_is_said_and_the_rest_compared(build, tmp_path, traits, says, by):
    a, b = build(seeds=24), build(**{"seeds": 24, "rng": 2, **traits})
    came = told(a, b)
    assert (says is None and not came["differ"]) or any(says in line for line in came["differ"] if says)
    assert bool(came["groups"]["models"]) == by
    if "units" in traits or "missing" in traits:
        assert came["coverage"] == {}
    elif "meta" in traits and "criteria" in traits["meta"]:
        assert {name for covered in came["coverage"].values() for name in covered} == {
            "NeuronCoverage(t=0.25)"
        }
    else:
        assert came["coverage"]
    for format in FORMATS:
        text = write(a, b, tmp_path, format).read_text("utf-8")
        assert says is None or says.split(":")[0] in text


def test_other_inputs_are_other_seeds(build, archives, tmp_path):
    a = build(seeds=24)
    photographs, table = told(a, build(seeds=24, photographs=40)), archives.rows(tmp_path / "rows")
    assert not photographs["same_seeds"] and photographs["valid_share"]["b_minus_a"]["low"] < 0
    came = told(a, table)
    assert "A has images, B has rows: their fault groups are not compared." in came["differ"]
    assert came["groups"] is None and came["coverage"] == {} and came["valid_share"]["b"]["share"] == 1.0
    for format in FORMATS:
        assert "fault groups are not compared" in write(a, table, tmp_path, format).read_text("utf-8")


def test_changes_of_rows_are_told_in_words(archives, tmp_path):
    a, b = archives.rows(tmp_path / "a"), archives.rows(tmp_path / "b", labelled=False)
    text = write(a, b, tmp_path).read_text("utf-8")
    assert "<img" not in text and re.search(r"rate</th><td>2 → <b>3</b>|age</th><td>1 → <b>0</b>", text)


def test_weights_that_differ_are_said(build):
    digests = [
        {"name": m, "digest": hashlib.sha256(b"x").hexdigest()} for m in ("lenet1", "lenet4", "lenet5")
    ]
    came = told(build(seeds=24), build(seeds=24, meta={"models": digests}))
    assert came["differ"][0].startswith("The weights differ of lenet1, lenet4, lenet5")
    assert came["coverage"]["lenet1"]["NeuronCoverage(t=0)"]["both"] > 0


def test_one_campaign_is_not_two(build, tmp_path):
    archive = build(seeds=24)
    with pytest.raises(InputError, match="two campaigns"):
        write(archive, Archive.open(archive.path.parent), tmp_path)
    with pytest.raises(InputError, match="html, md, json"):
        write(archive, build(seeds=12), tmp_path, "pdf")


def test_the_archives_stay_as_they_are_and_python_says_the_same(build, tmp_path):
    a, b = build(seeds=24), build(seeds=12)
    before = [x.path.read_bytes() for x in (a, b)]
    path = write(a, b, tmp_path / "c.json", "json")
    assert path == tmp_path / "c.json" and xplore.compare is compare
    assert json.loads(path.read_text("utf-8")) == compare(a.path.parent, str(b.path.parent))
    assert [x.path.read_bytes() for x in (a, b)] == before


def test_the_page_pictures_one_finding_a_group(build, tmp_path):
    a, b = build(seeds=120), build(seeds=120, rng=1)
    text = write(a, b, tmp_path).read_text("utf-8")
    groups = told(a, b)["groups"]
    images = re.findall(
        r'<img class="strip small" src="data:image/(?:png|webp);base64,[^"]+" alt="([^"]+)">', text
    )
    assert len(images) == sum(min(len(groups[kind]), PICTURED) for kind in KINDS) > 12
    assert all("expected" in alt and "finding" in alt for alt in images)
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")


def test_names_in_a_comparison_are_never_markup(build, tmp_path):
    script = "<script>alert(1)</script>"
    meta = {"name": script, "bound": script, "command": script}
    hostile = {"models": (script, f'"{script}', "c"), "classes": tuple(f"{script}{i}" for i in range(10))}
    for format in ("html", "md"):
        text = write(build(seeds=24), build(seeds=24, meta=meta, **hostile), tmp_path, format).read_text()
        assert "<script" not in text and "script&gt;" in text
