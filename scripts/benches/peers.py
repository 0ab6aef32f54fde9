"""Inputs/s of a PGD attack in xplore's parts over those of Foolbox's or torchattacks', whichever is faster.

One LeNet, an L-infinity ball, signed steps from the seed; the same digits, epsilon, step size, steps and batch.
The peers take all steps with every input. xplore gives an input's place to the next one as soon as it succeeded;
beside that stands a run in which it may not. All take turns in one process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Shaped

from xplore._util.errors import MissingExtraError
from xplore._util.recipe import Recipe
from xplore.constraints import Ball
from xplore.data import mnist
from xplore.engine.engine import Engine, Try
from xplore.engine.step import Method
from xplore.inputs.encoding import decode, encode
from xplore.model.lowering.autotune import Lowering
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.oracles import ClassificationOracle
from xplore.panel import Panel
from xplore.search import Gradient

TITLE = "The same attack in other libraries"
OURS, WHOLE, WRITTEN = "xplore", "xplore, all steps", "xplore, as written"


class Attacked(NamedTuple):
    """What an attack made of the digits, as it hands them over, and the gradients that it took."""

    inputs: Shaped[np.ndarray, "n 28 28 1"]
    gradients: int


class LabelFlips(ClassificationOracle):
    """A model decides otherwise than on the seed; with `wait`, no walk ends by that."""

    wait: bool = False

    def differ(self, outputs: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        return jnp.zeros(outputs.shape[1], bool)

    def judge(self, before: Float[Array, "m b c"], after: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        return (self.decide(after) != self.decide(before)).any(axis=0) & ~jnp.asarray(self.wait)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=sorted(lenet.ARCHITECTURES), default="lenet5")
    parser.add_argument("--epsilon", type=float, default=0.1)
    parser.add_argument("--step", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=5)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    model = getattr(lenet, options.model)()
    answers = jax.jit(lambda x: model(x).argmax(axis=-1))
    images, labels = digits(answers, options.batch * options.batches, options.batch)
    attacks = {
        "foolbox": foolbox_attack(options, model, images, labels),
        "torchattacks": torch_attack(options, images, labels),
        OURS: our_attack(options, model, images),
        WHOLE: our_attack(options, model, images, wait=True),
        WRITTEN: our_attack(options, model, images, lowering="as_written"),
    }
    runs = {name: told(attack(), images, labels, answers, options.batch) for name, attack in attacks.items()}
    bare = {name: gradient(options, images) for name, gradient in BARE.items()}
    seconds: dict[str, list[float]] = {name: [] for name in (*attacks, *bare)}
    for _ in range(options.repeats):
        for name, work in {**attacks, **bare}.items():
            begun = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - begun)
    for name, run in runs.items():
        spent = statistics.median(seconds[name])
        run |= {"inputs_per_second": len(images) / spent, "gradients_per_second": run["gradients"] / spent}
        run["seconds"] = seconds[name]
    faster = min(("foolbox", "torchattacks"), key=lambda name: statistics.median(seconds[name]))
    turns = list(zip(*(seconds[name] for name in (faster, OURS, WHOLE, WRITTEN)), strict=True))
    ratios = sorted(peer / ours for peer, ours, *_ in turns)
    return {
        "ratio": statistics.median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "ratio_of_best": min(*seconds["foolbox"], *seconds["torchattacks"]) / min(seconds[OURS]),
        "ratio_all_steps": statistics.median(peer / whole for peer, _, whole, _ in turns),
        "ratio_as_written": statistics.median(peer / written for peer, _, _, written in turns),
        "ratio_gradients": runs[WHOLE]["gradients_per_second"] / runs[faster]["gradients_per_second"],
        "faster_peer": faster,
        "bare": {name: GRADIENTS * options.batch / statistics.median(seconds[name]) for name in bare},
        "runs": runs,
        "inputs": len(images),
        **{key: getattr(options, key) for key in ("model", "epsilon", "step", "steps", "batch", "repeats")},
    }


def bare_jax(options: argparse.Namespace, images: np.ndarray) -> Callable[[], Any]:
    """Gradients of the model alone, at its batch, as xplore and Foolbox take them."""
    model, x = getattr(lenet, options.model)(), decode(images[: options.batch])
    gradient = jax.jit(jax.grad(lambda x: jax.nn.log_softmax(model(x)).max(axis=-1).sum()))
    jax.block_until_ready(gradient(x))
    return lambda: jax.block_until_ready([gradient(x) for _ in range(GRADIENTS)])


def bare_torch(options: argparse.Namespace, images: np.ndarray) -> Callable[[], Any]:
    """The same in PyTorch, eager."""
    import torch

    from benches._lenets import LeNet, in_torch

    model, x = LeNet(options.model), in_torch(images[: options.batch]).requires_grad_(True)

    def run() -> None:
        for _ in range(GRADIENTS):
            torch.autograd.grad(model(x).log_softmax(dim=1).amax(dim=1).sum(), x)

    return run


BARE = {"JAX": bare_jax, "PyTorch": bare_torch}
GRADIENTS = 40
"""Batches of bare gradients in a turn."""


def digits(answers: Callable[..., Any], count: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """So many test digits that the model answers rightly, and their labels; again from the first, if need be."""
    test = mnist.load("test")
    right = np.flatnonzero(judged(answers, np.asarray(decode(test.images)), batch) == test.labels)
    rows = right[np.arange(count) % len(right)]
    return test.images[rows], test.labels[rows]


def judged(answers: Callable[..., Any], x: Float[np.ndarray, "n h w c"], batch: int) -> np.ndarray:
    """The model's decisions, a batch at a time."""
    parts = np.array_split(x, range(batch, len(x), batch))
    padded = (np.resize(part, (batch, *part.shape[1:])) for part in parts)
    return np.concatenate([np.asarray(answers(part)) for part in padded])[: len(x)]


