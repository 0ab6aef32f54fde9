"""The outer loop: read the seeds, search from each, judge again what was found, keep it.

Seeds go in rounds. What a seed aims at depends on its own key and on coverage that is at least `lag`
rounds old, never on lanes or timing: a campaign with the same config and rng finds the same. A restart
counts as a round's delay: what the t-th restart of a seed covers guides rounds from `lag + t` on, so that
no round waits for the hardest seeds of the one before.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from xplore.archive import Archive
from xplore.engine import Engine, Outcome, Try
from xplore.finding import Finding, SeedRecord, content_hash
from xplore.lanes import CHUNK, Method
from xplore.plan import Plan, Tally
from xplore.units import Layout
from xplore.validity import Judge, Judgement

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
    """An open seed: what the models say of it, and the steps spent on it."""

    outputs: Float[np.ndarray, "m c"]
    decisions: tuple[int, ...]
    right: bool
    label: int | None
    said: dict[str, Any]
    spent: int = 0


class Campaign:
    """One run over given seeds: `for tally in campaign.run(archive): ...`.

    `archive` may be None: then only the tally is kept (a baseline beside a campaign).
    """

    def __init__(
        self,
        method: Method,
        judge: Judge,
        layout: Layout,
        inputs: Shaped[np.ndarray, "n *x"],
        truth: Shaped[np.ndarray, " n"] | None,
        plan: Plan,
    ) -> None:
        self.method, self.judge, self.layout, self.plan = method, judge, layout, plan
        self.inputs, self.truth, self.tally = inputs, truth, Tally()
        self.covered = np.zeros((len(judge.criteria), layout.n_units), bool)
        self._spans = layout.spans()
        self._neurons = {name: s for name, s in self._spans.items() if s.stop > s.start}
        self._archive: Archive | None = None
        self._rounds: dict[int, _Round] = {}
        self._open: Counter[int] = Counter()  # open tries by round + turn: the round they are due for
        self._due: dict[int, Bool[np.ndarray, "criteria u"]] = {}  # what they covered, likewise
        self._seeds: dict[int, _Seed] = {}
        self._unjudged: list[Outcome] = []

    def run(self, archive: Archive | None = None) -> Iterator[Tally]:
        """Run to the end; yields whenever there is news."""
        self._archive = archive
        engine = self._warm_up()
        start = judged = time.perf_counter()
        rounds, admitted = -(-len(self.inputs) // self.plan.round_size), 0
        while admitted < rounds or self._rounds:
            if admitted < rounds and engine.busy < 2 * self.plan.lanes and not self._waits(admitted):
                self._admit(admitted)
                admitted += 1
            for current in self._rounds.values():
                batch = [current.tries.popleft() for _ in range(min(engine.room, len(current.tries)))]
                if batch:
                    engine.push(batch, current.aims)
            for outcome in engine.advance(CHUNK if self.tally.steps else 1):
                self._end(outcome)
            drained = not engine.busy and not any(current.tries for current in self._rounds.values())
            now = drained or not self.tally.found or time.perf_counter() - judged > JUDGE_EVERY
            if now or len(self._unjudged) >= self.judge.batch:
                self._judge_found()
                judged = time.perf_counter()
            self.tally.draining = admitted == rounds and engine.busy < self.plan.lanes
            self.tally.queries = self.tally.steps * self.method.search.queries_a_step
            self.tally.seconds = time.perf_counter() - start
            row = self.covered[self.plan.main_criterion]
            self.tally.coverage = {name: float(row[span].mean()) for name, span in self._neurons.items()}
            yield self.tally
            if self.plan.query_limit is not None and self.tally.queries >= self.plan.query_limit:
                self._judge_found()
                return

    def _warm_up(self) -> Engine:
        """Compile every program that the campaign will run; two at a time."""
        start, first = time.perf_counter(), self.inputs[:1]
        with ThreadPoolExecutor(1) as other:
            judging = other.submit(lambda: self.judge.measures(first, first, self.judge.judge(first)))
            shape = self.method.constraint.encoding.shape(first.shape[1:])
            models, _, classes = self.judge.panel.shapes(shape).outputs.shape
            engine = Engine(self.method, self.plan.rng, self.plan.lanes, first.shape[1:], (models, classes))
            engine.warm_up(self._aims(0))
            judging.result()
        self.tally.compile_seconds = time.perf_counter() - start
        return engine

    def _waits(self, index: int) -> bool:
        """Is coverage that guides this round still to come?"""
        return any(count and due <= index - self.plan.lag for due, count in self._open.items())

    def _aims(self, index: int) -> tuple[Bool[np.ndarray, " _"], ...]:
        """What the seeds of a round take as covered, model by model."""
        row = np.zeros(self.layout.n_units, bool)
        for due, covered in self._due.items():
            if due <= index - self.plan.lag:
                row |= covered[self.plan.main_criterion]
        return tuple(row[span] for span in self._spans.values())

    def _admit(self, index: int) -> None:
        """Read the seeds of a round: those on which models differ need no search."""
        first = index * self.plan.round_size
        at = slice(first, first + self.plan.round_size)
        outputs, covered = self.judge.read(self.inputs[at])
        read = self.judge.seeds(outputs, None if self.truth is None else self.truth[at])
        for row, label in enumerate(read.labels):
            if not read.differ[row]:
                told = tuple(read.decisions[row].tolist()), bool(read.right[row]), label, read.said[row]
                self._seeds[first + row] = _Seed(outputs[:, row], *told)
        agree = (first + np.flatnonzero(~read.differ)).tolist()
        if agree:
            tries = deque(self._try(seed, 0) for seed in agree)
            self._rounds[index] = _Round(len(agree), tries, self._aims(index))
            self._open[index] += len(agree)
        differ = np.flatnonzero(read.differ)
        self._reach(index, np.any(covered[differ], axis=0))
        self.tally.seeds += len(covered)
        self.tally.already_differ += len(differ)
        self.tally.closed += len(differ)
        if self._archive is not None:
            self._archive.commit_round(index, len(covered), np.any(covered, axis=0))
            told = [(read.labels[row], read.said[row]) for row in differ]
            self._keep_differing(first + differ, index, (outputs[:, differ], covered[differ]), told)

    def _try(self, seed: int, turn: int) -> Try:
        return Try(seed, turn, self.inputs[seed], self._seeds[seed].outputs)

    def _reach(self, due: int, covered: Bool[np.ndarray, "criteria u"]) -> None:
        """This is covered, and guides rounds from `due + lag` on."""
        self.covered |= covered
        self._due[due] = self._due.get(due, np.zeros_like(covered)) | covered

    def _end(self, outcome: Outcome) -> None:
        """A try ended: judge it, try again, or give the seed up."""
        seed = outcome.seed
        self._seeds[seed].spent += outcome.steps
        self.tally.steps += outcome.steps
        current = self._rounds[seed // self.plan.round_size]
        if outcome.found:
            self._unjudged.append(outcome)
        elif outcome.turn + 1 < self.method.search.tries:
            current.tries.append(self._try(seed, outcome.turn + 1))
            due = seed // self.plan.round_size + outcome.turn
            self._open.update({due: -1, due + 1: 1})
        else:
            self._close([self._record(outcome, "not_found")], [])

    def _record(self, outcome: Outcome, fate: str) -> SeedRecord:
        number, seed = outcome.seed, self._seeds[outcome.seed]
        index, queries = number // self.plan.round_size, seed.spent * self.method.search.queries_a_step
        told = (seed.label, seed.decisions, fate, outcome.turn + 1, seed.spent, queries)
        return SeedRecord(number, index, *told)

    def _close(self, seeds: Sequence[SeedRecord], findings: Sequence[Finding]) -> None:
        """These fates are known: keep them together with their findings."""
        if self._archive is not None:
            self._archive.commit(seeds, findings)
        for record in seeds:
            self._open[record.round + record.tries - 1] -= 1
            self._rounds[record.round].open -= 1
            if not self._rounds[record.round].open:
                del self._rounds[record.round]
            self._seeds.pop(record.seed, None)
        self.tally.closed += len(seeds)

    def _judge_found(self) -> None:
        """Decode what was found, judge it by the plain models, and keep what still divides them."""
        if not self._unjudged:
            return
        outcomes, self._unjudged = self._unjudged, []
        codes = np.stack([outcome.codes for outcome in outcomes])
        judged = self.judge.judge(codes)
        stands = self.judge.differ(judged.outputs)
        kept = np.flatnonzero(stands)
        fates = np.where(stands, "found", "rejudged_away").tolist()
        records = [self._record(o, fate) for o, fate in zip(outcomes, fates, strict=True)]
        findings: list[Finding] = []
        if len(kept):
            origin = np.array([outcome.seed for outcome in outcomes])[kept]
            part = judged.rows(kept)
            seeds = [self._seeds[number] for number in origin]
            latents = jax.tree.map(lambda *rows: np.stack(rows), *(outcomes[row].latents for row in kept))
            measures = self.judge.measures(self.inputs[origin], codes[kept], part, latents)
            for seed, measured in zip(seeds, measures, strict=True):
                measured.update(seed.said)
            reasons = self.judge.reasons(part, measures, np.array([seed.right for seed in seeds]))
            told = (measures, reasons, [seed.label for seed in seeds], [seed.spent for seed in seeds])
            findings = self._findings("search", origin, codes[kept], part, *told)
            turns = [outcomes[row].turn for row in kept.tolist()]
            for finding, turn in zip(findings, turns, strict=True):
                self._reach(finding.seed // self.plan.round_size + turn, finding.covered)
        self.tally.found += len(outcomes)
        self.tally.rejudged_away += int((~stands).sum())
        self.tally.findings += len(findings)
        self.tally.valid += sum(finding.valid for finding in findings)
        self.tally.groups |= {finding.group for finding in findings if finding.valid}
        self._close(records, findings)

    def _keep_differing(
        self,
        seeds: Int[np.ndarray, " d"],
        index: int,
        known: tuple[Any, Any],
        told: Sequence[tuple[int | None, dict[str, Any]]],
    ) -> None:
        """Seeds on which models differ as they are: kept apart from what the search finds."""
        if not len(seeds):
            return
        codes = self.inputs[seeds]
        judged = self.judge.judge(codes, known)
        measures = self.judge.measures(codes, codes, judged)
        reasons = [("already_differ",)] * len(seeds)
        for measured, (_, said) in zip(measures, told, strict=True):
            measured.update({key: value for key, value in said.items() if key != "agreed"})
        labels = [label for label, _ in told]
        findings = self._findings("seed", seeds, codes, judged, measures, reasons, labels, [0] * len(seeds))
        records = [
            SeedRecord(finding.seed, index, finding.label, finding.decisions, "already_differ")
            for finding in findings
        ]
        assert self._archive is not None
        self._archive.commit(records, findings)

    def _findings(
        self,
        origin: str,
        seeds: Int[np.ndarray, " k"],
        codes: Shaped[np.ndarray, "k *x"],
        judged: Judgement,
        measures: Sequence[dict[str, Any]],
        reasons: Sequence[tuple[str, ...]],
        labels: Sequence[int | None],
        steps: Sequence[int],
    ) -> list[Finding]:
        findings, encoding = [], self.method.constraint.encoding
        for row, seed in enumerate(seeds.tolist()):
            before, after = encoding.pack(self.inputs[seed]), encoding.pack(codes[row])
            findings.append(
                Finding(
                    id=content_hash(before + after)[:12],
                    origin=origin,
                    seed=seed,
                    before=before,
                    after=after,
                    media=encoding.media,
                    label=labels[row],
                    decisions=tuple(judged.decisions[:, row].tolist()),
                    probabilities=judged.probabilities[:, row],
                    reasons=reasons[row],
                    measures={k: v for k, v in measures[row].items() if k != "within"},
                    steps=steps[row],
                    covered=judged.covered[row],
                )
            )
        return findings
