"""How inputs are stored and read back: what is stored is what is judged.

A pixel decoded as `uint8 / 255` in NumPy differs in the last bit from a compiled `round(x * 255) / 255`
for half of the 256 values, so both go through one table.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Shaped, UInt8

from xplore._util import pytree
from xplore._util.errors import InputError
from xplore.inputs import media
from xplore.inputs.columns import ADDED

LEVELS = np.arange(256) / 255.0
ROUNDING = 1e-5
"""How far levels of 8 bits, as floats, are from what they stand for."""


class Encoding(pytree.PyTreeNode, abc.ABC):
    """How inputs of one kind are held: as `codes` in memory, as bytes of a `media` type on disk."""

    @property
    @abc.abstractmethod
    def media(self) -> str:
        """The media type of the bytes."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """The type of a code."""

    def shape(self, code: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an input that models read, from that of its code: the same, unless said otherwise."""
        return code

    @abc.abstractmethod
    def encode(self, x: Float[Array, "b *x"]) -> Shaped[Array, "b *code"]:
        """The nearest codes."""

    @abc.abstractmethod
    def decode(self, codes: Shaped[Array, "b *code"] | Shaped[np.ndarray, "b *code"]) -> Float[Array, "b *x"]:
        """The inputs that models read; `encode(decode(c)) == c`."""

    @abc.abstractmethod
    def counts(
        self, codes: Shaped[Array, "b *x"] | Shaped[np.ndarray, "b *x"]
    ) -> Bool[Array, " b"] | Bool[np.ndarray, " b"]:
        """Which inputs show something? One that shows nothing is no finding."""

    def differ(self, x: Float[Array, "b *x"], other: Float[Array, "b *x"]) -> Bool[Array, "b *x"]:
        """Where do decoded inputs differ?"""
        return x != other

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

    def counts(
        self, codes: UInt8[Array, "b h w c"] | UInt8[np.ndarray, "b h w c"]
    ) -> Bool[Array, " b"] | Bool[np.ndarray, " b"]:
        return (codes != codes[:, :1, :1, :1]).any(axis=(1, 2, 3))

    def pack(self, codes: UInt8[np.ndarray, "h w c"]) -> bytes:
        return media.to_png(codes)

    def unpack(self, data: bytes) -> UInt8[np.ndarray, "h w c"]:
        return media.from_png(data)


class Rows(Encoding):
    """Rows `[d]` of numbers, float32 exactly as models read them, as `.npy`; `whole` ones are rounded.

    A column of so many `values` (0: of numbers) holds the number of one of them, the nearest. NaN is a value
    that is missing, in columns where one may be; of rows of no known table, anywhere.
    """

    whole: tuple[bool, ...] = pytree.field(pytree_node=False, default=())
    values: tuple[int, ...] = pytree.field(pytree_node=False, default=())
    missing: tuple[bool, ...] = pytree.field(pytree_node=False, default=(), metadata=ADDED)

    @property
    def media(self) -> str:
        return media.NPY

    @property
    def dtype(self) -> Any:
        return np.float32

    def encode(self, x: Float[Array, "b d"]) -> Float32[Array, "b d"]:
        few, last = np.array(self.values)[None] > 0, np.array(self.values)[None] - 1
        x = jnp.where(np.array(self.whole)[None], jnp.round(x), x)
        return jnp.where(few, jnp.clip(x, 0, last), x).astype(jnp.float32)

    def decode(self, codes: Float32[Array, "b d"] | Float32[np.ndarray, "b d"]) -> Float[Array, "b d"]:
        return jnp.asarray(codes, jnp.result_type(float))

    def counts(
        self, codes: Float32[Array, "b d"] | Float32[np.ndarray, "b d"]
    ) -> Bool[Array, " b"] | Bool[np.ndarray, " b"]:
        return np.ones(len(codes), bool)

    def differ(self, x: Float[Array, "b d"], other: Float[Array, "b d"]) -> Bool[Array, "b d"]:
        differ = x != other
        return differ & ~(jnp.isnan(x) & jnp.isnan(other)) if any(self.missing) else differ

    def pack(self, codes: Float32[np.ndarray, " d"]) -> bytes:
        return media.to_npy(codes)

    def unpack(self, data: bytes) -> Float32[np.ndarray, " d"]:
        row = media.from_npy(data)
        none = ~np.array(self.missing or not self.whole, bool)
        if none.shape in ((), row.shape) and (np.isnan(row) & none).any():
            wanted = "numbers where no value can be missing"
            raise InputError("a stored row", expected=wanted, got="NaN")
        return row


@dataclass(frozen=True, eq=False)
class Names:
    """The names of features by number; compared by identity, since there may be half a million."""

    all: tuple[str, ...] = field(repr=False)


