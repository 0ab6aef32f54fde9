"""Blackout: a few small rectangles of the image turn dark, as by dirt on a lens."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key, UInt8

from xplore._util.intervals import COUNT, PART, by_field
from xplore._util.pytree import Number, field
from xplore._util.recipe import Recipe
from xplore.constraints._base import HALF_LEVEL, Constraint
from xplore.constraints._windows import check_room, cover, hidden_by_window, hidden_share


class Blackout(Constraint):
    """`x = x0 (1 - sum_p z_p mask_p)`, at most `count` of the `size x size` masks with `z_p > 0`.

    Every place of the rectangle has a latent, its darkness in [0, 1], so that a gradient tells where dark
    would help most; `project` keeps the `count` darkest that do not overlap and together hide at most
    `bound` of the seed's content, however dark. After the blackout of Pei et al. (2017, section 6),
    which draws new places at each step: `search.Original` does so.

    >>> Blackout(count=2, size=3).description
    'at most 2 dark 3x3 rectangles that hide at most 10% of the content'
    """

    intervals = by_field(count=COUNT, size=COUNT, bound=PART)
    count: int = field(pytree_node=False, default=3)
    size: int = field(pytree_node=False, default=6)
    bound: Number = 0.1

    def check(self, codes: UInt8[np.ndarray, "n h w c"]) -> None:
        check_room(self, self.size, self.size, codes.shape[1:])

    @property
    def default_optimizer(self) -> Recipe:
        """Places are chosen anew by the sum of all slopes so far: dual averaging."""
        return Recipe.of(optax.sgd, learning_rate=10.0, momentum=0.9)

    @property
    def description(self) -> str:
        shapes = f"at most {self.count} dark {self.size}x{self.size} rectangles"
        return (
            shapes
            if self.bound is None
            else f"{shapes} that hide at most {float(self.bound):.0%} of the content"
        )

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b rows cols"], tuple[()]]:
        shape = (x0.shape[1] - self.size + 1, x0.shape[2] - self.size + 1)
        rank = jax.vmap(lambda k: jax.random.uniform(k, shape, x0.dtype))(key)
        return (self.project(rank, (), x0) > 0).astype(x0.dtype), ()

    def render(
        self, z: Float[Array, "b rows cols"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return x0 * (1 - cover(z, self.size, self.size)[..., None])

    def project(
        self, z: Float[Array, "b rows cols"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b rows cols"]:
        share = hidden_by_window(x0, self.size, self.size)
        room = jnp.full(len(z), jnp.inf if self.bound is None else self.bound, z.dtype)
        candidates, result = jnp.where(z > 0, z, -jnp.inf), jnp.zeros_like(z)
        for _ in range(self.count):
            open_ = jnp.where(share <= room[:, None, None] + 1e-6, candidates, -jnp.inf)
            flat = open_.reshape(len(z), -1)
            best = flat.argmax(axis=1)
            take = jnp.take_along_axis(flat, best[:, None], axis=1)[:, 0] > 0
            here = jax.nn.one_hot(best, flat.shape[1], dtype=z.dtype).reshape(z.shape) * take[:, None, None]
            result = result + here * jnp.where(here > 0, z, 0)
            room = room - (here * share).sum(axis=(1, 2))
            overlaps = _near(here, self.size) > 0.5
            candidates = jnp.where(overlaps, -jnp.inf, candidates)
        return jnp.minimum(result, 1)

    def sizes(self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"]) -> dict[str, Any]:
        return super().sizes(before, after) | {"hidden": hidden_share(before, after)}

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        darker = (after <= before + HALF_LEVEL).all(axis=(1, 2, 3))
        few = (before != after).any(axis=-1).sum(axis=(1, 2)) <= self.count * self.size**2
        if self.bound is None:
            return darker & few
        return darker & few & (hidden_share(before, after) <= self.bound + 1e-6)


def _near(places: Float[Array, "b rows cols"], size: int) -> Float[Array, "b rows cols"]:
    """Places whose rectangle would overlap one of these."""
    rows, cols = places.shape[1:]
    by_row = jnp.abs(jnp.arange(rows)[:, None] - jnp.arange(rows)[None]) < size
    by_col = jnp.abs(jnp.arange(cols)[:, None] - jnp.arange(cols)[None]) < size
    return jnp.einsum("rs,bsd,cd->brc", by_row.astype(places.dtype), places, by_col.astype(places.dtype))
