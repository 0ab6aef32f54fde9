"""One list of instances an interface, and the small networks, images and activations to try them on."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import Phase, settings
from profiles import many
from tables import gappy

from xplore.constraints import (
    Additions,
    Affine,
    Ball,
    Blackout,
    Blur,
    Chain,
    Features,
    Fog,
    Latent,
    Lighting,
    Noise,
    Occlusion,
    Patches,
    Photometric,
    Rain,
    Snow,
)
from xplore.coverage import NeuronCoverage
from xplore.model import Model
from xplore.objectives import Diverge, Joint
from xplore.oracles import AnglesDiffer, LabelsDiffer, NegativeFlips, ValuesDiffer
from xplore.panel import Panel
from xplore.search import Gradient, GridSearch, HillClimb, Original, Random


def encode_rows(x: jax.Array) -> jax.Array:
    """The mean of each row of pixels, as latents."""
    return x.mean(axis=(2, 3))


def decode_rows(z: jax.Array) -> jax.Array:
    """Rows of waves, for images that are GREY or COLOUR: a decoder that is not linear."""
    _, width, channels = next(shape for shape in (GREY, COLOUR) if shape[0] == z.shape[1])
    waves = jnp.sin(jnp.arange(width * channels, dtype=z.dtype)).reshape(1, 1, width, channels)
    return jnp.tanh(z)[:, :, None, None] * waves


CONSTRAINTS = [
    Affine(),
    Affine(0.0, 0.2, 0.3, 0.0, border="reflect"),
    Ball(),
    Ball(0.03),
    Ball(None),
    Ball(norm="2"),
    Ball(2.5, "2"),
    Blackout(),
    Blackout(2, 3, 0.1),
    Blackout(5, 4, None),
    Blur(),
    Blur(4.0),
    Chain((Lighting(0.1), Ball(0.05))),
    Chain((Affine(), Occlusion(4, 4, 0.5), Photometric())),
    Fog(),
    Fog(3.0, 0.5),
    Latent(decode_rows, encode_rows),
    Lighting(),
    Lighting(0.05),
    Lighting(0.8),
    Lighting(None),
    Noise(),
    Noise(0.1, 0.4, 0.03),
    Occlusion(),
    Occlusion(3, 5, 0.5),
    Occlusion(4, 2, 0.1, background=0.5),
    Occlusion(5, 5, None),
    Patches(((2, 3, 4, 5), (8, 1, 3, 3))),
    Patches(((0, 0, 3, 3),), None),
    Photometric(),
    Photometric(0.5, 0.9, 0.9, 180.0, 0.0),
    Rain(),
    Snow(),
    Snow(0.3),
]
TABLES = [
    Features.infer(np.array([[0, 0.5, 1, 0, 0], [9, -0.5, 0, 1, 1], [4, 3.5, 0, 1, 0]])),
    Features.infer(np.array([[0, 0.5, np.nan], [9, np.nan, 0], [np.nan, 3.5, 1]])).missing(
        "x0", may_be_lost=True
    ),
    Features.infer(gappy(0))
    .missing("age", "job", "end", may_be_lost=True, may_be_found=True)
    .magnitude("amount"),
    Features.infer(gappy(1), changes=1)
    .missing("born", "lasts", may_be_found=True)
    .only("born", "lasts", "rate"),
    Features.infer(gappy(2)).follow("sum", lambda row: row.a + row.b).where(lambda row: row.start <= row.end),
]
"""Constraints on rows: their laws are in tests/constraints."""
SETS = [
    Additions.of([f"permission::{at}" for at in range(12)], [1, 2, 5, 6, 7, 11], width=12, changes=2),
    Additions.of([f"permission::{at}" for at in range(12)], [3], width=12, changes=1),
]
"""Constraints on sets, likewise."""
CRITERIA = [
    NeuronCoverage(),
    NeuronCoverage(0.0),
    NeuronCoverage(0.75),
    NeuronCoverage(0.5, scale=None),
    NeuronCoverage(-0.5, scale=None),
]
OBJECTIVES = [
    Joint(2.0, 0.5, on=on, deviate=deviate)
    for on, deviate in [
        ("log_odds", "weakest"),
        ("log_probabilities", "random"),
        ("probabilities", 1),
        ("logits", "weakest"),
    ]
]
DIVERGE = [
    Diverge(2.0, 0.5, on=on, deviate=deviate, both_ways=both_ways)
    for on, deviate, both_ways in [
        ("value", "weakest", True),
        ("before_atan", "random", False),
        ("value", 1, True),
    ]
]
"""Objectives of models with one value."""
ORACLES = [LabelsDiffer(), NegativeFlips(), AnglesDiffer(), ValuesDiffer(1.5, "m")]
SEARCHES = [
    (Gradient(steps=6, tries=2), Occlusion(5, 5, 0.6)),
    (Gradient(steps=6, tries=2), Blackout(3, 3, 0.6)),
    (Gradient(steps=6, tries=3), Lighting()),
    (Gradient(steps=6, tries=2), Affine(30.0)),
    (Gradient(steps=6, tries=2), Chain((Fog(), Occlusion(5, 5, 0.6)))),
    (Original("light", steps=6), Lighting()),
    (Original("blackout", step=1.0, size=3, clip=True, steps=6), Blackout(6, 3, None)),
    (Random(steps=12), Blackout(3, 3, 0.6)),
    (HillClimb(steps=12), Occlusion(5, 5, 0.6)),
    (HillClimb(steps=12), Photometric()),
    (Random(steps=12), Chain((Rain(), Photometric()))),
    (GridSearch(steps=12), Lighting()),
]
GREY, COLOUR = (13, 16, 1), (16, 11, 3)


def missing(package: ModuleType, base: type, listed: list[Any]) -> set[str]:
    """Public concrete classes of a package that no instance of a list stands for."""
    classes = set()
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(found.name)
        classes |= {c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, base)}
    public = {c for c in classes if not inspect.isabstract(c) and not c.__name__.startswith("_")}
    return {c.__name__ for c in public - {type(part) for part in listed}}


def examples(count: int) -> settings:
    """So many examples, however long the first takes to compile; a failing one is shown as it came."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    return settings(max_examples=many(count), deadline=None, phases=phases)


