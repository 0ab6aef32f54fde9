"""An outside referee that reads digits in another way than the models under test, so that it errs elsewhere.

Histograms of oriented gradients (Dalal & Triggs, 2005) in overlapping normalised blocks, their principal
components, random Fourier features (Rahimi & Recht, 2007) and a ridge regression: a kernel machine that has
neither a convolution nor a gradient step. It only judges. It has seen lit, erased and noisy digits in
training, which the LeNets have not. NumPy alone, no JAX.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, Int64, UInt8

from xplore._util.errors import InputError
from xplore.model import weights

CELL = 4  # pixels from one cell's centre to the next; 7 x 7 cells, 6 x 6 blocks of 2 x 2 cells
DIRECTIONS = 8
N_HISTOGRAM = 6 * 6 * 4 * DIRECTIONS
N_COMPONENTS = 160
N_FEATURES = 4096
FAINT = 0.5  # a block whose histogram is shorter than this counts less than the others
WIDTH = 0.7  # of the Gaussian kernel, in typical distances between two digits
RIDGE = 1e-5  # in units of the number of training images

_CHUNK = 256  # images at a time, so that memory stays small
_STORED = "float16"

Images = UInt8[np.ndarray, "n 28 28 1"] | Float[np.ndarray, "n 28 28 1"]


class Machine(NamedTuple):
    """The numbers of a trained referee."""

    mean: Float32[np.ndarray, " histogram"]
    components: Float32[np.ndarray, "histogram components"]
    frequencies: Float32[np.ndarray, "components features"]
    phases: Float32[np.ndarray, " features"]
    readout: Float32[np.ndarray, "features 10"]


SHAPES = Machine(
    (N_HISTOGRAM,), (N_HISTOGRAM, N_COMPONENTS), (N_COMPONENTS, N_FEATURES), (N_FEATURES,), (N_FEATURES, 10)
)


def referee(path: str | Path | None = None) -> Callable[[Images], Int64[np.ndarray, " n"]]:
    """The trained referee: images, uint8 or floats in [0, 1], to digits.

    Its weights are the file beside this one unless `path` names another. Raises `InputError`.
    """
    path = Path(path or Path(__file__).with_name("referee.safetensors"))
    shapes = SHAPES._asdict().items()
    like = {name: np.broadcast_to(np.zeros((), _STORED), shape) for name, shape in shapes}
    # NumPy multiplies half precision many times slower than single.
    stored = weights.load(path, like)
    return functools.partial(judge, Machine(*(stored[name].astype(np.float32) for name in Machine._fields)))


def save(path: Path, machine: Machine) -> None:
    """Write a fitted machine in half precision, as `referee` reads it."""
    weights.save(path, {name: value.astype(_STORED) for name, value in machine._asdict().items()})


def judge(machine: Machine, images: np.ndarray) -> Int64[np.ndarray, " n"]:
    """The digit that each image shows, [n 28 28 1]; raises `InputError` for another shape or type."""
    if images.ndim != 4 or images.shape[1:] != (28, 28, 1) or images.dtype.kind not in "uf":
        raise InputError(
            "images for the referee",
            expected="uint8 or floats in [0, 1], [n 28 28 1]",
            got=f"{images.dtype} {list(images.shape)}",
        )
    digits = np.zeros(len(images), np.int64)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        digits[start : start + _CHUNK] = (features(machine, chunk) @ machine.readout).argmax(-1)
    return digits


def features(machine: Machine, images: Images) -> Float32[np.ndarray, "n features"]:
    """Random Fourier features of the images' histograms: their inner products approach a Gaussian kernel."""
    components = (histograms(images) - machine.mean) @ machine.components
    return np.cos(components @ machine.frequencies + machine.phases)


