"""What every search is."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import jax
from jaxtyping import Array, Float, Int, Key

from xplore._util.pytree import PyTreeNode
from xplore.constraints import Constraint


class Start(PyTreeNode):
    """What a lane knows of its seed: the input, the lane's own key, and how many tries came before."""

    x0: Float[Array, "b *x"]
    key: Key[Array, " b"]
    attempt: Int[Array, " b"]


class Feedback(PyTreeNode):
    """What one step saw: the score's slope (zero, unless the search climbs), the score (zero, unless it
    reads it), and how many steps were done before."""

    grad: Float[Array, "b *x"]
    score: Float[Array, " b"]
    done: Int[Array, " b"]


class Search(PyTreeNode, abc.ABC):
    """A walk of every lane for itself: `propose` an input, see its slope, `update`.

    `steps` bounds one try, `tries` the tries of one seed. `climbs` says whether a step needs the score's
    gradient (a query forward and one back) or only the models' answers; `as_stored`, whether what is
    judged on the way is the input as it will be stored; `scores`, whether `update` reads the score.

    >>> from xplore.search import Gradient, Random
    >>> [(search.needs_grad, search.queries_a_step) for search in (Gradient(), Random())]
    [(True, 2), (False, 1)]
    """

    keyed = True

    if TYPE_CHECKING:  # every search has both as static fields, with defaults of its own
        steps: int
        tries: int

    @property
    @abc.abstractmethod
    def needs_grad(self) -> bool:
        """Does a step need the gradient?"""

    @property
    @abc.abstractmethod
    def quantize_steps(self) -> bool:
        """Is each proposal judged as it would be stored?"""

    @property
    def scores(self) -> bool:
        """Does a step need the objective's score?"""
        return False

    @abc.abstractmethod
    def init(self, constraint: Constraint, start: Start) -> Any:
        """Where a try stands before its first step; every leaf leads with b."""

    @abc.abstractmethod
    def propose(self, constraint: Constraint, point: Any, start: Start) -> Float[Array, "b *x"]:
        """The input to look at."""

    @abc.abstractmethod
    def update(
        self,
        constraint: Constraint,
        point: Any,
        start: Start,
        feedback: Feedback,
    ) -> Any:
        """The next point, from what was seen at the proposal."""

    def latents(self, point: Any) -> Any:
        """The latents `(z, fixed)` of what was proposed; None for a walk beside the chart."""
        del point
        return None

    @property
    def looks(self) -> int:
        """How many inputs one try looks at; every look is a step of it."""
        return self.steps

    @property
    def queries_a_step(self) -> int:
        """Model queries a step: one forward, and as much again for a gradient."""
        return 2 if self.needs_grad else 1


class GradientFree(Search):
    """A search that asks the models for their answers alone, on inputs as they would be stored.

    >>> from xplore.search import HillClimb
    >>> isinstance(HillClimb(), GradientFree), HillClimb().needs_grad, HillClimb().scores
    (True, False, True)
    """

    @property
    def needs_grad(self) -> bool:
        return False

    @property
    def quantize_steps(self) -> bool:
        return True


def where_rows(condition: Any, one: Any, other: Any) -> Any:
    """Rows of `one` where the condition holds, else of `other`; over any tree whose leaves lead with b."""

    def pick(a: Any, b: Any) -> Any:
        return jax.numpy.where(condition.reshape(condition.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, one, other)
