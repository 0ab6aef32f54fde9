"""Seeds/s of a campaign over those of the original's way of working, one seed at a time in PyTorch.

DeepXplore's loop (Pei et al., 2017), written anew in PyTorch, eager: of one seed the gradient, a step, a
prediction by each model, and where they differ a second pass for coverage. xplore walks the same way (`Original`,
light) from the same seeds with the same weights, and judges, measures and stores what it finds. They take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import xplore
from xplore._util.errors import MissingExtraError
from xplore.campaign.settings import RunOptions
from xplore.constraints import Lighting
from xplore.coverage import NeuronCoverage
from xplore.data import mnist
from xplore.model.lowering.autotune import Lowering
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.search import Original

if TYPE_CHECKING:
    import torch

    from benches._lenets import LeNet

TITLE = "The original's way of working"
LAMBDA1, LAMBDA2, STEP, T = 1.0, 0.1, 10.0, 0.0
PUBLISHED = 0.57
"""Seeds/s of the published code over its first 100 seeds: light, these settings, 20 steps, on two CPU cores,
moved to a current TensorFlow and otherwise as it is."""
AIM = 200


class Searched(NamedTuple):
    """What a search of some seeds came to."""

    seconds: float
    differ: int
    already: int
    steps: int
    coverage: float


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--steps", type=int, default=20, help="of each seed")
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    try:
        from benches._lenets import NAMES, LeNet, settle_threads
    except ImportError as error:
        raise MissingExtraError("torch", extra="torch", purpose="the loop to compare with") from error

    test = mnist.load("test")
    rows = np.arange(options.seeds) % len(test.images)
    images, labels = test.images[rows], test.labels[rows]
    models = [LeNet(name) for name in NAMES]
    threads = settle_threads(lambda: one_by_one(models, images[:2], options.steps, clip=True))
    figures: dict[str, Any] = {}
    for clip in (False, True):
        runs: dict[str, list[Searched]] = {"torch": [], "xplore": [], "as_written": []}
        for _ in range(options.repeats):
            runs["torch"].append(one_by_one(models, images, options.steps, clip))
            runs["xplore"].append(campaign(images, labels, options, clip))
            runs["as_written"].append(campaign(images, labels, options, clip, "as_written"))
        told = {name: figures_of(of, options.seeds) for name, of in runs.items()}
        ratios = sorted(t.seconds / x.seconds for t, x in zip(runs["torch"], runs["xplore"], strict=True))
        told |= {"ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}
        told["of_best"] = min(t.seconds for t in runs["torch"]) / min(x.seconds for x in runs["xplore"])
        figures["clipped" if clip else "published"] = told
    return {
        "ratio": figures["published"]["ratio"],
        **figures,
        "threads": threads,
        "published_seeds_per_second": PUBLISHED,
        "aim": AIM * PUBLISHED,
        "over_published": figures["published"]["xplore"]["seeds_per_second"] / PUBLISHED,
        **{key: getattr(options, key) for key in ("seeds", "steps", "lanes", "repeats")},
    }


def figures_of(runs: list[Searched], seeds: int) -> dict[str, Any]:
    """The median's seeds/s, and what the last run came to."""
    last = runs[-1]
    return {
        "seeds_per_second": seeds / statistics.median(run.seconds for run in runs),
        "differ": last.differ,
        "already_differ": last.already,
        "steps_per_seed": last.steps / max(seeds - last.already, 1),
        "coverage": last.coverage,
        "seconds": [run.seconds for run in runs],
    }


def one_by_one(models: list[LeNet], images: np.ndarray, steps: int, clip: bool) -> Searched:
    """The original's loop over seeds, one at a time."""
    from benches._lenets import covered, in_torch

    begun, rng = time.perf_counter(), np.random.default_rng(0)
    reached = [covered(model, in_torch(images[:1]), T)[0] & False for model in models]
    differ = already = done = 0
    for image in images:
        x = in_torch(image[None])
        labels = decisions(models, x)
        if len(set(labels)) > 1:
            already += 1
        else:
            deviate = int(rng.integers(len(models)))
            neurons = [asleep(units, rng) for units in reached]
            for _ in range(steps):
                x = stepped(models, x, labels[0], deviate, neurons, clip)
                done += 1
                if len(set(decisions(models, x))) > 1:
                    differ += 1
                    break
            else:
                continue
        reached = [units | covered(model, x, T)[0] for units, model in zip(reached, models, strict=True)]
    seconds = time.perf_counter() - begun
    return Searched(
        seconds, differ, already, done, statistics.mean(float(units.double().mean()) for units in reached)
    )


def decisions(models: list[LeNet], x: torch.Tensor) -> list[int]:
    """What each model decides."""
    import torch

    with torch.no_grad():
        return [int(model(x).argmax()) for model in models]


