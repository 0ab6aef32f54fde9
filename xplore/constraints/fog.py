"""Fog: the farther, the whiter."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from xplore._util.intervals import COUNT, POSITIVE, SHARE, by_field
from xplore._util.jax_settings import PRNG
from xplore._util.pytree import Number, field
from xplore.constraints._base import cosines, inside
from xplore.constraints._parameters import Drawn, Parameter


class Fog(Drawn):
    """`x = x0 t + light (1 - t)`, `t = exp(-thickness d)` (Koschmieder, 1924), procedural.

    Distances are not known: d falls from 1 at the top of the image to 0.35 at its foot, times `exp` of smooth
    noise with `waves` half waves a side, drawn for each try and as strong as the fog is patchy.

    >>> Fog(0.5).description
    'fog that lets through 61% of the light at the top, on average, at its thickest'
    """

    intervals = by_field(thickness=POSITIVE, light=SHARE, waves=COUNT)
    thickness: Number = 1.0
    light: Number = 0.85
    waves: int = field(pytree_node=False, default=5)

    @property
    def dials(self) -> dict[str, Parameter]:
        return {
            "fog thickness": Parameter(self.thickness, both=False),
            "patchiness": Parameter(0.5, both=False),
        }

    @property
    def description(self) -> str:
        through = np.exp(-float(self.thickness))
        return f"fog that lets through {through:.0%} of the light at the top, on average, at its thickest"

    def turned(
        self,
        values: tuple[Float[Array, "b 1 1 1"], ...],
        fixed: UInt32[Array, "b 2"],
        x0: Float[Array, "b h w c"],
    ) -> Float[Array, "b h w c"]:
        thickness, patchy = values
        height, width = x0.shape[1:3]
        nearness = jnp.asarray(np.linspace(1, 0.35, height), x0.dtype)[None, :, None, None]
        distance = nearness * jnp.exp(patchy * self._noise(fixed, height, width, x0.dtype))
        return inside(x0 - jnp.expm1(-thickness * distance) * (self.light - x0))

    def _noise(
        self, fixed: UInt32[Array, "b 2"], height: int, width: int, dtype: Any
    ) -> Float[Array, "b h w 1"]:
        """Smooth noise of mean 0 and, on average, variance 1."""
        count = min(self.waves, height, width)
        rows, cols = (jnp.asarray(cosines(size, count), dtype) for size in (height, width))
        still = np.add.outer(np.arange(count), np.arange(count))
        share = np.where(still == 0, 0.0, 1 / np.maximum(still, 1))  # long waves are the stronger ones
        share = share / max(np.sqrt((share**2).sum()), 1e-30) * np.sqrt(height * width)

        def one(key: UInt32[Array, " 2"]) -> Float[Array, "h w 1"]:
            drawn = jax.random.normal(jax.random.wrap_key_data(key, impl=PRNG), (count, count), dtype)
            return jnp.einsum("kr,kl,lc->rc", rows, drawn * share, cols)[..., None]

        return jax.vmap(one)(fixed)
