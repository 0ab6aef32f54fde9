"""Neuron coverage: the share of neurons that some test activates above a threshold."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xplore._util.intervals import FINITE, by_field
from xplore._util.pytree import Number, field
from xplore.coverage._base import CellCriterion
from xplore.model.neurons import Activations


class NeuronCoverage(CellCriterion):
    """`NC(t) = |{n : activation_n(x) > t for some x}| / |neurons|` (Pei et al., 2017).

    With `scale="layer"`, as in the original, a layer is scaled to [0, 1] by its extremes for that input,
    over all channels and positions, before a neuron is averaged over space; a constant layer covers
    nothing. A layer of one number, as the only output of a binary classifier, would always be constant: its
    value itself meets the threshold. With `scale=None` every raw mean activation does.

    >>> from xplore.model.neurons import Layer, Layout
    >>> row = Activations(jnp.array([[0.0, 1.0, 4.0]]), jnp.array([[0.0]]), jnp.array([[4.0]]),
    ...                   Layout((("m", (Layer("fc", "dense", (3,)),)),)))
    >>> NeuronCoverage(0.5).locate(row).tolist(), NeuronCoverage(0.5, scale=None).locate(row).tolist()
    ([[-1, -1, 0]], [[-1, 0, 0]])
    """

    intervals = by_field(t=FINITE)
    t: Number = 0.25
    scale: Literal["layer"] | None = field(pytree_node=False, default="layer")

    @property
    def n_cells(self) -> int:
        return 1

    def _met(self, activations: Activations) -> Float[Array, "b u"]:
        """Activations as the threshold meets them."""
        return activations.values if self.scale is None else activations.scaled

    def locate(self, activations: Activations) -> Int[Array, "b u"]:
        return jnp.where(self._met(activations) > self.t, 0, -1)

    def closeness(
        self, activations: Activations, unit: Int[Array, " b"], cell: Int[Array, " b"]
    ) -> Float[Array, " b"]:
        return jnp.take_along_axis(self._met(activations), unit[:, None], axis=1)[:, 0] - self.t
