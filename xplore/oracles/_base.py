"""What every oracle is."""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from xplore._util.errors import InputError
from xplore._util.intervals import POSITIVE, by_field
from xplore._util.pytree import PyTreeNode, field
from xplore.archive.records import NO_ANSWER
from xplore.model.outputs import CLASSIFICATION, OutputKind


def finite(outputs: Any) -> Bool[Array, "m b"]:
    """Which models answer with finite numbers alone."""
    return jnp.isfinite(outputs).all(axis=tuple(range(2, outputs.ndim)))


class Oracle(PyTreeNode, abc.ABC):
    """Says what a model decides, and when models differ: `judge(f, f)` is false.

    A decision is a number that groups and reports are made of: a class, or what a value amounts to. Models
    that differ never have one and the same decision.

    >>> from xplore.oracles import LabelsDiffer
    >>> agreed, apart = jnp.array([[[1.0, 0.0]], [[3.0, 2.0]]]), jnp.array([[[1.0, 0.0]], [[2.0, 3.0]]])
    >>> LabelsDiffer().judge(agreed, apart).tolist(), LabelsDiffer().judge(apart, apart).tolist()
    ([True], [False])
    """

    keyed = True

    @property
    @abc.abstractmethod
    def output_kinds(self) -> tuple[OutputKind, ...]:
        """The heads whose outputs it can judge."""

    @abc.abstractmethod
    def differ(self, outputs: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Do the models' decisions on one input differ?"""

    @abc.abstractmethod
    def decide(self, outputs: Float[Array, "m b *o"]) -> Int[Array, "m b"]:
        """What each model decides."""

    @abc.abstractmethod
    def agreed(self, outputs: Float[Array, "m b *o"]) -> Int[Array, " b"]:
        """The one decision of models that do not differ."""

    @abc.abstractmethod
    def right(
        self, outputs: Float[np.ndarray, "m b *o"], truth: Shaped[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "m b"]:
        """Which models answer as the labels say?"""

    @abc.abstractmethod
    def label(self, truth: Shaped[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The decision that a label stands for."""

    @abc.abstractmethod
    def margin(self, scores: Float[np.ndarray, "m b k"]) -> Float[np.ndarray, " b"]:
        """How far apart the models are, 0 where they do not differ; of probabilities, or values."""

    def judge(self, before: Float[Array, "m b *o"], after: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Did the change divide models that agreed?"""
        return self.differ(after) & ~self.differ(before)

    # What is asked from outside: the methods above judge numbers, and NaN or infinity are none.

    def decisions(self, outputs: Float[Array, "m b *o"]) -> Int[Array, "m b"]:
        """What each model decides; `NO_ANSWER`, where an output is NaN or infinite.

        >>> from xplore.oracles import LabelsDiffer
        >>> outputs = jnp.array([[[0.0, 1.0], [jnp.nan, 1.0]]])
        >>> LabelsDiffer().decisions(outputs).tolist() == [[1, NO_ANSWER]]
        True
        """
        return jnp.where(finite(outputs), self.decide(outputs), NO_ANSWER)

    def divided(self, outputs: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Do the models differ? A model that gives no answer differs from one that does."""
        answers = finite(outputs)
        return jnp.where(answers.all(axis=0), self.differ(outputs), answers.any(axis=0))

    def divides(self, before: Float[Array, "m b *o"], after: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Did the change divide models that agreed? A model that gives no answer any more is divided."""
        lost = self.divided(after) & ~self.divided(before)
        return jnp.where(finite(after).all(axis=0), self.judge(before, after), lost)

    def agreement(self, outputs: Float[Array, "m b *o"]) -> Int[Array, " b"]:
        """The one decision of models that do not differ; `NO_ANSWER`, where one gives none."""
        return jnp.where(finite(outputs).all(axis=0), self.agreed(outputs), NO_ANSWER)

    def are_right(
        self, outputs: Float[np.ndarray, "m b *o"], truth: Shaped[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "m b"]:
        """Which models answer as the labels say? No answer is never right."""
        return self.right(outputs, truth) & np.isfinite(outputs).all(axis=tuple(range(2, outputs.ndim)))

    def distance(self, scores: Float[np.ndarray, "m b k"]) -> Float[np.ndarray, " b"]:
        """The margin; NaN, where a model gives no answer."""
        answers = np.all(np.isfinite(scores), axis=(0, 2))
        known = np.where(answers[None, :, None], scores, 0).astype(scores.dtype)
        return np.where(answers, self.margin(known), np.nan)

    def fits(self, head: OutputKind, shape: tuple[int, ...]) -> None:
        """An InputError if it cannot judge outputs of this head and shape `[m b *o]`."""
        if head not in self.output_kinds or len(shape) != 3:
            raise InputError(
                f"oracle {type(self).__name__}",
                expected=f"models that return {' or '.join(self.output_kinds)}, [b k]",
                got=f"output={head!r} of shape {['b', *shape[2:]]}",
                fix="choose another of xplore.oracles, or give models with these outputs",
            )

    def metadata(self) -> dict[str, Any]:
        """What a report and a replay need to know of decisions; nothing, of classes."""
        return {}


class ClassificationOracle(Oracle):
    """Of models with exclusive classes, `[b c]`; a decision is a class.

    >>> class BothSure(ClassificationOracle):
    ...     def differ(self, outputs):
    ...         labels, sure = self.decide(outputs), jnp.abs(outputs).max(axis=-1) > 2
    ...         return (labels != labels[:1]).any(axis=0) & sure.all(axis=0)
    >>> BothSure().differ(jnp.array([[[3.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [0.0, 3.0]]])).tolist()
    [True, False]
    """

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        return CLASSIFICATION

    def decide(self, outputs: Float[Array, "m b c"]) -> Int[Array, "m b"]:
        return outputs.argmax(axis=-1)

    def agreed(self, outputs: Float[Array, "m b c"]) -> Int[Array, " b"]:
        return outputs[0].argmax(axis=-1)

    def right(
        self, outputs: Float[np.ndarray, "m b c"], truth: Shaped[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "m b"]:
        return outputs.argmax(axis=-1) == truth[None]

    def label(self, truth: Shaped[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        return truth

    def metadata(self) -> dict[str, Any]:
        return {"kind": "labels"}

    def margin(self, scores: Float[np.ndarray, "m b k"]) -> Float[np.ndarray, " b"]:
        """How sure two models are that disagree: the largest, over such pairs, of the less sure one's lead.

        A model's lead is its first class's probability minus its second's.
        """
        labels = scores.argmax(axis=-1)
        top = np.sort(scores, axis=-1)[..., -2:]
        lead = top[..., 1] - top[..., 0]
        apart = labels[:, None] != labels[None]
        pairs = np.where(apart, np.minimum(lead[:, None], lead[None]), 0)
        return pairs.max(axis=(0, 1))


class RegressionOracle(Oracle):
    """Of models with one value an input, `[b 1]`; a model is right within `apart` of the label.

    >>> from xplore.oracles import ValuesDiffer
    >>> ValuesDiffer(0.5).right(np.array([[[1.0]], [[2.0]]]), np.array([1.2])).tolist()
    [[True], [False]]
    """

    intervals = by_field(apart=POSITIVE)
    apart: float = field(pytree_node=False)

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        return ("values",)

    def agreed(self, outputs: Float[Array, "m b 1"]) -> Int[Array, " b"]:
        """What the median of the values amounts to."""
        return self.decide(jnp.median(outputs, axis=0, keepdims=True))[0]

    def fits(self, head: OutputKind, shape: tuple[int, ...]) -> None:
        super().fits(head, shape)
        if shape[2] != 1 or not 0 < self.apart < np.inf:
            wanted = "one value an input, and a distance above 0 at which values differ"
            came = f"{shape[2]} values, apart={self.apart}"
            fix = "of several values, give a function that returns one: lambda x: model(x)[:, :1]"
            fix = fix if shape[2] != 1 else ""
            raise InputError(f"oracle {type(self).__name__}", expected=wanted, got=came, fix=fix)

    def right(
        self, outputs: Float[np.ndarray, "m b 1"], truth: Shaped[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "m b"]:
        return np.abs(outputs[..., 0] - truth[None]) <= self.apart

    def label(self, truth: Shaped[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        return np.asarray(self.decide(jnp.asarray(truth)[None, :, None]))[0]

    def margin(self, scores: Float[np.ndarray, "m b 1"]) -> Float[np.ndarray, " b"]:
        """The largest distance of two values."""
        return np.where(np.asarray(self.differ(jnp.asarray(scores))), np.ptp(scores[..., 0], axis=0), 0)

    def _far(self, outputs: Float[Array, "m b 1"]) -> Bool[Array, " b"]:
        """Are any two values more than `apart` apart?"""
        return (outputs.max(axis=0) - outputs.min(axis=0))[..., 0] > self.apart
