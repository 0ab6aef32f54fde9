"""The figures: counted by hand on small campaigns, and laws on any."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord
from xplore.report.reading import Reading, Seeds, read
from xplore.report.rows import Row
from xplore.report.summary import clean, disagree, quantiles, share, summary, wrong

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000 3a7e9b550000000a49444154789c6360000000020001"
    "4884a1bc0000000049454e44ae426082".replace(" ", "")
)
META = {
    "models": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    "layout": [{"name": n, "layers": [{"name": "l", "kind": "dense", "units": 2}]} for n in "abc"],
    "criteria": ["NC"],
    "main_criterion": 0,
}


def finding(name, seed, decisions, covered, **changes):
    values = {
        "id": name,
        "origin": "search",
        "seed": seed,
        "before": PNG,
        "after": PNG,
        "media": "image/png",
        "label": 1,
        "decisions": decisions,
        "probabilities": np.full((3, 4), 0.25, np.float32),
        "reasons": (),
        "measures": {"agreed": 1, "l2": 2.0, "ssim": math.nan},
        "steps": 5,
        "covered": np.array([covered], bool),
    }
    return Finding(**{**values, **changes})


@pytest.fixture
def small(tmp_path):
    """Six seeds: one differs, one agrees wrongly, one is judged away, one is not found, two are found."""
    archive = Archive.create(tmp_path, META)
    fates = ["already_differ", "not_found", "rejudged_away", "not_found", "found", "found"]
    answers = [(1, 2, 1), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)]
    seeds = [
        SeedRecord(i, 0, 1, d, f, 1, 10, 30) for i, (d, f) in enumerate(zip(answers, fates, strict=True))
    ]
    findings = [
        finding("aa0", 0, (1, 2, 1), [1, 0, 0, 0, 0, 0], origin="seed"),
        finding("aa1", 4, (2, 1, 1), [0, 1, 0, 0, 0, 0]),
        finding("ab2", 4, (2, 1, 1), [0, 1, 1, 0, 0, 0]),
        finding("ab3", 5, (1, 2, 3), [0, 0, 0, 0, 1, 1], reasons=("beyond_bound", "unstable_alone")),
    ]
    archive.commit(seeds, findings)
    archive.commit_round(0, 6, np.array([[1, 1, 1, 1, 0, 0]], bool))
    return archive


def test_the_small_campaign_is_counted_right(small):
    told = summary(small)
    assert (told["seeds"], told["already_differ"], told["agree_wrongly"]) == (6, 1, 1)
    assert (told["found"], told["rejudged_away"], told["findings"], told["valid"]) == (3, 1, 3, 2)
    assert told["invalid_by_reason"] == {"beyond_bound": 1, "unstable_alone": 1}
    assert told["seeds_with_valid_finding"] == 1
    assert told["groups"] == [
        {"expected": 1, "decisions": [2, 1, 1], "part": 0, "parts": 1, "count": 2, "example": "aa1"}
    ]
    assert told["wrong"]["a"] == {"alone": 2, "with_others": 0, "right_alone": 0}
    assert told["disagree"] == [[0, 2, 2], [2, 0, 0], [2, 0, 0]]
    assert told["sizes"]["l2"]["median"] == 2.0
    assert told["sizes"]["ssim"] is None, "NaN is not a size"
    assert (told["steps"], told["queries"]) == (60, 180)
    assert told["finished"] is False


def test_coverage_by_whom(small):
    told = summary(small)
    assert told["coverage"] == {"a": {"NC": 1.0}, "b": {"NC": 0.5}, "c": {"NC": 1.0}}
    assert told["coverage_valid"] == {"a": {"NC": 0.5}, "b": {"NC": 0.5}, "c": {"NC": 0.0}}
    assert told["coverage_seeds"] == {"a": {"NC": 1.0}, "b": {"NC": 1.0}, "c": {"NC": 0.0}}


def test_hits_and_first_reach(small):
    reading = read(small)
    assert reading.hits.tolist() == [[1, 2, 1, 0, 1, 1]]
    assert reading.first.tolist() == [[1, 5, 5, 0, 6, 6]]


def test_short_ids_name_one_finding_each(small):
    reading = read(small)
    assert all(len(list(small.findings(origin=None, prefix=s))) == 1 for s in reading.short_ids.values())


@given(st.lists(st.text("ab", min_size=8, max_size=12), unique=True, max_size=30))
def test_short_ids_are_unique_prefixes(ids):
    rows = tuple(Row(i, "search", 0, 1, 1, (1, 2), (0.5, 0.5), (), {}, 1) for i in ids)
    nothing = np.zeros((1, 0), int)
    short = Reading(None, {}, Seeds(), rows, nothing, nothing).short_ids
    for name in ids:
        others = [other for other in ids if other != name and other.startswith(short[name])]
        assert name.startswith(short[name])
        assert not others or short[name] == name


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share_and_stays_inside(part, more):
    value = share(part, part + more)
    if part + more == 0:
        assert value is None
    else:
        assert 0 <= value["low"] <= value["share"] + 1e-12
        assert value["share"] - 1e-12 <= value["high"] <= 1
        assert value["low"] < value["high"]


def row(expected, decisions):
    confidences = (0.5,) * len(decisions)
    return Row("x", "search", 0, expected, expected, tuple(decisions), confidences, (), {}, 1)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), min_size=3, max_size=3)), max_size=40)
)
def test_blame_adds_up(cases):
    rows = [row(expected, decisions) for expected, decisions in cases]
    tally, table = wrong(rows, 3), disagree(rows, 3)
    total = sum(decision != r.expected for r in rows for decision in r.decisions)
    assert sum(t["alone"] + t["with_others"] for t in tally) == total
    assert sum(t["right_alone"] for t in tally) <= len(rows)
    assert table == [list(column) for column in zip(*table, strict=True)]
    assert all(table[i][i] == 0 for i in range(3))


@given(
    st.recursive(
        st.floats() | st.integers() | st.text(max_size=5),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=3), x),
        max_leaves=20,
    )
)
def test_clean_values_are_json(value):
    text = json.dumps(clean(value), allow_nan=False)
    assert json.loads(text) == clean(value)


def test_quantiles_skip_what_was_not_measured():
    assert quantiles([None, 1.0, None, 3.0])["median"] == 2.0
    assert quantiles([None]) is None


@pytest.mark.parametrize(
    "missing",
    [
        ("layout", "criteria", "models"),
        ("classes", "bound", "constraint", "search", "main_criterion"),
        ("seconds", "compile_seconds", "steps", "queries", "finished", "versions", "baselines", "labelled"),
        ("name", "created", "command", "config", "device", "lanes", "rng", "notes", "seeds_total"),
    ],
)
def test_a_killed_campaign_says_what_is_there(build, missing):
    told = summary(build(seeds=20, missing=missing))
    assert told["seeds"] == 20
    json.dumps(told, allow_nan=False)


@pytest.mark.slow
def test_nothing_here_imports_jax():
    code = (
        "import sys, importlib, xplore.report as r\n"
        "[r.reporter(f) for f in r.FORMATS]\n"
        "import xplore.report.html\n"
        "assert 'jax' not in sys.modules and 'flax' not in sys.modules, 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