class Sparse(Encoding):
    """Sets of features out of `features`, as rows of zeros and ones that models read.

    A code is the sorted numbers of the ones, filled up to `width` with `features`: a batch is dense on the
    device alone. On disk it is JSON, with the names of the features.

    >>> codes = np.array([[1, 3, 4]], np.int32)
    >>> Sparse(4, 3).decode(codes).tolist(), Sparse(4, 3).shape((3,))
    ([[0.0, 1.0, 0.0, 1.0]], (4,))
    """

    features: int = pytree.field(pytree_node=False)
    width: int = pytree.field(pytree_node=False)
    names: Names | None = pytree.field(pytree_node=False, default=None)

    @property
    def media(self) -> str:
        return media.SETS

    @property
    def dtype(self) -> Any:
        return np.int32

    def shape(self, code: tuple[int, ...]) -> tuple[int, ...]:
        return (self.features,)

    def encode(self, x: Float[Array, "b d"]) -> Int32[Array, "b k"]:
        on = x > 0.5
        place = jnp.where(on, jnp.cumsum(on, axis=1) - 1, self.width)
        numbers = jnp.broadcast_to(jnp.arange(self.features, dtype=jnp.int32)[None], x.shape)
        empty = jnp.full((len(x), self.width), self.features, jnp.int32)
        return empty.at[jnp.arange(len(x))[:, None], place].set(numbers, mode="drop")

    def decode(self, codes: Int32[Array, "b k"] | Int32[np.ndarray, "b k"]) -> Float[Array, "b d"]:
        none = jnp.zeros((len(codes), self.features), jnp.result_type(float))
        return none.at[jnp.arange(len(codes))[:, None], jnp.asarray(codes)].set(1, mode="drop")

    def counts(
        self, codes: Int32[Array, "b k"] | Int32[np.ndarray, "b k"]
    ) -> Bool[Array, " b"] | Bool[np.ndarray, " b"]:
        return np.ones(len(codes), bool)

    def pack(self, codes: Int32[np.ndarray, " k"]) -> bytes:
        ones = codes[codes < self.features].tolist()
        known = self.names
        names = [f"feature {at}" if known is None else known.all[at] for at in ones]
        return media.to_set(ones, names, self.features)

    def unpack(self, data: bytes) -> Int32[np.ndarray, " k"]:
        ones, size = media.from_set(data)
        if size != self.features or len(ones) > self.width:
            wanted, came = f"up to {self.width} of {self.features}", f"{len(ones)} of {size}"
            raise InputError("a stored set", expected=f"{wanted} features", got=came)
        return np.array([*ones, *[self.features] * (self.width - len(ones))], np.int32)


def encoding_of(name: str, data: bytes = b"") -> Encoding:
    """What reads stored bytes of a media type; of sets, these bytes.

    Raises:
        InputError: a type that xplore does not write.
    """
    if name == media.SETS:
        ones, size = media.from_set(data)
        return Sparse(size, 1 << len(ones).bit_length())  # few widths, since each is compiled
    known = {encoding.media: encoding for encoding in (Pixels(), Rows())}
    if name not in known:
        raise InputError("a stored input", expected=" or ".join([*known, media.SETS]), got=repr(name))
    return known[name]


def encode(x: Float[Array, "*x"]) -> UInt8[Array, "*x"]:
    """The nearest of 256 levels, half to even."""
    return jnp.clip(jnp.round(x * 255), 0, 255).astype(jnp.uint8)


def decode(codes: UInt8[Array, "*x"] | UInt8[np.ndarray, "*x"]) -> Float[Array, "*x"]:
    """Levels as floats in [0, 1]; `encode(decode(c)) == c`.

    The barrier keeps XLA from looking the levels up anew in every window that reads them.
    """
    return jax.lax.optimization_barrier(jnp.asarray(LEVELS, dtype=jnp.result_type(float))[codes])


def check_one_array(inputs: Any) -> None:
    """An InputError for inputs that are several arrays, as a model of several inputs takes them."""
    several = isinstance(inputs, dict)
    if isinstance(inputs, (list, tuple)):
        shapes = [tuple(part.shape) for part in inputs if hasattr(part, "shape")]
        sizes = {shape[:1] for shape in shapes}
        many = {len(shape) for shape in shapes} <= ({2, 4, 5} if isinstance(inputs, tuple) else {4, 5})
        several = 1 < len(inputs) == len(shapes) < 8 and len(sizes) == 1 and (many or len(set(shapes)) > 1)
    if several:
        kinds = inputs if isinstance(inputs, dict) else [list(part.shape) for part in inputs]
        raise InputError(
            "seeds",
            expected="one array of inputs",
            got=f"{type(inputs).__name__} of {', '.join(map(str, kinds))}",
            fix="hold them side by side in one array of rows, np.concatenate([a, b], axis=1), and give models"
            " that take it apart, as lambda x: model(x[:, :3], x[:, 3:])",
        )


def _in_shape(shape: tuple[int, ...]) -> str:
    """What to do with inputs of another shape than images."""
    if 0 in shape or len(shape) < 2:
        return ""
    if len(shape) == 2:
        return "of rows [n d], leave the constraint out, or give one of rows: Features.infer(rows)"
    of = ", ".join(map(str, shape[1:]))
    rows = "give rows, x.reshape(len(x), -1), and models that shape them back, as"
    other = f"{rows} lambda x: model(x.reshape(-1, {of}))"
    if len(shape) == 3:
        return f"of grey images [n h w], give images[..., None]; of series [n t c], {other}"
    return f"of volumes, videos and the like, {other}"


def pixels(images: Any) -> UInt8[np.ndarray, "n h w c"]:
    """Images as levels, from levels or floats in [0, 1]; `InputError` for any others, or none at all."""
    fix = "give images [n h w c] as uint8, or as floats in [0, 1]"
    check_one_array(images)
    array = np.asarray(images)
    if array.ndim != 4 or 0 in array.shape:
        wanted, came = "images [n h w c], at least one", f"shape {array.shape}"
        raise InputError("seeds", expected=wanted, got=came, fix=_in_shape(array.shape) or fix)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError("seeds", expected="uint8 or floats", got=str(array.dtype), fix=fix)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError("seeds", expected="finite pixels", got=f"{count} NaN or infinite", fix=fix)
    if array.min() < -ROUNDING or array.max() > 1 + ROUNDING:
        raise InputError(
            "seeds", expected="floats in [0, 1]", got=f"{array.min():g} to {array.max():g}", fix=fix
        )
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
