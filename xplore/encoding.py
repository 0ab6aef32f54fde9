"""How inputs are stored and read back: what is stored is what is judged.

A pixel decoded as `uint8 / 255` in NumPy differs in the last bit from a compiled `round(x * 255) / 255`
for half of the 256 values, so both go through one table.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Float32, Shaped, UInt8

from xplore import media
from xplore.errors import InputError

LEVELS = np.arange(256) / 255.0


class Encoding(struct.PyTreeNode, abc.ABC):
    """How inputs of one kind are held: as `codes` in memory, as bytes of a `media` type on disk."""

    @property
    @abc.abstractmethod
    def media(self) -> str:
        """The media type of the bytes."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """The type of a code."""

    @abc.abstractmethod
    def encode(self, x: Float[Array, "b *x"]) -> Shaped[Array, "b *x"]:
        """The nearest codes."""

    @abc.abstractmethod
    def decode(self, codes: Shaped[Array, "b *x"] | Shaped[np.ndarray, "b *x"]) -> Float[Array, "b *x"]:
        """The inputs that models read; `encode(decode(c)) == c`."""

    @abc.abstractmethod
    def counts(self, codes: Shaped[Array, "b *x"]) -> Bool[Array, " b"]:
        """Which inputs show something? One that shows nothing is no finding."""

    @abc.abstractmethod
    def pack(self, codes: Shaped[np.ndarray, "*x"]) -> bytes:
        """One input as bytes."""

    @abc.abstractmethod
    def unpack(self, data: bytes) -> Shaped[np.ndarray, "*x"]:
        """The one input that bytes hold."""


class Pixels(Encoding):
    """Images `[h w c]` of 8 bits, as PNG; an image of one colour is never a finding."""

    @property
    def media(self) -> str:
        return media.PNG

    @property
    def dtype(self) -> Any:
        return np.uint8

    def encode(self, x: Float[Array, "b h w c"]) -> UInt8[Array, "b h w c"]:
        return encode(x)

    def decode(
        self, codes: UInt8[Array, "b h w c"] | UInt8[np.ndarray, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return decode(codes)

    def counts(self, codes: UInt8[Array, "b h w c"]) -> Bool[Array, " b"]:
        return (codes != codes[:, :1, :1, :1]).any(axis=(1, 2, 3))

    def pack(self, codes: UInt8[np.ndarray, "h w c"]) -> bytes:
        return media.to_png(codes)

    def unpack(self, data: bytes) -> UInt8[np.ndarray, "h w c"]:
        return media.from_png(data)


class Rows(Encoding):
    """Rows `[d]` of numbers, float32 exactly as models read them, as `.npy`; `whole` ones are rounded."""

    whole: tuple[bool, ...] = struct.field(pytree_node=False, default=())

    @property
    def media(self) -> str:
        return media.NPY

    @property
    def dtype(self) -> Any:
        return np.float32

    def encode(self, x: Float[Array, "b d"]) -> Float32[Array, "b d"]:
        return jnp.where(np.array(self.whole)[None], jnp.round(x), x).astype(jnp.float32)

    def decode(self, codes: Float32[Array, "b d"] | Float32[np.ndarray, "b d"]) -> Float[Array, "b d"]:
        return jnp.asarray(codes, jnp.result_type(float))

    def counts(self, codes: Float32[Array, "b d"]) -> Bool[Array, " b"]:
        return jnp.ones(len(codes), bool)

    def pack(self, codes: Float32[np.ndarray, " d"]) -> bytes:
        return media.to_npy(codes)

    def unpack(self, data: bytes) -> Float32[np.ndarray, " d"]:
        return media.from_npy(data)


def encoding_of(name: str) -> Encoding:
    """What reads stored bytes of a media type.

    Raises:
        InputError: a type that xplore does not write.
    """
    known = {encoding.media: encoding for encoding in (Pixels(), Rows())}
    if name not in known:
        raise InputError("a stored input", expected=" or ".join(known), got=repr(name))
    return known[name]


def encode(x: Float[Array, "*x"]) -> UInt8[Array, "*x"]:
    """The nearest of 256 levels, half to even."""
    return jnp.clip(jnp.round(x * 255), 0, 255).astype(jnp.uint8)


def decode(codes: UInt8[Array, "*x"] | UInt8[np.ndarray, "*x"]) -> Float[Array, "*x"]:
    """Levels as floats in [0, 1]; `encode(decode(c)) == c`.

    The barrier keeps XLA from looking the levels up anew in every window that reads them.
    """
    return jax.lax.optimization_barrier(jnp.asarray(LEVELS, dtype=jnp.result_type(float))[codes])
