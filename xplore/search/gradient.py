"""Gradient ascent on a constraint's latents, with any optax optimizer, and restarts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from xplore._util.pytree import PyTreeNode, field
from xplore._util.recipe import Recipe
from xplore.constraints import Constraint
from xplore.search._base import Feedback, Search, Start, where_rows


class GradientPoint(PyTreeNode):
    z: Any
    fixed: Any
    optimizer: Any


class Gradient(Search):
    """`z <- project(z + reach * update)`, `update` the optimizer's for the slope over its largest entry.

    The first try of a seed, and every try of a chart that chooses a place by the slope, begins at the
    seed: its slope there is the first of the climb, too. Other restarts begin where the chart says. The
    optimizer, by default the one that the constraint recommends, runs in each lane for itself; learning
    rates are shares of the latents' reach.

    >>> Gradient(Recipe.of(optax.adam, learning_rate=0.1), steps=20)
    Gradient(optimizer=adam(learning_rate=0.1), steps=20, tries=5)
    """

    optimizer: Recipe | None = None
    steps: int = field(pytree_node=False, default=10)
    tries: int = field(pytree_node=False, default=5)

    @property
    def needs_grad(self) -> bool:
        return True

    @property
    def quantize_steps(self) -> bool:
        return True

    def init(self, constraint: Constraint, start: Start) -> GradientPoint:
        begin = (start.key, start.x0, jnp.zeros_like(start.x0), start.attempt)
        if constraint.init_uses_grad:  # every try is placed at its first step
            shapes = jax.eval_shape(constraint.init, *begin)
            z, fixed = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        else:
            z, fixed = constraint.init(*begin)
        at_seed = self._at_seed(constraint, start)
        z = where_rows(at_seed, jax.tree.map(jnp.zeros_like, z), z)
        return GradientPoint(z, fixed, jax.vmap(self._optimizer(constraint).init)(z))

    def _optimizer(self, constraint: Constraint) -> optax.GradientTransformation:
        return (self.optimizer or constraint.default_optimizer)()

    def _at_seed(self, constraint: Constraint, start: Start) -> Bool[Array, " b"]:
        """Which tries begin at the seed?"""
        return jnp.full(start.attempt.shape, constraint.init_uses_grad) | (start.attempt == 0)

    def propose(self, constraint: Constraint, point: GradientPoint, start: Start) -> Float[Array, "b *x"]:
        return constraint.render(point.z, point.fixed, start.x0)

    def latents(self, point: GradientPoint) -> Any:
        return point.z, point.fixed

    def update(
        self,
        constraint: Constraint,
        point: GradientPoint,
        start: Start,
        feedback: Feedback,
    ) -> GradientPoint:
        placed = constraint.init(start.key, start.x0, feedback.grad, start.attempt)
        begins = (feedback.done == 0) & self._at_seed(constraint, start)
        z, fixed = where_rows(begins, placed, (point.z, point.fixed))
        _, pull = jax.vjp(lambda z: constraint.render(z, fixed, start.x0), z)
        (climb,) = pull(feedback.grad)
        climb = jax.tree.map(_over_largest, climb)
        update, state = jax.vmap(self._optimizer(constraint).update)(
            jax.tree.map(jnp.negative, climb), point.optimizer, z
        )
        moved = jax.tree.map(_moved, constraint.radius, z, update)
        away = begins & ~_all_zero(z)  # the slope is the seed's: look at such a start before leaving it
        z = where_rows(away, z, constraint.project(moved, fixed, start.x0))
        return GradientPoint(z, fixed, state)


def _moved(radius: Any, z: Any, update: Any) -> Any:
    """A step of latents that share one reach."""
    return jax.tree.map(lambda z, u: z + radius * u, z, update)


def _all_zero(z: Any) -> Bool[Array, " b"]:
    flat = [(leaf == 0).reshape(len(leaf), -1).all(axis=1) for leaf in jax.tree.leaves(z)]
    return jnp.stack(flat).all(axis=0)


def _over_largest(g: Float[Array, "b *z"]) -> Float[Array, "b *z"]:
    axes = tuple(range(1, g.ndim))
    return g / jnp.maximum(jnp.abs(g).max(axis=axes, keepdims=True), 1e-30)
