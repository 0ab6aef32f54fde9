"""The outer loop: read the seeds, search from each, judge again what was found, keep it.

Seeds go in rounds. What a seed aims at depends on its own key and on the coverage merged `lag` rounds
before its own, never on lanes or timing: so a campaign with the same config and rng finds the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from xplore.archive import Archive, Finding, SeedRecord, content_hash
from xplore.encoding import to_png
from xplore.engine import Engine, Method, Outcome, Try
from xplore.units import Layout
from xplore.validity import Judge


@dataclass(frozen=True)
class Progress:
    """How far a campaign is; `coverage` is of each model, by the criterion that guides the search."""

    seeds: int
    of: int
    findings: int
    valid: int
    steps: int
    seconds: float
    coverage: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What a campaign does beside its method: all of it recorded, none of it timing."""

    lanes: int = 64
    rng: int = 0
    round_size: int = 256
    lag: int = 2
    main_criterion: int = 0


@dataclass
class _Round:
    """A round in flight: its open seeds, and what its inputs on which models differ cover."""

    open: set[int]
    covered: Bool[np.ndarray, "criteria u"]


@dataclass
class Tally:
    """Sums over the campaign; the archive holds the rest."""

    seeds: int = 0
    already_differ: int = 0
    found: int = 0
    rejudged_away: int = 0
    findings: int = 0
    valid: int = 0
    steps: int = 0
    queries: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    groups: set[Any] = field(default_factory=set)


class Campaign:
    """One run over given seeds: `for progress in campaign.run(archive)`.

    `archive` may be None: then only the tally is kept (a baseline beside a campaign).
    """

    def __init__(
        self,
        method: Method,
        judge: Judge,
        layout: Layout,
        images: UInt8[np.ndarray, "n h w c"],
        labels: Int[np.ndarray, " n"] | None,
        plan: Plan,
    ) -> None:
        self.method, self.judge, self.layout, self.plan = method, judge, layout, plan
        self.images, self.labels = images, labels
        self.tally = Tally()
        self.covered = np.zeros((len(judge.criteria), layout.n_units), bool)
        self._spans = layout.spans()
        self._archive: Archive | None = None
        self._outputs: dict[int, Float[np.ndarray, "m c"]] = {}
        self._spent: dict[int, int] = {}
        self._rounds: dict[int, _Round] = {}
        self._merged = self.covered.copy()
        self._snapshots: dict[int, Any] = {}
        self._unjudged: list[Outcome] = []

    def warm_up(self) -> None:
        """Compile every program that the campaign will run, on the first seed."""
        start = time.perf_counter()
        first = self.images[:1]
        outputs = self.judge.outputs(first)
        judged = self.judge.judge(first)
        self.judge.measures(first, first, judged)
        engine = self._engine(outputs.shape[0], outputs.shape[2])
        engine.push([Try(0, 0, first[0], outputs[:, 0])], self._aims(self._merged))
        engine.advance()
        engine.drain()
        self.tally.compile_seconds = time.perf_counter() - start

    def run(self, archive: Archive | None) -> Iterator[Progress]:
        """Run to the end, yielding after every batch that was kept."""
        self._archive = archive
        self.warm_up()
        start = time.perf_counter()
        outputs_shape = self.judge.outputs(self.images[:1]).shape
        engine = self._engine(outputs_shape[0], outputs_shape[2])
        waiting: dict[int, deque[Try]] = {}
        admitted, done_rounds = 0, 0
        n_rounds = -(-len(self.images) // self.plan.round_size)
        while done_rounds < n_rounds:
            while admitted < n_rounds and admitted - done_rounds < self.plan.lag:
                waiting[admitted] = deque(self._admit(admitted))
                admitted += 1
            for index in sorted(waiting):
                tries = waiting[index]
                if tries and engine.room:
                    batch = [tries.popleft() for _ in range(min(engine.room, len(tries)))]
                    engine.push(batch, self._snapshots[index])
            for outcome in engine.advance():
                index = outcome.seed // self.plan.round_size
                self._end_of_try(outcome, waiting[index])
            idle = not engine.busy and not any(waiting.values())
            if len(self._unjudged) >= self.batch or (self._unjudged and idle):
                self._judge_found()
            while done_rounds < admitted and not self._rounds[done_rounds].open:
                self._merged |= self._rounds.pop(done_rounds).covered
                waiting.pop(done_rounds)
                self._snapshots.pop(done_rounds)
                done_rounds += 1
                self._snapshots_for(done_rounds)
            self.tally.steps, self.tally.seconds = engine.live_steps, time.perf_counter() - start
            yield self.progress()
