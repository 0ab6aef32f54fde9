"""Inputs as they are stored: 8-bit images, and the one decoder that everything shares.

A pixel decoded as `uint8 / 255` in NumPy differs in the last bit from a compiled `round(x * 255) / 255`
for half of the 256 values, so both go through one table.
"""

from __future__ import annotations

import io

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

LEVELS = np.arange(256) / 255.0


def encode(x: Float[Array, "*x"]) -> UInt8[Array, "*x"]:
    """The nearest of 256 levels, half to even."""
    return jnp.clip(jnp.round(x * 255), 0, 255).astype(jnp.uint8)


def decode(codes: UInt8[Array, "*x"] | UInt8[np.ndarray, "*x"]) -> Float[Array, "*x"]:
    """Levels as floats in [0, 1]; `encode(decode(c)) == c`.

    The barrier keeps XLA from looking the levels up anew in every window that reads them.
    """
    return jax.lax.optimization_barrier(jnp.asarray(LEVELS, dtype=jnp.result_type(float))[codes])


def to_png(codes: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A lossless PNG of a grey (`c = 1`) or colour (`c = 3`) image."""
    image = Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def from_png(data: bytes) -> UInt8[np.ndarray, "h w c"]:
    """The image that a PNG holds.

    >>> from_png(to_png(np.eye(3, dtype=np.uint8)[..., None]))[..., 0].tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
