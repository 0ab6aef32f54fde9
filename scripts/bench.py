"""Benchmarks: ratios measured in one run, medians of several.

    python scripts/bench.py step --json        # a campaign's gradient steps/s over the bare gradient's
    python scripts/bench.py campaign --json    # seeds/s, and the time to the first finding
    python scripts/bench.py page               # both, as docs/results/performance.md

The first two print one JSON line each.
"""

import argparse
import datetime
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xplore import config
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.checks import checked_oracle
from xplore.encoding import decode
from xplore.lanes import CHUNK, Method
from xplore.panel import Panel
from xplore.plan import Plan
from xplore.record import device
from xplore.schema import FILE
from xplore.seeds import Held
from xplore.validity import Judge

ROOT = Path(__file__).resolve().parents[1]


def prepared(name: str, seeds: int, lanes: int) -> Campaign:
    """The campaign of a config, with everything that `xplore run` does but the baseline."""
    chosen = config.load(name)
    inputs = config.build(chosen.seeds)
    rows = np.arange(seeds) % len(inputs.images)
    panel = Panel.of([config.build_model(part) for part in chosen.models])
    layout = panel.check(inputs.images.shape[1:])
    given = {key: getattr(chosen, key) for key in ("objective", "constraint", "oracle", "search")}
    parts = {key: None if part is None else config.build(part) for key, part in given.items()}
    parts["oracle"] = checked_oracle(parts["oracle"], panel, inputs.images.shape[1:])
    method = Method(panel, **parts)
    criteria = tuple(config.build(part) for part in chosen.criteria)
    referee = None if chosen.referee is None else config.build(chosen.referee)
    training = None if chosen.training is None else config.build(chosen.training).images
    judge = Judge(panel, method.oracle, method.constraint, criteria, referee, training)
    plan = Plan(lanes=lanes, main_criterion=chosen.campaign.main_criterion)
    return Campaign(method, judge, layout, Held(inputs.images[rows], inputs.labels[rows]), plan)


def bare_gradient(campaign: Campaign) -> Callable[[], Any]:
    """The bare jitted gradient of the campaign's objective, at its batch: a function that starts one."""
    method, lanes = campaign.method, campaign.plan.lanes
    x = decode(campaign.seeds.read(0, lanes).codes)
    before = jnp.asarray(campaign.judge.read(campaign.seeds.read(0, lanes).codes)[0])
    covered = tuple(jnp.zeros(s.stop - s.start, bool) for s in campaign.layout.spans().values())
    aim = method.objective.aim(
        jax.random.split(jax.random.key(0), lanes), before, covered, jnp.zeros(lanes, int)
    )
    gradient = jax.jit(jax.grad(lambda x, method, aim: method.objective.score(aim, method.panel(x)).sum()))
    jax.block_until_ready(gradient(x, method, aim))
    return lambda: gradient(x, method, aim)


def rate(start: Callable[[], Any], size: int, seconds: float) -> float:
    """Rows/s of a function that starts `size` of them, run for about so many seconds."""
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        jax.block_until_ready([start() for _ in range(CHUNK)])
        done += CHUNK * size
    return done / (time.perf_counter() - begun)


def step(options: argparse.Namespace) -> dict[str, Any]:
    """A campaign's gradient steps/s over the bare gradient's, in turns, until no seed waits any more.

    A machine that is shared grows faster and slower by the minute, so the campaign pauses now and then
    for the gradient to be measured; the device is idle when either clock starts or stops.
    """
    campaign = prepared(options.config, options.seeds, options.lanes)
    gradient = bare_gradient(campaign)
    parts: list[tuple[int, float, float]] = []  # steps, seconds, the bare gradient's steps/s thereafter
    before, steady = 0, True
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
        running = campaign.run(archive)
        next(running)  # compiled, and the first round admitted
        before, begun = campaign.tally.steps, time.perf_counter()
        for tally in running:
            if steady and (tally.draining or time.perf_counter() - begun > options.seconds):
                jax.block_until_ready(jax.live_arrays())
                spent = time.perf_counter() - begun
                bare = rate(gradient, options.lanes, options.seconds / 3)
                parts.append((tally.steps - before, spent, bare))
                before, begun = tally.steps, time.perf_counter()
                steady = not tally.draining
        drain = time.perf_counter() - begun
        archive.close()
    tally = campaign.tally
    steps, seconds = sum(part[0] for part in parts), sum(part[1] for part in parts)
    whole = [part for part in parts if part[1] > options.seconds / 2]
    ratios = sorted(part[0] / part[1] / part[2] for part in whole)
    return {
        "bench": "step",
        "ratio": statistics.median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "parts": len(ratios),
        "campaign_steps_per_second": steps / seconds,
        "bare_steps_per_second": statistics.mean(part[2] for part in parts),
        "steps": steps,
        "steps_per_seed": tally.steps / (tally.seeds - tally.already_differ),
        "drain_steps": tally.steps - before,
        "drain_seconds": drain,
        "findings": tally.findings,
        "seconds": seconds,
    }


