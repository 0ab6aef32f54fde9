"""What a backend is given and what it gives back: tasks of seeds, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from xplore.finding import Finding, SeedRecord
from xplore.seeds import Block


@dataclass
class Seed:
    """An open seed: its code, what the models say of it, what it is beside, and the steps spent on it."""

    number: int
    round: int
    codes: Shaped[np.ndarray, "*x"]
    outputs: Float[np.ndarray, "m c"]
    decisions: tuple[int, ...]
    right: bool
    label: int | None
    said: dict[str, Any]
    spent: int = 0


class Left(NamedTuple):
    """A try of a seed that is still to be made."""

    seed: Seed
    turn: int


@dataclass(frozen=True)
class Task:
    """Seeds in a row, of one round, to be read and searched from; they aim beside `aims`, once known.

    `closed` are those whose fate is known: they are read, and nothing more. `left` are tries that earlier
    tasks did not end, with the aims of their rounds. Where `more` tasks will come, it may end while some
    tries are under way, which are told as left.
    """

    round: int
    first: int
    block: Block
    aims: dict[int, tuple[Bool[np.ndarray, " _"], ...]] = field(default_factory=dict, repr=False)
    closed: frozenset[int] = frozenset()
    left: tuple[Left, ...] = ()
    more: bool = False


class Reading(NamedTuple):
    """Seeds of a round were read: how many, what all of them cover, and those on which models differ."""

    round: int
    seeds: int
    covered: Bool[np.ndarray, "criteria u"]
    records: list[SeedRecord]
    findings: list[Finding]


@dataclass
class News:
    """What came since the last: gradient steps, seeds that were read, seeds whose fate is known.

    `again` has, for each try that was in vain and is not its seed's last, the round in which it was due:
    the next is due one later. `lane_steps` are those of all lanes, idle ones too.
    """

    steps: int = 0
    lane_steps: int = 0
    read: list[Reading] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    records: list[SeedRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def add(self, other: News) -> None:
        """Both."""
        self.steps += other.steps
        self.lane_steps += other.lane_steps
        for name in ("read", "again", "records", "findings", "left"):
            getattr(self, name).extend(getattr(other, name))
