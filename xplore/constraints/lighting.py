"""Lighting: every pixel becomes brighter or darker by one amount."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from xplore._util.intervals import PART, by_field
from xplore._util.pytree import Number
from xplore._util.recipe import Recipe
from xplore.constraints._base import Constraint, check_level, level_bound, whole_levels
from xplore.inputs.encoding import ROUNDING


def rungs(attempt: Int[Array, " b"]) -> Float[Array, " b"]:
    """Starts in [-1, 1], far ones first, each new one amid the widest gap; both signs in turn.

    >>> rungs(jnp.arange(8)).tolist()
    [1.0, -1.0, 0.5, -0.5, 0.75, -0.75, 0.25, -0.25]
    """
    index = attempt // 2
    bits = jnp.arange(10)[None]
    half = ((index[:, None] >> bits) & 1) * 0.5 ** (bits + 1.0)  # van der Corput, base 2
    return jnp.where(attempt % 2 == 0, 1, -1) * (1 - half.sum(axis=1))


class Lighting(Constraint):
    """`x = clip(x0 + z, 0, 1)`, one `z` for the whole image, `|z| <= bound` (Pei et al., 2017, section 6).

    `z` is a whole number of levels of 8 bits, so that every pixel that is not clipped moves alike in what is
    stored, and a bound between two levels is the lower one. The score is no hill in `z`: of a gradient's
    tries, the first starts at the end that the seed's slope points to, the next at both ends, then amid the
    widest gap left (`rungs`). Without a bound `|z| <= 0.5`: beyond it every seed nears a constant image.

    >>> lit = Lighting().render(jnp.array([0.25]), (), jnp.array([[[[0.4]], [[0.9]]]]))  # 64 levels
    >>> (255 * lit).round(2).ravel().tolist(), round(float(Lighting(0.3).limit * 255), 2)
    ([166.0, 255.0], 76.0)
    """

    intervals = by_field(bound=PART)
    bound: Number = 0.3

    def check_moves(self) -> None:
        check_level("Lighting", self.bound)

    @property
    def limit(self) -> Any:
        """The largest `|z|`: a whole number of levels, at most the bound."""
        return level_bound(self._most)

    @property
    def _most(self) -> Any:
        return 0.5 if self.bound is None else self.bound

    @property
    def radius(self) -> Any:
        return self.limit

    @property
    def one_number(self) -> bool:
        return True

    @property
    def default_optimizer(self) -> Recipe:
        return Recipe.of(optax.sign_sgd, learning_rate=0.05)

    @property
    def description(self) -> str:
        return f"every pixel lighter or darker by at most {float(self._most):g}"

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        grad: Float[Array, "b h w c"],
        attempt: Int[Array, " b"],
    ) -> tuple[Float[Array, " b"], tuple[()]]:
        up = jnp.where(x0 < 1, grad, 0).sum(axis=(1, 2, 3))
        down = jnp.where(x0 > 0, -grad, 0).sum(axis=(1, 2, 3))
        uphill = jnp.where(up >= down, 1.0, -1.0)
        start = jnp.where(attempt == 0, uphill, rungs(attempt - 1))
        return (start * self.limit).astype(x0.dtype), ()

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, " b"], tuple[()]]:
        draw = jax.vmap(lambda k: jax.random.uniform(k, dtype=x0.dtype, minval=-1, maxval=1))
        return draw(key) * self.limit, ()

    def render(
        self, z: Float[Array, " b"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return jnp.clip(x0 + whole_levels(z)[:, None, None, None], 0, 1)

    def project(self, z: Float[Array, " b"], fixed: Any, x0: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        return jnp.clip(z, -self.limit, self.limit)

    def shrink_groups(self, shape: tuple[int, ...]) -> list[Int[np.ndarray, "*x"]]:
        return []

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        shift = self._shift(before, after)
        lit = jnp.clip(before + shift, 0, 1)
        uniform = (jnp.abs(lit - after) <= ROUNDING).all(axis=(1, 2, 3))
        return uniform & (jnp.abs(shift) <= self.limit + ROUNDING)[:, 0, 0, 0]

    def repaired(self, x: Float[Array, "b h w c"], x0: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return jnp.clip(x0 + whole_levels(self._shift(x0, x)), 0, 1)

    def _shift(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"]
    ) -> Float[Array, "b 1 1 1"]:
        """The amount: the largest change, which is clipped nowhere unless all are."""
        change = (after - before).reshape(len(after), -1)
        largest = jnp.take_along_axis(change, jnp.abs(change).argmax(axis=1, keepdims=True), axis=1)
        return largest[:, :, None, None]
