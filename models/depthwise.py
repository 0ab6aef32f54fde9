"""Depthwise convolution that is fast on a CPU, forwards and backwards."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xplore.model.lowering.autotune import alone

Kernel = Float[Array, "k k c"] | Float[np.ndarray, "k k c"]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x: Float[Array, "b h w c"], kernel: Kernel, stride: int) -> Float[Array, "b h2 w2 c"]:
    """Each channel convolved with a kernel of its own, padded as SAME, as a sum of shifted products.

    XLA's grouped convolution is many times slower on a CPU, and so is its slope. The slope is written as the
    same sum over the cotangent: differentiated as it is, the sum would turn into one of padded terms, which
    becomes a loop that asks of each element which of them reach it (`scripts/bench.py lowering`).

    >>> depthwise(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2)), 2)[0, :, :, 0].tolist()
    [[9.0, 6.0], [6.0, 4.0]]
    """
    return shifted(x, kernel, stride)


def shifted(x: Float[Array, "b h w c"], kernel: Kernel, stride: int) -> Float[Array, "b h2 w2 c"]:
    """The sum of shifted products alone."""
    (h, *above), (w, *beside) = (_placed(size, len(kernel), stride) for size in x.shape[1:3])
    return alone(_sum, jnp.pad(x, ((0, 0), above, beside, (0, 0))), kernel, (h, w), stride)


def _placed(size: int, k: int, stride: int) -> tuple[int, int, int]:
    """How many places a kernel takes along an axis, and the padding before and after."""
    places = -(-size // stride)
    padding = max((places - 1) * stride + k - size, 0)
    return places, padding // 2, padding - padding // 2


def _sum(x: Any, kernel: Any, places: tuple[int, int], stride: int) -> Any:
    h, w = ((n - 1) * stride + 1 for n in places)
    shifts = [(i, j) for i in range(len(kernel)) for j in range(len(kernel))]
    return sum(
        x[:, i : i + h : stride, j : j + w : stride] * kernel[None, None, None, i, j] for i, j in shifts
    )


def _forward(x: Any, kernel: Any, stride: int) -> tuple[Any, Any]:
    return shifted(x, kernel, stride), (x, kernel)


def _backward(stride: int, kept: Any, slope: Any) -> tuple[Any, Any]:
    x, kernel = kept
    k, zero = len(kernel), jnp.zeros((), slope.dtype)

    def spread(size: int) -> tuple[int, int, int]:
        places, before, _ = _placed(size, k, stride)
        low = k - 1 - before
        return low, size + k - 2 - low - (places - 1) * stride, stride - 1

    apart = jax.lax.pad(slope, zero, ((0, 0, 0), *map(spread, x.shape[1:3]), (0, 0, 0)))
    of_x = alone(_sum, apart, kernel[::-1, ::-1], x.shape[1:3], 1)
    (of_kernel,) = jax.vjp(lambda kernel: shifted(x, kernel, stride), kernel)[1](slope)
    return of_x, of_kernel


depthwise.defvjp(_forward, _backward)
