"""Random search: a fresh random point of the chart at every step; the baseline."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array, Float

from xplore._util.pytree import field
from xplore.constraints import Constraint
from xplore.search._base import Feedback, GradientFree, Start


class Random(GradientFree):
    """Points drawn by the constraint's `sample`, one a step, each judged as stored.

    >>> Random(steps=100).queries_a_step
    1
    """

    steps: int = field(pytree_node=False, default=50)
    tries: int = field(pytree_node=False, default=1)

    def init(self, constraint: Constraint, start: Start) -> Any:
        return constraint.sample(start.key, start.x0)

    def propose(self, constraint: Constraint, point: Any, start: Start) -> Float[Array, "b *x"]:
        z, fixed = point
        return constraint.render(z, fixed, start.x0)

    def latents(self, point: Any) -> Any:
        return point

    def update(
        self,
        constraint: Constraint,
        point: Any,
        start: Start,
        feedback: Feedback,
    ) -> Any:
        keys = jax.vmap(jax.random.fold_in)(start.key, feedback.done + 1)
        return constraint.sample(keys, start.x0)
