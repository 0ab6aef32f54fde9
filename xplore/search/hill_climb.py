"""Hill climbing: one change more or less at a time, kept if the score does not fall; needs no gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xplore._util.pytree import PyTreeNode, field
from xplore.constraints import Constraint
from xplore.search._base import Feedback, GradientFree, Start, where_rows


class HillClimbPoint(PyTreeNode):
    """The latents looked at, and the best so far with its score; every leaf leads with b."""

    now: Any
    best: Any
    score: Float[Array, " b"]


class HillClimb(GradientFree):
    """`z' ~ mutate(z)`, and `z <- z'` where `score(z') >= score(z)`: a random climb by answers alone.

    It starts at a random point of the chart, each restart at another one. For models whose slope cannot be
    had, such as trees, and features that have none, such as categories.

    >>> from xplore.constraints import Lighting
    >>> start = Start(jnp.full((1, 2, 2, 1), 0.5), jax.random.split(jax.random.key(0), 1), jnp.array([0]))
    >>> point = HillClimb().init(Lighting(), start)
    >>> bool(jnp.abs(point.now[0]) <= Lighting().radius), point.score.tolist()
    (True, [-inf])
    """

    steps: int = field(pytree_node=False, default=40)
    tries: int = field(pytree_node=False, default=5)

    @property
    def scores(self) -> bool:
        return True

    def init(self, constraint: Constraint, start: Start) -> HillClimbPoint:
        point = constraint.sample(start.key, start.x0)
        return HillClimbPoint(point, point, jnp.full(len(start.x0), -jnp.inf, start.x0.dtype))

    def propose(self, constraint: Constraint, point: HillClimbPoint, start: Start) -> Float[Array, "b *x"]:
        z, fixed = point.now
        return constraint.render(z, fixed, start.x0)

    def latents(self, point: HillClimbPoint) -> Any:
        return point.now

    def update(
        self, constraint: Constraint, point: HillClimbPoint, start: Start, feedback: Feedback
    ) -> HillClimbPoint:
        better = feedback.score >= point.score
        z, fixed = best = where_rows(better, point.now, point.best)
        keys = jax.vmap(jax.random.fold_in)(start.key, feedback.done + 1)
        now = constraint.mutate(keys, z, fixed, start.x0)
        return HillClimbPoint(now, best, jnp.where(better, feedback.score, point.score))
