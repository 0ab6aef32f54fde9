"""Blur: out of focus."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xplore._util.intervals import POSITIVE, by_field
from xplore._util.pytree import Number
from xplore.constraints._base import cosines, inside
from xplore.constraints._parameters import Parameter, Parametric


class Blur(Parametric):
    """`x = exp(t L / 2) x0`, L the pixels' Laplacian: a Gaussian of variance `t <= sigma^2`, in pixels.

    The discrete Gaussian of Lindeberg (1990), mirrored at the borders: it keeps the mean, two blurs are one
    of the summed variance, and it is smooth in t from t = 0 on, where the slope is `L x0 / 2`. The latent
    is the share of `sigma^2`.

    >>> blur, point = Blur(2.0), jnp.zeros((1, 5, 5, 1)).at[0, 2, 2].set(1.0)
    >>> blurred = blur.render(jnp.array([[1.0]]), (), point)
    >>> round(float(blurred.sum()), 3), round(float(blurred.max()), 3)
    (1.0, 0.051)
    """

    intervals = by_field(sigma=POSITIVE)
    sigma: Number = 1.0

    @property
    def dials(self) -> dict[str, Parameter]:
        return {"blurred (px)": Parameter(self.sigma**2, both=False)}

    @property
    def description(self) -> str:
        return f"blurred by at most {float(self.sigma):g} pixels (standard deviation)"

    def turned(
        self, values: tuple[Float[Array, "b 1 1 1"], ...], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        (variance,) = values
        rows, cols = (_blurring(size, variance[:, 0, 0]) for size in x0.shape[1:3])
        x = x0 + jnp.einsum("brs,bswc->brwc", rows, x0)
        return inside(x + jnp.einsum("bwv,bhvc->bhwc", cols, x))

    def parameters(
        self, z: Float[Array, "b 1"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        """The blur's standard deviation."""
        return {"blurred (px)": jnp.sqrt(z[:, 0]) * self.sigma}


def _blurring(size: int, variance: Float[Array, "b 1"]) -> Float[Array, "b size size"]:
    """`exp(t L / 2) - 1` along one axis, by the cosines, which are L's eigenvectors."""
    basis = jnp.asarray(cosines(size, size), variance.dtype)
    rate = jnp.asarray(np.cos(np.pi * np.arange(size) / size) - 1, variance.dtype)
    return jnp.einsum("kr,bk,ks->brs", basis, jnp.expm1(variance * rate[None]), basis)
