"""What every objective is."""

from __future__ import annotations

import abc
import itertools
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from xplore._util.errors import InputError
from xplore._util.pytree import PyTreeNode
from xplore.model.outputs import CLASSIFICATION, OutputKind
from xplore.panel.panel import Forward

Deviate = int | tuple[int, ...] | Literal["random", "weakest"]
"""The model that is to deviate: one fixed by its index, one drawn a try, or each in turn, by weakness, of all
or of some indices."""


class Objective(PyTreeNode, abc.ABC):
    """Aim once, score every step: the aim is drawn without a gradient, the score is climbed.

    >>> from xplore.objectives import Diverge, Joint
    >>> Joint().output_kinds, Diverge().output_kinds
    (('logits', 'probabilities'), ('values',))
    """

    keyed = True

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        """The heads whose outputs it can read."""
        return CLASSIFICATION

    @property
    def reads_logits(self) -> bool:
        """Is its score read before the softmax, so that log-probabilities will not do?"""
        return False

    def fits(self, models: int, head: OutputKind) -> None:
        """An InputError for a panel of so many models with this head that cannot be aimed at."""
        if head not in self.output_kinds:
            raise InputError(
                f"objective {type(self).__name__}",
                expected=f"models that return {' or '.join(self.output_kinds)}",
                got=f"output={head!r}",
                fix="choose another of xplore.objectives, or none: the default follows the models",
            )
        deviate = getattr(self, "deviate", None)
        given = (deviate,) if isinstance(deviate, int) else deviate if isinstance(deviate, tuple) else (0,)
        if not given or any(not isinstance(one, int) or not 0 <= one < models for one in given):
            raise InputError(
                "objective.deviate",
                expected=f"the index of one of {models} models, from 0",
                got=str(deviate),
                fix='count the models from 0, or use "weakest"',
            )

    @abc.abstractmethod
    def goal(
        self,
        key: Key[Array, " b"],
        before: Float[Array, "m b c"],
        covered: tuple[Bool[Array, " _"], ...],
        attempt: Int[Array, " b"],
    ) -> Any:
        """What each row's try is for; every leaf leads with b.

        `before` are the models' logits, or values, on the seeds, `covered` the units of each model reached
        so far, `attempt` counts the tries of one seed.
        """

    @abc.abstractmethod
    def score(self, goal: Any, now: Forward) -> Float[Array, " b"]:
        """How near each row is to its aim; a row's score depends on that row alone."""


def deviating(
    deviate: Deviate, draw: Float[Array, " b"], hold: Float[Array, "m b"], attempt: Int[Array, " b"]
) -> Int[Array, " b"]:
    """Which model is to deviate: by a draw in [0, 1), or in turn, the one with the least hold first."""
    models = len(hold)
    if isinstance(deviate, tuple):
        of = jnp.array(deviate)
        return of[deviating("weakest", draw, hold[of], attempt)]
    if deviate == "random":
        return (draw * models).astype(int)
    if deviate == "weakest":
        return jnp.take_along_axis(jnp.argsort(hold, axis=0), (attempt % models)[None], axis=0)[0]
    return jnp.full(attempt.shape, deviate)


def among(objective: Objective, models: tuple[int, ...]) -> Objective | None:
    """The objective, where some models alone may be made to deviate; None where it can make none of them.

    >>> from xplore.objectives import Joint
    >>> among(Joint(), (0, 2)).deviate, among(Joint(deviate=1), (1, 2)).deviate, among(Joint(deviate=1), (0,))
    ((0, 2), 1, None)
    """
    deviate: Any = getattr(objective, "deviate", None)
    left = tuple(model for model in models if not isinstance(deviate, tuple) or model in deviate)
    if not left or (isinstance(deviate, int) and deviate not in left):
        return None
    if isinstance(deviate, int) or deviate is None:
        return objective
    made: Any = objective
    return made.replace(deviate=left[0] if len(left) == 1 else left)


def uncovered(draws: Float[Array, "b m"], covered: tuple[Bool[Array, " _"], ...]) -> Int[Array, "b k"]:
    """For each draw in [0, 1) a unit of its model that is not covered; of all, where none is left.

    >>> uncovered(jnp.array([[0.0], [0.4], [0.9]]), (jnp.array([True, False, True, False]),)).tolist()
    [[1], [1], [3]]
    """

    def one(draw: Float[Array, " b"], units: Bool[Array, " n"]) -> Int[Array, " b"]:
        asleep = ~units | units.all()
        rank = jnp.cumsum(asleep)
        return jnp.searchsorted(rank, jnp.floor(draw * rank[-1]).astype(rank.dtype) + 1)

    starts = itertools.accumulate((units.size for units in covered), initial=0)
    chosen = [
        start + one(draws[:, k], units)
        for k, (start, units) in enumerate(zip(starts, covered, strict=False))
        if units.size  # a black box has none
    ]
    return jnp.stack(chosen, axis=1) if chosen else jnp.zeros((len(draws), 0), int)


def activation(now: Forward, neurons: Int[Array, "b k"]) -> Float[Array, " b"]:
    """The sum of some units' activations."""
    return jnp.take_along_axis(now.activations.values, neurons, axis=1).sum(axis=1)
