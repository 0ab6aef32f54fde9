"""The outer loop: read the seeds, search from each, judge again what was found, keep it.

Seeds go in rounds. What a seed aims at depends on its own key and on coverage that is at least `lag`
rounds old (`scheduling.py`), never on lanes or timing: a campaign with the same config and rng finds the
same, also where it was cut off and went on: what is in the archive is all that a later run needs to know.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

import numpy as np
from jaxtyping import Bool

from xplore._util.jax_settings import Thread
from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord
from xplore.campaign.backends import Backend, Backends
from xplore.campaign.judge import Judge
from xplore.campaign.messages import SeedBatch, WorkItem, WorkResult
from xplore.campaign.resume import Held, restore
from xplore.campaign.scheduling import Rounds
from xplore.campaign.settings import Budget, RunOptions, Totals
from xplore.campaign.worker import Worker
from xplore.engine.step import Method
from xplore.evaluation.sources import Block, Seeds
from xplore.model.neurons import Layout

UNREADABLE = "ended before seeds that could not be read"


class Campaign:
    """One run over given seeds: `for tally in campaign.run(archive): ...`.

    `archive` may be None: then only the tally is kept (a baseline beside a campaign). One that holds a part
    of this campaign is completed. Where a round cannot be read, those before it are ended, and `fault` says
    why. `backend` says where it is computed, by default here.
    """

    def __init__(
        self,
        method: Method,
        judge: Judge,
        layout: Layout,
        seeds: Seeds,
        plan: RunOptions,
        budget: Budget = Budget(),
        backend: Backends = Worker,
    ) -> None:
        self.method, self.judge, self.layout, self.plan = method, judge, layout, plan.fitted(layout)
        self.seeds, self.budget, self.tally = seeds, budget, Totals()
        self.ended = ""
        self.fault: Exception | None = None
        self.backend = backend
        self._archive: Archive | None = None
        cells = [criterion.n_cells for criterion in judge.criteria]
        self._rounds = Rounds(layout, cells, plan.main_criterion, plan.lag)
        self._held: dict[int, Held] = {}
        self._digests: dict[int, tuple[int, str]] = {}
        self._parts: dict[int, list[SeedBatch]] = {}
        self._next_coverage: int | None = None
        self._unread, self._unfinished, self._seconds = 0, 0, 0.0

    def known(self, index: int) -> tuple[Bool[np.ndarray, " _"], ...]:
        """What the seeds of a round aim beside, model by model."""
        return self._rounds.known(index)

    def stop(self, why: str) -> None:
        """End after the running step: seeds that are open stay so, for a later run."""
        self.ended = self.ended or why

    def run(self, archive: Archive | None = None) -> Iterator[Totals]:
        """Run to the end, or to where it is stopped; yields whenever there is news."""
        self._archive = archive
        if archive is not None:
            self._held = restore(archive, self.tally, self._rounds, self.plan.round_size)
            self._seconds = self.tally.seconds
        backend = self.backend(self.method, self.judge, self.plan, self._keep)
        reader = Thread("xplore-reading")
        try:
            start = time.perf_counter()
            backend.warm_up(self.seeds.first, self._rounds.known(-1))
            self.tally.compile_seconds = time.perf_counter() - start
            yield from self._go(backend, reader)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)
            backend.close()

    def _go(self, backend: Backend, reader: Executor) -> Iterator[Totals]:
        start, admitted = time.perf_counter(), 0
        ahead = self._ahead(reader, 0)
        while (ahead or self._unread or self._unfinished) and not self.ended:
            if ahead and backend.load < 4 * backend.lanes and self._next_coverage is None:
                more = self._admit(admitted, ahead, backend)
                admitted += 1
                ahead = self._ahead(reader, admitted) if more else None
            if self._next_coverage is not None and not self._rounds.waits(self._next_coverage):
                backend.set_coverage(self._next_coverage, self._rounds.known(self._next_coverage))
                self._next_coverage = None
            self._take(backend.news())
            self.tally.draining = not ahead and backend.load < backend.lanes
            seconds = time.perf_counter() - start
            self._tell(seconds)
            self.stop(self.budget.reached(self.tally, seconds) or "")
            yield self.tally
        self.stop(UNREADABLE if self.fault else "")
        if self.ended:
            self._take(backend.finish())
            self._tell(time.perf_counter() - start)
            yield self.tally

    def _tell(self, seconds: float) -> None:
        self.tally.queries = self.tally.steps * self.method.search.queries_a_step
        self.tally.seconds = self._seconds + seconds
        self.tally.coverage = self._rounds.coverage

    def _ahead(self, reader: Executor, index: int) -> Future[Block | None]:
        """Begin to read the seeds of a round; nothing is read of one all of whose fates are known."""
        size = self.plan.round_size
        done = self._held.get(index, Held()).done(size)
        return reader.submit(lambda: self.seeds.read(index * size, size) if not done or not index else None)

    def _admit(self, index: int, ahead: Future[Block | None], backend: Backend) -> bool:
        """Have the seeds of a round read, before it is known what they aim beside; are there more?"""
        size, total, held = self.plan.round_size, self.seeds.total, self._held.pop(index, Held())
        try:
            block = ahead.result()
        except Exception as error:  # a generator of the user's own may raise anything
            if not index:
                raise
            self.fault = error
            return False
        seeds = size if block is None else len(block)
        more = seeds == size and (total is None or (index + 1) * size < total)
        if block is not None:
            held.same(block)
        if block is not None and seeds and not held.done(size):
            if self._archive is not None:
                self._digests[index] = seeds, block.digest(seeds)
            open_ = seeds - len(held.closed)
            self._unread += seeds
            self._unfinished += open_
            self._rounds.opened(index, open_)
            backend.open(WorkItem(index, index * size, block, closed=frozenset(held.closed), more=more))
            self._next_coverage = index
        else:
            self.tally.seeds += seeds
        return more

    def _keep(self, news: WorkResult) -> None:
        """Write what came into the archive; of a round, once all of it was read."""
        if self._archive is None:
            return
        for reading in news.read:
            parts = self._parts.setdefault(reading.round, [])
            parts.append(reading)
            seeds, digest = self._digests[reading.round]
            if sum(part.seeds for part in parts) == seeds:
                whole = np.any([part.covered for part in parts], axis=0)
                records = [record for part in parts for record in part.records]
                findings = [finding for part in parts for finding in part.findings]
                self._archive.commit_round(reading.round, seeds, whole, digest, records, findings)
                del self._parts[reading.round], self._digests[reading.round]
        if news.records:
            self._archive.commit(news.records, news.findings, seconds=self.tally.seconds)

    def _take(self, news: WorkResult) -> None:
        """Count what came, and let it guide later rounds."""
        self.tally.steps += news.steps
        self.tally.lane_steps += news.lane_steps
        for reading in news.read:
            self._unread -= reading.seeds
            self.tally.seeds += reading.seeds
            self.tally.already_differ += len(reading.records)
            self._end(reading.records, reading.findings)
        for due in news.retries:
            self._rounds.opened(due, -1)
            self._rounds.opened(due + 1)
        self.tally.found += sum(record.fate != "not_found" for record in news.records)
        self.tally.rejudged_away += sum(record.fate == "rejudged_away" for record in news.records)
        self.tally.count(news.findings)
        self._end(news.records, news.findings)

    def _end(self, records: Sequence[SeedRecord], findings: Sequence[Finding]) -> None:
        """The fates of seeds are known, and what their findings cover."""
        covered = {finding.id: finding.covered for finding in findings}
        for record in records:
            due = record.round + max(record.tries - 1, 0)
            if record.finding is not None:
                self._rounds.reach(due, covered[record.finding])
            self._rounds.opened(due, -1)
        self.tally.closed += len(records)
        self._unfinished -= len(records)
