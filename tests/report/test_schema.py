"""Summaries of every kind are what docs/summary.schema.json says, both ways."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from xplore.inputs.media import SETS, to_set
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


def test_sets_and_several_campaigns_in_one_archive_fit(archives, tmp_path):
    """Seeds of the same number in two campaigns are two seeds."""
    before, after, other = (to_set(ones, ["a"] * len(ones), 9) for ones in ([3], [3, 5], [3, 6]))
    told = summary(archives.two(tmp_path, SETS, [(0, before, after), (1, before, other)]))
    VALIDATOR.validate(told)
    assert (told["inputs"], told["seeds_with_valid_finding"], told["valid_share"]["share"]) == (
        "sets",
        2,
        1.0,
    )


def test_rows_and_numbers_fit(archives, tmp_path):
    told = summary(archives.rows(tmp_path, decisions={"kind": "angles", "apart": 0.2}))
    VALIDATOR.validate(told)
    assert (told["inputs"], told["valid"], told["sizes"]["changed"]["median"]) == ("rows", 2, 1.0)
