"""Affine: the image shifted, scaled, turned and sheared, as by another hand or viewpoint."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from xplore._util.intervals import SHARE, Interval, by_field
from xplore._util.pytree import Number, field
from xplore.constraints._base import inside
from xplore.constraints._parameters import Parameter, Parametric


class Affine(Parametric):
    """`x(p) = x0(c + A^-1 (p - c - t))`, `A = scale rotation shear`, about the centre c.

    It is read linearly between pixels. `rotate` and `shear` are degrees, `shift` a share of each side,
    `scale` a share of the size. Beyond the border the image goes on with its last pixel
    (`border="nearest"`: a digit keeps its ground) or mirrored (`"reflect"`: better for photographs), so
    that no black wedge comes in.

    >>> Affine(rotate=5.0, shift=0.0, scale=0.0, shear=0.0).description
    'turned by at most 5 degrees, shifted by 0% of the side, larger or smaller by 0%, sheared by 0 degrees'
    """

    intervals = by_field(
        rotate=Interval(0, 180),
        shift=SHARE,
        scale=Interval(0, 1, below=True),
        shear=Interval(0, 90, below=True),
    )
    rotate: Number = 10.0
    shift: Number = 0.07
    scale: Number = 0.1
    shear: Number = 10.0
    border: Literal["reflect", "nearest"] = field(pytree_node=False, default="nearest")

    @property
    def dials(self) -> dict[str, Parameter]:
        return {
            "turned (degrees)": Parameter(self.rotate),
            "shifted down": Parameter(self.shift),
            "shifted right": Parameter(self.shift),
            "larger": Parameter(self.scale),
            "sheared (degrees)": Parameter(self.shear),
        }

    @property
    def description(self) -> str:
        turned = f"turned by at most {float(self.rotate):g} degrees"
        moved = f"shifted by {float(self.shift):.0%} of the side"
        size = f"larger or smaller by {float(self.scale):.0%}, sheared by {float(self.shear):g} degrees"
        return f"{turned}, {moved}, {size}"

    def turned(
        self, values: tuple[Float[Array, "b 1 1 1"], ...], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        angle, down, right, larger, shear = (value[..., 0] for value in values)
        height, width = x0.shape[1:3]
        row = np.arange(height, dtype=x0.dtype)[None, :, None] - (height - 1) / 2 - down * height
        col = np.arange(width, dtype=x0.dtype)[None, None, :] - (width - 1) / 2 - right * width
        angle, shear = angle * (np.pi / 180), shear * (np.pi / 180)
        cos, sin = jnp.cos(angle), jnp.sin(angle)  # counter-clockwise, as one looks at it
        y, x = (cos * row + sin * col) / (1 + larger), (cos * col - sin * row) / (1 + larger)
        at = jnp.stack([y + (height - 1) / 2, x + jnp.tan(shear) * y + (width - 1) / 2], axis=1)

        def read(plane: Float[Array, "h w"], at: Float[Array, "2 h w"]) -> Float[Array, "h w"]:
            return map_coordinates(plane, [at[0], at[1]], order=1, mode=self.border)

        planes = jax.vmap(read, in_axes=(2, None), out_axes=2)
        return inside(jax.vmap(planes)(x0, at))

    def parameters(
        self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        """Angles in degrees, shifts in pixels, the size in percent."""
        values = super().parameters(z, fixed, x0)
        return {
            "turned (degrees)": values["turned (degrees)"],
            "shifted down (px)": values["shifted down"] * x0.shape[1],
            "shifted right (px)": values["shifted right"] * x0.shape[2],
            "larger (%)": values["larger"] * 100,
            "sheared (degrees)": values["sheared (degrees)"],
        }
