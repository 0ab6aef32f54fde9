"""Haiku: transformed functions, with and without a state."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
from adapters.alike import close, is_the_plain_model, rows_are_apart

from xplore.adapters import adapt

IMAGES = jax.random.uniform(jax.random.key(0), (4, 12, 12, 3))


def network(x: Any) -> Any:
    kept = {"conv": jax.nn.relu(hk.Conv2D(6, 3, name="conv")(x))}
    kept["pool1"] = hk.max_pool(kept["conv"], (2, 2, 1), (2, 2, 1), "VALID")
    kept["norm"] = hk.LayerNorm(-1, True, True, name="norm")(kept["pool1"])
    kept["hidden"] = jax.nn.tanh(hk.Linear(8, name="hidden")(hk.Flatten()(kept["norm"])))
    return kept, hk.Linear(3, name="last")(kept["hidden"])


def test_a_function_without_a_state() -> None:
    both = hk.transform(network)
    params = both.init(jax.random.key(0), IMAGES)
    answers = hk.transform(lambda x: network(x)[1])
    with jax.numpy_rank_promotion("allow"):
        model = adapt((answers, params), output="values")
        values = is_the_plain_model(model, IMAGES, lambda x: answers.apply(params, None, x))
        theirs, last = both.apply(params, None, IMAGES)
        rows_are_apart(model, IMAGES)
    assert list(values) == ["conv", "pool1", "norm", "hidden", "last"]
    for name, value in (theirs | {"last": last}).items():
        close(values[name], value, told=name)


def test_a_function_with_a_state() -> None:
    def stateful(x: Any, is_training: bool = False) -> Any:
        x = hk.Conv2D(6, 3, name="conv", with_bias=False)(x)
        x = jax.nn.relu(hk.BatchNorm(True, True, 0.9, name="norm")(x, is_training))
        return hk.Linear(3, name="last")(x.mean(axis=(1, 2)))

    transformed = hk.transform_with_state(stateful)
    with jax.numpy_rank_promotion("allow"):
        params, state = transformed.init(jax.random.key(0), IMAGES, True)
        _, state = transformed.apply(params, state, None, IMAGES, True)
        from xplore.adapters.haiku import haiku

        model = haiku(transformed, params, state, output="values")
        values = is_the_plain_model(model, IMAGES, lambda x: transformed.apply(params, state, None, x)[0])
    assert list(values) == ["conv", "global_pool1", "last"]
    close(values["global_pool1"], values["conv"].mean(axis=(1, 2)))
