"""One convolution, and other ways to compute it than as it is written.

A library convolves fast where there are many channels. With few, most of its time goes elsewhere, and a CPU
is several times faster another way:

- *shifted*: the sum over a kernel's offsets of the input, shifted, times a weight. For depthwise
  convolutions (XLA's convolution of groups is many times slower on a CPU), and from one or two channels.
- *folded AxB*: each A x B outputs and the inputs below them become channels of one position (space to
  depth). Their weights are zero where an input does not reach an output (a banded, Toeplitz, matrix): some
  work is done for nothing, on products wide enough for the library to be at its best. It undoes strides,
  too, and the zeros that a stride puts into a slope.

The slope by the input is a convolution itself (`Convolution.transposed`), so it has the same ways.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

AS_WRITTEN = "as written"
SHIFTED = "shifted"
MOST_TERMS = 64
"""Products that a sum of shifted ones may have: beyond, compiling it and running it take too long."""
FOLDS = (1, 2, 4)
MOST_FOLDED, WIDEST = 8, 192
"""Positions that may become one, and channels that it may have then: beyond, zeros outweigh the gain."""

Places: TypeAlias = tuple[int, ...]


class Convolution(NamedTuple):
    """The shapes and settings of one `jax.lax.conv_general_dilated`: all of it but the numbers.

    >>> numbers = jax.lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    >>> same = ((2, 2), (2, 2))
    >>> conv = Convolution((8, 28, 28, 1), (5, 5, 1, 6), (1, 1), same, (1, 1), (1, 1), 1, numbers)
    >>> conv.out, conv.ways()[:3]
    ((8, 28, 28, 6), ('as written', 'shifted', 'folded 1x2'))
    >>> conv.transposed().out
    (8, 28, 28, 1)
    """

    lhs: Places
    rhs: Places
    strides: Places
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: Places
    rhs_dilation: Places
    groups: int
    numbers: jax.lax.ConvDimensionNumbers

    @property
    def inner(self) -> tuple[Places, Places, int, int, int]:
        """Positions of the input and of the kernel; the batch, and channels that come and go."""
        (b, i, *at), (o, _, *over) = self.numbers.lhs_spec, self.numbers.rhs_spec
        sizes = tuple(self.lhs[axis] for axis in at), tuple(self.rhs[axis] for axis in over)
        return *sizes, self.lhs[b], self.lhs[i], self.rhs[o]

    @property
    def places(self) -> Places:
        """Positions of the output."""
        found = []
        for n, k, (lo, hi), s, ld, rd in self._axes():
            found.append(max(((n - 1) * ld + lo + hi - (k - 1) * rd) // s + 1, 0))
        return tuple(found)

    @property
    def out(self) -> Places:
        """The output's shape."""
        *_, b, _, o = self.inner
        return tuple(np.array((b, *self.places, o))[list(self._back())].tolist())

    def _axes(self) -> Iterator[tuple[int, int, tuple[int, int], int, int, int]]:
        n, k, *_ = self.inner
        return zip(n, k, self.padding, self.strides, self.lhs_dilation, self.rhs_dilation, strict=True)

    def _back(self) -> Places:
        """How the channels-last output is transposed to the one that is asked for."""
        b, c, *at = self.numbers.out_spec
        return tuple(np.argsort([b, *at, c]).tolist())

    def transposed(self) -> Convolution:
        """The convolution of an output's slope with the kernel `turned` that gives the input's slope."""
        n, k, _, i, o = self.inner
        padding = []
        for (size, taps, (lo, _), s, ld, rd), m in zip(self._axes(), self.places, strict=True):
            low = (taps - 1) * rd - lo
            padding.append((low, (size - 1) * ld + (taps - 1) * rd - (m - 1) * s - low))
        last = len(n) + 1
        numbers = jax.lax.ConvDimensionNumbers(
            self.numbers.out_spec, (last, last - 1, *range(len(n))), self.numbers.lhs_spec
        )
        rhs = (*k, o // self.groups, i)
        ahead = self.lhs_dilation, tuple(padding), self.strides, self.rhs_dilation
        return Convolution(self.out, rhs, *ahead, self.groups, numbers)

    def turned(self, rhs: jax.Array) -> jax.Array:
        """The kernel, reversed, with the channels that came and went exchanged: positions first."""
        n, k, _, i, o = self.inner
        rhs = _positions_first(self, rhs)[(slice(None, None, -1),) * len(n)]
        rhs = jnp.moveaxis(rhs.reshape(*k, i // self.groups, self.groups, o // self.groups), -3, -1)
        return jnp.swapaxes(rhs, -3, -2).reshape(*k, o // self.groups, i)

    def ways(self) -> tuple[str, ...]:
        """In which ways it can be computed and might be fast so; as written first."""
        _, k, _, i, o = self.inner
        if not math.prod(self.out) or math.prod(k) < 2:
            return (AS_WRITTEN,)
        terms = math.prod(k) * (1 if self.groups == i == o else i)
        shifted = (SHIFTED,) * (terms <= MOST_TERMS and (self.groups in (1, i) and self.groups in (1, o)))
        return (AS_WRITTEN, *shifted, *(f"folded {'x'.join(map(str, fold))}" for fold in self._folds()))

    def _folds(self) -> Iterator[Places]:
        """How many outputs a position may hold, for each axis; more along later ones, which lie closer."""
        _, k, _, i, o = self.inner
        if self.groups > 1:
            return
        for fold in itertools.combinations_with_replacement(FOLDS, len(k)):
            below = [(t * s, ld) for t, s, ld in zip(fold, self.strides, self.lhs_dilation, strict=True)]
            if any(f % ld for f, ld in below):
                continue
            inputs, outputs = math.prod(f // ld for f, ld in below), math.prod(fold)
            wide = max(inputs * i, outputs * o)
            if max(inputs, outputs) > 1 and outputs <= MOST_FOLDED and wide <= WIDEST:
                yield fold


def convolve(conv: Convolution, way: str, lhs: Any, rhs: Any) -> jax.Array:
    """A convolution in one of its `ways`; equal in all of them, but for rounding."""
    if way == AS_WRITTEN:
        return jax.lax.conv_general_dilated(
            lhs,
            rhs,
            conv.strides,
            conv.padding,
            conv.lhs_dilation,
            conv.rhs_dilation,
            conv.numbers,
            conv.groups,
        )
    b, c, *at = conv.numbers.lhs_spec
    lhs, rhs = lhs.transpose(b, *at, c), _positions_first(conv, rhs)
    if way == SHIFTED:
        out = _shifted(conv, lhs, rhs)
    else:
        out = _folded(conv, tuple(map(int, way.removeprefix("folded ").split("x"))), lhs, rhs)
    return out.transpose(conv._back())


def _positions_first(conv: Convolution, rhs: Any) -> Any:
    o, i, *over = conv.numbers.rhs_spec
    return rhs.transpose(*over, i, o)


def _shifted(conv: Convolution, x: Any, kernel: Any) -> Any:
    """The sum of shifted products."""
    n, k, _, i, o = conv.inner
    edges = [(lo, hi, ld - 1) for (lo, hi), ld in zip(conv.padding, conv.lhs_dilation, strict=True)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    channels = [slice(None)] if conv.groups == i == o > 1 else [slice(e, e + 1) for e in range(i)]
    terms = []
    for tap in itertools.product(*map(range, k)):
        window = [
            slice(t * rd, t * rd + (m - 1) * s + 1, s)
            for t, rd, m, s in zip(tap, conv.rhs_dilation, conv.places, conv.strides, strict=True)
        ]
        for row, channel in enumerate(channels):
            terms.append(x[:, *window, channel] * kernel[tap][row].reshape((1,) * (len(n) + 1) + (o,)))
    return sum(terms[1:], terms[0])


def _folded(conv: Convolution, fold: Places, x: Any, kernel: Any) -> Any:
    """Space to depth, a convolution of stride 1, and back."""
    n, k, b, i, o = conv.inner
    axes = [_reach(t, *axis) for t, axis in zip(fold, conv._axes(), strict=True)]
    rank = len(axes)
    taps = np.ix_(*(np.arange(size) for reach, *_ in axes for size in reach.shape))
    at = np.zeros((), int)
    for axis, (reach, *_) in enumerate(axes):
        tap = reach[taps[3 * axis : 3 * axis + 3]]
        at = np.where((at < 0) | (tap < 0), -1, at * k[axis] + tap)
    # [blocks, inputs, outputs] of each axis become all blocks, all inputs, all outputs.
    at = at.transpose(*(3 * axis + part for part in range(3) for axis in range(rank)))
    blocks = at.shape[:rank]
    inputs, outputs = math.prod(at.shape[rank : 2 * rank]), math.prod(fold)
    rows = jnp.concatenate([kernel.reshape(-1, i, o), jnp.zeros((1, i, o), kernel.dtype)])
    wide = jnp.swapaxes(rows[at.reshape(*blocks, inputs, outputs)], -3, -2)
    wide = wide.reshape(*blocks, inputs * i, outputs * o)

    below, ahead = at.shape[rank : 2 * rank], [by for *_, by in axes]
    whole = [-(-(size + by) // f) for size, by, f in zip(n, ahead, below, strict=True)]
    spare = [(by, u * f - by - size) for u, by, f, size in zip(whole, ahead, below, n, strict=True)]
    x = jnp.pad(x, [(0, 0), *spare, (0, 0)])
    x = x.reshape(b, *itertools.chain(*zip(whole, below, strict=True)), i)
    x = x.transpose(0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    x = x.reshape(b, *whole, inputs * i)
    sizes = zip(axes, whole, conv.places, fold, strict=True)
    edges = [(-low, -(-m // t) + high - u) for (_, low, high, _), u, m, t in sizes]
    if min(map(min, edges)) < 0:  # XLA's convolution (jaxlib 0.10.2, CPU) errs where it is to pad by (-1, 1)
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*edge, 0) for edge in edges), (0, 0, 0)])
        edges = [(0, 0)] * rank
    last = rank + 1
    numbers = jax.lax.ConvDimensionNumbers(
        (0, last, *range(1, last)), (last, rank, *range(rank)), (0, last, *range(1, last))
    )
    y = jax.lax.conv_general_dilated(x, wide, (1,) * rank, edges, dimension_numbers=numbers)
    above = y.shape[1:-1]
    y = y.reshape(b, *above, *fold, o)
    y = y.transpose(0, *itertools.chain(*((1 + a, 1 + rank + a) for a in range(rank))), 2 * rank + 1)
    y = y.reshape(b, *(v * t for v, t in zip(above, fold, strict=True)), o)
    return y[:, *(slice(m) for m in conv.places)]


def _reach(
    t: int, n: int, k: int, padding: tuple[int, int], s: int, ld: int, rd: int
) -> tuple[np.ndarray, int, int, int]:
    """Which tap of a kernel leads from an input of a block to an output of a block of `t`, -1 for none:
    [blocks inputs outputs], and the first and last block, counted from the output's own.

    Last, by how many zeros the inputs are preceded, so that an output's lie in as few blocks as can be.
    """
    f, found = t * s // ld, []
    for ahead in range(f):
        lo = padding[0] - ahead * ld
        first, last = -lo // (f * ld) - 1, ((t - 1) * s - lo + (k - 1) * rd) // (f * ld) + 1
        block, at, to = np.ogrid[first : last + 1, :f, :t]
        way = (block * f + at) * ld - to * s + lo
        tap = np.where((way % rd == 0) & (way >= 0) & (way < k * rd), way // rd, -1)
        used = np.flatnonzero((tap >= 0).any(axis=(1, 2)))
        used = used if used.size else np.zeros(1, int)
        found.append((tap[used[0] : used[-1] + 1], first + int(used[0]), first + int(used[-1]), ahead))
    return min(found, key=lambda reach: len(reach[0]))
