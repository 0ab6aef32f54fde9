"""Additions: some of the features that an input may be given are added; none is ever taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Int32, Key, Shaped

from xplore._util.errors import InputError
from xplore._util.intervals import COUNT, by_field
from xplore._util.pytree import Number, field
from xplore._util.recipe import Recipe
from xplore.constraints._base import Constraint
from xplore.inputs.encoding import Names, Sparse
from xplore.inputs.ranges import inward


class Additions(Constraint):
    """`x = x0` and at most `changes` of the `allowed` features more, of sets stored as `Sparse`.

    Latents are wishes in [0, 1], one an allowed feature that the seed lacks: those of at least a half are
    added, the largest first. Their slope is the input's, by straight-through rounding.

    >>> Additions.of(["permission::A", "url::b", "permission::C"], allowed=[0, 2], width=4)
    Additions(at most 3 of 2 features, out of 3 in all)
    """

    intervals = by_field(changes=COUNT)
    allowed: Number
    encoding_: Sparse = field(pytree_node=False)
    changes: int = field(pytree_node=False, default=3)

    @classmethod
    def of(cls, names: Sequence[str], allowed: Sequence[int], width: int, changes: int = 3) -> Additions:
        """For features of these names, those of the numbers `allowed` may be added; `width` codes an input.

        Raises:
            InputError: no number of changes, or no feature that may be added.
        """
        if isinstance(changes, bool) or not isinstance(changes, int) or not 1 <= changes < width:
            wanted = f"a whole number from 1 to {width - 1}"
            raise InputError("changes", expected=wanted, got=repr(changes), fix="use 3")
        at = np.unique(np.asarray(allowed, np.int32))
        if not at.size or at[0] < 0 or at[-1] >= len(names):
            wanted = f"numbers of {len(names)} features, one at least"
            raise InputError("allowed features", expected=wanted, got=f"{at.size} others")
        return cls(at, Sparse(len(names), width, Names(tuple(names))), changes)

    @property
    def encoding(self) -> Sparse:
        return self.encoding_

    @property
    def default_optimizer(self) -> Recipe:
        """Features are chosen by the sum of all slopes so far; the best one at the first step."""
        return Recipe.of(optax.sgd, learning_rate=0.5, momentum=0.9)

    @property
    def description(self) -> str:
        few, all_ = len(self.allowed), self.encoding.features
        return f"at most {self.changes} of {few:,} features added, of {all_:,} in all; none taken away"

    def encode_inputs(self, inputs: Any) -> Int32[np.ndarray, "n k"]:
        """Inputs as they are stored: sorted numbers, filled up with the number of features."""
        codes, size = np.asarray(inputs), self.encoding.features
        wanted = f"sets as int32 [n {self.encoding.width}], sorted and filled up with {size}"
        shaped = codes.ndim == 2 and len(codes) and codes.shape[1] == self.encoding.width
        if not shaped or codes.dtype != np.int32:
            raise InputError("seeds", expected=wanted, got=f"{codes.dtype} {list(codes.shape)}")
        rises = (np.diff(codes, axis=1) > 0) | (codes[:, 1:] == size)
        if not rises.all() or codes.min() < 0 or codes.max() > size:
            raise InputError("seeds", expected=wanted, got="numbers in another order, or of no feature")
        return codes

    def check(self, codes: Int32[np.ndarray, "n k"]) -> None:
        if ((codes == self.encoding.features).sum(axis=1) < self.changes).any():
            raise InputError("seeds", expected=f"room for {self.changes} more each", got="too little")

    def _free(self, x0: Float[Array, "b d"]) -> Bool[Array, "b a"]:
        """Which allowed features a seed lacks."""
        return x0[:, self.allowed] == 0

    def sample(self, key: Key[Array, " b"], x0: Float[Array, "b d"]) -> tuple[Float[Array, "b a"], tuple[()]]:
        def one(key: Key[Array, ""], free: Bool[Array, " a"]) -> Float[Array, " a"]:
            ranks, number = jax.random.split(key)
            rank = jnp.where(free, jax.random.uniform(ranks, free.shape, x0.dtype), -1)
            count = jax.random.randint(number, (), 1, self.changes + 1)
            return self._most(rank, count).astype(x0.dtype) * free

        return jax.vmap(one)(key, self._free(x0)), ()

    def mutate(
        self, key: Key[Array, " b"], z: Float[Array, "b a"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b a"], tuple[()]]:
        """One feature more, in another's place where there are `changes`, or one less."""

        def one(key: Key[Array, ""], z: Float[Array, " a"], free: Bool[Array, " a"]) -> Float[Array, " a"]:
            more, less, how = jax.random.split(key, 3)
            added = z >= 0.5
            new = jnp.where(free & ~added, jax.random.uniform(more, z.shape), -1)
            old = jnp.where(added, jax.random.uniform(less, z.shape), -1)
            some, full = added.any(), added.sum() >= self.changes
            drops = some & (full | (jax.random.uniform(how) < 0.25))
            grows = ~drops | (full & (jax.random.uniform(how) < 0.75))
            z = jnp.where(drops & (jnp.arange(len(z)) == old.argmax()), 0, z)
            return jnp.where(grows & (jnp.arange(len(z)) == new.argmax()) & free, 1, z).astype(x0.dtype)

        return jax.vmap(one)(key, z, self._free(x0)), fixed

    def _most(self, sizes: Float[Array, " a"], count: Any) -> Bool[Array, " a"]:
        """The largest `count`, of at most `changes`."""
        most = min(self.changes, len(sizes))
        at = jax.lax.top_k(sizes, most)[1]
        return jnp.zeros(len(sizes), bool).at[at].set(jnp.arange(most) < count)

    def render(
        self, z: Float[Array, "b a"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> Float[Array, "b d"]:
        free = self._free(x0)
        wish = jnp.where(free, inward(z, z <= 0, z >= 1), 0)
        chosen = jax.vmap(lambda sizes: self._most(sizes, self.changes))(wish)
        hard = jax.lax.stop_gradient((chosen & (wish >= 0.5)).astype(x0.dtype))
        return x0.at[:, self.allowed].add(hard + (wish - jax.lax.stop_gradient(wish)))

    def project(
        self, z: Float[Array, "b a"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> Float[Array, "b a"]:
        """Every wish in [0, 1], and 0 where the seed has it; how many come true is up to `render`."""
        return jnp.where(self._free(x0), jnp.clip(z, 0, 1), 0)

    def shrink_groups(self, shape: tuple[int, ...]) -> list[Int[np.ndarray, " d"]]:
        return [np.arange(shape[0])]

    def within(
        self, before: Float[Array, "b d"], after: Float[Array, "b d"], latents: Any = None
    ) -> Bool[Array, " b"]:
        may = jnp.zeros(before.shape[1], bool).at[self.allowed].set(True)
        added = (before == 0) & (after == 1) & may[None]
        return ((after == before) | added).all(axis=1) & (added.sum(axis=1) <= self.changes)

    def sizes(self, before: Float[Array, "b d"], after: Float[Array, "b d"]) -> dict[str, Any]:
        """How many features were added, which is the distance, too."""
        count = (after != before).sum(axis=1)
        number = count.astype(before.dtype)
        return {"changed": count, "l1": number, "l2": jnp.sqrt(number)}

    def embed(self, codes: Shaped[np.ndarray, "n k"]) -> Float[np.ndarray, "n e"]:
        """Which allowed features there are: others never change."""
        at = np.searchsorted(self.allowed, codes).clip(max=len(self.allowed) - 1)
        dense = np.zeros((len(codes), len(self.allowed)), np.float32)
        row, place = np.nonzero(np.asarray(self.allowed)[at] == codes)
        dense[row, at[row, place]] = 1
        return dense

    def __repr__(self) -> str:
        few, all_ = len(self.allowed), self.encoding.features
        return f"Additions(at most {self.changes} of {few:,} features, out of {all_:,} in all)"
