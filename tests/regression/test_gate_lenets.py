"""The gate between trainings of LeNet-1: sound ones pass, damaged ones fail, and the damage is named.

The weights in `versions/` are those of `scripts/results_gate.py`: five that differ by the random state of
their training alone, and one that was trained on digits of which a quarter of the 4s are called 9.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xplore
from xplore.adapters.linen import linen
from xplore.constraints import Ball
from xplore.data import mnist
from xplore.models import lenet
from xplore.regression.gate import Verdict

pytestmark = pytest.mark.slow

VERSIONS = Path(__file__).parent / "versions"
MODULE = lenet.module("lenet1")
FOUR = 4


def trained(name: str) -> Any:
    return lenet.load_parameters("lenet1", VERSIONS / f"{name}.safetensors")


def scaled(params: Any, by: float) -> Any:
    """A copy whose weights into the logit of the 4 are scaled."""
    kernel, bias = (np.array(params["logits"][name]) for name in ("kernel", "bias"))
    kernel[:, FOUR] *= by
    bias[FOUR] *= by
    return {**params, "logits": {"kernel": kernel, "bias": bias}}


def gate(params: Any) -> Verdict:
    """A new version beside the old one, and three other trainings of it, on 30 digits of each class."""
    digits = mnist.load("test")
    some = np.sort(np.concatenate([np.flatnonzero(digits.labels == label)[:30] for label in range(10)]))
    old, new, *null = (
        linen(MODULE, {"params": given})
        for given in (trained("sound1"), params, *(trained(f"sound{rng}") for rng in (3, 4, 5)))
    )
    how = {"constraint": Ball(0.05), "steps": 10, "tries": 1, "progress": False, "shrink": False}
    return xplore.gate(old, new, digits.images[some], digits.labels[some], null=null, **how)


def test_another_training_passes() -> None:
    verdict = gate(trained("sound2"))
    assert verdict.passed and "by class: none is above" in str(verdict)
    near = verdict.whole[1]
    assert near.flips > 10 and near.share["low"] > 0  # two trainings do differ: no finding is no gate
    assert len(verdict.by_class) == 20


@pytest.mark.parametrize(
    ("name", "damage"),
    [("mislabelled21", 1.0), ("sound2", 0.5)],
    ids=["a quarter of the 4s mislabelled", "weights of the 4 halved"],
)
def test_damage_to_one_class_fails_and_is_named(name: str, damage: float) -> None:
    verdict = gate(scaled(trained(name), damage))
    assert not verdict.passed
    assert {line.of for line in verdict.by_class if line.fails} == {FOUR}
    assert not any(line.fails for line in verdict.whole)  # it is lost in what trainings differ in anyway
    assert f"class {FOUR} near the data: " in str(verdict)
