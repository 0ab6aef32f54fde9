"""Neuron coverage: the share of neurons that some test activates above a threshold."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xplore import struct
from xplore.coverage._base import CellCriterion
from xplore.units import Activations, Number


class NeuronCoverage(CellCriterion):
    """`NC(t) = |{n : activation_n(x) > t for some x}| / |neurons|` (Pei et al., 2017).

    With `scale="layer"`, as in the original, a layer is scaled to [0, 1] by its extremes for that input,
    over all channels and positions, before a neuron is averaged over space; a constant layer covers
    nothing. With `scale=None` the threshold meets the raw mean activation.

    >>> from xplore.units import Layer, Layout
    >>> row = Activations(jnp.array([[0.0, 1.0, 4.0]]), jnp.array([[0.0]]), jnp.array([[4.0]]),
    ...                   Layout((("m", (Layer("fc", "dense", (3,)),)),)))
    >>> NeuronCoverage(0.5).locate(row).tolist(), NeuronCoverage(0.5, scale=None).locate(row).tolist()
    ([[-1, -1, 0]], [[-1, 0, 0]])
    """

    t: Number = 0.25
    scale: Literal["layer"] | None = struct.field(pytree_node=False, default="layer")

    @property
    def n_cells(self) -> int:
        return 1

    def scaled(self, activations: Activations) -> Float[Array, "b u"]:
        """Activations as the threshold meets them; -inf in a constant layer."""
        if self.scale is None:
            return activations.values
        layer = activations.layout.layer_of_unit
        low, high = activations.low[:, layer], activations.high[:, layer]
        extent = high - low
        return jnp.where(extent > 0, (activations.values - low) / jnp.where(extent > 0, extent, 1), -jnp.inf)

    def locate(self, activations: Activations) -> Int[Array, "b u"]:
        return jnp.where(self.scaled(activations) > self.t, 0, -1)

    def closeness(
        self, activations: Activations, unit: Int[Array, " b"], cell: Int[Array, " b"]
    ) -> Float[Array, " b"]:
        return jnp.take_along_axis(self.scaled(activations), unit[:, None], axis=1)[:, 0] - self.t
