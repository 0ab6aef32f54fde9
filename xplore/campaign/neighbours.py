"""How near inputs lie to those of the training data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int


def nearest(
    points: Float[np.ndarray, "b d"],
    training: Float[np.ndarray, "n d"],
    lengths: Float[np.ndarray, " n"] | None = None,
) -> tuple[Float[np.ndarray, " b"], Int[np.ndarray, " b"]]:
    """The distance to the nearest of the training inputs, and which one that is; of equals, the first.

    `lengths` are their squared ones, where they are known. What is told of a point does not depend on those
    beside it: a product of matrices, whose last digits do, only tells which inputs may be the nearest.

    >>> nearest(np.ones((1, 2), np.float32), np.array([[0, 1], [1, 1]], np.float32))
    (array([0.]), array([1]))
    """
    with np.errstate(over="ignore", invalid="ignore"):  # where it overflows, each input may be the nearest
        theirs = (training**2).sum(axis=1) if lengths is None else lengths
        own = (points**2).sum(axis=1)
        squared = own[:, None] - 2 * points @ training.T + theirs
        error = (points.shape[1] + 4) * np.finfo(squared.dtype).eps
        error = error * (np.sqrt(own) + np.sqrt(theirs.max())) ** 2
        near = ~(squared > (squared.min(axis=1) + 2 * error)[:, None])
        distance, row = np.empty(len(points)), np.empty(len(points), int)
        for at, point in enumerate(points.astype(np.float64)):
            rows = np.flatnonzero(near[at])
            exact = np.array([np.square(training[one] - point).sum() for one in rows])
            distance[at], row[at] = np.sqrt(exact.min()), rows[exact.argmin()]
    return distance, row


@dataclass(frozen=True)
class Neighbours:
    """Training inputs as points, and the class of each where it is known (-1: it is not).

    >>> two = Neighbours(np.array([[0.0], [4.0]], np.float32), np.array([7, 1]))
    >>> two.nearer_another(np.array([[1.0], [3.0]], np.float32), np.array([7, 7])).tolist()
    [False, True]
    """

    points: Float[np.ndarray, "n d"] = field(repr=False)
    classes: Int[np.ndarray, " n"] | None = field(default=None, repr=False)

    @cached_property
    def _lengths(self) -> Float[np.ndarray, " n"]:
        return (self.points**2).sum(axis=1)

    def nearest(
        self, points: Float[np.ndarray, "b d"]
    ) -> tuple[Float[np.ndarray, " b"], Int[np.ndarray, " b"]]:
        """The distance to the nearest one, and which that is."""
        return nearest(points, self.points, self._lengths)

    def nearer_another(self, points: Float[np.ndarray, "b d"], own: Int[np.ndarray, " b"]) -> np.ndarray:
        """Whether the nearest input of another class is nearer than the nearest of its own, `[b]` bool.

        False where the classes are not known, or none is of its own or none of another.
        """
        answer = np.zeros(len(points), bool)
        if self.classes is None:
            return answer
        for one in np.unique(own).tolist():
            rows = np.flatnonzero(own == one)
            ours, others = self.classes == one, (self.classes != one) & (self.classes >= 0)
            if ours.any() and others.any():
                distances = [
                    nearest(points[rows], self.points[of], self._lengths[of])[0] for of in (ours, others)
                ]
                answer[rows] = distances[1] < distances[0]
        return answer
