"""Occlusion: one rectangle of the image may take any content."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from xplore import struct
from xplore.constraints._base import Constraint
from xplore.constraints._windows import cover, hidden_by_window, hidden_share, windows
from xplore.intervals import COUNT, PART, SHARE, by_field
from xplore.units import Number


class Occlusion(Constraint):
    """`x = x0 + mask z`, `mask` one `height x width` rectangle (Pei et al., 2017, section 6).

    The rectangle stands where the slope promises most among the places that hide at most `bound` of the
    seed's content, `sum |x - background|`; a restart draws another such place; where there is none, nothing
    moves. `bound=None` allows all.

    >>> Occlusion(3, 5, 0.5).words
    'one 3x5 rectangle that hides at most 50% of the content'
    """

    intervals = by_field(height=COUNT, width=COUNT, bound=PART, background=SHARE)
    height: int = struct.field(pytree_node=False, default=10)
    width: int = struct.field(pytree_node=False, default=10)
    bound: Number = 0.25
    background: Number = 0.0

    @property
    def reach(self) -> float:
        return 1.0

    @property
    def words(self) -> str:
        shape = f"one {self.height}x{self.width} rectangle"
        return (
            shape
            if self.bound is None
            else f"{shape} that hides at most {float(self.bound):.0%} of the content"
        )

    @property
    def places_by_slope(self) -> bool:
        return True

    def _place(
        self, key: Key[Array, " b"], gain: Float[Array, "b rows cols"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w 1"]:
        """The mask at the place of the largest gain that the bound allows; empty, where it allows none."""
        share = hidden_by_window(x0, self.height, self.width, self.background)
        allowed = jnp.ones(gain.shape, bool) if self.bound is None else share <= self.bound
        flat = jnp.where(allowed, gain, -jnp.inf).reshape(len(gain), -1)
        chosen = jax.nn.one_hot(flat.argmax(axis=1), flat.shape[1], dtype=x0.dtype).reshape(gain.shape)
        chosen = chosen * allowed
        return cover(chosen, self.height, self.width)[..., None]

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        slope: Float[Array, "b h w c"],
        turn: Int[Array, " b"],
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w 1"]]:
        promise = jnp.maximum(slope * (1 - x0), -slope * x0).sum(axis=-1)
        gain = windows(promise, self.height, self.width)
        gain = gain / jnp.maximum(gain.max(axis=(1, 2), keepdims=True), 1e-30)
        noise = jax.vmap(lambda k: jax.random.uniform(k, gain.shape[1:], x0.dtype))(key)
        gain = jnp.where((turn > 0)[:, None, None], gain + noise / 2, gain)
        return jnp.zeros_like(x0), self._place(key, gain, x0)

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w 1"]]:
        rows, cols = x0.shape[1] - self.height + 1, x0.shape[2] - self.width + 1
        place = jax.vmap(lambda k: jax.random.uniform(k, (rows, cols), x0.dtype))(key)
        fill = jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, 1), x0.shape[1:], x0.dtype))(key)
        mask = self._place(key, place, x0)
        return (fill - x0) * mask, mask

    def render(
        self, z: Float[Array, "b h w c"], fixed: Float[Array, "b h w 1"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return x0 + fixed * z

    def project(
        self, z: Float[Array, "b h w c"], fixed: Float[Array, "b h w 1"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return jnp.clip(z, -x0, 1 - x0) * fixed

    def sizes(self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"]) -> dict[str, Any]:
        return super().sizes(before, after) | {"hidden": hidden_share(before, after, self.background)}

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        changed = (before != after).any(axis=-1)
        fits = (_extent(changed.any(axis=2)) <= self.height) & (_extent(changed.any(axis=1)) <= self.width)
        if self.bound is None:
            return fits
        return fits & (hidden_share(before, after, self.background) <= self.bound + 1e-6)


def _extent(hit: Bool[Array, "b n"]) -> Int[Array, " b"]:
    """From the first hit to the last, both counted; 0 for none."""
    first, last = hit.argmax(axis=1), hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1)
    return jnp.where(hit.any(axis=1), last - first + 1, 0)
