"""A small generator of digits: the principal components of the training digits, computed when asked for.

Latents are whitened: over the training digits each has mean 0 and standard deviation 1 (Pearson, 1901;
Hotelling, 1933).
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Float

from xplore._util.errors import InputError
from xplore.data import mnist

if TYPE_CHECKING:
    from jax.tree_util import Partial


def decoder(components: int = 40) -> "Partial":
    """From latents `[b components]` to digits `[b 28 28 1]`, not clipped; raises `InputError`.

    >>> import jax.numpy as jnp
    >>> decoder(5)(jnp.zeros((2, 5))).shape
    (2, 28, 28, 1)
    """
    return _partial(_decode, components)


def encoder(components: int = 40) -> "Partial":
    """From digits `[b 28 28 1]` to latents `[b components]`; raises `InputError`."""
    return _partial(_encode, components)


def _partial(function: Any, components: int) -> "Partial":
    from jax.tree_util import Partial

    if not 1 <= components <= 784:
        raise InputError(
            "components", expected="1 to 784 of them", got=repr(components), fix="use components=40"
        )
    mean, axes, spread = fitted()
    return Partial(function, {"mean": mean, "axes": axes[:components], "spread": spread[:components]})


def _decode(weights: dict[str, Any], z: Float[Array, "b k"]) -> Float[Array, "b 28 28 1"]:
    flat = weights["mean"][None] + (z * weights["spread"][None]) @ weights["axes"]
    return flat.reshape(-1, 28, 28, 1)


def _encode(weights: dict[str, Any], x: Float[Array, "b 28 28 1"]) -> Float[Array, "b k"]:
    flat = x.reshape(len(x), -1) - weights["mean"][None]
    return flat @ weights["axes"].T / weights["spread"][None]


@functools.cache
def fitted() -> tuple[Float[np.ndarray, " 784"], Float[np.ndarray, "784 784"], Float[np.ndarray, " 784"]]:
    """The training digits' mean, principal axes (one a row), and the standard deviation along each."""
    images = mnist.load("train").images.reshape(-1, 784) / 255
    mean = images.mean(axis=0)
    variance, axes = np.linalg.eigh(np.cov(images.T, bias=True))
    spread = np.sqrt(np.maximum(variance[::-1], 1e-6))
    return mean.astype(np.float32), axes.T[::-1].astype(np.float32), spread.astype(np.float32)
