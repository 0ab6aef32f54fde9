"""A model that does not answer a single input is named before anything is searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import xplore
from xplore.campaign.claims import ask
from xplore.constraints import Ball
from xplore.inputs.media import PNG, to_png
from xplore.oracles import LabelsDiffer

rng = np.random.default_rng(0)
weights = rng.normal(size=(2, 25, 3)).astype(np.float32)
images = rng.integers(0, 256, (16, 5, 5, 1), np.uint8)
rows = rng.normal(size=(16, 25)).astype(np.float32)
HOW: dict[str, Any] = {"steps": 2, "tries": 1, "lanes": 8, "progress": False}


def scores(w: Any, x: Any) -> Any:
    return (x.reshape(len(x), -1) - 0.5) @ w


def needs_many(w: Any, x: Any) -> Any:
    if len(x) < 8:
        raise ValueError("too few")
    return scores(w, x)


class Estimator:
    """As a network that was left in training mode."""

    classes_ = np.arange(3)

    def predict_proba(self, x: Any) -> Any:
        if len(x) < 2:
            raise ValueError("expected more than 1 value per channel")
        return np.eye(3)[np.asarray(scores(weights[0], np.asarray(x))).argmax(axis=1)]


KINDS: dict[str, tuple[Any, Any]] = {
    "refuses": (xplore.Model(needs_many, weights[1], name="bad"), images),
    "drops the axis": (xplore.Model(lambda w, x: jnp.squeeze(scores(w, x)), weights[1], name="bad"), images),
    "on the host": (Estimator(), rows),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_refuses_it_is_named_before_any_search(kind: str, tmp_path: Path) -> None:
    bad, seeds = KINDS[kind]
    models = [xplore.Model(scores, weights[0], name="good"), bad]
    constraint = {"constraint": Ball(0.3)} if seeds.ndim == 4 else {}
    with pytest.raises(xplore.InputError, match=r"model (bad|estimator): expected answers to a batch of one"):
        xplore.run(models, seeds, out=tmp_path / "new", **constraint, **HOW)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["refuses", "drops the axis"])
def test_also_where_what_was_found_is_judged_again(kind: str) -> None:
    panel = xplore.Panel.of([xplore.Model(scores, weights[0]), KINDS[kind][0]]).bind(images.shape[1:])
    with pytest.raises(xplore.InputError, match="model bad: expected answers to a batch of one"):
        ask(panel, LabelsDiffer(), PNG, to_png(images[0]))
