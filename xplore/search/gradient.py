"""Gradient ascent on a constraint's latents, with any optax optimizer, and restarts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int

from xplore.constraints import Constraint
from xplore.search._base import Recipe, Search, Start, where_rows


class GradientPoint(struct.PyTreeNode):
    z: Any
    fixed: Any
    optimizer: Any


class Gradient(Search):
    """`z <- project(z + reach * update)`, `update` the optimizer's for the slope over its largest entry.

    The first step of a try is at the seed: its slope also tells the constraint where to start. The
    optimizer runs in each lane for itself; learning rates are shares of the latents' reach.
    """

    optimizer: Recipe = struct.field(default_factory=lambda: Recipe.of(optax.sign_sgd, learning_rate=0.1))
    steps: int = struct.field(pytree_node=False, default=50)
    tries: int = struct.field(pytree_node=False, default=4)

    @property
    def climbs(self) -> bool:
        return True

    @property
    def as_stored(self) -> bool:
        return True

    @property
    def first_is_seed(self) -> bool:
        return True

    def init(self, constraint: Constraint, start: Start) -> GradientPoint:
        z, fixed = constraint.init(start.key, start.x0, jnp.zeros_like(start.x0), jnp.zeros_like(start.turn))
        return GradientPoint(z, fixed, jax.vmap(self.optimizer().init)(z))

    def propose(self, constraint: Constraint, point: GradientPoint, start: Start) -> Float[Array, "b h w c"]:
        return constraint.render(point.z, point.fixed, start.x0)

    def advance(
        self,
        constraint: Constraint,
        point: GradientPoint,
        start: Start,
        seen: tuple[Float[Array, "b h w c"], Int[Array, " b"]],
    ) -> GradientPoint:
        slope, done = seen
        placed = constraint.init(start.key, start.x0, slope, start.turn)
        z, fixed = where_rows(done == 0, placed, (point.z, point.fixed))
        _, pull = jax.vjp(lambda z: constraint.render(z, fixed, start.x0), z)
        (climb,) = pull(slope)
        climb = jax.tree.map(_over_largest, climb)
        update, state = jax.vmap(self.optimizer().update)(jax.tree.map(jnp.negative, climb), point.optimizer, z)
        moved = jax.tree.map(lambda z, u: z + constraint.reach * u, z, update)
        return GradientPoint(constraint.project(moved, fixed, start.x0), fixed, state)


def _over_largest(g: Float[Array, "b *z"]) -> Float[Array, "b *z"]:
    axes = tuple(range(1, g.ndim))
    return g / jnp.maximum(jnp.abs(g).max(axis=axes, keepdims=True), 1e-30)
