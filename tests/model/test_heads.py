"""What outputs mean: followed from them back, and checked against the numbers on the seeds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many

import xplore
from xplore.adapters import adapt
from xplore.constraints import Ball
from xplore.model import Model
from xplore.panel import Panel

ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
SINGLE = {
    "sigmoid": jax.nn.sigmoid,
    "by hand": lambda z: 1 / (1 + jnp.exp(-z)),
    "clipped": lambda z: jnp.clip(jax.nn.sigmoid(z), 1e-6, 1 - 1e-6),
    "mapped": jax.vmap(jax.nn.sigmoid),
}


def _first(z: Any) -> Any:
    return jax.nn.sigmoid(z[:, 0])


SEVERAL = {
    "softmax": jax.nn.softmax,
    "by hand": lambda z: jnp.exp(z) / jnp.exp(z).sum(axis=-1, keepdims=True),
    "of a logarithm": lambda z: jnp.exp(jax.nn.log_softmax(z)),
    "along another axis": lambda z: jax.nn.softmax(z.T, axis=0).T,
    "remat": jax.checkpoint(jax.nn.softmax),
    "compiled, mapped": jax.jit(jax.vmap(jax.nn.softmax)),
    "two of one": lambda z: jnp.stack([1 - _first(z), _first(z)], axis=1),
}
LOGITS = {
    "linear": lambda z: z,
    "log-probabilities": jax.nn.log_softmax,
    "scaled": lambda z: 3 * jax.nn.softmax(z),
    "attention": lambda z: z * jax.nn.softmax(z),
    "shares that are no probabilities": lambda z: z / z.sum(axis=-1, keepdims=True),
    "labels that do not exclude each other": jax.nn.sigmoid,
}
LAYOUTS = {
    "as it is": lambda y: y,
    "reshaped": lambda y: y.reshape(2, -1, y.shape[1])[None].squeeze(0).reshape(y.shape),
    "of 16 bits": lambda y: y.astype(jnp.bfloat16).astype(jnp.float32),
    "turned twice": lambda y: y.T.T,
}


def followed(f: Any, **how: Any) -> Model:
    return Model(f, **how).bind((3,), 4)


@settings(deadline=None, max_examples=many(20))
@given(st.sampled_from(sorted(SEVERAL)), st.sampled_from(sorted(LAYOUTS)))
def test_a_softmax_is_probabilities(end: str, layout: str) -> None:
    assert followed(lambda x: LAYOUTS[layout](SEVERAL[end](x))).output == "probabilities"


@settings(deadline=None, max_examples=many(20))
@given(st.sampled_from(sorted(SINGLE)), st.sampled_from(sorted(LAYOUTS)), st.booleans())
def test_one_sigmoid_is_the_probability_of_the_second_class(end: str, layout: str, flat: bool) -> None:
    def f(x: Any) -> Any:
        y = LAYOUTS[layout](SINGLE[end](x[:, :1]))
        return y.squeeze(1) if flat else y

    model = followed(f)
    assert model.output == "probabilities"
    np.testing.assert_allclose(model(ROWS)[:, 1], f(ROWS).ravel(), atol=1e-6)
    np.testing.assert_allclose(model(ROWS).sum(axis=1), 1, atol=1e-6)


@settings(deadline=None, max_examples=many(20))
@given(st.sampled_from(sorted(LOGITS)), st.sampled_from(sorted(LAYOUTS)))
def test_all_else_is_logits(end: str, layout: str) -> None:
    assert followed(lambda x: LAYOUTS[layout](LOGITS[end](x))).output == "logits"


SEEN = ("softmax", "by hand", "of a logarithm", "compiled, mapped", "remat")
"""Ends of which the logits are seen; those of the others lie across, or inside a step."""


@pytest.mark.parametrize("end", sorted(SEVERAL))
@pytest.mark.parametrize("size", [3, 6])  # three classes: what lies across has the outputs' shape, too
def test_the_logits_before_a_softmax_are_what_it_reads(end: str, size: int) -> None:
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3)), jnp.float32)
    both = [
        Model(f, {"fc": {"kernel": weights}}, name="m")
        for f in (
            lambda p, x: SEVERAL[end](x @ p["fc"]["kernel"]),
            lambda p, x: x @ p["fc"]["kernel"],
        )
    ]
    model, bare = (one.bind((3,), 4) for one in both)
    assert model.shows_logits((3,)) == (end in SEEN)
    if end in SEEN:
        ask = Model.scored
        scores = jax.jit(jax.grad(lambda x, m: (m.scored(x)[3][:, 1] ** 2).sum()))
        x = ROWS[:size]
        outputs, layers, values, logits = ask(model.replace(before_head=True), x)
        np.testing.assert_allclose(logits, x @ weights, atol=1e-6)
        np.testing.assert_allclose(outputs, model(x), atol=1e-7)
        np.testing.assert_allclose(scores(x, model.replace(before_head=True)), scores(x, bare), atol=1e-5)
        assert layers == ask(model, x)[1]
        for one, other in zip(values, ask(model, x)[2], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-7)


def test_the_logit_before_a_sigmoid_is_that_of_the_second_class() -> None:
    model = followed(lambda x: jax.nn.sigmoid(x[:, :1]))
    assert model.shows_logits((3,))
    logits = model.replace(before_head=True).scored(ROWS)[3]
    np.testing.assert_allclose(logits, jnp.stack([0 * ROWS[:, 0], ROWS[:, 0]], axis=1), atol=1e-6)
    assert not followed(lambda x: 1 / (1 + jnp.exp(-x[:, :1]))).replace(output="logits").shows_logits((3,))


def test_what_is_declared_stays() -> None:
    assert followed(jax.nn.softmax, output="logits").output == "logits"
    assert Model(jax.nn.softmax).replace(output="values").bind((3,), 4).output == "values"
    assert adapt(Model(jax.nn.softmax), output="multilabel").bind((3,), 4).output == "multilabel"
    assert followed(jax.nn.softmax).replace(name="other").declared is False


def test_a_panel_reads_what_it_follows() -> None:
    panel = Panel.of([Model(jax.nn.softmax, name="a"), Model(lambda x: x, name="b")]).bind((3,))
    assert [model.output for model in panel.models] == ["probabilities", "logits"]
    of_a, of_b = jax.nn.softmax(panel.logits(panel.plain(ROWS)))
    np.testing.assert_allclose(of_a, of_b, rtol=1e-5)


@pytest.mark.slow
def test_what_was_followed_is_replayed() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 1), dtype=np.uint8)
    weights = np.random.default_rng(1).normal(size=(4, 1)).astype(np.float32)

    def binary(shift: float) -> Model:
        f = lambda p, x: jax.nn.sigmoid((x - 0.5).reshape(len(x), -1) @ p["w"] + shift)  # noqa: E731
        return Model(f, {"w": weights}, name=f"by {shift}")

    models = [binary(0.0), binary(0.02)]
    how = {"constraint": Ball(0.2), "steps": 4, "tries": 1, "progress": False, "shrink": False}
    result = xplore.run(models, images, **how)
    assert result.valid and all(xplore.replay(result.folder, models).values())


@pytest.mark.parametrize("path", ["equinox", "nnx", "linen", "haiku"])
def test_other_libraries_end_alike(path: str) -> None:
    key = jax.random.key(0)
    match path:
        case "equinox":
            import equinox as eqx

            model = adapt(eqx.nn.MLP(3, 1, 4, 1, final_activation=jax.nn.sigmoid, key=key))
        case "nnx":
            from flax import nnx

            model = adapt(nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.softmax))
        case "linen":
            import flax.linen as nn

            net = nn.Sequential([nn.Dense(1), nn.sigmoid, lambda y: y[:, None, :].squeeze(1)])
            model = adapt((net, net.init(key, ROWS)))
        case "haiku":
            import haiku as hk

            net = hk.transform(lambda x: jax.nn.softmax(hk.Linear(2)(x)))
            model = adapt((net, net.init(key, ROWS)))
    assert model.bind((3,), 4).output == "probabilities"
