"""Noise: waves of some frequencies alone, added."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key

from xplore._util.errors import InputError
from xplore._util.intervals import NOT_NEGATIVE, POSITIVE, by_field
from xplore._util.pytree import Number, field
from xplore._util.recipe import Recipe
from xplore.constraints._base import Constraint, added, cosines, rendered


class Noise(Constraint):
    """`x = x0 + n`, n cosines of `low` to `high` cycles a pixel, root mean square at most `bound`.

    Latents are the waves' coefficients (orthonormal, so that their length is the root mean square). Near
    black and white the change is `room tanh(n / room)`, room what is left to 0 or 1, so that no slope dies. A
    first try starts at the seed, a restart at random noise of full strength.

    >>> Noise(0.1, 0.4, 0.03).description
    'noise of 0.1 to 0.4 cycles a pixel, root mean square at most 0.03'
    """

    intervals = by_field(low=NOT_NEGATIVE, high=POSITIVE, bound=POSITIVE)
    low: float = field(pytree_node=False, default=0.0)
    high: float = field(pytree_node=False, default=0.25)
    bound: Number = 0.06

    def check_moves(self) -> None:
        if self.low > self.high:
            came = f"{self.low:g} to {self.high:g}"
            raise InputError("constraint Noise", expected="low at most high", got=came)

    @property
    def radius(self) -> Any:
        return self.bound

    @property
    def default_optimizer(self) -> Recipe:
        return Recipe.of(optax.sgd, learning_rate=0.35)

    @property
    def description(self) -> str:
        band = f"{self.low:g} to {self.high:g} cycles a pixel"
        return f"noise of {band}, root mean square at most {float(self.bound):g}"

    @property
    def needs_latents(self) -> bool:
        return True

    def _band(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "k l 1"]:
        """Which waves of an image of this size are in the band."""
        ks, ls = (np.arange(int(2 * self.high * size) + 1)[:size] / (2 * size) for size in shape[:2])
        cycles = np.hypot(ks[:, None], ls[None])
        inside = (cycles >= self.low) & (cycles <= self.high)
        return inside[..., None]

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b k l c"], tuple[()]]:
        shape = (*self._band(x0.shape[1:]).shape[:2], x0.shape[3])
        drawn = jax.vmap(lambda k: jax.random.normal(k, shape, x0.dtype))(key)
        return self.project(1e6 * drawn, (), x0), ()

    def render(
        self, z: Float[Array, "b k l c"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        height, width = x0.shape[1:3]
        rows = jnp.asarray(cosines(height, z.shape[1]) * height**0.5, x0.dtype)
        cols = jnp.asarray(cosines(width, z.shape[2]) * width**0.5, x0.dtype)
        noise = jnp.einsum("kr,bklc,lw->brwc", rows, z, cols)
        return added(x0, noise)

    def project(
        self, z: Float[Array, "b k l c"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b k l c"]:
        z = z * self._band(x0.shape[1:])[None]
        size = jnp.sqrt((z**2).sum(axis=(1, 2, 3), keepdims=True) / x0.shape[3])
        return z * jnp.minimum(1, self.bound / jnp.maximum(size, 1e-12))

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        return rendered(self, before, after, latents)

    def parameters(
        self, z: Float[Array, "b k l c"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        return {"noise (root mean square)": jnp.sqrt((z**2).sum(axis=(1, 2, 3)) / x0.shape[3])}
