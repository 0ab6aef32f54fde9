"""DAVE-orig, -norminit and -dropout, on a drive of Udacity's challenge 2 (`--data FOLDER`).

The angle to predict is how far the car turns in the coming second, told by the pictures
(`xplore.data.motion`): the table that was published with these frames holds no steering. Every fifth block
of the drive is held out (`xplore.data.udacity`). With --check another fifth of the training blocks is scored;
the held-out blocks are read once, when the final model is written.
"""

import argparse
import datetime
import math
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, UInt8

from xplore._util.errors import InputError
from xplore.data import udacity
from xplore.data._base import Inputs
from xplore.data.motion import FIELD
from xplore.model import weights
from xplore.models import dave

MODELS = tuple(dave.ARCHITECTURES)
BATCH = 32
EPOCHS = 25
LEARNING_RATE = 3e-4
WEIGHT_DECAY = 1e-2
SHIFT = 6
"""Pixels of 100 by which frames are shifted sideways in training; the angle follows."""
SHIFT_ANGLE = 0.01
"""Radians a pixel."""


def augment(
    key: Key[Array, ""], x: Float[Array, "b h w 3"], angle: Float[Array, " b"]
) -> tuple[Float[Array, "b h w 3"], Float[Array, " b"]]:
    """Frames in [-0.5, 0.5] mirrored in half of the cases, shifted a little sideways, brighter or darker."""
    flip, shift, light, contrast = jax.random.split(key, 4)
    mirrored = jax.random.bernoulli(flip, shape=(len(x),))
    x = jnp.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
    angle = jnp.where(mirrored, -angle, angle)
    by = jax.random.randint(shift, (len(x),), -SHIFT, SHIFT + 1)
    padded = jnp.pad(x, ((0, 0), (0, 0), (SHIFT, SHIFT), (0, 0)), mode="edge")
    cut = jax.vmap(lambda one, by: jax.lax.dynamic_slice_in_dim(one, SHIFT + by, x.shape[2], axis=1))
    x, angle = cut(padded, by), angle + SHIFT_ANGLE * by
    x = x * jax.random.uniform(contrast, (len(x), 1, 1, 1), minval=0.7, maxval=1.3)
    return x + jax.random.uniform(light, (len(x), 1, 1, 1), minval=-0.2, maxval=0.2), angle


def fit(
    name: str, frames: UInt8[np.ndarray, "n h w 3"], angles: Float[np.ndarray, " n"], rng: int, epochs: int
) -> dict[str, Any]:
    """Parameters: AdamW with a cosine schedule on the squared error, in halves."""
    module, key = dave.module(name), jax.random.fold_in(jax.random.key(rng), MODELS.index(name))
    resize = jax.jit(lambda x: jax.image.resize(x / 255, (len(x), dave.SIDE, dave.SIDE, 3), "linear") - 0.5)
    x = np.concatenate([resize(frames[i : i + 256].astype(np.float32)) for i in range(0, len(frames), 256)])
    steps = epochs * (len(x) // BATCH)
    schedule = optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, steps // 20, steps)
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)

    @jax.jit
    def step(params: Any, state: Any, key: Any, x: Any, y: Any) -> Any:
        moving, dropping = jax.random.split(key)
        seen, angle = augment(moving, x, y)

        def loss(params: Any) -> Float[Array, ""]:
            said = module.apply({"params": params}, seen, training=True, rngs={"dropout": dropping})
            return jnp.mean((said[:, 0] - angle) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    params = module.init(key, jnp.zeros((1, dave.SIDE, dave.SIDE, 3)))["params"]
    state = optimizer.init(params)
    for number, rows in enumerate(batches(len(x), epochs, rng)):
        at = jax.random.fold_in(key, number)
        params, state, value = step(params, state, at, x[rows], angles[rows].astype(np.float32))
        if (number + 1) % (steps // 10) == 0:
            print(f"  {name} step {number + 1}/{steps}: squared error {float(value):.4f}", flush=True)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), params)