def double() -> Any:
    """64-bit numbers, as a context."""
    return jax.enable_x64(True)


def small_network(params: Any, x: jax.Array) -> jax.Array:
    """Convolutions `conv...`, each with relu and a 2x2 pool, dense layers `fc...` with relu, `logits`."""
    for name in sorted(params):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        if name.startswith("conv"):
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias[None, None, None])
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        else:
            x = x.reshape(len(x), -1) @ kernel + bias[None]
            x = jax.nn.relu(x) if name.startswith("fc") else x
    return x


def small_weights(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    channels: tuple[int, ...] = (),
    dense: tuple[int, ...] = (),
    *,
    classes: int = 4,
    kernel: int = 3,
    dtype: Any = np.float32,
) -> dict[str, dict[str, np.ndarray]]:
    """Random weights of a `small_network`."""

    def layer(*sizes: int) -> dict[str, np.ndarray]:
        scale = 1.5 / np.sqrt(np.prod(sizes[:-1]))
        return {
            "kernel": (rng.normal(size=sizes) * scale).astype(dtype),
            "bias": (rng.normal(size=sizes[-1:]) * 0.3).astype(dtype),
        }

    height, width, depth = shape
    weights = {}
    for number, out in enumerate(channels, start=1):
        weights[f"conv{number}"] = layer(kernel, kernel, depth, out)
        height, width, depth = height // 2, width // 2, out
    size = height * width * depth
    for number, out in enumerate(dense, start=1):
        weights[f"fc{number}"] = layer(size, out)
        size = out
    return {**weights, "logits": layer(size, classes)}


def relatives(
    seed: int, shape: tuple[int, int, int], *, channels: tuple[int, ...] = (3,), dtype: Any = np.float32
) -> Panel:
    """Three networks that mostly agree: one, and two with other numbers next to its weights."""
    rng = np.random.default_rng(seed)
    first = small_weights(rng, shape, channels, (12,), dtype=dtype)
    near = [
        jax.tree.map(lambda w: (w + 0.1 * np.std(w) * rng.normal(size=w.shape)).astype(dtype), first)
        for _ in range(2)
    ]
    return Panel.of([Model(small_network, w, name=f"net{i}") for i, w in enumerate([first, *near])])


def pictures(seed: int, n: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Images as stored: a dark ground, a bright shape, some noise."""
    rng = np.random.default_rng(seed)
    ink = np.zeros((n, *shape))
    for image in ink:
        for _ in range(3):
            row, col = rng.integers(0, shape[0] - 2), rng.integers(0, shape[1] - 2)
            image[row : row + rng.integers(2, 6), col : col + rng.integers(2, 6)] = rng.random(shape[2])
    return np.round(255 * np.clip(ink + 0.1 * rng.random(ink.shape) * (ink > 0), 0, 1)).astype(np.uint8)
