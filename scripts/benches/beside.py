"""What a seed costs beside its steps, part by part, and what share of the gradient's speed that leaves.

Processor time is counted, of all threads: on a CPU both share the cores, so that a campaign can do no more steps/s
than this share of its bare gradient's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benches._prepared import bare_gradient, case, choices, prepared
from xplore.campaign.findings import make_findings

TITLE = "What a seed costs beside its steps"
SEEDS = 512
"""Searched from, to count their steps."""
TOGETHER = "reading it, or judging it with others"
"""Done to every seed, and once more to what is found; all other parts only to what is found."""


def arguments(parser: argparse.ArgumentParser) -> None:
    choices(parser, SEEDS, "mnist_light", "mnist")
    parser.add_argument("--repeats", type=int, default=20)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    told = [one(name, options) for name in options.domain]
    return {"ratio": min(figures["ratio"] for figures in told), "domains": told}


def one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one config."""
    campaign = prepared(name, **case(name, options, SEEDS))
    lanes = campaign.plan.lanes
    for _ in campaign.run():
        pass
    tally = campaign.tally
    searched = tally.closed - tally.already_differ
    costs = {part: cost(job, lanes, options.repeats) for part, job in parts(campaign, lanes).items()}
    gradient = bare_gradient(campaign)
    step = cost(lambda: jax.block_until_ready(gradient()), lanes, options.repeats)
    steps, found = tally.steps / searched, (tally.findings - tally.already_differ) / searched
    beside = costs[TOGETHER] + found * sum(costs.values())
    return {
        "domain": name,
        "ratio": steps * step / (steps * step + beside),
        "steps_per_seed": steps,
        "found_per_seed": found,
        "step_ms": step,
        "beside_ms": beside,
        "parts_ms": costs,
        "lanes": lanes,
    }


def parts(campaign: Any, lanes: int) -> dict[str, Callable[[], Any]]:
    """What is done with a batch of seeds and, where each is found, of findings."""
    judge, encoding = campaign.judge, campaign.method.constraint.encoding
    codes = campaign.seeds.read(0, lanes).codes
    said = judge.read(codes)
    judged = judge.judge(codes, said)
    measured = judge.measures(codes, codes, judged)
    told = [(measures, (), None, 1) for measures in measured]
    return {
        TOGETHER: lambda: judge.read(codes),
        "judging it alone": lambda: judge.judge(codes, said),
        "measures, outside opinions": lambda: judge.measures(codes, codes, judged),
        "pictures and names": lambda: make_findings(
            encoding, "search", np.arange(lanes), (codes, codes), judged, told
        ),
    }


def cost(job: Callable[[], Any], lanes: int, repeats: int) -> float:
    """Milliseconds of processor time a seed, once compiled."""
    job()
    start = time.process_time()
    for _ in range(repeats):
        job()
    return (time.process_time() - start) / repeats / lanes * 1e3


def section(figures: dict[str, Any]) -> str:
    runs = figures["domains"]
    rows = [[part, *(f"{run['parts_ms'][part]:.2f}" for run in runs)] for part in runs[0]["parts_ms"]]
    rows += [
        ["all of it, where so many are found", *(f"{run['beside_ms']:.2f}" for run in runs)],
        ["found, a seed", *(f"{run['found_per_seed']:.2f}" for run in runs)],
        ["a step of the gradient", *(f"{run['step_ms']:.2f}" for run in runs)],
        ["steps, a seed", *(f"{run['steps_per_seed']:.1f}" for run in runs)],
        ["at most this share of the gradient's steps/s", *(f"**{run['ratio']:.2f}**" for run in runs)],
    ]
    head = ["", *(run["domain"] for run in runs)]
    lines = [head, ["---"] + ["--:"] * len(runs), *rows]
    return TEXT.format(table="\n".join(f"| {' | '.join(line)} |" for line in lines))


TEXT = """
Milliseconds of processor time, of all threads together. Judging asks the models as they are written, and each
finding's file once more alone, in a batch of one: none of it can be left out or done before. Writing the archive
comes on top (driver). On a CPU all of it shares the cores with the steps.

{table}
"""