def batches(n: int, epochs: int, rng: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Rows of each batch; every epoch a fresh order."""
    random = np.random.default_rng(rng)
    for _ in range(epochs):
        order = random.permutation(n)
        for start in range(0, n - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def known(inputs: Inputs) -> tuple[UInt8[np.ndarray, "n h w 3"], Float[np.ndarray, " n"]]:
    """The frames whose turn is known, and the turns."""
    kept = ~np.isnan(inputs.labels)
    return inputs.images[kept], inputs.labels[kept]


def errors(
    name: str, params: Any, frames: UInt8[np.ndarray, "n h w 3"], angles: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How far each angle is from the driver's, as the model is used: in float32, of stored halves."""
    model = dave.model(name, jax.tree.map(lambda leaf: leaf.astype(np.float32), params))
    ask = jax.jit(lambda model, x: model(x))
    parts = [ask(model, frames[i : i + 100] / np.float32(255))[:, 0] for i in range(0, len(frames), 100)]
    return np.abs(np.concatenate(parts) - angles)


def train(chosen: argparse.Namespace) -> None:
    """Train, score and write each chosen model."""
    if chosen.data is None:
        raise InputError("--data", expected="the folder of a drive", got="none", fix="name it: --data FOLDER")
    seen = known(udacity.load(chosen.data, "train", "motion"))
    if chosen.check:
        apart = np.arange(len(seen[1])) // 95 % 5 == 2  # blocks of this drive have some 95 known turns
        scored, (frames, angles) = (seen[0][apart], seen[1][apart]), (seen[0][~apart], seen[1][~apart])
    else:
        scored, (frames, angles) = known(udacity.load(chosen.data, "test", "motion")), seen
    always_mean = float(np.abs(scored[1] - angles.mean()).mean())
    for name in dict.fromkeys(chosen.model or MODELS):
        start, epochs = time.perf_counter(), chosen.epochs or EPOCHS
        params = fit(name, frames, angles, chosen.rng, epochs)
        error = errors(name, params, *scored)
        said = f"mean absolute error {error.mean():.4f} rad (always the mean: {always_mean:.4f})"
        print(f"{name}: {said} on {len(error)} frames, {time.perf_counter() - start:.0f} s", flush=True)
        if chosen.check:
            continue
        command = f"python scripts/train_models.py driving --data FOLDER --model {name}"
        command += f" --rng {chosen.rng} --epochs {epochs}"
        chosen.out.mkdir(parents=True, exist_ok=True)
        weights.save(chosen.out / f"{name}.safetensors", params)
        text = card(name, error, always_mean, len(angles), command, epochs)
        (chosen.out / f"{name}.md").write_text(text, encoding="utf-8")


def card(
    name: str, error: Float[np.ndarray, " n"], always_mean: float, seen: int, command: str, epochs: int
) -> str:
    """What a user should know of one model, in Markdown."""
    convolutions, dense = dave.ARCHITECTURES[name]
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(dave.shapes(name)))
    layers = [
        f"conv {c} of {k}x{k}, stride {s}, relu" + f"; max-pool {p}x{p}" * (p > 1)
        for c, k, s, p in convolutions
    ]
    layers += [f"dense {units}, relu" + f", dropout {drop}" * (drop > 0) for units, drop in dense]
    neurons = sum(c * (1 + (p > 1)) for c, _, _, p in convolutions) + sum(units for units, _ in dense)
    return f"""# {name.replace("dave_", "DAVE-")}

Reads a frame of a camera behind the windscreen: [b h w 3] in [0, 1], resized to {dave.SIDE} x {dave.SIDE}
inside the graph, to the angle by which the car turns in the coming second: [b 1] in radians, left is
positive.

| | |
|---|---|
| layers | {"; ".join(layers)}; one number u; 2 atan(u) |
| parameters | {parameters:,}, stored in half precision |
| neurons, as DeepXplore counts them (pools included) | {neurons:,}, and the two of the head |
| data | {seen:,} frames of Udacity's self-driving-car challenge 2 (MIT), 160 x 120, ten a second |
| held out | {len(error)} frames: every fifth block of the drive (`xplore.data.udacity`) |
| mean absolute error on the held-out blocks | {error.mean():.4f} rad; more than 0.2 rad off on \
{100 * (error > 0.2).mean():.1f} % of the frames |
| the same, always predicting the mean angle | {always_mean:.4f} rad |
| training | AdamW, cosine schedule, {epochs} epochs, batches of {BATCH}, squared error |
| augmentation | mirrored; shifted sideways by up to {SHIFT} % with {SHIFT_ANGLE} rad a pixel; \
contrast by up to 30 %, brightness by up to 0.2 |
| command | `{command}` |
| date | {datetime.date.today()} |

The learning rate was chosen on blocks of the training part.

The angles are told by the pictures (phase correlation of each frame with the next, the frame's width taken
to span {FIELD:g} rad). The steering angles published with these frames are not used: they are uniform noise,
with no relation to the drive (`docs/results/domains.md`).

Limits: trained on two minutes of one drive by day. It is a model to test, not one to drive with.
"""
