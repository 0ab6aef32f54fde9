"""What every adapter is held to: outputs, slopes and activations are the framework's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xplore.model import Model


def close(one: Any, other: Any, most: float = 1e-6, told: str = "") -> None:
    """Equal within `most` of the larger one's range."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape, f"{told}: {one.shape} and {other.shape}"
    np.testing.assert_allclose(
        one, other, rtol=most, atol=most * max(1.0, float(np.abs(other).max())), err_msg=told
    )


def seen(model: Model, x: Any) -> tuple[Any, list[tuple[str, str]], dict[str, Any]]:
    """Outputs, `(name, kind)` of each layer, and its values by name."""
    told: list[Any] = []

    def captured(model: Model, x: Any) -> Any:
        outputs, layers, values = model.captured(x)
        told[:] = layers
        return outputs, values

    outputs, values = jax.jit(captured)(model, x)
    names = [layer.name for layer in told]
    assert [value.shape[1:] for value in values] == [layer.shape for layer in told]
    return outputs, [(la.name, la.kind) for la in told], dict(zip(names, values, strict=True))


def is_the_plain_model(
    model: Model, x: Any, plain: Callable[[Any], Any], most: float = 1e-6
) -> dict[str, Any]:
    """Answers and slopes are those of the model as its framework runs it; the values of its layers."""
    outputs, _, values = seen(model, x)
    close(outputs, plain(x), most)
    close(model(x), plain(x), most)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=outputs.shape), outputs.dtype)
    slope = jax.jit(jax.grad(lambda x: (weights * model.captured(x)[0]).sum()))(x)
    own = jax.jit(jax.grad(lambda x: (weights * plain(x)).sum()))(x)
    close(slope, own, 10 * most)
    assert values and all(np.isfinite(value).all() for value in values.values())
    return values


def rows_are_apart(model: Model, x: Any) -> None:
    """A row's activations depend on that row alone."""
    _, _, values = seen(model, x)
    _, _, other = seen(model, x.at[0].set(1 - x[0]))
    for name, value in values.items():
        close(other[name][1:], value[1:], 1e-5, name)


def kinds(told: Sequence[tuple[str, str]]) -> list[str]:
    return [kind for _, kind in told]
