"""Seeds of which nothing valid can come are told, with why, and searched last."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import xplore
from xplore import Budget
from xplore.constraints import Ball
from xplore.oracles import NegativeFlips, Oracle

WRONG = 40
"""The first so many seeds have labels that no model gives."""
HOW: dict[str, Any] = {"constraint": Ball(0.4), "steps": 6, "tries": 2, "lanes": 8, "shrink": False}
rng = np.random.default_rng(0)
seeds = rng.integers(0, 256, (128, 4, 4, 1), np.uint8)
weights = rng.normal(size=(16, 3)).astype(np.float32)
one, two = (
    xplore.Model(lambda w, x: (x.reshape(len(x), -1) - 0.5) @ w, weights + off, name=name)
    for name, off in (("one", 0), ("two", 0.6 * rng.normal(size=weights.shape).astype(np.float32)))
)
decided = np.asarray(one(jnp.asarray(seeds / 255))).argmax(axis=-1)
labels = np.where(np.arange(128) < WRONG, (decided + 1) % 3, decided)


def run(models: Any, labels: Any = None, **how: Any) -> xplore.Result:
    return xplore.run(models, seeds, labels, **(HOW | how), progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("oracle", [None, NegativeFlips()], ids=str)
def test_seeds_that_are_answered_wrongly_are_told_and_searched_last(oracle: Oracle | None) -> None:
    whole = run([one, two], labels, oracle=oracle)
    records = [record for record in whole.archive.seeds() if record.fate != "already_differ"]
    never = {record.seed for record in records if record.never_valid}
    assert never == {record.seed for record in records if record.seed < WRONG}
    assert whole.summary["never_valid"] == {"agree_wrongly": len(never)}
    assert any(f"of {len(never)} of 128 seeds no valid finding" in note for note in whole.summary["notes"])
    assert whole.valid and not never & {finding.seed for finding in whole.valid}
    ended = run([one, two], labels, oracle=oracle, budget=Budget(queries=40)).summary
    assert ended["found"] and ended["never_valid"] == {}, "the budget went to the others"


@pytest.mark.slow
def test_seeds_without_an_answer_are_told() -> None:
    dark = seeds.mean(axis=(1, 2, 3)) / 255
    least = float(np.sort(dark)[2:4].mean())

    def silent(model: xplore.Model) -> xplore.Model:
        f = model.f
        lost = lambda p, x: jnp.where(x.mean(axis=(1, 2, 3))[:, None] < least, jnp.nan, f(p, x))  # noqa: E731
        return model.replace(f=lost)

    told = run([silent(one), silent(two)], steps=1).summary
    assert told["never_valid"] == {"no_answer": int((dark < least).sum())}