def told(
    attacked: Attacked, images: np.ndarray, labels: np.ndarray, answers: Callable[..., Any], batch: int
) -> dict[str, Any]:
    """How often an attack succeeds, with inputs as it hands them over and as 8 bits, and how far they went."""
    x = attacked.inputs
    x = np.asarray(decode(x)) if x.dtype == np.uint8 else x
    stored = np.asarray(decode(encode(jnp.asarray(x))))
    return {
        "success": float((judged(answers, x, batch) != labels).mean()),
        "success_stored": float((judged(answers, stored, batch) != labels).mean()),
        "linf": float(np.abs(x - np.asarray(decode(images))).max()),
        "gradients": attacked.gradients,
        "gradients_per_input": attacked.gradients / len(images),
    }


def foolbox_attack(
    options: argparse.Namespace, model: Any, images: np.ndarray, labels: np.ndarray
) -> Callable[[], Attacked]:
    """Foolbox's PGD on a jitted JAX model."""
    try:
        import foolbox
    except ImportError as error:
        raise MissingExtraError("foolbox", extra="bench", purpose="its PGD") from error
    asked = foolbox.models.JAXModel(jax.jit(model.__call__), bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(abs_stepsize=options.step, steps=options.steps, random_start=False)
    x, y = decode(images), jnp.asarray(labels)
    places = [slice(i, i + options.batch) for i in range(0, len(x), options.batch)]

    def run() -> Attacked:
        found = [attack(asked, x[at], y[at], epsilons=options.epsilon)[1] for at in places]
        return Attacked(np.concatenate(found), options.steps * len(x))

    return run


def torch_attack(
    options: argparse.Namespace, images: np.ndarray, labels: np.ndarray
) -> Callable[[], Attacked]:
    """torchattacks' PGD on the same weights in PyTorch, eager."""
    try:
        import torch
        import torchattacks
    except ImportError as error:
        raise MissingExtraError("torchattacks", extra="bench", purpose="its PGD") from error
    from benches._lenets import LeNet, in_torch, settle_threads

    how = {"eps": options.epsilon, "alpha": options.step, "steps": options.steps, "random_start": False}
    attack = torchattacks.PGD(LeNet(options.model), **how)
    x, y = in_torch(images), torch.tensor(labels)

    settle_threads(lambda: attack(x[: options.batch], y[: options.batch]))

    def run() -> Attacked:
        found = [attack(*pair) for pair in zip(x.split(options.batch), y.split(options.batch), strict=True)]
        return Attacked(torch.cat(found).permute(0, 2, 3, 1).numpy(), options.steps * len(x))

    return run


def our_attack(
    options: argparse.Namespace,
    model: Any,
    images: np.ndarray,
    wait: bool = False,
    lowering: Lowering = "fast",
) -> Callable[[], Attacked]:
    """The same in xplore's parts: one look more than steps, since the first is at the seed."""
    signed = Recipe.of(optax.sign_sgd, learning_rate=options.step / options.epsilon)
    search = Gradient(signed, steps=options.steps + 1, tries=1)
    objective = Joint(lambda2=0.0, on="log_probabilities")
    panel = Panel((model,), lowering=lowering)
    method = Method(panel, objective, Ball(options.epsilon), LabelFlips(wait), search)
    spans = panel.check(images.shape[1:]).spans().values()
    uncovered = tuple(np.zeros(span.stop - span.start, bool) for span in spans)
    ask = jax.jit(panel.plain)
    batches = range(0, len(images), options.batch)
    before = np.concatenate([ask(decode(images[i : i + options.batch])) for i in batches], axis=1)
    tries = [Try(i, 0, image, before[:, i]) for i, image in enumerate(images)]
    engine = Engine(method, 0, options.batch, images.shape[1:], before[:, 0].shape)
    engine.warm_up(uncovered)

    def run() -> Attacked:
        left, outcomes = tries[::-1], []
        while left or engine.busy:
            if some := [left.pop() for _ in range(min(engine.room, len(left)))]:
                engine.push(some, uncovered)
            outcomes += engine.advance()
        codes = np.stack([o.codes for o in sorted(outcomes, key=lambda o: o.seed)])
        return Attacked(codes, sum(o.steps for o in outcomes))

    return run


def section(figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {run['inputs_per_second']:,.1f} | {run['gradients_per_second']:,.0f} |"
        f" {run['gradients_per_input']:.1f} | {run['success']:.3f} | {run['success_stored']:.3f} |"
        for name, run in figures["runs"].items()
    )
    return TEXT.format(rows=rows, **figures)


TEXT = """
PGD (Madry et al., 2018) on {model}: {inputs:,} digits that it answers rightly, {batch} at a time, epsilon {epsilon:g}
(L-infinity), {steps} signed steps of {step:g} from the digit itself; medians of {repeats}, taking turns.

| attack | inputs/s | gradients/s | gradients an input | success | success as 8 bits |
|---|--:|--:|--:|--:|--:|
{rows}

`ratio`, **{ratio:.2f}** ({ratio_lowest:.2f} to {ratio_highest:.2f}; of each one's best turn {ratio_of_best:.2f}), is inputs/s under
that budget, xplore's over those of the faster peer, {faster_peer}. A part of it is work that is not done:
Foolbox and torchattacks take all steps with every input, xplore stops at the first success and gives the
place to the next input. Where it may not ("all steps"), it does {ratio_all_steps:.2f} times the peer's inputs/s, and
{ratio_gradients:.2f} times its gradients/s: the speed of one step alone. Each walk of xplore looks once more than it
steps, at the digit itself, and that gradient counts against it.

The model is computed in the ways that were measured to be fastest (`lowering = "fast"`, which is asked for). As it
is written, xplore does {ratio_as_written:.2f} times the peer's inputs/s: the gradient of the model alone, as written, does
{bare[JAX]:,.0f} a second in JAX and {bare[PyTorch]:,.0f} in PyTorch. Success is judged by the model as written, always. Foolbox is given the model jitted; torchattacks the same weights in
PyTorch, eager, with one thread or all, whichever is faster. The peers' inputs are floats, judged as they
come and once rounded to be stored; xplore walks on what would be stored, and hands over 8 bits.
"""
