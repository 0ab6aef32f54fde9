"""What becomes of seeds: the models read them, lanes search from them, and what is found is judged.

The lanes step in the caller's thread. All that is done once a seed (reading, judging, measuring, encoding,
storing) is done beside it, in one thread of its own.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jaxtyping import Bool, Int, Shaped

from xplore._util.jax_settings import Thread
from xplore.archive.records import Finding, SeedRecord
from xplore.campaign.findings import make_findings
from xplore.campaign.judge import Judge, Outputs, SeedLabels, Validity
from xplore.campaign.messages import Here, Seed, SeedBatch, WorkItem, WorkResult
from xplore.campaign.settings import RunOptions
from xplore.engine.engine import Engine, Outcome, Try
from xplore.engine.step import Method

JUDGE_EVERY = 5.0
"""Seconds that a finding waits at most: when it is judged decides nothing but when it is seen."""
SOON = 4
"""Where fewer seeds a lane are left, lanes may soon wait for the next round, and that for what was found."""


class Worker:
    """Takes tasks (`open`), and tells what came of them (`news`).

    `keep` is called with what came before it is told, in another thread: what is told is on disk. Where it
    has but one core, nothing is done `beside` the lanes.
    """

    def __init__(
        self,
        method: Method,
        judge: Judge,
        plan: RunOptions,
        keep: Callable[[WorkResult], None] = lambda news: None,
        *,
        beside: bool = True,
    ) -> None:
        self.method, self.judge, self.plan, self._keep = method, judge, plan, keep
        self._engine: Engine | None = None
        self._beside: Executor = Thread("xplore-beside") if beside else Here()
        self._under_way: deque[Future[tuple[WorkResult, list[Seed]]]] = deque()
        self._coverage: dict[int, tuple[Bool[np.ndarray, " _"], ...]] = {}
        self._waiting: dict[tuple[int, bool], deque[Seed]] = {}
        self._open: dict[int, Seed] = {}
        self._ended: list[tuple[Seed, Outcome]] = []
        self._reading: Counter[int] = Counter()
        self._handed_over = time.perf_counter()

    @property
    def lanes(self) -> int:
        return self.plan.lanes

    @property
    def load(self) -> int:
        """How many seeds wait or are searched from."""
        waiting = self._reading.total() + sum(map(len, self._waiting.values()))
        return waiting + (self._engine.busy if self._engine else 0)

    def warm_up(
        self, first: Shaped[np.ndarray, "1 *x"], coverage: tuple[Bool[np.ndarray, " _"], ...]
    ) -> None:
        """Compile every program that will run; two at a time.

        Raises:
            InputError: a model does not answer a single input, as one is judged.
        """
        try:
            self._compile(first, coverage)
        except Exception:
            self.judge.panel.check_alone(self.judge.constraint.encoding.decode(first))
            raise

    def _compile(
        self, first: Shaped[np.ndarray, "1 *x"], coverage: tuple[Bool[np.ndarray, " _"], ...]
    ) -> None:
        shape, devices = self.method.constraint.encoding.shape(first.shape[1:]), jax.local_devices()
        if self.judge.panel.asks_host(shape):
            # Two programs that wait for Python at once can take all of XLA's threads, and wait for ever.
            self._beside, devices = Here(), devices[:1]
        judged = self._beside.submit(lambda: self.judge.judge(first))
        as_seed = self._beside.submit(lambda: self.judge.measures(first, first, judged.result()))
        models, *_, classes = self.judge.panel.shapes(shape).outputs.shape
        self._engine = Engine(
            self.method, self.plan.rng, self.plan.lanes, first.shape[1:], (models, classes), devices
        )
        latents = self._engine.warm_up(coverage)  # with them, what is found is measured by another program
        as_found = self._beside.submit(lambda: self.judge.measures(first, first, judged.result(), latents))
        for compiled in (as_seed, as_found):
            compiled.result()

    def _do(self, job: Callable[[], tuple[WorkResult, list[Seed]]]) -> None:
        """Start a job beside the lanes; what comes of it is kept at once."""

        def done() -> tuple[WorkResult, list[Seed]]:
            news, opened = job()
            self._keep(news)
            return news, opened

        self._under_way.append(self._beside.submit(done))

    def open(self, task: WorkItem) -> None:
        """Take a task, what was left of others first; it is searched from as its batches are read."""
        self._coverage |= task.coverage
        self._take_in(task.unfinished)
        while len(task.block):
            batch, task = task.parted(self.judge.batch)
            self._reading[task.round] += len(batch.block)
            self._do(partial(self._read, batch))

    def set_coverage(self, index: int, coverage: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """What the seeds of a round that is open aim beside: they may be searched from."""
        self._coverage[index] = coverage

    def through(self, task: WorkItem) -> WorkResult:
        """All that comes of a task.

        Where more will follow, it ends when half of the lanes are idle: the tries in the others are left.
        """
        assert self._engine is not None, "warm up first"
        self.open(task)
        came = WorkResult()
        while self.load or self._ended or self._under_way:
            came.add(self.news())
            if task.more and self.load < self.lanes / 2:
                came.add(self.finish())
                came.unfinished += self._open.values()
                self._engine.leave()
                self._open, self._waiting = {}, {}
        return came

    def news(self) -> WorkResult:
        """Step the lanes once or some times; what came meanwhile."""
        engine = self._engine
        assert engine is not None, "warm up first"
        came, before = WorkResult(), engine.lane_steps
        self._collect(came, at_least=int(not engine.busy and not self._ready()))
        self._push(engine)
        for outcome in engine.advance():
            came.steps += outcome.steps
            self._end(outcome, came)
        came.lane_steps = engine.lane_steps - before
        self._collect(came, at_least=0)
        self._hand_over()
        return came

    def _ready(self) -> list[tuple[int, bool]]:
        """Whose aims are known: older rounds first, and last of each the seeds that are answered wrongly.

        Nothing valid can come of those: they wait until all are read, so that a budget goes to the others.
        """
        known = (key for key in self._waiting if key[0] in self._coverage)
        return sorted((index, wrong) for index, wrong in known if not (wrong and self._reading[index]))

    def _push(self, engine: Engine) -> None:
        """Fill the engine's queue."""
        for key in self._ready():
            tries = self._waiting[key]
            batch = [tries.popleft() for _ in range(min(engine.room, len(tries)))]
            if batch:
                rows = [Try(seed.number, seed.attempt, seed.codes, seed.outputs) for seed in batch]
                engine.push(rows, self._coverage[key[0]])
            if not tries:
                del self._waiting[key]
        rounds = {seed.round for seed in self._open.values()} | {i for i, n in self._reading.items() if n}
        self._coverage = {index: coverage for index, coverage in self._coverage.items() if index in rounds}

    def finish(self) -> WorkResult:
        """Judge what was found so far; seeds that are searched from stay open."""
        self._hand_over(all_of_it=True)
        came = WorkResult()
        self._collect(came, at_least=len(self._under_way))
        return came

    def close(self) -> None:
        """Let the job that runs end, and start none any more."""
        self._beside.shutdown(wait=True, cancel_futures=True)

    def _collect(self, came: WorkResult, at_least: int) -> None:
        """What the jobs beside the lanes have brought; waits for some of them."""
        if at_least and self._under_way:
            wait(list(self._under_way)[:at_least])
        while self._under_way and self._under_way[0].done():
            news, opened = self._under_way.popleft().result()
            came.add(news)
            for reading in news.read:
                self._reading[reading.round] -= reading.seeds
            self._take_in(opened)

    def _take_in(self, seeds: Sequence[Seed]) -> None:
        """These seeds wait for a lane."""
        for seed in seeds:
            self._open[seed.number] = seed
            self._waiting.setdefault((seed.round, not seed.right), deque()).append(seed)

    def _end(self, outcome: Outcome, came: WorkResult) -> None:
        """A try ended: judge it, try again, or give the seed up."""
        seed = self._open.pop(outcome.seed)
        seed.spent += outcome.steps
        if not outcome.found and seed.attempt + 1 < self.method.search.tries:
            came.retries.append(seed.due)
            seed.attempt += 1
            self._take_in([seed])
        else:
            self._ended.append((seed, outcome))

    def _hand_over(self, *, all_of_it: bool = False) -> None:
        """Have judged what ended, once it fills a batch, or lanes may soon wait for the round after it."""
        if not self._ended:
            return
        assert self._engine is not None
        idle = not self._under_way and self._engine.busy < self.plan.lanes
        late = time.perf_counter() - self._handed_over > JUDGE_EVERY
        last = self.load < SOON * self.plan.lanes and (
            min(seed.due for seed, _ in self._ended) < min((s.due for s in self._open.values()), default=0)
        )
        whole = len(self._ended) // self.judge.batch * self.judge.batch
        if count := len(self._ended) if all_of_it or idle or late or last else whole:
            ended, self._ended = self._ended[:count], self._ended[count:]
            self._handed_over = time.perf_counter()
            self._do(lambda: (self._judge(ended), []))

    def _read(self, task: WorkItem) -> tuple[WorkResult, list[Seed]]:
        """What the models say of seeds; those on which they differ need no search."""
        block, index = task.block, task.round
        outputs = self.judge.read(block.codes)
        read = self.judge.seeds(outputs.outputs, block.truth)
        new = np.array([task.first + row not in task.closed for row in range(len(block))])
        opened = []
        for row in np.flatnonzero(new & ~read.differ).tolist():
            decisions = tuple(read.decisions[row].tolist())
            answers = decisions, bool(read.right[row]), read.labels[row], read.facts[row]
            opened.append(Seed(task.first + row, index, block.codes[row], outputs.outputs[:, row], *answers))
        differ = np.flatnonzero(read.differ & new)
        records, findings = self._differing(task, block.codes[differ], differ, read, outputs.rows(differ))
        covered = np.any(outputs.covered, axis=0)
        return WorkResult(read=[SeedBatch(index, len(block), covered, records, findings)]), opened

    def _judge(self, ended: Sequence[tuple[Seed, Outcome]]) -> WorkResult:
        """Decode what was found, judge it by the plain models, and keep what still divides them."""
        records = [self._record(seed, outcome, "not_found") for seed, outcome in ended if not outcome.found]
        found = [(seed, outcome) for seed, outcome in ended if outcome.found]
        if not found:
            return WorkResult(records=records)
        codes = np.stack([outcome.codes for _, outcome in found])
        judged = self.judge.judge(codes)
        stands = self.judge.differ(judged.outputs) & self.judge.constraint.encoding.counts(codes)
        rows = np.flatnonzero(stands)
        findings = self._findings([found[row] for row in rows], codes[rows], judged.rows(rows))
        named = dict(zip(rows.tolist(), findings, strict=True))
        for row, (seed, outcome) in enumerate(found):
            record = self._record(seed, outcome, "found" if stands[row] else "rejudged_away")
            records.append(replace(record, finding=named[row].id) if row in named else record)
        return WorkResult(records=records, findings=findings)

    def _record(self, seed: Seed, outcome: Outcome, fate: str) -> SeedRecord:
        queries = seed.spent * self.method.search.queries_a_step
        figures = (seed.label, seed.decisions, fate, outcome.attempt + 1, seed.spent, queries)
        return SeedRecord(seed.number, seed.round, *figures)

    def _findings(
        self, found: Sequence[tuple[Seed, Outcome]], after: Shaped[np.ndarray, "k *x"], judged: Validity
    ) -> list[Finding]:
        """Inputs on which models differ, measured."""
        if not found:
            return []
        before = np.stack([seed.codes for seed, _ in found])
        latents = jax.tree.map(lambda *rows: np.stack(rows), *(outcome.latents for _, outcome in found))
        measures = self.judge.measures(before, after, judged, latents)
        for (seed, _), measured in zip(found, measures, strict=True):
            measured.update(seed.facts)
        reasons = self.judge.reasons(judged, measures, np.array([seed.right for seed, _ in found]))
        expected = [seed.facts["agreed"] if seed.label is None else seed.label for seed, _ in found]
        doubts = self.judge.doubts(before, after, judged, measures, expected)
        for measured, why in zip(measures, doubts, strict=True):
            measured.update({"doubts": list(why)} if why else {})
        rows = zip(measures, reasons, found, strict=True)
        judgements = [(m, why, seed.label, seed.spent) for m, why, (seed, _) in rows]
        numbers, encoding = np.array([seed.number for seed, _ in found]), self.method.constraint.encoding
        return make_findings(encoding, "search", numbers, (before, after), judged, judgements, latents)

    def _differing(
        self,
        task: WorkItem,
        codes: Shaped[np.ndarray, "d *x"],
        rows: Int[np.ndarray, " d"],
        read: SeedLabels,
        outputs: Outputs,
    ) -> tuple[list[SeedRecord], list[Finding]]:
        """Seeds on which models differ as they are: kept apart from what the search finds."""
        if not len(rows):
            return [], []
        judged = self.judge.judge(codes, outputs)
        measures = self.judge.measures(codes, codes, judged)
        found = []
        for measured, row in zip(measures, rows, strict=True):
            measured.update({key: value for key, value in read.facts[row].items() if key != "agreed"})
            found.append((measured, ("already_differ",), read.labels[row], 0))
        encoding = self.method.constraint.encoding
        findings = make_findings(encoding, "seed", task.first + rows, (codes, codes), judged, found)
        records = [
            SeedRecord(f.seed, task.round, f.label, f.decisions, "already_differ", finding=f.id)
            for f in findings
        ]
        return records, findings
