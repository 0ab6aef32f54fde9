"""Grid search: evenly spaced points over a constraint of one dimension."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xplore._util.pytree import field
from xplore.constraints import Constraint
from xplore.constraints.lighting import rungs
from xplore.search._base import Feedback, GradientFree, Start


class GridSearch(GradientFree):
    """`z` over `steps` points, both signs in turn: the nearest to the seed first, evenly spaced, or the
    `farthest` first, each next one amid the widest gap left (van der Corput, 1935); further tries go on.

    >>> import jax
    >>> from xplore.constraints import Lighting
    >>> start = Start(jnp.full((1, 1, 1, 1), 0.5), jax.random.split(jax.random.key(0), 1), jnp.array([0]))
    >>> first = GridSearch(4).init(Lighting(0.2), start)
    >>> feedback = Feedback(jnp.zeros((1, 1, 1, 1)), jnp.zeros(1), jnp.array([0]))
    >>> first.round(2).tolist(), GridSearch(4).update(Lighting(0.2), first, start, feedback).round(2).tolist()
    ([0.09999999403953552], [-0.09999999403953552])
    """

    steps: int = field(pytree_node=False, default=50)
    tries: int = field(pytree_node=False, default=1)
    first: Literal["nearest", "farthest"] = field(pytree_node=False, default="nearest")

    def _latent(self, constraint: Constraint, start: Start, done: Int[Array, " b"]) -> Float[Array, " b"]:
        if self.first == "farthest":
            return rungs(start.attempt * self.steps + done) * constraint.radius
        count = (self.steps + 1) // 2
        sign = jnp.where(done % 2 == 0, 1, -1)
        return sign * (done // 2 + 1) / count * constraint.radius

    def init(self, constraint: Constraint, start: Start) -> Float[Array, " b"]:
        return self._latent(constraint, start, jnp.zeros_like(start.attempt)).astype(start.x0.dtype)

    def propose(
        self, constraint: Constraint, point: Float[Array, " b"], start: Start
    ) -> Float[Array, "b h w c"]:
        return constraint.render(point, (), start.x0)

    def latents(self, point: Float[Array, " b"]) -> Any:
        return point, ()

    def update(
        self,
        constraint: Constraint,
        point: Float[Array, " b"],
        start: Start,
        feedback: Feedback,
    ) -> Float[Array, " b"]:
        return self._latent(constraint, start, feedback.done + 1).astype(point.dtype)
