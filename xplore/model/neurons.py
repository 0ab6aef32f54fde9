"""What a unit is, and where each one sits: the layout of `Activations`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from xplore._util import moved
from xplore._util.pytree import PyTreeNode, field

__getattr__ = moved.attach(__name__)

Unit: TypeAlias = Literal["mean", "max", "position", "token"]
"""What a unit is, in a layer with positions: a channel's mean over them (DeepXplore), its maximum, every
element (DeepGauge), or a position's mean over the channels."""


class Layer(NamedTuple):
    """One layer as captured: `shape` is that of its value for one input, channels last."""

    name: str
    kind: str
    shape: tuple[int, ...]
    unit: Unit = "mean"

    @property
    def units(self) -> int:
        """How many units it has.

        >>> [Layer("conv", "conv", (8, 8, 4), unit).units for unit in ("mean", "position", "token")]
        [4, 256, 64]
        """
        *positions, channels = self.shape or (1,)
        if self.unit == "position":
            return math.prod(self.shape)
        return math.prod(positions) if self.unit == "token" and positions else channels

    @property
    def single(self) -> bool:
        """Is it one number, as the only output of a binary classifier or a regression?"""
        return math.prod(self.shape) == 1


class Layout(NamedTuple):
    """Names and sizes of every layer of every model, end to end; static and hashable.

    >>> layout = Layout((("a", (Layer("conv", "conv", (8, 8, 4)), Layer("logits", "dense", (10,)))),))
    >>> layout.names, layout.n_units, layout.span("a")
    (('a/conv', 'a/logits'), 14, slice(0, 14, None))
    """

    models: tuple[tuple[str, tuple[Layer, ...]], ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer for _, layers in self.models for layer in layers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{model}/{layer.name}" for model, layers in self.models for layer in layers)

    @property
    def n_units(self) -> int:
        return sum(layer.units for layer in self.layers)

    @property
    def layer_of_unit(self) -> Int[np.ndarray, " u"]:
        return np.repeat(np.arange(len(self.layers)), [layer.units for layer in self.layers])

    def spans(self) -> dict[str, slice]:
        """Where each model's units lie in a row of `Activations.values`."""
        ends = np.cumsum([sum(layer.units for layer in layers) for _, layers in self.models]).tolist()
        return {
            name: slice(start, end)
            for (name, _), start, end in zip(self.models, [0, *ends[:-1]], ends, strict=True)
        }

    def hidden(self, outputs: int, most: int = 4096) -> tuple[Int[np.ndarray, " h"], ...]:
        """Where each model's last hidden layer lies: the last before those of as many units as there are
        outputs; of a large one, `most` units evenly spread. Nothing of a model without one.

        >>> layers = Layer("conv", "conv", (8, 8, 4)), Layer("fc", "dense", (10,))
        >>> Layout((("a", layers),)).hidden(10)
        (array([0, 1, 2, 3]),)
        """
        columns, start = [], 0
        for _, layers in self.models:
            starts = start + np.cumsum([0, *(layer.units for layer in layers)])
            start = int(starts[-1])
            at = len(layers)
            while at and layers[at - 1].units == outputs:
                at -= 1
            units = layers[at - 1].units if at else 0
            spread = np.unique(np.linspace(0, units - 1, min(units, most)).astype(int))
            columns.append(starts[max(at - 1, 0)] + spread)
        return tuple(columns)

    def span(self, model: str) -> slice:
        return self.spans()[model]


class Activations(PyTreeNode):
    """Every unit of every layer of every model in one row, and each layer's extremes before averaging.

    `low` and `high` are taken over the whole layer (channels and positions), per input: DeepXplore
    scales by them (Pei et al., 2017). `highest` is each unit's largest value at any position, of the same
    bits as `low`: a mean of what is all at the low may round to a little above it.
    """

    values: Float[Array, "b u"]
    low: Float[Array, "b layers"]
    high: Float[Array, "b layers"]
    layout: Layout = field(pytree_node=False)
    highest: Float[Array, "b u"] | None = None

    @property
    def low_of_unit(self) -> Float[Array, "b u"]:
        return self.low[:, self.layout.layer_of_unit]

    @property
    def high_of_unit(self) -> Float[Array, "b u"]:
        return self.high[:, self.layout.layer_of_unit]

    @property
    def scaled(self) -> Float[Array, "b u"]:
        """Each unit's value, its layer scaled to [0, 1] by its extremes; -inf in a constant layer.

        What is nowhere above its layer's low is exactly 0. A layer of one number has no extremes to be
        scaled by: its value is left as it is.

        >>> layers = Layer("fc", "dense", (3,)), Layer("out", "dense", (1,))
        >>> low, high = jnp.array([[1.0, 0.5]]), jnp.array([[5.0, 0.5]])
        >>> row = Activations(jnp.array([[1.0, 2, 5, 0.5]]), low, high, Layout((("m", layers),)))
        >>> row.scaled.tolist()
        [[0.0, 0.25, 1.0, 0.5]]
        """
        low, extent = self.low_of_unit, self.high_of_unit - self.low_of_unit
        above = (self.values if self.highest is None else self.highest) > low
        inside = jnp.where(above, (self.values - low) / jnp.where(extent > 0, extent, 1), 0)
        single = np.array([layer.single for layer in self.layout.layers], bool)[self.layout.layer_of_unit]
        return jnp.where(single[None], self.values, jnp.where(extent > 0, inside, -jnp.inf))


def in_units(value: Float[Array, "b *positions c"], unit: Unit) -> Float[Array, "b units"]:
    """A layer's value, one number a unit.

    >>> value = jnp.arange(8.0).reshape(1, 2, 2, 2)
    >>> [in_units(value, unit).tolist() for unit in ("mean", "max", "token")]
    [[[3.0, 4.0]], [[6.0, 7.0]], [[0.5, 2.5, 4.5, 6.5]]]
    """
    if value.ndim < 3:
        return value
    if unit == "position":
        return value.reshape(len(value), -1)
    if unit == "token":
        return value.mean(axis=-1).reshape(len(value), -1)
    positions = tuple(range(1, value.ndim - 1))
    return value.max(axis=positions) if unit == "max" else value.mean(axis=positions)


def gather(layers: Sequence[Float[Array, "b ..."]], layout: Layout) -> Activations:
    """The captured values of all layers (channels last) as one `Activations`; at least one."""
    units: list[Unit] = [layer.unit for layer in layout.layers]
    # Compiled, a value may be computed anew wherever it is read, and differ in its last bit; what is held
    # is computed once. Where no extremes are asked for, none of this runs.
    held = jax.lax.optimization_barrier(tuple(layers))
    axes = [tuple(range(1, value.ndim)) for value in held]
    return Activations(
        values=jnp.concatenate([in_units(v, unit) for v, unit in zip(layers, units, strict=True)], axis=1),
        low=jnp.stack([value.min(axis=axis) for value, axis in zip(held, axes, strict=True)], axis=1),
        high=jnp.stack([value.max(axis=axis) for value, axis in zip(held, axes, strict=True)], axis=1),
        layout=layout,
        highest=jnp.concatenate([_highest(v, unit) for v, unit in zip(held, units, strict=True)], axis=1),
    )


def _highest(value: Float[Array, "b *positions c"], unit: Unit) -> Float[Array, "b units"]:
    """A layer's largest value at each unit's positions."""
    if value.ndim > 2 and unit == "token":
        return value.max(axis=-1).reshape(len(value), -1)
    return in_units(value, "max" if unit == "mean" else unit)
