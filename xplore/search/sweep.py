"""Sweep: the plain grid over a constraint of one dimension; the baseline for lighting."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xplore import struct
from xplore.constraints import Constraint
from xplore.search._base import Blind, Seen, Start


class Sweep(Blind):
    """`z` over `steps` points evenly spaced, the nearest to the seed first, both signs in turn.

    >>> import jax
    >>> from xplore.constraints import Lighting
    >>> start = Start(jnp.full((1, 1, 1, 1), 0.5), jax.random.split(jax.random.key(0), 1), jnp.array([0]))
    >>> first = Sweep(4).init(Lighting(0.2), start)
    >>> seen = Seen(jnp.zeros((1, 1, 1, 1)), jnp.zeros(1), jnp.array([0]))
    >>> first.round(2).tolist(), Sweep(4).advance(Lighting(0.2), first, start, seen).round(2).tolist()
    ([0.09999999403953552], [-0.09999999403953552])
    """

    steps: int = struct.field(pytree_node=False, default=50)
    tries: int = struct.field(pytree_node=False, default=1)

    def _latent(self, constraint: Constraint, done: Int[Array, " b"]) -> Float[Array, " b"]:
        rungs = (self.steps + 1) // 2
        sign = jnp.where(done % 2 == 0, 1, -1)
        return sign * (done // 2 + 1) / rungs * constraint.reach

    def init(self, constraint: Constraint, start: Start) -> Float[Array, " b"]:
        return self._latent(constraint, jnp.zeros_like(start.turn)).astype(start.x0.dtype)

    def propose(
        self, constraint: Constraint, point: Float[Array, " b"], start: Start
    ) -> Float[Array, "b h w c"]:
        return constraint.render(point, (), start.x0)

    def latents(self, point: Float[Array, " b"]) -> Any:
        return point, ()

    def advance(
        self,
        constraint: Constraint,
        point: Float[Array, " b"],
        start: Start,
        seen: Seen,
    ) -> Float[Array, " b"]:
        return self._latent(constraint, seen.done + 1).astype(point.dtype)
