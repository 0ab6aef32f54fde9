"""What rectangles of an image hide: sums over every place of a window, as products with banded matrices."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xplore._util.errors import InputError
from xplore._util.pytree import Number


def content(x: Float[Array, "b h w c"], background: Number = 0.0) -> Float[Array, "b h w"]:
    """What there is to see at each position: `sum_c |x - background|`."""
    return jnp.abs(x - background).sum(axis=-1)


def hidden_share(
    before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], background: Number = 0.0
) -> Float[Array, " b"]:
    """The share of the seed's content at the positions that changed."""
    seen = content(before, background)
    changed = (before != after).any(axis=-1)
    return jnp.where(changed, seen, 0).sum(axis=(1, 2)) / jnp.maximum(seen.sum(axis=(1, 2)), 1e-6)


def changed_share(
    before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], background: Number = 0.0
) -> Float[Array, " b"]:
    """How much a change hides and draws together, as a share of the seed's content: `sum |x - x0| / content`.

    >>> one, two = jnp.zeros((1, 2, 2, 1)).at[0, 0].set(1.0), jnp.zeros((1, 2, 2, 1)).at[0, :, 0].set(1.0)
    >>> changed_share(one, two).tolist()  # one of two pixels is hidden, and one is drawn
    [1.0]
    """
    change = jnp.abs(after - before).sum(axis=(1, 2, 3))
    return change / jnp.maximum(content(before, background).sum(axis=(1, 2)), 1e-6)


def windows(values: Float[Array, "b h w"], height: int, width: int) -> Float[Array, "b rows cols"]:
    """The sum over every `height x width` window, as two products with banded matrices.

    >>> windows(jnp.ones((1, 3, 3)), 2, 2).tolist()
    [[[4.0, 4.0], [4.0, 4.0]]]
    """
    rows = jnp.asarray(_band(values.shape[1], height), values.dtype)
    cols = jnp.asarray(_band(values.shape[2], width), values.dtype)
    return jnp.einsum("rh,bhw,cw->brc", rows, values, cols)


def hidden_by_window(
    x0: Float[Array, "b h w c"], height: int, width: int, background: Number = 0.0
) -> Float[Array, "b rows cols"]:
    """The share of the content that a `height x width` window hides, for each of its places."""
    seen = content(x0, background)
    return windows(seen, height, width) / jnp.maximum(seen.sum(axis=(1, 2), keepdims=True), 1e-6)


def cover(places: Float[Array, "b rows cols"], height: int, width: int) -> Float[Array, "b h w"]:
    """The transpose of `windows`: each window's value spread over its pixels."""
    rows = jnp.asarray(_band(places.shape[1] + height - 1, height), places.dtype)
    cols = jnp.asarray(_band(places.shape[2] + width - 1, width), places.dtype)
    return jnp.einsum("rh,brc,cw->bhw", rows, places, cols)


def check_room(part: Any, height: int, width: int, image: tuple[int, ...]) -> None:
    """An InputError for a window that is larger than images `[h w c]` of that shape."""
    if height <= image[0] and width <= image[1]:
        return
    raise InputError(
        f"constraint {part!r}",
        expected=f"rectangles that fit into images of {image[0]} x {image[1]} pixels",
        got=f"{height} x {width}",
        fix="choose a size that fits into the images",
    )


def _band(size: int, window: int) -> Float[np.ndarray, "places size"]:
    offset = np.arange(size)[None] - np.arange(size - window + 1)[:, None]
    return ((offset >= 0) & (offset < window)).astype(float)
