"""A campaign's gradient steps/s over those of its bare gradient.

Coverage is tracked, findings are judged, measured and stored. A machine that is shared grows faster and slower
by the second, so the campaign pauses often for the gradient to be measured: each part of it is held against the
mean of the gradients before and after. The device is idle when either clock starts or stops. Only live lanes
count, those of tries that are under way, too; the end, when no seed waits and lanes stand idle, is apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benches._prepared import bare_gradient, case, choices, prepared, rate
from xplore.archive import Archive
from xplore.campaign.worker import Worker

TITLE = "A campaign beside its gradient"
SEEDS = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    choices(parser, SEEDS, "mnist_light")
    parser.add_argument("--lowering", default="as_written", choices=["as_written", "fast"])
    parser.add_argument("--most", type=float, default=240.0, help="seconds of each campaign")
    parser.add_argument("--seconds", type=float, default=9.0, help="of a part; a gradient gets a third")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    told = [one(name, options) for name in options.domain]
    return {"ratio": min(figures["ratio"] for figures in told), "domains": told}


def one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one config."""
    here: list[Worker] = []

    def local(*given: Any) -> Worker:
        here.append(Worker(*given))
        return here[0]

    def made() -> tuple[int, int]:
        """Steps, and those of all lanes; the device is idle then."""
        engine = here[0]._engine
        assert engine is not None
        untold = engine.untold()
        return campaign.tally.steps + untold[0], campaign.tally.lane_steps + untold[1]

    campaign = prepared(name, backend=local, lowering=options.lowering, **case(name, options, SEEDS))
    gradient, lanes = bare_gradient(campaign), campaign.plan.lanes
    parts: list[tuple[int, int, float, float]] = []  # steps, of so many, seconds, the gradient's steps/s
    steady, bares = True, [rate(gradient, lanes, options.seconds / 3)]
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
        running = campaign.run(archive)
        tally = next(running)  # compiled, and the first round admitted
        start = begun = time.perf_counter()
        before = made()
        for tally in running:
            over = time.perf_counter() - start > options.most
            if steady and (tally.draining or over or time.perf_counter() - begun > options.seconds):
                now = made()
                spent = time.perf_counter() - begun
                bares.append(rate(gradient, lanes, options.seconds / 3))
                bare = (bares[-2] + bares[-1]) / 2
                parts.append((now[0] - before[0], now[1] - before[1], spent, bare))
                before, begun = now, time.perf_counter()
                steady = not tally.draining
            if over:
                campaign.stop("seconds")
        drain = time.perf_counter() - begun
        archive.close()
    steps, of, seconds = (sum(part[i] for part in parts) for i in range(3))
    whole = [part for part in parts if part[2] > options.seconds / 2]
    ratios = sorted(part[0] / part[2] / part[3] for part in whole)
    return {
        "domain": name,
        "ratio": steps / sum(part[2] * part[3] for part in parts),
        "ratio_median": statistics.median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "parts": len(ratios),
        "campaign_steps_per_second": steps / seconds,
        "bare_steps_per_second": sum(part[2] * part[3] for part in parts) / seconds,
        "occupancy": steps / of,
        "steps": steps,
        "steps_per_seed": tally.steps / max(tally.closed - tally.already_differ, 1),
        "seeds": tally.closed,
        "drain_steps": made()[0] - before[0],
        "drain_seconds": drain,
        "cut_off": bool(campaign.ended),
        "findings": tally.findings,
        "seconds": seconds,
        "lanes": lanes,
    }


def the_end(run: dict[str, Any]) -> str:
    return "cut off" if run["cut_off"] else f"{run['drain_steps']} steps, {run['drain_seconds']:.1f} s"


def section(figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {run['domain']} | {run['lanes']} | {run['seeds']:,} | {run['findings']:,} | {run['steps_per_seed']:.1f} |"
        f" {run['campaign_steps_per_second']:,.4g} | {run['bare_steps_per_second']:,.4g} |"
        f" **{run['ratio']:.2f}** | {run['ratio_median']:.2f} ({run['ratio_lowest']:.2f} to {run['ratio_highest']:.2f}) of {run['parts']} |"
        f" {run['occupancy']:.3f} | {the_end(run)} |"
        for run in figures["domains"]
    )
    return TEXT.format(rows=rows)


TEXT = """
Gradient steps/s of a whole campaign (coverage tracked, findings judged, measured and stored) over those of
the bare jitted gradient of the same objective at the same batch. The two take turns, the device idle in
between, and each part of the campaign is held against the gradient before and after it; the ratio is of all parts
together, their median and range beside. Only live lanes count (occupancy: their share of all lanes, while seeds
wait); the end of a campaign, when no seed waits and lanes stand idle, is apart. Of `imagenet` the photographs on
which the models agree are searched under `Lighting`.

| config | lanes | seeds | found | steps a seed | campaign, steps/s | gradient, steps/s | ratio | of the parts | occupancy | the end |
|---|--:|--:|--:|--:|--:|--:|--:|---|--:|---|
{rows}

Where a seed falls after a few steps, what is done once a seed weighs more, and on a CPU it takes the cores that
the steps run on. How much that is has a section of its own (beside).
"""
