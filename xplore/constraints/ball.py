"""Ball: any small change of every pixel."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from xplore._util.intervals import POSITIVE, by_field
from xplore._util.pytree import Number, field
from xplore.constraints._base import Constraint, check_level, inside, level_bound, levels_below
from xplore.inputs.encoding import ROUNDING


class Ball(Constraint):
    """`x = x0 + z`, `|z| <= bound` in L-infinity or L2, inside [0, 1].

    The bound holds for what is stored: in L-infinity it is the next lower whole number of levels of 8 bits;
    in L2 each pixel's change is rounded towards the seed. A first try starts at the seed, a restart at a
    random point of the ball. `bound=None` allows every image.

    >>> x0, z = jnp.array([[[[0.5]], [[0.125]]]]), jnp.array([[[[0.5]], [[-0.5]]]])
    >>> Ball(0.25).project(z, (), x0).ravel().tolist()  # the bound; what [0, 1] leaves
    [0.24705882370471954, -0.125]
    """

    intervals = by_field(bound=POSITIVE)
    bound: Number = 0.2
    norm: Literal["inf", "2"] = field(pytree_node=False, default="inf")

    def check_moves(self) -> None:
        check_level("Ball", self.bound)

    @property
    def radius(self) -> Any:
        if self.bound is None:
            return 1.0
        return level_bound(self.bound) if self.norm == "inf" else self.bound

    @property
    def description(self) -> str:
        name = "L-infinity" if self.norm == "inf" else "L2"
        return "any change" if self.bound is None else f"{name} change of at most {float(self.bound):g}"

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], tuple[()]]:
        sign = jax.vmap(lambda k: jax.random.rademacher(k, x0.shape[1:], x0.dtype))(key)
        return self.project(sign * self.radius, (), x0), ()

    def render(
        self, z: Float[Array, "b h w c"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        if self.bound is None or self.norm == "inf":
            return x0 + z
        return inside(x0 + levels_below(z))

    def project(
        self, z: Float[Array, "b h w c"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        if self.bound is not None and self.norm == "inf":
            z = jnp.clip(z, -self.radius, self.radius)
        if self.bound is not None and self.norm == "2":
            z = z * jnp.minimum(1, self.bound / jnp.maximum(_length(z), 1e-12))[:, None, None, None]
        return jnp.clip(z, -x0, 1 - x0)

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        if self.bound is None:
            return jnp.ones(len(before), bool)
        change = after - before
        if self.norm == "inf":
            return (jnp.abs(change) <= self.radius + ROUNDING).all(axis=(1, 2, 3))
        return _length(change) <= self.bound + ROUNDING


def _length(z: Float[Array, "b h w c"]) -> Float[Array, " b"]:
    return jnp.sqrt((z**2).sum(axis=(1, 2, 3)))
