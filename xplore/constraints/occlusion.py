"""Occlusion: one rectangle of the image may take any content."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from xplore._util.intervals import COUNT, PART, SHARE, by_field
from xplore._util.pytree import Number, field
from xplore.constraints._base import Constraint, inside, levels_below
from xplore.constraints._windows import changed_share, check_room, content, cover, hidden_share, windows

HALVINGS = 24
"""Of how far values move towards 0: to a millionth of a level of 8 bits."""


class Occlusion(Constraint):
    """`x = x0 + mask z`, `mask` one `height x width` rectangle (Pei et al., 2017, section 6).

    The rectangle stands where the slope promises most; a restart draws another place. What it hides and what
    it draws count alike: `sum |x - x0|` is at most `bound` of the seed's content, `sum |x0 - background|`. So
    a digit neither loses the strokes nor gets the strokes that would make another of it. `bound=None` allows
    any content, as published.

    >>> Occlusion(3, 5, 0.5).description
    'one 3x5 rectangle that changes at most 50% of the content'
    """

    intervals = by_field(height=COUNT, width=COUNT, bound=PART, background=SHARE)
    height: int = field(pytree_node=False, default=10)
    width: int = field(pytree_node=False, default=10)
    bound: Number = 0.15
    background: Number = 0.0

    @classmethod
    def fitted(cls, height: int, width: int) -> Occlusion:
        """Return the default rectangle for images of a size.

        A side has 10 pixels, but at most 10/28 of the image's side (what 10 are of an MNIST digit's) and at
        least 1/28 of it.

        Args:
            height: of the images, in pixels.
            width: of the images, in pixels.

        >>> small, large = Occlusion.fitted(8, 28), Occlusion.fitted(1, 1120)
        >>> (small.height, small.width), (large.height, large.width)
        ((3, 10), (1, 40))
        """
        rows, columns = (max(1, round(min(10, side * 10 / 28)), round(side / 28)) for side in (height, width))
        return cls(rows, columns)

    def check(self, codes: UInt8[np.ndarray, "n h w c"]) -> None:
        check_room(self, self.height, self.width, codes.shape[1:])

    @property
    def description(self) -> str:
        shape = f"one {self.height}x{self.width} rectangle"
        return (
            shape
            if self.bound is None
            else f"{shape} that changes at most {float(self.bound):.0%} of the content"
        )

    @property
    def init_uses_grad(self) -> bool:
        return True

    def _place(self, gain: Float[Array, "b rows cols"]) -> Float[Array, "b h w 1"]:
        """The mask at the place of the largest gain."""
        flat = gain.reshape(len(gain), -1)
        chosen = jax.nn.one_hot(flat.argmax(axis=1), flat.shape[1], dtype=gain.dtype).reshape(gain.shape)
        return cover(chosen, self.height, self.width)[..., None]

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        grad: Float[Array, "b h w c"],
        attempt: Int[Array, " b"],
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w 1"]]:
        promise = jnp.maximum(grad * (1 - x0), -grad * x0).sum(axis=-1)
        gain = windows(promise, self.height, self.width)
        gain = gain / jnp.maximum(gain.max(axis=(1, 2), keepdims=True), 1e-30)
        noise = jax.vmap(lambda k: jax.random.uniform(k, gain.shape[1:], x0.dtype))(key)
        gain = jnp.where((attempt > 0)[:, None, None], gain + noise / 2, gain)
        return jnp.zeros_like(x0), self._place(gain)

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w 1"]]:
        rows, cols = x0.shape[1] - self.height + 1, x0.shape[2] - self.width + 1
        place = jax.vmap(lambda k: jax.random.uniform(k, (rows, cols), x0.dtype))(key)
        fill = jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, 1), x0.shape[1:], x0.dtype))(key)
        mask = self._place(place)
        return self.project((fill - x0) * mask, mask, x0), mask

    def render(
        self, z: Float[Array, "b h w c"], fixed: Float[Array, "b h w 1"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        if self.bound is None:
            return x0 + fixed * z
        return inside(x0 + fixed * levels_below(z))

    def project(
        self, z: Float[Array, "b h w c"], fixed: Float[Array, "b h w 1"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        z = jnp.clip(z, -x0, 1 - x0) * fixed
        if self.bound is None:
            return z
        return _nearest_within(z, self.bound * content(x0, self.background).sum(axis=(1, 2)))

    def sizes(self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"]) -> dict[str, Any]:
        hidden = hidden_share(before, after, self.background)
        share = changed_share(before, after, self.background)
        return super().sizes(before, after) | {"hidden": hidden, "content_changed": share}

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        changed = (before != after).any(axis=-1)
        fits = (_extent(changed.any(axis=2)) <= self.height) & (_extent(changed.any(axis=1)) <= self.width)
        if self.bound is None:
            return fits
        return fits & (changed_share(before, after, self.background) <= self.bound + 1e-5)


def _nearest_within(z: Float[Array, "b h w c"], radius: Float[Array, " b"]) -> Float[Array, "b h w c"]:
    """The nearest point whose absolute values sum to `radius` at most: each moves towards 0 by one amount.

    That amount is halved in (Duchi et al., 2008, sort instead: images have many pixels).
    """
    size = jnp.abs(z)
    total = size.sum(axis=(1, 2, 3))

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = ends
        middle = (low + high) / 2
        inside = jnp.maximum(size - middle[:, None, None, None], 0).sum(axis=(1, 2, 3)) <= radius
        return jnp.where(inside, low, middle), jnp.where(inside, middle, high)

    ends = jnp.zeros_like(total), size.max(axis=(1, 2, 3))
    high = jax.lax.fori_loop(0, HALVINGS, halve, ends)[1]
    amount = jnp.where(total <= radius, 0, high)[:, None, None, None]
    return jnp.sign(z) * jnp.maximum(size - amount, 0)


def _extent(hit: Bool[Array, "b n"]) -> Int[Array, " b"]:
    """From the first hit to the last, both counted; 0 for none."""
    first, last = hit.argmax(axis=1), hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)
    return jnp.where(hit.any(axis=1), last - first + 1, 0)
