"""The outer loop: read the seeds, search from each, judge again what was found, keep it.

Seeds go in rounds. What a seed aims at depends on its own key and on coverage that is at least `lag`
rounds old (`rounds.py`), never on lanes or timing: a campaign with the same config and rng finds the same,
also where it was cut off and went on: what is in the archive is all that a later run needs to know.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from xplore.archive import Archive
from xplore.engine import Engine, Outcome, Try
from xplore.finding import Finding, SeedRecord
from xplore.keeping import kept
from xplore.lanes import CHUNK, Method
from xplore.plan import Budget, Plan, Tally
from xplore.recall import Held, recall
from xplore.rounds import Rounds
from xplore.seeds import Block, Seeds
from xplore.units import Layout
from xplore.validity import Judge, Judgement, Read, Said

UNREADABLE = "ended before seeds that could not be read"
JUDGE_EVERY = 5.0
"""Seconds that a finding waits at most: when it is judged decides nothing but when it is seen."""


@dataclass
class _Round:
    """A round in flight: how many of its seeds are open, its tries to come, what they take as covered."""

    open: int
    tries: deque[Try]
    aims: tuple[Bool[np.ndarray, " _"], ...]


@dataclass
class _Seed:
    """An open seed: its code, what the models say of it, and the steps spent on it."""

    codes: Shaped[np.ndarray, "*x"]
    outputs: Float[np.ndarray, "m c"]
    decisions: tuple[int, ...]
    right: bool
    label: int | None
    said: dict[str, Any]
    spent: int = 0


class Campaign:
    """One run over given seeds: `for tally in campaign.run(archive): ...`.

    `archive` may be None: then only the tally is kept (a baseline beside a campaign). One that holds a part
    of this campaign is completed. Where a round cannot be read, those before it are ended, and `fault` says
    why.
    """

    def __init__(
        self,
        method: Method,
        judge: Judge,
        layout: Layout,
        seeds: Seeds,
        plan: Plan,
        budget: Budget = Budget(),
    ) -> None:
        self.method, self.judge, self.layout, self.plan = method, judge, layout, plan
        self.seeds, self.budget, self.tally = seeds, budget, Tally()
        self.ended = ""
        self.fault: Exception | None = None
        self._archive: Archive | None = None
        self._in_flight: dict[int, _Round] = {}
        self._rounds = Rounds(layout, len(judge.criteria), plan.main_criterion, plan.lag)
        self._open: dict[int, _Seed] = {}
        self._unjudged: list[Outcome] = []
        self._held: dict[int, Held] = {}
        self._seconds = 0.0

    def stop(self, why: str) -> None:
        """End after the running step: seeds that are open stay so, for a later run."""
        self.ended = self.ended or why

    def run(self, archive: Archive | None = None) -> Iterator[Tally]:
        """Run to the end, or to where it is stopped; yields whenever there is news."""
        self._archive = archive
        if archive is not None:
            self._held = recall(archive, self.tally, self._rounds, self.plan.round_size)
            self._seconds = self.tally.seconds
        engine = self._warm_up()
        start = judged = time.perf_counter()
        admitted, more = 0, True
        while (more or self._in_flight) and not self.ended:
            if more and engine.busy < 2 * self.plan.lanes and not self._rounds.waits(admitted):
                more = self._admit(admitted)
                admitted += 1
            for current in self._in_flight.values():
                batch = [current.tries.popleft() for _ in range(min(engine.room, len(current.tries)))]
                if batch:
                    engine.push(batch, current.aims)
            for outcome in engine.advance(CHUNK if self.tally.steps else 1):
                self._end(outcome)
            drained = not engine.busy and not any(current.tries for current in self._in_flight.values())
            now = drained or not self.tally.found or time.perf_counter() - judged > JUDGE_EVERY
            if now or len(self._unjudged) >= self.judge.batch:
                self._judge_found()
                judged = time.perf_counter()
            self.tally.draining = not more and engine.busy < self.plan.lanes
            seconds = time.perf_counter() - start
            self._news(engine, seconds)
            self.stop(self.budget.reached(self.tally, seconds) or "")
            yield self.tally
        self.stop(UNREADABLE if self.fault else "")
        if self.ended:
            self._judge_found()
            self._news(engine, time.perf_counter() - start)
            yield self.tally

    def _news(self, engine: Engine, seconds: float) -> None:
        self.tally.lane_steps = engine.ran * self.plan.lanes
        self.tally.queries = self.tally.steps * self.method.search.queries_a_step
        self.tally.seconds = self._seconds + seconds
        self.tally.coverage = self._rounds.coverage

    def _warm_up(self) -> Engine:
        """Compile every program that the campaign will run; two at a time."""
        start, first = time.perf_counter(), self.seeds.first
        with ThreadPoolExecutor(1) as other:
            judging = other.submit(lambda: self.judge.measures(first, first, self.judge.judge(first)))
            shape = self.method.constraint.encoding.shape(first.shape[1:])
            models, _, classes = self.judge.panel.shapes(shape).outputs.shape
            engine = Engine(self.method, self.plan.rng, self.plan.lanes, first.shape[1:], (models, classes))
            engine.warm_up(self._rounds.aims(-1))
            judging.result()
        self.tally.compile_seconds = time.perf_counter() - start
        return engine

    def _admit(self, index: int) -> bool:
        """Read the seeds of a round, those on which models differ need no search; are there more?"""
        size, total, held = self.plan.round_size, self.seeds.total, self._held.pop(index, Held())
        first = index * size
        done = held.seeds == len(held.closed) == size
        try:
            block = self.seeds.read(first, size) if not done or not index else None
        except Exception as error:  # a generator of the user's own may raise anything
            if not index:
                raise
            self.fault = error
            return False
        if block is not None:
            held.same(block)
            if not done and len(block):
                self._open_round(index, block, held.closed)
        seeds = size if block is None else len(block)
        self.tally.seeds += seeds
        return seeds == size and (total is None or first + size < total)

    def _open_round(self, index: int, block: Block, closed: set[int]) -> None:
        """Open the seeds of a round whose fate is not known."""
        first = index * self.plan.round_size
        said = self.judge.read(block.codes)
        read = self.judge.seeds(said.outputs, block.truth)
        new = np.array([first + row not in closed for row in range(len(block))])
        for row in np.flatnonzero(new & ~read.differ).tolist():
            told = (
                tuple(read.decisions[row].tolist()),
                bool(read.right[row]),
                read.labels[row],
                read.said[row],
            )
            self._open[first + row] = _Seed(block.codes[row], said.outputs[:, row], *told)
        agree = (first + np.flatnonzero(new & ~read.differ)).tolist()
        if agree:
            tries = deque(self._try(seed, 0) for seed in agree)
            self._in_flight[index] = _Round(len(agree), tries, self._rounds.aims(index))
            self._rounds.opened(index, len(agree))
        differ = np.flatnonzero(read.differ & new)
        self._rounds.reach(index, np.any(said.covered[differ], axis=0))
        self.tally.already_differ += len(differ)
        self.tally.closed += len(differ)
        if self._archive is not None:
            came = self._differing(index, block.codes[differ], differ, read, said.rows(differ))
            whole = np.any(said.covered, axis=0)
            self._archive.commit_round(index, len(block), whole, block.digest(len(block)), *came)

    def _try(self, seed: int, turn: int) -> Try:
        return Try(seed, turn, self._open[seed].codes, self._open[seed].outputs)

    def _end(self, outcome: Outcome) -> None:
        """A try ended: judge it, try again, or give the seed up."""
        seed = outcome.seed
        self._open[seed].spent += outcome.steps
        self.tally.steps += outcome.steps
        current = self._in_flight[seed // self.plan.round_size]
        if outcome.found:
            self._unjudged.append(outcome)
        elif outcome.turn + 1 < self.method.search.tries:
            current.tries.append(self._try(seed, outcome.turn + 1))
            due = seed // self.plan.round_size + outcome.turn
            self._rounds.opened(due, -1)
            self._rounds.opened(due + 1)
        else:
            self._close([self._record(outcome, "not_found")], [])

    def _record(self, outcome: Outcome, fate: str) -> SeedRecord:
        number, seed = outcome.seed, self._open[outcome.seed]
        index, queries = number // self.plan.round_size, seed.spent * self.method.search.queries_a_step
        told = (seed.label, seed.decisions, fate, outcome.turn + 1, seed.spent, queries)
        return SeedRecord(number, index, *told)

    def _close(self, seeds: Sequence[SeedRecord], findings: Sequence[Finding]) -> None:
        """These fates are known: keep them together with their findings."""
        if self._archive is not None:
            self._archive.commit(seeds, findings, seconds=self.tally.seconds)
        for record in seeds:
            self._rounds.opened(record.round + record.tries - 1, -1)
            self._in_flight[record.round].open -= 1
            if not self._in_flight[record.round].open:
                del self._in_flight[record.round]
            self._open.pop(record.seed, None)
        self.tally.closed += len(seeds)

    def _judge_found(self) -> None:
        """Decode what was found, judge it by the plain models, and keep what still divides them."""
        if not self._unjudged:
            return
        outcomes, self._unjudged = self._unjudged, []
        codes = np.stack([outcome.codes for outcome in outcomes])
        judged = self.judge.judge(codes)
        stands = self.judge.differ(judged.outputs)
        fates = np.where(stands, "found", "rejudged_away").tolist()
        records = [self._record(o, fate) for o, fate in zip(outcomes, fates, strict=True)]
        rows = np.flatnonzero(stands)
        findings = self._findings([outcomes[row] for row in rows], codes[rows], judged.rows(rows))
        for row, finding in zip(rows.tolist(), findings, strict=True):
            records[row] = replace(records[row], finding=finding.id)
            self._rounds.reach(records[row].round + outcomes[row].turn, finding.covered)
        self.tally.found += len(outcomes)
        self.tally.rejudged_away += int((~stands).sum())
        self.tally.count(findings)
        self._close(records, findings)

    def _findings(
        self, outcomes: Sequence[Outcome], after: Shaped[np.ndarray, "k *x"], judged: Judgement
    ) -> list[Finding]:
        """Inputs on which models differ, measured."""
        if not outcomes:
            return []
        seeds = [self._open[outcome.seed] for outcome in outcomes]
        before = np.stack([seed.codes for seed in seeds])
        latents = jax.tree.map(lambda *rows: np.stack(rows), *(outcome.latents for outcome in outcomes))
        measures = self.judge.measures(before, after, judged, latents)
        for seed, measured in zip(seeds, measures, strict=True):
            measured.update(seed.said)
        reasons = self.judge.reasons(judged, measures, np.array([seed.right for seed in seeds]))
        told = [
            (m, why, seed.label, seed.spent) for m, why, seed in zip(measures, reasons, seeds, strict=True)
        ]
        numbers = np.array([outcome.seed for outcome in outcomes])
        return kept(
            self.method.constraint.encoding, "search", numbers, (before, after), judged, told, latents
        )

    def _differing(
        self,
        index: int,
        codes: Shaped[np.ndarray, "d *x"],
        rows: Int[np.ndarray, " d"],
        read: Read,
        said: Said,
    ) -> tuple[list[SeedRecord], list[Finding]]:
        """Seeds on which models differ as they are: kept apart from what the search finds."""
        if not len(rows):
            return [], []
        judged = self.judge.judge(codes, said)
        measures = self.judge.measures(codes, codes, judged)
        told = []
        for measured, row in zip(measures, rows, strict=True):
            measured.update({key: value for key, value in read.said[row].items() if key != "agreed"})
            told.append((measured, ("already_differ",), read.labels[row], 0))
        seeds = index * self.plan.round_size + rows
        findings = kept(self.method.constraint.encoding, "seed", seeds, (codes, codes), judged, told)
        records = [
            SeedRecord(f.seed, index, f.label, f.decisions, "already_differ", finding=f.id) for f in findings
        ]
        return records, findings
