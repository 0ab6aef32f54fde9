"""What rounds cost: coverage, as aims follow older coverage, and idle workers, as rounds wait for earlier ones.

Coverage is measured: the same campaign with other rounds and lags, over several random states. Idle workers are
simulated: tasks that take as long as real ones took here, handed out to so many workers as rounds allow.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benches._prepared import prepared
from xplore.archive import Archive
from xplore.campaign.messages import WorkItem
from xplore.campaign.provenance import record
from xplore.campaign.worker import Worker

TITLE = "What rounds and their lag cost"
ROUNDS = ((1, 1), (64, 1), (256, 1), (256, 2), (256, 4), (1000, 1))
CLUSTERS = (1, 10, 100, 1000)
VERDICTS = ("valid", "in_doubt", "invalid")
TASKS = ((1, 1), (1, 2), (2, 2), (4, 2), (4, 4))
"""Tasks of a round for each worker, and the lag."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="mnist")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--lanes", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="random states")
    parser.add_argument("--tasks", type=int, default=24, help="real ones that are timed")
    parser.add_argument("--task", type=int, default=64, help="seeds of one")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    covered = [{"round_size": size, "lag": lag, **coverage(options, size, lag)} for size, lag in ROUNDS]
    took = durations(options)
    busy = [
        {
            "workers": workers,
            "tasks_a_worker": tasks,
            "lag": lag,
            "busy": simulated(took, workers, tasks, lag),
        }
        for tasks, lag in TASKS
        for workers in CLUSTERS
    ]
    by_round = {(one["round_size"], one["lag"]): one["coverage"] for one in covered}
    return {
        "ratio": by_round[1000, 1] / by_round[1, 1],
        "coverage": covered,
        "busy": busy,
        "task_seconds": [min(took), statistics.median(took), max(took)],
        "config": options.config,
        "seeds": options.seeds,
        "task": options.task,
        "repeats": options.repeats,
    }


def coverage(options: argparse.Namespace, size: int, lag: int) -> dict[str, Any]:
    """Of the valid findings, by the criterion that guides the search: all units; medians."""
    told, verdicts = [], []
    for rng in range(options.repeats):
        campaign = prepared(options.config, options.seeds, min(options.lanes, size * lag))
        campaign = replace_plan(campaign, size, lag, rng)
        meta = record(campaign.method, campaign.layout, campaign.judge.criteria, campaign.plan, 10)
        with tempfile.TemporaryDirectory() as folder:
            archive = Archive.create(Path(folder), meta)
            for _ in campaign.run(archive):
                pass
            told.append(float(archive.coverage(valid=True).mean(axis=1)[-1]))
            verdicts.append(Counter(finding.verdict for finding in archive.findings()))
            archive.close()
    return {
        "coverage": statistics.median(told),
        "lowest": min(told),
        "highest": max(told),
        **{name: statistics.median(one[name] for one in verdicts) for name in VERDICTS},
    }


def replace_plan(campaign: Any, size: int, lag: int, rng: int) -> Any:
    """The same campaign with other rounds."""
    plan = replace(campaign.plan, round_size=size, lag=lag, rng=rng)
    return type(campaign)(campaign.method, campaign.judge, campaign.layout, campaign.seeds, plan)


def durations(options: argparse.Namespace) -> list[float]:
    """Seconds that real tasks take here, one after the other."""
    campaign = prepared(options.config, options.task * options.tasks, options.lanes)
    fates = Worker(campaign.method, campaign.judge, campaign.plan, beside=False)
    coverage = campaign.known(0)
    fates.warm_up(campaign.seeds.first, coverage)
    took = []
    for first in range(0, options.task * options.tasks, options.task):
        start = time.perf_counter()
        fates.through(WorkItem(0, first, campaign.seeds.read(first, options.task), {0: coverage}))
        took.append(time.perf_counter() - start)
    fates.close()
    return took


def simulated(took: list[float], workers: int, tasks: int, lag: int, rounds: int = 40) -> float:
    """The share of the time that workers are busy, with so many tasks a worker in each round."""
    rng, free, ends, work = np.random.default_rng(0), [0.0] * workers, [0.0] * rounds, 0.0
    for index in range(rounds):
        due = max(ends[: index - lag + 1], default=0.0) if index >= lag else 0.0
        for seconds in rng.choice(took, workers * tasks):
            end = max(heapq.heappop(free), due) + seconds
            heapq.heappush(free, end)
            ends[index], work = max(ends[index], end), work + seconds
    return float(work / (max(ends) * workers))


def section(figures: dict[str, Any]) -> str:
    covered = "\n".join(
        f"| {one['round_size']} | {one['lag']} | {one['coverage']:.3f} | {one['lowest']:.3f} to {one['highest']:.3f} |"
        f" {one['valid']:.0f} / {one['in_doubt']:.0f} / {one['invalid']:.0f} |"
        for one in figures["coverage"]
    )
    share = {(one["tasks_a_worker"], one["lag"], one["workers"]): one["busy"] for one in figures["busy"]}
    busy = "\n".join(
        f"| {tasks} | {lag} | " + " | ".join(f"{share[tasks, lag, n]:.2f}" for n in CLUSTERS) + " |"
        for tasks, lag in TASKS
    )
    low, middle, high = figures["task_seconds"]
    return TEXT.format(
        **{**figures, "coverage": covered, "busy": busy},
        heads=" | ".join(f"{n:,} workers" for n in CLUSTERS),
        low=low,
        middle=middle,
        high=high,
    )


TEXT = """
Coverage (NeuronCoverage(0.75), all units of all models) of the valid findings of the config {config} from {seeds}
seeds, as found, as aims follow older coverage; medians of {repeats} random states. Rounds of one seed with a lag of one are
the original's way. On the page of 2026-11-23, before doubt was a verdict and at a bound of a quarter of what is hidden, 289
of 300 were valid, and coverage was 0.549 to 0.553.

| seeds a round | lag | coverage | lowest to highest | findings, valid / in doubt / invalid |
|--:|--:|--:|---|--:|
{coverage}

The share of the time that workers are busy, simulated: tasks of {task} seeds take what real ones took here ({low:.1f}
to {high:.1f} s, median {middle:.1f} s), and a round begins when those `lag` before it have ended.

| tasks of a round a worker | lag | {heads} |
|--:|--:|{lines}
{busy}
""".replace("{lines}", "--:|" * len(CLUSTERS))
