"""Two models' values are too far apart: regression."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xplore._util.pytree import field
from xplore.oracles._base import RegressionOracle


class ValuesDiffer(RegressionOracle):
    """Any two models' values are more than `apart` apart, in the `unit` of the values.

    A decision is a bin of width `apart`, `floor(value / apart)`: values that differ are never in one bin.

    >>> oracle = ValuesDiffer(0.5)
    >>> oracle.differ(jnp.array([[[1.0], [2.0]], [[1.4], [2.6]]])).tolist()
    [False, True]
    >>> oracle.decide(jnp.array([[[1.0], [2.0]], [[1.4], [2.6]]])).tolist()
    [[2, 4], [2, 5]]
    """

    unit: str = field(pytree_node=False, default="")

    def differ(self, outputs: Float[Array, "m b 1"]) -> Bool[Array, " b"]:
        return self._far(outputs)

    def decide(self, outputs: Float[Array, "m b 1"]) -> Int[Array, "m b"]:
        return jnp.floor(outputs[..., 0] / self.apart).astype(int)

    def metadata(self) -> dict[str, Any]:
        return {"kind": "values", "apart": self.apart, "unit": self.unit}
