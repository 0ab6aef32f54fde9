"""Photometric: brightness, contrast, gamma, hue and saturation, as a camera's settings change them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xplore._util.intervals import SHARE, Interval, by_field
from xplore._util.pytree import Number
from xplore.constraints._parameters import Parameter, Parametric


class Photometric(Parametric):
    """`clip(brightness o contrast o saturation o hue o gamma)(x0)`, each by at most its bound.

    `gamma: x^(1 + g)`; `hue`: the colour turned about the grey axis; `saturation: x + s (x - grey)`, grey the
    mean of the channels; `contrast: x + c (x - mean)`, the mean of the image; `brightness: x + b`. Only the
    sum is clipped, as a sensor does. Hue and saturation need three channels: on others they do nothing. A
    bound of 0 holds one still.

    >>> Photometric(brightness=0.1, contrast=0.2).description[:42]
    'brightness by at most 0.1, contrast by 20%'
    """

    intervals = by_field(
        brightness=SHARE,
        contrast=SHARE,
        gamma=Interval(0, 1, below=True),
        hue=Interval(0, 180),
        saturation=SHARE,
    )
    brightness: Number = 0.2
    contrast: Number = 0.3
    gamma: Number = 0.3
    hue: Number = 15.0
    saturation: Number = 0.3

    @property
    def dials(self) -> dict[str, Parameter]:
        return {
            "brightness": Parameter(self.brightness),
            "contrast": Parameter(self.contrast),
            "gamma": Parameter(self.gamma),
            "hue (degrees)": Parameter(self.hue),
            "saturation": Parameter(self.saturation),
        }

    @property
    def description(self) -> str:
        levels = f"brightness by at most {float(self.brightness):g}, contrast by {float(self.contrast):.0%}"
        colour = f"hue by {float(self.hue):g} degrees, saturation by {float(self.saturation):.0%}"
        return f"{levels}, gamma by {float(self.gamma):g}, {colour} (where there is colour)"

    def parameters(
        self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        """What each dial is at; hue and saturation only where there is colour."""
        values = super().parameters(z, fixed, x0)
        return (
            values
            if x0.shape[3] == 3
            else {name: values[name] for name in ("brightness", "contrast", "gamma")}
        )

    def turned(
        self, values: tuple[Float[Array, "b 1 1 1"], ...], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        brightness, contrast, gamma, hue, saturation = values
        x = x0 * jnp.exp(gamma * jnp.log(jnp.maximum(x0, 1e-6)))
        if x0.shape[3] == 3:
            angle = hue * (np.pi / 180)
            grey = x.mean(axis=3, keepdims=True)
            across = (jnp.roll(x, 1, axis=3) - jnp.roll(x, -1, axis=3)) / 3**0.5
            x = x + (jnp.cos(angle) - 1) * (x - grey) + jnp.sin(angle) * across
            x = x + saturation * (x - grey)
        x = x + contrast * (x - x.mean(axis=(1, 2, 3), keepdims=True)) + brightness
        return jnp.clip(x, 0, 1)