def histograms(images: Images) -> Float32[np.ndarray, "n histogram"]:
    """Histograms of oriented gradients, [n 6 6 blocks of 2 2 cells by 8 directions], each block normalised.

    >>> histograms(np.zeros((1, 28, 28, 1), np.uint8)).shape
    (1, 1152)
    """
    grey = images[..., 0].astype(np.float32)
    if images.dtype == np.uint8:
        grey /= 255
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    direction = np.arctan2(down, right) * np.float32(DIRECTIONS / (2 * np.pi))
    # Each gradient is shared by its two nearest directions and its nearest cells in proportion, so that a
    # slightly turned or moved stroke changes the histogram slightly.
    offset = (direction[..., None] - np.arange(DIRECTIONS, dtype=np.float32)) % DIRECTIONS
    shared = np.maximum(0, 1 - np.minimum(offset, DIRECTIONS - offset)) * strength[..., None]
    centres = CELL * np.arange(28 // CELL) + (CELL - 1) / 2
    share = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(28)) / CELL).astype(np.float32)
    cells = np.einsum("nhwd,ih,jw->nijd", shared, share, share, optimize=True)
    blocks = np.concatenate([cells[:, i : i + 6, j : j + 6] for i in (0, 1) for j in (0, 1)], axis=-1)
    blocks /= np.sqrt((blocks**2).sum(-1, keepdims=True) + FAINT**2)
    return np.minimum(blocks, 0.3).reshape(len(images), -1)


def fit(
    draw: Callable[[int], tuple[Float[np.ndarray, "n 28 28 1"], Int[np.ndarray, " n"]]],
    rounds: int,
    random: np.random.RandomState,
) -> Machine:
    """A machine fitted to `rounds` drawings of training images with their labels."""
    first = histograms(draw(0)[0])
    mean = first.mean(0)
    _, directions = np.linalg.eigh(np.cov(first.T))
    components = directions[:, : -N_COMPONENTS - 1 : -1]
    projected = (first - mean) @ components
    distance = np.sqrt(((projected[::2] - projected[1::2]) ** 2).sum(-1).mean())
    frequencies = random.normal(size=(N_COMPONENTS, N_FEATURES)) / (WIDTH * distance)
    phases = random.uniform(0, 2 * np.pi, N_FEATURES)
    parts = (mean, components, frequencies, phases, np.zeros((N_FEATURES, 10)))
    # Rounded before the readout is fitted, so that it is fitted to the features that will be read.
    machine = Machine(*(part.astype(_STORED).astype(np.float32) for part in parts))
    gram, target, n_images = np.zeros((N_FEATURES, N_FEATURES)), np.zeros((N_FEATURES, 10)), 0
    for number in range(rounds):
        images, labels = draw(number)
        for start in range(0, len(images), 8 * _CHUNK):
            seen = features(machine, images[start : start + 8 * _CHUNK])
            gram += seen.T @ seen
            target += seen.T @ (np.eye(10, dtype=np.float32)[labels[start : start + 8 * _CHUNK]] - 0.1)
            n_images += len(seen)
    gram[np.diag_indices(N_FEATURES)] += RIDGE * n_images
    readout = np.linalg.solve(gram, target)
    return machine._replace(readout=readout.astype(_STORED).astype(np.float32))


def damages(random: np.random.RandomState) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """What the referee learns to see through: names, and functions of float images in [0, 1]."""

    def erase(
        images: np.ndarray, low: int, high: int, fill: Callable[[tuple[int, int]], object]
    ) -> np.ndarray:
        images = images.copy()
        for image in images:
            height, width = random.randint(low, high + 1, 2)
            top, left = random.randint(0, 29 - height), random.randint(0, 29 - width)
            image[top : top + height, left : left + width, 0] = fill((height, width))
        return images

    def spots(images: np.ndarray) -> np.ndarray:
        spotted = images.copy()
        count = random.randint(1, 6, len(images))
        for number in range(5):
            spotted[count > number] = erase(spotted[count > number], 6, 6, lambda _: 0)
        return spotted

    def light(images: np.ndarray) -> np.ndarray:
        return np.clip(images + random.uniform(-0.3, 0.3, (len(images), 1, 1, 1)), 0, 1)

    def grain(images: np.ndarray) -> np.ndarray:
        strength = random.uniform(0, 0.1, (len(images), 1, 1, 1))
        return np.clip(images + strength * random.normal(size=images.shape), 0, 1)

    yield "clean", lambda images: images
    yield "noise rectangle", lambda images: erase(images, 3, 10, lambda size: random.uniform(size=size))
    yield "black rectangle", lambda images: erase(images, 3, 10, lambda _: 0)
    yield "white rectangle", lambda images: erase(images, 3, 10, lambda _: 1)
    yield "grey rectangle", lambda images: erase(images, 3, 10, lambda _: random.uniform())
    yield "black 6x6 spots", spots
    yield "brightness", light
    yield "light noise", grain
