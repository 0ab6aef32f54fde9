"""The script that holds the findings of two commits against each other sees every difference."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

import xplore
from scripts.same_findings import QUERIES, differences, rows
from xplore.constraints import Ball

pytestmark = pytest.mark.slow

HOW: dict[str, Any] = {"constraint": Ball(0.1), "steps": 4, "tries": 2, "lanes": 8, "progress": False}


def dumped(folder: Path, rng: int = 0) -> dict[str, Any]:
    models = [tiny.one(), tiny.two()]
    xplore.run(models, tiny.images(), tiny.labels(), out=folder, rng=rng, **HOW)
    return {"machine": {"jax": "x"}, "campaigns": {"tiny": rows(folder / "archive.sqlite")}}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return dumped(tmp_path_factory.mktemp("same") / "run")


def test_the_same_campaign_twice_is_the_same(dump: dict[str, Any], tmp_path: Path) -> None:
    assert differences(dump, dumped(tmp_path / "run")) == []
    assert all(dump["campaigns"]["tiny"].values()), "every table holds something"
    assert differences(dump, dumped(tmp_path / "other", rng=1)) != []


@pytest.mark.parametrize("table", QUERIES)
def test_every_value_counts(dump: dict[str, Any], table: str) -> None:
    for column in range(len(dump["campaigns"]["tiny"][table][0])):
        other = copy.deepcopy(dump)
        other["campaigns"]["tiny"][table][-1][column] = "another"
        assert len(differences(dump, other)) == 1 == len(differences(other, dump))


def test_what_is_missing_is_told(dump: dict[str, Any]) -> None:
    for table in QUERIES:
        other = copy.deepcopy(dump)
        other["campaigns"]["tiny"][table].pop()
        assert any("rows" in line for line in differences(dump, other))
    other = copy.deepcopy(dump)
    other["campaigns"]["more"] = other["campaigns"].pop("tiny")
    assert differences(dump, other) == ["tiny: only in the first", "more: only in the second"]
    assert differences(dump, {**dump, "machine": {"jax": "y"}})[0].startswith("machine: ")


@pytest.mark.parametrize("change", [0, 1])
def test_the_command_ends_with_1_at_a_difference(dump: dict[str, Any], tmp_path: Path, change: int) -> None:
    other = copy.deepcopy(dump)
    other["campaigns"]["tiny"]["findings"][0][-1] += "0" * change
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, one in zip(files, (dump, other), strict=True):
        file.write_text(json.dumps(one))
    script = Path(__file__).resolve().parents[2] / "scripts" / "same_findings.py"
    done = subprocess.run(
        [sys.executable, script, "compare", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.startswith("the same: 1 campaigns")) == (change, not change)
