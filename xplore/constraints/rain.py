"""Rain: slanted streaks before a slightly darker scene."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from xplore._util.intervals import POSITIVE, SHARE, Interval, by_field
from xplore._util.jax_settings import PRNG
from xplore._util.pytree import Number
from xplore.constraints._base import inside
from xplore.constraints._parameters import Drawn, Parameter

LAYERS = ((0.06, 0.10, 0.35), (0.15, 0.05, 0.7))
"""Far drops and near ones: the streaks' length (a share of the height), the share of pixels that they
cover in the heaviest rain, and how much light they add."""


class Rain(Drawn):
    """`x = x0 (1 - dark) (1 - a) + light a`, a the streaks of drops while the shutter is open; procedural.

    Drops stand at random pixels, drawn for each try: a drop is there while the rain is heavier than its own
    number in [0, 1]. Each is drawn out downwards, fading, and the picture of all is slanted by the wind.
    Heavy rain darkens the scene by up to a fifth.

    >>> Rain(0.5).description
    'rain, at most 50% strong, slanted by 20 degrees'
    """

    intervals = by_field(strength=POSITIVE, slant=Interval(-90, 90, above=True, below=True), light=SHARE)
    strength: Number = 1.0
    slant: Number = 20.0
    light: Number = 0.85

    @property
    def dials(self) -> dict[str, Parameter]:
        return {
            "rain strength": Parameter(self.strength, both=False),
            "density": Parameter(1.0, both=False),
            "slanted (degrees)": Parameter(self.slant),
        }

    @property
    def description(self) -> str:
        return f"rain, at most {float(self.strength):.0%} strong, slanted by {float(self.slant):g} degrees"

    def turned(
        self,
        values: tuple[Float[Array, "b 1 1 1"], ...],
        fixed: UInt32[Array, "b 2"],
        x0: Float[Array, "b h w c"],
    ) -> Float[Array, "b h w c"]:
        strength, dense, slant = values
        tangent = jnp.tan(slant[..., 0] * (np.pi / 180))
        streaks = _slanted(_streaks(fixed, dense, x0.shape[1:3]), tangent)[..., None]
        scene = x0 - 0.2 * strength * dense * x0
        return inside(scene + strength * streaks * (self.light - scene))


def _streaks(
    fixed: UInt32[Array, "b 2"], dense: Float[Array, "b 1 1 1"], shape: tuple[int, ...]
) -> Float[Array, "b h w"]:
    """How much light the drops of all layers add to each pixel, before the wind slants them."""
    sizes = np.array(LAYERS)
    length = np.maximum(2.0, sizes[:, 0] * shape[0])

    def one(key: UInt32[Array, " 2"]) -> Float[Array, "layers h w"]:
        return jax.random.uniform(
            jax.random.wrap_key_data(key, impl=PRNG), (len(LAYERS), *shape), dense.dtype
        )

    number = jax.vmap(one)(fixed) * (length / sizes[:, 1])[None, :, None, None]
    drops = jnp.clip(4 * (dense - number), 0, 1)
    along = (np.arange(shape[0])[:, None] - np.arange(shape[0])[None])[None]
    fades = np.where(along >= 0, np.clip(1 - along / length[:, None, None], 0, 1), 0)
    fallen = jnp.tanh(jnp.einsum("lrs,blsw->blrw", jnp.asarray(fades, dense.dtype), drops))
    return jnp.einsum("l,blrw->brw", jnp.asarray(sizes[:, 2], dense.dtype), fallen)


def _slanted(field: Float[Array, "b h w"], tangent: Float[Array, "b 1 1"]) -> Float[Array, "b h w"]:
    """Each row moved sideways by `tangent` pixels a row, round the edge."""
    height, width = field.shape[1:]
    rows = jnp.arange(height, dtype=field.dtype)[None, :, None] - (height - 1) / 2
    at = jnp.arange(width, dtype=field.dtype)[None, None, :] + tangent * rows
    left = jnp.floor(at)
    part = at - left
    one = left.astype(int) % width
    two = (one + 1) % width
    beside = (jnp.take_along_axis(field, index, axis=2) for index in (one, two))
    return (1 - part) * next(beside) + part * next(beside)
