"""Summaries of every kind are what docs/summary.schema.json says, both ways."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from xplore.archive import Archive
from xplore.columns import Column
from xplore.finding import Finding, SeedRecord, content_hash
from xplore.media import NPY, SETS, to_npy, to_set
from xplore.report.schema import schema
from xplore.report.summary import summary

jsonschema = pytest.importorskip("jsonschema", reason="no jsonschema: summaries were not held to the schema")

PUBLISHED = Path(__file__).parents[2] / "docs" / "summary.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(schema())
CAMPAIGNS = {
    "usual": {},
    "shrunk": {"shrunk": True},
    "none found": {"found": 0.0},
    "no labels": {"labelled": False},
    "photographs": {"seeds": 6, "photographs": 80},
    "no seeds": {"seeds": 0},
    "ended": {"meta": {"ended": "findings", "seeds_total": 99}},
    "compared": {"meta": {"baselines": [{"search": "Random", "seeds": 24, "valid": 2, "queries": 999}]}},
    "killed": {"missing": ("seconds", "finished", "versions", "queries", "steps", "models", "classes")},
    "killed at once": {"missing": ("layout", "criteria", "models", "name", "config")},
}


def test_the_published_schema_is_the_code_s():
    assert json.loads(PUBLISHED.read_text("utf-8")) == schema()
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_summaries_of_every_kind_fit(build, campaign):
    VALIDATOR.validate(summary(build(**{"seeds": 12, **CAMPAIGNS[campaign]})))


def test_no_key_may_miss_and_none_be_unknown(build):
    told = summary(build(seeds=24, shrunk=True))
    assert told["shrunk"]["findings"] > 0
    for key in told:
        assert not VALIDATOR.is_valid({k: v for k, v in told.items() if k != key}), key
    for path in (
        (),
        ("valid_share",),
        ("groups", 0),
        ("shrunk",),
        ("sizes", "l2"),
        ("shrunk", "found", "l2"),
    ):
        grown = copy.deepcopy(told)
        place = grown
        for step in path:
            place = place[step]
        place["unknown"] = 1
        assert not VALIDATOR.is_valid(grown), path


def two(folder, media, inputs, **meta):
    """A campaign of two findings of two models that return numbers; `inputs` are campaign, before, after."""
    models, layout = [{"name": n} for n in "ab"], [{"name": n, "layers": []} for n in "ab"]
    told = {"models": models, "layout": layout, "criteria": ["NC"], "media": media, **meta}
    archive = Archive.create(folder, told)
    judged = ((0, 1), np.array([[0.1], [0.9]], np.float32), (), {"agreed": 0, "l2": 1.0, "changed": 1}, 3)
    findings = [
        Finding(
            content_hash(after)[:12], "search", 0, before, after, media, None, *judged, np.zeros((1, 0), bool)
        )
        for _, before, after in inputs
    ]
    findings = [replace(f, campaign=campaign) for f, (campaign, *_) in zip(findings, inputs, strict=True)]
    fates = [SeedRecord(0, 0, None, (0, 0), "found", 1, 3, 9, f.id, f.campaign) for f in findings]
    archive.commit(fates, findings)
    return archive


def test_sets_and_several_campaigns_in_one_archive_fit(tmp_path):
    """Seeds of the same number in two campaigns are two seeds."""
    before, after, other = (to_set(ones, ["a"] * len(ones), 9) for ones in ([3], [3, 5], [3, 6]))
    told = summary(two(tmp_path, SETS, [(0, before, after), (1, before, other)]))
    VALIDATOR.validate(told)
    assert (told["inputs"], told["seeds_with_valid_finding"], told["valid_share"]["share"]) == (
        "sets",
        2,
        1.0,
    )


def test_rows_and_numbers_fit(tmp_path):
    rows = [to_npy(np.array(row, np.float32)) for row in ([1, 2], [1, 3], [0, 2])]
    table = {"columns": [asdict(Column(name, "integer", "int64")) for name in ("age", "rate")]}
    told = summary(
        two(tmp_path, NPY, [(0, *rows[:2]), (1, rows[0], rows[2])], table=table, decisions={"kind": "angles"})
    )
    VALIDATOR.validate(told)
    assert (told["inputs"], told["valid"], told["sizes"]["changed"]["median"]) == ("rows", 2, 1.0)
