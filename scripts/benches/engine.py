"""What the compiled step, and the engine that feeds it, leave of the gradient's steps/s.

All take turns, a second or two each, a gradient before each of the two; the device is idle when a clock starts or
stops. What is missing from a campaign beyond it (step) is done beside the lanes (beside).
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benches._prepared import PER_CALL, bare_gradient, case, choices, prepared, rate, uncovered
from xplore.engine.engine import Engine, Try
from xplore.engine.loops import one_step

TITLE = "A step beside its gradient"
SEEDS = 3000


def arguments(parser: argparse.ArgumentParser) -> None:
    choices(parser, SEEDS, "mnist_light", "mnist")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    told = [one(name, options) for name in options.domain]
    return {"ratio": min(run["engine"]["ratio"] for run in told), "domains": told, "turns": options.turns}


def one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one config."""
    campaign = prepared(name, **case(name, options, SEEDS))
    lanes = campaign.plan.lanes
    gradient = bare_gradient(campaign)
    engine, feed = fed(campaign)
    ways = {
        "step": lambda: step_alone(engine, lanes, options.seconds),
        "engine": lambda: steps_fed(engine, feed, options.seconds),
    }
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    rates = []
    for _ in range(options.turns):
        for way, run in ways.items():
            rates.append(rate(gradient, lanes, options.seconds))
            ratios[way].append(run() / rates[-1])
    told = {
        way: {
            "ratio": statistics.mean(of),
            "uncertainty": statistics.stdev(of) / math.sqrt(len(of)),
            "median": statistics.median(of),
        }
        for way, of in ratios.items()
    }
    return {"domain": name, **told, "bare_steps_per_second": statistics.mean(rates), "lanes": lanes}


def fed(campaign: Any) -> tuple[Engine, Callable[[], None]]:
    """An engine at work, and what fills its queue with tries from seeds on which the models agree."""
    judge, total = campaign.judge, campaign.seeds.total
    codes = campaign.seeds.read(0, total).codes
    outputs = judge.read(codes).outputs
    agreed = itertools.cycle(np.flatnonzero(~judge.differ(outputs)).tolist())
    shape = len(outputs), outputs.shape[-1]
    engine = Engine(campaign.method, 0, campaign.plan.lanes, codes.shape[1:], shape, jax.local_devices()[:1])
    numbers = itertools.count()

    def feed() -> None:
        if engine.room >= engine.block:
            rows = [next(agreed) for _ in range(engine.block)]
            engine.push(
                [Try(next(numbers), 0, codes[row], outputs[:, row]) for row in rows], uncovered(campaign)
            )

    for _ in range(20):
        feed()
        engine.advance()
    return engine, feed


def step_alone(engine: Engine, lanes: int, seconds: float) -> float:
    """Steps/s of the compiled step, called again and again."""
    engine.untold()
    state, made, start = engine._state, 0, time.perf_counter()
    assert state is not None
    while time.perf_counter() - start < seconds:
        for _ in range(PER_CALL):
            state, _ = one_step(None, engine.method, state.queue, state.results, state.lanes)
        jax.block_until_ready(state)
        made += PER_CALL * lanes
    engine._state, engine._pending = state, None
    return made / (time.perf_counter() - start)


def steps_fed(engine: Engine, feed: Callable[[], None], seconds: float) -> float:
    """Steps/s of all lanes of the engine: fed, read and refilled."""
    before = engine.lane_steps + engine.untold()[1]
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        feed()
        engine.advance()
    made = engine.lane_steps + engine.untold()[1] - before
    return made / (time.perf_counter() - start)


def section(figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {run['domain']} | {run['lanes']} | {run['bare_steps_per_second']:,.0f} |"
        f" {run['step']['ratio']:.3f} ± {run['step']['uncertainty']:.3f} |"
        f" {run['engine']['ratio']:.3f} ± {run['engine']['uncertainty']:.3f} |"
        for run in figures["domains"]
    )
    return TEXT.format(rows=rows, turns=figures["turns"])


TEXT = """
What is left of the bare gradient's steps/s by the compiled step (constraint, oracle, refill, and the gradient), called
again and again; and by the engine, whose queue is filled and whose tries are read while it runs. Means of
{turns} turns, with their standard error; what a campaign does beside it is left out.

| config | lanes | gradient, steps/s | the step | the engine |
|---|--:|--:|--:|--:|
{rows}
"""
