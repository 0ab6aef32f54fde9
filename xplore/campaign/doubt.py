"""Doubt: what speaks against a finding's label, though the change keeps its bound.

That an input keeps the label of its seed within the bound is assumed. Evidence from outside can say that it
may not have: such a finding is `in_doubt`, apart from those that are valid. No evidence proves that it has.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

REFERENCE = "reference_model"
"""The reference model gives it another label."""
NEARER = "nearer_other_class"
"""It lies nearer to a training input of another class than to any of its own, and its seed did not."""
ALL_SURE = "all_sure_of_others"
"""Every model is sure of another label."""
SURE = 0.9
"""A model is sure of its answer from this probability on."""


def confidences(
    probabilities: Float[np.ndarray, "m b c"], decisions: Int[np.ndarray, "m b"]
) -> Float[np.ndarray, "m b"]:
    """How probable each model holds its answer, `[m b]`; NaN, where it gives none.

    >>> confidences(np.array([[[0.2, 0.8], [0.5, 0.5]]]), np.array([[1, -1]])).tolist()
    [[0.8, nan]]
    """
    inside = np.clip(decisions, 0, probabilities.shape[-1] - 1)[..., None]
    own = np.take_along_axis(probabilities, inside, axis=-1)[..., 0]
    return np.where(decisions == inside[..., 0], own, np.nan)


def doubts(
    expected: Int[np.ndarray, " b"],
    decisions: Int[np.ndarray, "m b"],
    confidences: Float[np.ndarray, "m b"],
    reference: Int[np.ndarray, " b"] | None = None,
    nearer: Bool[np.ndarray, " b"] | None = None,
) -> list[tuple[str, ...]]:
    """Why the label of each input is in doubt; nothing, where no evidence speaks against it.

    Args:
        expected: the label that each input is to have.
        decisions: what each model answers.
        confidences: how probable each model holds its answer; NaN, where it gives none.
        reference: what the reference model answers, where there is one.
        nearer: whether each lies nearer to training inputs of another class, and its seed did not.

    >>> two, answers = np.array([2, 2]), np.array([[2, 7], [7, 1]])
    >>> doubts(two, answers, np.full((2, 2), 0.95), reference=np.array([7, 2]))
    [('reference_model',), ('all_sure_of_others',)]
    """
    others = (decisions != expected) & (confidences >= SURE)
    none = np.zeros(len(expected), bool)
    holds = {
        REFERENCE: none if reference is None else reference != expected,
        NEARER: none if nearer is None else nearer,
        ALL_SURE: others.all(axis=0),
    }
    return [tuple(name for name, of in holds.items() if of[row]) for row in range(len(expected))]
