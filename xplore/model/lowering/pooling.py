"""Max-pooling of windows that lie side by side, and another way to compute it than as it is written.

XLA's slope of a pooling window searches each window anew, element by element. Where windows do not overlap,
each input is in one of them: *parted*, the inputs of one place in all windows are an array, and what is
largest is told by comparing these. Of equal ones the first gets the slope, as XLA has it.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

AS_WRITTEN, PARTED = "as written", "parted"


class MaxPool(NamedTuple):
    """The shapes and settings of one `reduce_window_max`: all of it but the numbers.

    >>> MaxPool((8, 28, 28, 6), (1, 2, 2, 1), (1, 2, 2, 1), ((0, 0),) * 4).ways()
    ('as written', 'parted')
    """

    shape: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @property
    def out(self) -> tuple[int, ...]:
        """The output's shape, of windows side by side."""
        return tuple(n // w for n, w in zip(self.shape, self.window, strict=True))

    def ways(self) -> tuple[str, ...]:
        """In which ways it can be computed; as written first."""
        whole = all(n % w == 0 for n, w in zip(self.shape, self.window, strict=True))
        side_by_side = self.window == self.strides and not any(map(any, self.padding))
        return (AS_WRITTEN, PARTED) if whole and side_by_side and max(self.window) > 1 else (AS_WRITTEN,)


def as_written(pool: MaxPool, x: Any) -> jax.Array:
    """The largest of each window, by XLA's own step."""
    least = jnp.asarray(-jnp.inf, x.dtype)
    return jax.lax.reduce_window(x, least, jax.lax.max, pool.window, pool.strides, pool.padding)


def parted(pool: MaxPool, x: Any) -> jax.Array:
    """The largest of each window."""
    return functools.reduce(jnp.maximum, _parts(pool, x))


def pooled_grad(pool: MaxPool, x: Any, y: Any, grad: Any) -> jax.Array:
    """The slope by the input of what `parted` makes of it, `y`."""
    taken, given = jnp.zeros(y.shape, bool), []
    for part in _parts(pool, x):
        largest = (part == y) & ~taken
        taken |= largest
        given.append(jnp.where(largest, grad, jnp.zeros((), grad.dtype)))
    rank = len(pool.shape)
    apart = jnp.stack(given).reshape(*pool.window, *y.shape)
    apart = apart.transpose(*itertools.chain(*((rank + axis, axis) for axis in range(rank))))
    return apart.reshape(pool.shape)


def _parts(pool: MaxPool, x: Any) -> list[Any]:
    """The inputs of each place in the windows, in their order."""
    places = itertools.product(*map(range, pool.window))
    return [x[tuple(map(slice, place, pool.shape, pool.window))] for place in places]
