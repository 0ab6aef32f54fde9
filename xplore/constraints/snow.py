"""Snow: bright flakes of several sizes before a slightly whiter scene."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from xplore._util.intervals import POSITIVE, by_field
from xplore._util.jax_settings import PRNG
from xplore._util.pytree import Number
from xplore.constraints._base import inside
from xplore.constraints._parameters import Drawn, Parameter

LAYERS = ((0.003, 0.03), (0.006, 0.02), (0.011, 0.012))
"""Far flakes, nearer and near ones: the radius (a share of the height), and the share of pixels that they
cover in the heaviest snow."""


class Snow(Drawn):
    """`x = s (1 - a) + a`, `s = x0 + haze (0.9 - x0)`, a the flakes; procedural.

    Flakes are soft discs of three sizes at random pixels, drawn for each try: a flake is there while the
    snow is denser than its own number in [0, 1]. Dense snow whitens the scene by up to a fifth.

    >>> Snow(0.3).description
    'snow at most 30% strong'
    """

    intervals = by_field(strength=POSITIVE)
    strength: Number = 1.0

    @property
    def dials(self) -> dict[str, Parameter]:
        return {"snow strength": Parameter(self.strength, both=False), "density": Parameter(1.0, both=False)}

    @property
    def description(self) -> str:
        return f"snow at most {float(self.strength):.0%} strong"

    def turned(
        self,
        values: tuple[Float[Array, "b 1 1 1"], ...],
        fixed: UInt32[Array, "b 2"],
        x0: Float[Array, "b h w c"],
    ) -> Float[Array, "b h w c"]:
        strength, dense = values
        clear = (1 - _flakes(fixed, dense, x0.shape[1:3])).prod(axis=1)[..., None]
        scene = x0 + 0.2 * strength * dense * (0.9 - x0)
        return inside(scene + strength * (1 - clear) * (1 - scene))


def _flakes(
    fixed: UInt32[Array, "b 2"], dense: Float[Array, "b 1 1 1"], shape: tuple[int, ...]
) -> Float[Array, "b layers h w"]:
    """How much of each pixel the flakes of each layer cover."""
    sizes = np.array(LAYERS)
    radius = np.maximum(0.5, sizes[:, 0] * shape[0])

    def one(key: UInt32[Array, " 2"]) -> Float[Array, "layers h w"]:
        return jax.random.uniform(
            jax.random.wrap_key_data(key, impl=PRNG), (len(LAYERS), *shape), dense.dtype
        )

    number = jax.vmap(one)(fixed) * (np.pi * radius**2 / sizes[:, 1])[None, :, None, None]
    centres = jnp.clip(4 * (dense - number), 0, 1)
    rows, cols = (jnp.asarray(_discs(size, radius), dense.dtype) for size in shape)
    return jnp.tanh(1.5 * jnp.einsum("lrs,blsv,lwv->blrw", rows, centres, cols))


def _discs(size: int, radius: Float[np.ndarray, " layers"]) -> Float[np.ndarray, "layers size size"]:
    """A Gaussian of height 1 around each pixel of a side, for each radius."""
    apart = (np.arange(size)[:, None] - np.arange(size)[None])[None]
    return np.exp(-0.5 * (apart / radius[:, None, None]) ** 2)
