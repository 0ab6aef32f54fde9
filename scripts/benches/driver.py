"""Findings/s that the driver takes in: results of a thousand workers arrive, as fast as it can.

Each result is a real one of a task, with other pictures, pickled as Ray sends it. The driver is a campaign as it
runs on a cluster: it reads the seeds, opens each result, commits it, and lets it guide later rounds.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benches._prepared import prepared
from xplore.archive import Archive
from xplore.archive.records import content_hash
from xplore.campaign import Campaign
from xplore.campaign.messages import SeedBatch, WorkItem, WorkResult
from xplore.campaign.provenance import record
from xplore.campaign.worker import Worker
from xplore.evaluation.sources import Held

TITLE = "What the driver takes in"
BOUND = 2000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="mnist")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--task", type=int, default=32, help="seeds a task")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    size = options.workers * options.task
    campaign = prepared(options.config, size, options.task, round_size=size // 4)
    rng = np.random.default_rng(0)
    codes = np.stack([noisy(code, rng) for code in campaign.seeds.read(0, size).codes])
    campaign.seeds = Held(codes, campaign.seeds.read(0, size).truth)
    real = one_task(campaign, options.task)
    results = {
        first: pickle.dumps(arriving(campaign, real, codes, first, rng))
        for first in range(0, size, options.task)
    }
    campaign.backend = lambda method, judge, plan, keep: Arriving(results, options.task, keep)
    meta = record(campaign.method, campaign.layout, campaign.judge.criteria, campaign.plan, 10)
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), meta)
        start = time.perf_counter()
        for _ in campaign.run(archive):
            pass
        spent = time.perf_counter() - start
        kept, bytes_ = len(list(archive.findings())), archive.path.stat().st_size
        archive.close()
    assert kept == campaign.tally.findings > 0 and campaign.tally.closed == size
    return {
        "ratio": kept / spent / BOUND,
        "findings_per_second": kept / spent,
        "seeds_per_second": size / spent,
        "findings": kept,
        "seeds": size,
        "bytes_a_finding_on_disk": bytes_ / kept,
        "bytes_a_finding_sent": sum(map(len, results.values())) / kept,
        "seconds": spent,
        "workers": options.workers,
        "task": options.task,
    }


def one_task(campaign: Campaign, size: int) -> WorkResult:
    """What comes of a task."""
    fates = Worker(campaign.method, campaign.judge, campaign.plan)
    coverage = campaign.known(0)
    fates.warm_up(campaign.seeds.first, coverage)
    came = fates.through(WorkItem(0, 0, campaign.seeds.read(0, size), {0: coverage}))
    fates.close()
    return came


def noisy(code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same picture but for a few pixels."""
    changed = code.copy()
    changed.reshape(-1)[rng.integers(0, changed.size, 8)] = rng.integers(0, 256, 8)
    return changed


def arriving(
    campaign: Campaign, real: WorkResult, codes: np.ndarray, first: int, rng: np.random.Generator
) -> WorkResult:
    """The result of a task of other seeds, like a real one."""
    encoding = campaign.method.constraint.encoding
    index = first // campaign.plan.round_size
    renamed = {}

    def other(finding: Any) -> Any:
        before, after = encoding.pack(codes[first + finding.seed]), encoding.unpack(finding.after)
        after = encoding.pack(noisy(after, rng))
        named = content_hash(before + after)[:12]
        renamed[finding.id] = named
        return replace(finding, id=named, seed=first + finding.seed, before=before, after=after)

    def same(record: Any) -> Any:
        return replace(record, seed=first + record.seed, round=index, finding=renamed.get(record.finding))

    findings = [other(finding) for finding in real.findings]
    (read,) = real.read
    differ = [other(finding) for finding in read.findings]
    reading = SeedBatch(index, read.seeds, read.covered, [same(r) for r in read.records], differ)
    records = [same(record) for record in real.records]
    return WorkResult(
        steps=real.steps, lane_steps=real.lane_steps, read=[reading], records=records, findings=findings
    )


class Arriving:
    """A backend whose results are there already."""

    lanes = 1 << 30

    def __init__(self, results: dict[int, bytes], size: int, keep: Callable[[WorkResult], None]) -> None:
        self._results, self._size, self._keep = results, size, keep
        self._ready: deque[bytes] = deque()
        self.load = 0

    def warm_up(self, first: Any, coverage: Any) -> None:
        del first, coverage

    def open(self, task: WorkItem) -> None:
        for first in range(task.first, task.first + len(task.block), self._size):
            self._ready.append(self._results[first])

    def set_coverage(self, index: int, coverage: Any) -> None:
        """What comes has aimed already."""

    def news(self) -> WorkResult:
        if not self._ready:
            return WorkResult()
        came = pickle.loads(self._ready.popleft())  # bytes of its own
        self._keep(came)
        return came

    def finish(self) -> WorkResult:
        return WorkResult()

    def close(self) -> None:
        self._ready.clear()


def section(figures: dict[str, Any]) -> str:
    return TEXT.format(**figures, bound=BOUND)


TEXT = """
A replay of {workers:,} workers whose results ({task} seeds each, of the config mnist) lie ready: one driver takes
in **{findings_per_second:,.0f} findings/s** and {seeds_per_second:,.0f} seeds/s, all committed ({findings:,} findings
in {seconds:.1f} s; the bound is {bound:,}/s). A finding is {bytes_a_finding_sent:,.0f} bytes when it is sent and
{bytes_a_finding_on_disk:,.0f} on disk, its seed included.
"""
