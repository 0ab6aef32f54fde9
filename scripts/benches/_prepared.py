"""Campaigns of the configs, and the speed of a function."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xplore.campaign import Campaign
from xplore.campaign.backends import Backends
from xplore.campaign.config import file as config
from xplore.campaign.judge import Judge
from xplore.campaign.settings import RunOptions
from xplore.campaign.validation import checked_oracle
from xplore.campaign.worker import Worker
from xplore.engine.step import Method
from xplore.evaluation.sources import Held
from xplore.inputs.encoding import decode
from xplore.panel.panel import BATCH, Panel

CASES: dict[str, dict[str, Any]] = {
    # There are few photographs, and on a good third of them the models differ as they are.
    "imagenet": {
        "lanes": 8,
        "seeds": 48,
        "agreed": True,
        "settings": ("constraint={use='xplore.constraints:Lighting'}",),
    }
}
"""What a benchmark takes of a config, where that is not simply its own."""
CLIMBS = {"mnist_light": ("search.use=xplore.search:Gradient", "search.steps=4", "search.tries=16")}
"""Configs whose own search climbs nothing: the benchmarks measure gradient steps."""
PER_CALL = 4
"""Calls of a function that are under way at once."""


def prepared(
    name: str,
    seeds: int,
    lanes: int,
    round_size: int = 256,
    backend: Backends = Worker,
    lowering: Any = "as_written",
    settings: Sequence[str] = (),
    agreed: bool = False,
) -> Campaign:
    """The campaign of a config, with everything that `xplore run` does but the baseline and the shrinking.

    Its inputs are repeated until there are so many seeds; of those `agreed`, the ones on which no models differ.
    """
    chosen = config.load(name, [*CLIMBS.get(name, ()), *settings])
    inputs = config.build(chosen.seeds)
    panel = Panel.of([config.build_model(part) for part in chosen.models])
    layout = panel.check(inputs.images.shape[1:])
    given = {key: getattr(chosen, key) for key in ("objective", "constraint", "oracle", "search")}
    parts = {key: None if part is None else config.build(part) for key, part in given.items()}
    parts["oracle"] = checked_oracle(parts["oracle"], panel, inputs.images.shape[1:])
    method = Method(panel.replace(lowering=lowering), **parts)
    criteria = tuple(config.build(part) for part in chosen.criteria)
    reference_model = None
    if chosen.reference_model is not None:
        reference_model = config.build(chosen.reference_model)
    known = None if chosen.training is None else config.build(chosen.training)
    training = (None, None) if known is None else (known.images, known.labels)
    judge = Judge(
        panel, method.oracle, method.constraint, criteria, reference_model, *training, batch=min(BATCH, lanes)
    )
    kept = np.arange(len(inputs.images))
    if agreed:
        kept = np.flatnonzero(~judge.differ(judge.read(inputs.images[:]).outputs))
    rows = kept[np.arange(seeds) % len(kept)]
    plan = RunOptions(lanes=lanes, round_size=round_size, main_criterion=chosen.campaign.main_criterion)
    return Campaign(
        method, judge, layout, Held(inputs.images[rows], inputs.labels[rows]), plan, backend=backend
    )


def choices(parser: argparse.ArgumentParser, seeds: int, *domains: str) -> None:
    """The configs that a benchmark runs, and what may be chosen of them; by default what `CASES` has."""
    parser.add_argument("--domain", nargs="+", default=list(domains), help="configs, each in turn")
    parser.add_argument("--set", dest="settings", action="append", help="as of `xplore run`")
    parser.add_argument("--agreed", action="store_true", default=None, help="seeds on which the models agree")
    parser.add_argument("--lanes", type=int, help="64 by default, 8 of imagenet")
    parser.add_argument("--seeds", type=int, help=f"{seeds:,} by default, 48 of imagenet")


def case(name: str, options: argparse.Namespace, seeds: int) -> dict[str, Any]:
    """Those choices for one config, as `prepared` takes them."""
    given = {key: getattr(options, key) for key in ("settings", "agreed", "lanes", "seeds")}
    default = {"lanes": 64, "seeds": seeds}
    return {**default, **CASES.get(name, {}), **{k: v for k, v in given.items() if v is not None}}


def bare_gradient(campaign: Campaign) -> Callable[[], Any]:
    """The bare jitted gradient of the campaign's objective, at its batch: a function that starts one."""
    method, lanes = campaign.method, campaign.plan.lanes
    x = decode(campaign.seeds.read(0, lanes).codes)
    before = jnp.asarray(campaign.judge.read(campaign.seeds.read(0, lanes).codes)[0])
    keys = jax.random.split(jax.random.key(0), lanes)
    aim = method.objective.goal(
        keys, before, tuple(map(jnp.asarray, uncovered(campaign))), jnp.zeros(lanes, int)
    )
    gradient = jax.jit(jax.grad(lambda x, method, aim: method.objective.score(aim, method.panel(x)).sum()))
    jax.block_until_ready(gradient(x, method, aim))
    return lambda: gradient(x, method, aim)


def uncovered(campaign: Campaign) -> tuple[np.ndarray, ...]:
    """What a campaign aims beside at first: nothing."""
    return tuple(np.zeros(span.stop - span.start, bool) for span in campaign.layout.spans().values())


def rate(start: Callable[[], Any], size: int, seconds: float) -> float:
    """Rows/s of a function that starts `size` of them, run for about so many seconds."""
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        jax.block_until_ready([start() for _ in range(PER_CALL)])
        done += PER_CALL * size
    return done / (time.perf_counter() - begun)
