"""What every objective is."""

from __future__ import annotations

import abc
from typing import Any

from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from xplore.panel import Forward


class Objective(struct.PyTreeNode, abc.ABC):
    """Aim once, score every step: the aim is drawn without a gradient, the score is climbed."""

    def fits(self, models: int) -> None:
        """An InputError for a panel of so many models that cannot be aimed at."""
        del models

    @abc.abstractmethod
    def aim(
        self,
        key: Key[Array, " b"],
        before: Float[Array, "m b c"],
        covered: tuple[Bool[Array, " _"], ...],
        turn: Int[Array, " b"],
    ) -> Any:
        """What each row's try is for; every leaf leads with b.

        `before` are the models' logits on the seeds, `covered` the units of each model reached so far,
        `turn` counts the tries of one seed.
        """

    @abc.abstractmethod
    def score(self, aim: Any, now: Forward) -> Float[Array, " b"]:
        """How near each row is to its aim; a row's score depends on that row alone."""
