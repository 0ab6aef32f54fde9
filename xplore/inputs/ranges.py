"""How far the columns of a table reach: the scale on which changes are measured, and which can change."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from xplore.inputs.table import Table


class Ranges(Table, repr=False):
    """A table whose columns are measured in shares of their ranges; a one-hot group is one feature."""

    @property
    def _parts(self) -> Int[np.ndarray, " d"]:
        """The feature that each column is a part of: the columns of a one-hot group move as one."""
        first = np.arange(len(self.columns))
        for group in self.groups:
            first[list(group)] = group[0]
        return np.unique(first, return_inverse=True)[1]

    @property
    def _vast(self) -> Bool[np.ndarray, "1 d"]:
        return np.isin(np.arange(len(self.columns)), self.magnitudes)[None]

    @property
    def _span(self) -> Float[Array, "1 d"]:
        ends = (jnp.asarray(end, jnp.result_type(float))[None] for end in (self.low, self.high))
        low, high = map(self._scaled, ends)
        return jnp.where(high > low, high - low, 1)

    @property
    def _gaps(self) -> Bool[np.ndarray, "1 d"]:
        """In which columns may a value be missing?"""
        return np.array([[bool(column.missing) for column in self.columns]])

    @property
    def _follow(self) -> Int[np.ndarray, " f"]:
        return np.array([at for at, _ in self.follows], int)

    def _scaled(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """On the scale on which changes are shares of the range."""
        return jnp.where(self._vast, jnp.arcsinh(x), x) if self.magnitudes else x

    def _unscaled(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return jnp.where(self._vast, jnp.sinh(jnp.where(self._vast, x, 0)), x) if self.magnitudes else x

    def _among(self, at: tuple[int, ...]) -> Bool[np.ndarray, "1 d"]:
        return np.isin(np.arange(len(self.columns)), at)[None]

    def _placed(self, x0: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Where changes start, on their scale: of a missing value, one range below the lowest."""
        place = self._scaled(x0)
        if not self._gaps.any():
            return place
        low = self._scaled(jnp.asarray(self.low, x0.dtype)[None])
        return jnp.where(jnp.isnan(x0), low - self._span, place)

    def _filled(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Rows with a number where a value is missing, below all that are there."""
        if not self._gaps.any():
            return x
        low, high = (jnp.asarray(end, x.dtype)[None] for end in (self.low, self.high))
        return jnp.where(jnp.isnan(x), low - jnp.maximum(high - low, 1), x)

    def change(self, before: Float[Array, "b d"], after: Float[Array, "b d"]) -> Float[Array, "b d"]:
        moved = self._filled(after) - self._filled(before)
        return jnp.where(jnp.isnan(after) & ~jnp.isnan(before), jnp.nan, moved)

    def changed(self, before: Float[Array, "b d"], change: Float[Array, "b d"]) -> Float[Array, "b d"]:
        moved = self._filled(before) + change
        return jnp.where(change == 0, before, moved) if self._gaps.any() else moved

    def _is_a(self, *kinds: str) -> Bool[np.ndarray, "1 d"]:
        return np.array([[column.kind in kinds for column in self.columns]])

    def _range(self, x0: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Where a change may lead."""
        low, high = (
            jnp.broadcast_to(jnp.asarray(end, x0.dtype)[None], x0.shape) for end in (self.low, self.high)
        )
        low = jnp.where(np.array(self.grows)[None], jnp.fmax(low, x0), low)
        return low, jnp.maximum(high, low)

    def _largest(self, sizes: Float[Array, "b d"]) -> Float[Array, "b parts"]:
        """The largest size among each feature's columns."""
        none = jnp.zeros((len(sizes), self._parts.max() + 1), sizes.dtype)
        return none.at[:, self._parts].max(sizes) if self.groups else sizes

    def _any(self, hit: Bool[Array, "b d"]) -> Bool[Array, "b parts"]:
        """Which features have a column that is hit?"""
        return self._largest(hit.astype(jnp.result_type(float))) > 0

    def _movable(self, x0: Float[Array, "b d"]) -> Bool[Array, "b parts"]:
        """Which features can change at all?"""
        low, high = self._range(x0)
        frozen = jnp.broadcast_to(np.array(self.frozen)[None], x0.shape)
        moves = (low < high) | (x0 < low) | (x0 > high)
        if self._gaps.any():
            moves = jnp.where(jnp.isnan(x0), self._among(self.goes), moves | self._among(self.comes))
        return self._any(moves) & ~self._any(frozen)

    def sizes(self, before: Float[Array, "b d"], after: Float[Array, "b d"]) -> dict[str, Any]:
        """Features changed, and distances in shares of each range, one at most.

        Another category is one, and so is a value where one was missing, or the other way round.
        """
        share = jnp.minimum(jnp.abs(self._scaled(after) - self._scaled(before)) / self._span, 1)
        share = jnp.where(self._is_a("category"), (before != after).astype(share.dtype), share)
        if self._gaps.any():
            one, other = jnp.isnan(before), jnp.isnan(after)
            share = jnp.where(one | other, (one != other).astype(share.dtype), share)
        share = self._largest(share.at[:, self._follow].set(0))
        l2 = jnp.sqrt((share**2).sum(axis=1))
        return {"changed": (share > 0).sum(axis=1), "l1": share.sum(axis=1), "l2": l2}

    def embed(self, codes: Float32[np.ndarray, "n d"]) -> Float[np.ndarray, "n e"]:
        """Numbers in shares of their range; two categories, and two of a one-hot group, are one apart.

        A missing value is one apart from a category and from the ends of a range, on an axis of its own.
        """
        apart, grouped = np.float32(np.sqrt(0.5)), {i for group in self.groups for i in group}
        span, parts = np.asarray(self._span[0], np.float32), []
        codes = np.where(self._vast, np.arcsinh(codes), codes)
        ends = (np.asarray(end, np.float32) for end in (self.low, self.high))
        both = np.asarray(sum(np.where(self._vast[0], np.arcsinh(end), end) for end in ends))
        middle = both / np.float32(2)
        for i, column in enumerate(self.columns):
            gaps = np.isnan(codes[:, i, None])
            if column.missing:
                parts.append(gaps * np.float32(apart if column.kind == "category" else np.sqrt(0.75)))
            if column.missing and column.kind != "category":
                parts.append(np.where(gaps, middle[i], codes[:, i, None]) / span[i])
            elif column.kind == "category":
                parts.append((codes[:, i, None] == np.arange(len(column.values))) * apart)
            else:
                parts.append(codes[:, i, None] * apart if i in grouped else codes[:, i, None] / span[i])
        return np.concatenate(parts, axis=1)


@jax.custom_vjp
def inward(x: Array, at_low: Array, at_high: Array) -> Array:
    """`x`; its slope is none where it points out of the range, from an end of it.

    >>> slope = jax.grad(lambda x: (jnp.array([2.0, -2.0]) * inward(x, x == 0, x == 1)).sum())
    >>> slope(jnp.array([1.0, 1.0])).tolist(), slope(jnp.array([0.0, 0.0])).tolist()
    ([0.0, -2.0], [2.0, 0.0])
    """
    del at_low, at_high
    return x


def _forward(x: Array, at_low: Array, at_high: Array) -> tuple[Array, tuple[Array, Array]]:
    return x, (at_low, at_high)


def _back(ends: tuple[Array, Array], grad: Array) -> tuple[Array, None, None]:
    at_low, at_high = ends
    return jnp.where((at_low & (grad < 0)) | (at_high & (grad > 0)), 0, grad), None, None


inward.defvjp(_forward, _back)
