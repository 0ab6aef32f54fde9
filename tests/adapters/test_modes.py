"""Modules that have a mode are asked in inference, whatever their signature, and `inspect` says by what."""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xplore
from xplore._util.errors import InputError
from xplore.adapters import adapt
from xplore.adapters.haiku import haiku
from xplore.model import Model
from xplore.model.inference_mode import in_inference

X = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 1), dtype=np.uint8)
ONES = jnp.ones((1, 6, 6, 1))


@pytest.fixture(autouse=True)
def mixed_ranks() -> Any:
    with jax.numpy_rank_promotion("allow"):  # of Flax's batch norm
        yield


class Required(nn.Module):
    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3))(x)).mean((1, 2)))


class KeywordOnly(nn.Module):
    @nn.compact
    def __call__(self, x: Any, *, training: bool = True) -> Any:
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not training)(x.reshape(len(x), -1)))


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x: Any, deterministic: bool = False) -> Any:
        return nn.Dense(3)(nn.Dropout(0.5)(x.reshape(len(x), -1), deterministic=deterministic))


class Field(nn.Module):
    train: bool = True

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not self.train)(x.reshape(len(x), -1)))


class Merged(nn.Module):
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x: Any, deterministic: bool | None = None) -> Any:
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=deterministic)(x.reshape(len(x), -1)))


def flat(x: Any) -> Any:
    return x.reshape(len(x), -1)


class Nested(nn.Module):
    body: nn.Module

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(3)(self.body(x))


LINEN = {
    "required": (Required(), {"train": False}, {"train": False}),
    "keyword_only": (KeywordOnly(), {"training": False}, {"training": False}),
    "deterministic": (Deterministic(), {"deterministic": True}, {"deterministic": True}),
    "field": (Field(), {}, {}),
    "merged": (Merged(), {"deterministic": True}, {"deterministic": True}),
    "merged_field": (Merged(False), {}, {}),
    "nested": (Nested(Field()), {}, {}),
    "sequential": (nn.Sequential([flat, nn.Dropout(0.5, deterministic=False), nn.Dense(3)]), {}, {}),
    "batch_norm": (nn.Sequential([nn.BatchNorm(use_running_average=False), flat, nn.Dense(3)]), {}, {}),
}


@pytest.mark.parametrize("kind", LINEN)
def test_a_linen_module_answers_as_in_inference(kind: str) -> None:
    module, call, said = LINEN[kind]
    variables = module.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, ONES, **call)
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
    model = adapt((module, variables))
    assert model.inference == said
    seen = xplore.inspect([model, (module, variables)], X)
    assert seen.warnings == []
    assert all(f"{name}={value}" in str(seen) for name, value in said.items())
    x = jnp.asarray(X / 255.0)
    if kind == "field":
        want = Field(train=False).apply(variables, x)
    elif kind == "nested":
        want = Nested(Field(train=False)).apply(variables, x)
    elif kind == "merged_field":
        want = Merged(True).apply(variables, x)
    elif kind == "sequential":
        want = nn.Sequential([flat, nn.Dense(3)]).apply(
            {"params": {"layers_1": variables["params"]["layers_2"]}}, x
        )
    elif kind == "batch_norm":
        normal = nn.BatchNorm(use_running_average=True)
        want = nn.Sequential([normal, flat, nn.Dense(3)]).apply(variables, x)
    else:
        want = module.apply(variables, x, **call)
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(want))


class Own(nnx.Module):
    """In training mode when it is made; with an argument and an attribute of its own."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense, self.drop = nnx.Linear(36, 3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.norm, self.training = nnx.BatchNorm(36, rngs=rngs), True

    def __call__(self, x: Any, is_training: bool = True) -> Any:
        x = self.norm(self.drop(flat(x)))
        return self.dense(x + 100 * (is_training or self.training))


def test_an_nnx_module_in_training_mode_is_asked_in_inference() -> None:
    module = Own(nnx.Rngs(0))
    module.train()
    model = adapt(module)
    assert model.inference == {"is_training": False} and module.training and not module.drop.deterministic
    x = jnp.asarray(X / 255.0)
    want = module.dense(flat(x) / np.sqrt(1 + 1e-5))
    np.testing.assert_allclose(np.asarray(model(x)), np.asarray(want), rtol=1e-5)


def test_a_haiku_function_with_is_training() -> None:
    def net(x: Any, is_training: bool) -> Any:
        x = hk.BatchNorm(True, True, 0.9)(flat(x), is_training)
        return hk.Linear(3)(hk.dropout(hk.next_rng_key(), 0.5, x) if is_training else x)

    transformed = hk.transform_with_state(net)
    params, state = transformed.init(jax.random.key(0), ONES, is_training=True)
    model = haiku(transformed, params, state)
    assert model.inference == {"is_training": False}
    x = jnp.asarray(X / 255.0)
    want, _ = transformed.apply(params, state, None, x, is_training=False)
    np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(want))
    plain = hk.transform(lambda x, training=True: hk.Linear(3)(flat(x)) + training)
    model = haiku(plain, params := plain.init(jax.random.key(0), ONES))
    np.testing.assert_array_equal(model(x), plain.apply(params, None, x, training=False))


def test_an_equinox_module_with_an_argument() -> None:
    class Net(eqx.Module):
        dense: eqx.nn.Linear

        def __call__(self, x: Any, inference: bool = False) -> Any:
            return self.dense(x.reshape(-1)) + (0 if inference else 100)

    net = Net(eqx.nn.Linear(36, 3, key=jax.random.key(0)))
    model = adapt(net)
    assert model.inference == {"inference": True} and float(abs(model(jnp.asarray(X / 255.0))).max()) < 50


def test_a_function_of_ones_own() -> None:
    def own(params: Any, x: Any, is_training: Any) -> Any:
        return flat(x) @ params + 100 * is_training

    weights = np.random.default_rng(0).normal(size=(36, 3)).astype(np.float32)
    model = Model(own, weights, name="own")
    seen = xplore.inspect([model, lambda x, train=True: flat(x) @ weights + 100 * train], X)
    assert "is_training=False" in str(seen) and "train=False" in str(seen)
    assert float(abs(model(jnp.asarray(X / 255.0))).max()) < 50
    assert in_inference(partial(own, is_training=True)) == {}, "what somebody has chosen stays"


def test_a_mode_that_nothing_can_set_is_told_as_what_it_is() -> None:
    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.Dense(3)(nn.Dropout(0.5, deterministic=False)(flat(x)))

    variables = Fixed().init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, ONES)
    with pytest.raises(InputError, match=r"model fixed: .*InvalidRngError.*deterministic=True") as caught:
        xplore.inspect([(Fixed(), variables)] * 2, X)
    assert "seeds of the shape" not in str(caught.value)