def asleep(units: torch.Tensor, rng: np.random.Generator) -> int:
    """A neuron that is not covered; any, once all are."""
    choice = np.flatnonzero(~units.numpy())
    return int(rng.choice(choice)) if len(choice) else int(rng.integers(len(units)))


def stepped(
    models: list[LeNet], x: torch.Tensor, label: int, deviate: int, neurons: list[int], clip: bool
) -> torch.Tensor:
    """One step: the joint objective's gradient over its root mean square, its mean for every pixel."""
    import torch

    x = x.requires_grad_(True)
    score = torch.zeros(())
    for number, (model, neuron) in enumerate(zip(models, neurons, strict=True)):
        values = model.layers(x)
        score = score + (-LAMBDA1 if number == deviate else 1.0) * values[-2][0, label]
        ends = list(accumulate(value.shape[1] for value in values))
        at = bisect_right(ends, neuron)
        score = score + LAMBDA2 * values[at][0, neuron - ends[at]].mean()
    (slope,) = torch.autograd.grad(score, x)
    slope = slope / (slope.square().mean().sqrt() + 1e-5)
    moved = x.detach() + STEP * slope.mean()
    return moved.clamp(0, 1) if clip else moved


def campaign(
    images: np.ndarray,
    labels: np.ndarray,
    options: argparse.Namespace,
    clip: bool,
    lowering: Lowering = "fast",
) -> Searched:
    """A whole campaign: judging, measures, coverage and the archive included, compilation apart.

    It looks once more than it steps, since its first look is at the seed.
    """
    result = xplore.run(
        [getattr(lenet, name)() for name in lenet.ARCHITECTURES],
        images,
        labels,
        constraint=Lighting(None),
        objective=Joint(LAMBDA1, LAMBDA2, on="logits", deviate="random"),
        search=Original("light", step=STEP, steps=options.steps + 1, clip=clip),
        criteria=[NeuronCoverage(T)],
        plan=RunOptions(lanes=options.lanes, lowering=lowering),
        shrink=False,
        progress=False,
    )
    told = result.summary
    reached = statistics.mean(value for of in told["coverage"].values() for value in of.values())
    return Searched(told["seconds"], told["found"], told["already_differ"], told["steps"], reached)


def section(figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name}, {kind} | {run['seeds_per_second']:,.1f} | {run['steps_per_seed']:.1f} |"
        f" {run['seeds_per_second'] * run['steps_per_seed']:,.0f} | {run['differ']:,} + {run['already_differ']} |"
        f" {run['coverage']:.3f} |"
        for kind, told in KINDS.items()
        for name, run in ((name, figures[told][of]) for name, of in NAMED.items())
    )
    return TEXT.format(rows=rows, told=figures["published"], clip=figures["clipped"], **figures)


NAMED = {"one by one, PyTorch": "torch", "xplore": "xplore", "xplore, models as written": "as_written"}
KINDS = {"as published": "published", "pixels clipped": "clipped"}
TEXT = """
DeepXplore's loop, written anew in PyTorch, eager: of one digit at a time the gradient of the joint objective
for three LeNets, a step, a prediction by each model, and where they differ a second pass for coverage (light,
step 10, up to {steps} steps, t = 0). xplore takes the same steps (`Original`) with the same weights from the same
{seeds:,} digits, {lanes} at a time, and also judges each finding anew as it is stored, together and alone, measures
it and writes the archive; compilation is apart. Medians of {repeats}, taking turns; threads of PyTorch: {threads}, the
faster of one and all.

| | seeds/s | steps a seed | steps/s | differ + did before | coverage |
|---|--:|--:|--:|--:|--:|
{rows}

`ratio`, **{ratio:.2f}** ({told[lowest]:.2f} to {told[highest]:.2f}; of each one's best turn {told[of_best]:.2f}), is of the walk as
published, whose pixels leave [0, 1]: both do the same steps; which model deviates and which neurons wake is
drawn otherwise. Clipped on the way it is {clip[ratio]:.2f}: there xplore takes more steps, since an image of one
colour, where light ends, is no finding to it. Models are computed in the ways that were measured to be fastest
(`lowering = "fast"`, which is asked for), and findings judged by the models as they are written.

The published program did {published_seeds_per_second:g} seeds/s over its first 100 seeds (its code, moved to a current TensorFlow in
graph mode, two CPU cores). It builds new nodes of its graph for each seed, so that it slows down with every
one; the loop in PyTorch does not, and is the faster for it. 200 times that would be {aim:.0f} seeds/s; the same steps
in xplore are {over_published:.0f} times as fast. What a seed costs as more of them come has a section of its own.
"""