def campaign(options: argparse.Namespace) -> dict[str, Any]:
    """Seeds/s after compilation, and the time from process start to the first finding."""
    rates = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            running = prepared(options.config, options.seeds, options.lanes)
            archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
            for _ in running.run(archive):
                pass
            archive.close()
        rates.append(options.seeds / running.tally.seconds)
    cold, warm = [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(first_finding(options.config, cache))
            warm.append(first_finding(options.config, cache))
    return {
        "bench": "campaign",
        "ratio": statistics.median(warm) / statistics.median(cold),
        "seeds_per_second": statistics.median(rates),
        "first_finding_cold_seconds": statistics.median(cold),
        "first_finding_warm_seconds": statistics.median(warm),
        "all": {"seeds_per_second": rates, "cold": cold, "warm": warm},
    }


def first_finding(name: str, cache: str) -> float:
    """Seconds from the start of `xplore run` until a finding is in the archive on disk."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "xplore.cli", "run", name, "--out", str(out)]
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            env={**os.environ, "XDG_CACHE_HOME": cache},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while child.poll() is None:
                if _count(out / FILE):
                    return time.perf_counter() - start
                time.sleep(0.02)
            raise RuntimeError(f"{command} ended with {child.returncode} and no finding")
        finally:
            child.kill()
            child.wait()


def _count(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM findings WHERE origin = 'search'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def page(options: argparse.Namespace) -> str:
    """All figures as a page."""
    light, occlusion = (
        step(argparse.Namespace(**{**vars(options), "config": name, "seeds": 5000}))
        for name in ("mnist_light", "mnist")
    )
    whole = campaign(argparse.Namespace(**{**vars(options), "config": "mnist", "seeds": 1000}))
    rows = [
        f"| {name} | {run['steps_per_seed']:.1f} | {run['campaign_steps_per_second']:,.0f} |"
        f" {run['bare_steps_per_second']:,.0f} | {run['ratio']:.2f} |"
        f" {run['ratio_lowest']:.2f} to {run['ratio_highest']:.2f} of {run['parts']} |"
        f" {run['drain_steps']} steps, {run['drain_seconds']:.1f} s |"
        for name, run in (("mnist_light", light), ("mnist", occlusion))
    ]
    return PAGE.format(
        date=datetime.date.today(),
        device=device(),
        lanes=options.lanes,
        rows="\n".join(rows),
        repeats=options.repeats,
        **whole,
    )


PAGE = """# Speed

Written by `python scripts/bench.py page` on {date}, on {device}, with {lanes} lanes. Such a machine is often
shared: compare figures of one run only.

## A campaign beside its gradient

Gradient steps/s of a whole campaign (5,000 seeds, coverage tracked, findings judged, measured and stored)
over those of the bare jitted gradient of the same objective at the same batch. The two take turns, the
device idle in between; a ratio is of one such pair, and the median is told. Only live lanes count; the end
of a campaign, when no seed waits and lanes stand idle, is apart.

| config | steps a seed | campaign, steps/s | gradient, steps/s | ratio | lowest to highest | the end |
|---|---|---|---|---|---|---|
{rows}

Where a seed falls after a few steps, what is done once a seed weighs more: reading it, judging what was
found together and alone, and the outside opinions are some five forward passes.

## Seeds, and the first of the findings

`xplore run mnist`: {seeds_per_second:.0f} seeds/s on 1,000 seeds once compiled, the end included.
From the start of the process until a finding is on disk: {first_finding_cold_seconds:.1f} s with an empty
compilation cache, {first_finding_warm_seconds:.1f} s with a warm one (medians of {repeats}).
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", choices=["step", "campaign", "page"])
    parser.add_argument("--json", action="store_true", help="one JSON line (the default: the same, indented)")
    parser.add_argument("--config", help="mnist_light for step, mnist for campaign")
    parser.add_argument("--seeds", type=int, help="5000 for step, 1000 for campaign")
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="of campaign")
    parser.add_argument(
        "--seconds",
        type=float,
        default=12.0,
        help="of each part of a campaign in step; its gradient gets a third",
    )
    options = parser.parse_args()
    if options.bench == "page":
        path = ROOT / "docs" / "results" / "performance.md"
        _, section, memory = path.read_text("utf-8").partition("\n## Memory\n")  # bench_memory.py writes it
        path.write_text(page(options) + section + memory, "utf-8")
        return
    options.config = options.config or {"step": "mnist_light", "campaign": "mnist"}[options.bench]
    options.seeds = options.seeds or {"step": 5000, "campaign": 1000}[options.bench]
    figures = {"step": step, "campaign": campaign}[options.bench](options)
    figures |= {
        "config": options.config,
        "seeds": options.seeds,
        "lanes": options.lanes,
        "device": device(),
    }
    print(json.dumps(figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
