"""Benchmarks: ratios measured in one run, medians of several.

    python scripts/bench.py step --json        # a campaign's gradient steps/s over the bare gradient's
    python scripts/bench.py campaign --json    # seeds/s, and the time to the first finding

Each prints one JSON line.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xplore import api, config
from xplore.archive import FILE, Archive
from xplore.campaign import Campaign, Plan
from xplore.encoding import decode
from xplore.lanes import Method
from xplore.model import Panel
from xplore.validity import Judge


def prepared(name: str, seeds: int, lanes: int) -> Campaign:
    """The campaign of a config, with everything that `xplore run` does but the baseline."""
    chosen = config.load(name)
    inputs = config.build(chosen.seeds)
    rows = np.arange(seeds) % len(inputs.images)
    panel = Panel.of([config.build(part) for part in chosen.models])
    parts = [config.build(getattr(chosen, key)) for key in ("objective", "constraint", "oracle", "search")]
    method = Method(panel, *parts)
    criteria = tuple(config.build(part) for part in chosen.criteria)
    referee = None if chosen.referee is None else config.build(chosen.referee)
    training = None if chosen.training is None else config.build(chosen.training).images
    judge = Judge(panel, method.oracle, method.constraint, criteria, referee, training)
    layout = panel.check(inputs.images.shape[1:])
    plan = Plan(lanes=lanes, main_criterion=chosen.campaign.main_criterion)
    return Campaign(method, judge, layout, inputs.images[rows], inputs.labels[rows], plan)


def bare_gradient(campaign: Campaign, seconds: float) -> float:
    """Gradient steps/s of the bare jitted gradient of the campaign's objective, at its batch."""
    method, lanes = campaign.method, campaign.plan.lanes
    x = decode(campaign.images[:lanes])
    before = jnp.asarray(campaign.judge.read(campaign.images[:lanes])[0])
    covered = tuple(np.zeros(s.stop - s.start, bool) for s in campaign.layout.spans().values())
    aim = method.objective.aim(
        jax.random.split(jax.random.key(0), lanes), before, covered, jnp.zeros(lanes, int)
    )
    gradient = jax.jit(jax.grad(lambda x, method, aim: method.objective.score(aim, method.panel(x)).sum()))
    jax.block_until_ready(gradient(x, method, aim))
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(4):
            slope = gradient(x, method, aim)
        jax.block_until_ready(slope)
        done += 4 * lanes
    return done / (time.perf_counter() - start)


def step(options: argparse.Namespace) -> dict[str, Any]:
    """A campaign's gradient steps/s over the bare gradient's, before the last drain."""
    runs = []
    for _ in range(options.repeats):
        campaign = prepared(options.config, options.seeds, options.lanes)
        before = bare_gradient(campaign, options.seconds)
        with tempfile.TemporaryDirectory() as folder:
            archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
            steady = (0, 0.0)
            for tally in campaign.run(archive):
                if not tally.draining:
                    steady = (tally.steps, tally.seconds)
            archive.close()
        after = bare_gradient(campaign, options.seconds)
        tally, bare = campaign.tally, (before + after) / 2
        runs.append(
            {
                "ratio": steady[0] / steady[1] / bare,
                "campaign_steps_per_second": steady[0] / steady[1],
                "bare_steps_per_second": bare,
                "steps": steady[0],
                "steps_per_seed": tally.steps / (tally.seeds - tally.already_differ),
                "drain_steps": tally.steps - steady[0],
                "drain_seconds": tally.seconds - steady[1],
                "findings": tally.findings,
                "seconds": tally.seconds,
            }
        )
    middle = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
    return {"bench": "step", **middle, "ratios": [run["ratio"] for run in runs]}


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench", choices=["step", "campaign"])
    parser.add_argument("--json", action="store_true", help="one JSON line (the default: the same, indented)")
    parser.add_argument("--config", default="mnist")
    parser.add_argument("--seeds", type=int, help="5000 for step, 1000 for campaign")
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement of the bare gradient")
    options = parser.parse_args()
    options.seeds = options.seeds or {"step": 5000, "campaign": 1000}[options.bench]
    figures = {"step": step, "campaign": campaign}[options.bench](options)
    figures |= {
        "config": options.config,
        "seeds": options.seeds,
        "lanes": options.lanes,
        "device": api.device(),
    }
    print(json.dumps(figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
