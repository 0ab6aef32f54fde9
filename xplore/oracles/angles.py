"""Two models steer apart: their angles are far from each other, and not to one side."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xplore._util.pytree import field
from xplore.oracles._base import RegressionOracle

SIDES = ("right", "straight on", "left")


class AnglesDiffer(RegressionOracle):
    """Steering angles (radians, positive to the left) more than `apart` apart and not all of one sign.

    So Pei et al. (2017) judge driving. A decision is a side: left or right beyond `apart / 2`, else straight
    on: angles that differ are never all on one.

    >>> angles = jnp.array([[[0.3], [0.15]], [[0.05], [-0.1]]])
    >>> oracle = AnglesDiffer()
    >>> oracle.differ(angles).tolist()
    [False, True]
    >>> [[SIDES[side] for side in of] for of in oracle.decide(angles).tolist()]
    [['left', 'left'], ['straight on', 'straight on']]
    """

    apart: float = field(pytree_node=False, default=0.2)

    def differ(self, outputs: Float[Array, "m b 1"]) -> Bool[Array, " b"]:
        sign = jnp.sign(outputs[..., 0])
        return self._far(outputs) & (sign != sign[:1]).any(axis=0)

    def decide(self, outputs: Float[Array, "m b 1"]) -> Int[Array, "m b"]:
        angle = outputs[..., 0]
        return 1 + (angle > self.apart / 2).astype(int) - (angle < -self.apart / 2).astype(int)

    def metadata(self) -> dict[str, Any]:
        return {"kind": "angles", "apart": self.apart, "unit": "rad", "names": SIDES}
