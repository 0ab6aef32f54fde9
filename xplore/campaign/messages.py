"""What a backend is given and what it gives back: tasks of seeds, and what became of them; jobs done here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from xplore.archive.records import Finding, SeedRecord
from xplore.evaluation.sources import Block


@dataclass
class Seed:
    """An open seed: its code, what the models say of it, what it is beside, and its tries.

    `turn` counts the tries that were in vain, `spent` the steps of all.
    """

    number: int
    round: int
    codes: Shaped[np.ndarray, "*x"]
    outputs: Float[np.ndarray, "m c"]
    decisions: tuple[int, ...]
    right: bool
    label: int | None
    facts: dict[str, Any]
    attempt: int = 0
    spent: int = 0

    @property
    def due(self) -> int:
        """The round in which its try is due: its own, and one later for each that was in vain."""
        return self.round + self.attempt


@dataclass(frozen=True)
class WorkItem:
    """Seeds in a row, of one round, to be read and searched from; they aim beside `aims`, once known.

    `closed` are those whose fate is known: they are read, and nothing more. `left` are seeds whose tries
    earlier tasks did not end, with the aims of their rounds. Where `more` tasks will come, it may end while
    some tries are under way, whose seeds are told as left.
    """

    round: int
    first: int
    block: Block
    coverage: dict[int, tuple[Bool[np.ndarray, " _"], ...]] = field(default_factory=dict, repr=False)
    closed: frozenset[int] = frozenset()
    unfinished: tuple[Seed, ...] = ()
    more: bool = False

    def parted(self, size: int) -> tuple[WorkItem, WorkItem]:
        """Its first seeds, and the others."""
        first, rest = self.block[:size], self.block[size:]
        begins = self.first + len(first)
        closed = self.closed & set(range(self.first, begins))
        return (
            replace(self, block=first, closed=closed, more=self.more or len(rest) > 0),
            replace(self, first=begins, block=rest),
        )


class SeedBatch(NamedTuple):
    """Seeds of a round were read: how many, what all of them cover, and those on which models differ."""

    round: int
    seeds: int
    covered: Bool[np.ndarray, "rows u"]
    records: list[SeedRecord]
    findings: list[Finding]


@dataclass
class WorkResult:
    """What came since the last: gradient steps, seeds that were read, seeds whose fate is known.

    `again` has, for each try that was in vain and is not its seed's last, the round in which it was due:
    the next is due one later. `lane_steps` are those of all lanes, idle ones too.
    """

    steps: int = 0
    lane_steps: int = 0
    read: list[SeedBatch] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    records: list[SeedRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unfinished: list[Seed] = field(default_factory=list)

    def add(self, other: WorkResult) -> None:
        """Both."""
        self.steps += other.steps
        self.lane_steps += other.lane_steps
        for name in ("read", "retries", "records", "findings", "unfinished"):
            getattr(self, name).extend(getattr(other, name))


class Here(Executor):
    """Does a job at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **how: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **how))
        return done
