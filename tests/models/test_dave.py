"""The steering models: layers as DeepXplore counts them, weights, and what their cards say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xplore import models
from xplore.data import udacity
from xplore.models import dave
from xplore.panel import Panel

ZOO = Path(models.__file__).parent


@pytest.mark.parametrize(
    "name,neurons", [("dave_orig", 1560), ("dave_norminit", 1560), ("dave_dropout", 844)]
)
def test_neurons_as_the_paper_counts_them(name: str, neurons: int) -> None:
    """It leaves out the last number and the angle."""
    layout = Panel.of([getattr(dave, name)()] * 2).check((120, 160, 3))
    layers = layout.models[0][1]
    assert sum(layer.units for layer in layers) == neurons + 1
    assert (layers[-1].name, layers[-1].units) == ("before_prediction", 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", dave.ARCHITECTURES)
def test_answers_are_angles_with_a_slope(name: str) -> None:
    model, ask = getattr(dave, name)(), jax.jit(lambda model, x: model(x))
    x = jnp.asarray(np.random.default_rng(0).random((2, 120, 160, 3)), jnp.float32)
    angles, pull = jax.vjp(lambda x: ask(model, x), x)
    assert angles.shape == (2, 1) and angles.dtype == jnp.float32
    assert (jnp.abs(angles) < jnp.pi).all() and (pull(jnp.ones_like(angles))[0] != 0).any()
    assert (pull(jnp.ones_like(angles))[0].shape) == x.shape


@pytest.mark.parametrize("name", dave.ARCHITECTURES)
def test_the_card_says_what_the_model_does(name: str) -> None:
    if "XPLORE_DATA" not in os.environ:
        pytest.skip("XPLORE_DATA does not say where the drive lies")
    held_out = udacity.load(Path(os.environ["XPLORE_DATA"], "udacity_ch2"), "test", "motion")
    kept = ~np.isnan(held_out.labels)
    model, ask = getattr(dave, name)(), jax.jit(lambda model, x: model(x))
    frames = held_out.images[kept].astype(np.float32) / 255
    said = np.concatenate([ask(model, frames[i : i + 50])[:, 0] for i in range(0, len(frames), 50)])
    error = np.abs(said - held_out.labels[kept]).mean()
    card = (ZOO / f"{name}.md").read_text("utf-8")
    written, mean = (float(number) for number in re.findall(r"\| ([0-9.]+) rad", card)[:2])
    assert error == pytest.approx(written, abs=2e-3)
    assert error < mean, "it must know more than the mean"
