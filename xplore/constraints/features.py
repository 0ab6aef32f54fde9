"""Features: some columns of a table's row take other values, each inside its range."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from xplore._util.recipe import Recipe
from xplore.constraints._base import Constraint
from xplore.inputs.encoding import Rows
from xplore.inputs.ranges import Ranges, inward
from xplore.inputs.rules import following, holds
from xplore.inputs.table import Table

DRAWS = 8
"""Random changes drawn where rules forbid some: the first that keeps them is taken."""
LOST = 0.25
"""How often a value that may become missing does, where a feature changes."""
NEAR = 1e-5
"""How far a feature that follows from others may be from that, in shares of it: it is computed in float32."""


class Features(Ranges, Constraint, repr=False):
    """`x = x0 + z * range` in at most `changes` features; whole ones rounded, a one-hot group is one feature.

    `Features.infer(table)` says what the columns hold; `freeze`, `grow`, `limit`, `multiples`, `order`,
    `follow` and `where` what may happen to them. A feature that changes stays within `low` and `high`, the
    range that was observed; one that does not keeps what the seed has, wherever that lies. A change that
    breaks a rule is not made. Numbers, levels and one-hot groups have a slope, by straight-through rounding;
    categories and missing values have none. A value that is missing is NaN: it stays so, unless it may go
    (`missing`), and none gets lost, unless missing values may come; a latent of NaN loses one.

    >>> features = Features.infer(np.array([[20, 0.5], [60, 1.5]]), ["age", "rate"]).grow("age")
    >>> features
    Features(age: integer 20 to 60, only up; rate: float 0.5 to 1.5; at most 3 changes)
    """

    @property
    def encoding(self) -> Rows:
        columns = self.columns
        missing = tuple(bool(c.missing) for c in columns)
        known = tuple(c.whole for c in columns), tuple(len(c.values) for c in columns)
        return Rows(*known, missing if any(missing) else ())

    @property
    def default_optimizer(self) -> Recipe:
        """Features are chosen by the sum of all slopes so far, as the places of dark rectangles are."""
        return Recipe.of(optax.sgd, learning_rate=0.35, momentum=0.9)

    @property
    def description(self) -> str:
        follow = len(self.follows)
        frozen = sum(self.frozen) - follow
        free = [i for i, still in enumerate(self.frozen) if not still]
        if len({self._parts[i] for i in free}) == 1:
            parts = [f"only {', '.join(str(self.columns[i].name) for i in free)} changes, inside its range"]
        else:
            parts = [f"at most {self.changes} of {self._parts.max() + 1} features, each inside its range"]
            parts += [f"{frozen} frozen"] if frozen else []
        parts += [f"{follow} that follow from others"] if follow else []
        named = [name for name in self.names_of_rules if not name.startswith("rule ")]
        count = "1 rule" if len(self.rules) == 1 else f"{len(self.rules)} rules"
        parts += [f"{count} kept" + (f": {', '.join(named)}" if named else "")] if self.rules else []
        up = [str(column.name) for column, grows in zip(self.columns, self.grows, strict=True) if grows]
        parts += [f"{', '.join(up)} only up"] if up else []
        for description, at in (("may be lost", self.comes), ("may be found, where missing", self.goes)):
            parts += [f"{', '.join(str(self.columns[i].name) for i in at)} {description}"] if at else []
        return "; ".join(parts)

    def _values(self, key: Key[Array, ""], x0: Float[Array, " d"]) -> Float[Array, " d"]:
        """Latents of a random other value for every feature; members of a group move together."""
        draw, pick = jax.random.uniform(key, (2, *x0.shape), x0.dtype)
        (low,), (high,) = self._range(x0[None])
        least, most = self._scaled(low[None]), self._scaled(high[None])
        any_value = jnp.clip(self._unscaled(least + draw[None] * (most - least))[0], low, high)
        other = jnp.floor(any_value)  # one of the whole values, the seed's left out
        whole = jnp.minimum(other + (other >= x0), high)
        value = jnp.where(self._is_a("float")[0], any_value, whole)
        if self.goes:  # of a value that was missing, any
            new = jnp.minimum(jnp.floor(low + draw * (high - low + 1)), high)
            new = jnp.where(self._is_a("float")[0], any_value, new)
            value = jnp.where(jnp.isnan(x0), new, value)
        for group in map(np.array, self.groups):
            now = x0[group].argmax()
            member = jnp.floor(pick[group[0]] * (len(group) - 1)).astype(now.dtype)
            chosen = jnp.minimum(member + (member >= now), len(group) - 1)
            value = value.at[group].set(jax.nn.one_hot(chosen, len(group), dtype=x0.dtype))
        z = ((self._scaled(value[None]) - self._placed(x0[None])) / self._span)[0]
        if self.comes:
            lost = jax.random.uniform(jax.random.fold_in(key, 2), x0.shape) < LOST
            z = jnp.where(lost & self._among(self.comes)[0] & ~jnp.isnan(x0), jnp.nan, z)
        return z

    def sample(self, key: Key[Array, " b"], x0: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], tuple[()]]:
        movable = self._movable(x0)

        def one(key: Key[Array, ""], x0: Float[Array, " d"], movable: Bool[Array, " parts"]) -> Any:
            values, ranks, count = jax.random.split(key, 3)
            order = jnp.where(movable, jax.random.uniform(ranks, movable.shape), -1)
            few = _first(order, self.changes, jax.random.randint(count, (), 1, self.changes + 1))
            return jnp.where((few & movable)[self._parts], self._values(values, x0), 0)

        def drawn(number: Any) -> Float[Array, "b d"]:
            return jax.vmap(one)(jax.vmap(lambda k: jax.random.fold_in(k, number))(key), x0, movable)

        return self._first_within(drawn, x0), ()

    def mutate(
        self, key: Key[Array, " b"], z: Float[Array, "b d"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b d"], tuple[()]]:
        """One more feature changed, or changed otherwise, or taken back; at the bound, in another's place."""
        movable, changed = self._movable(x0), self._any(z != 0)
        slides = jnp.asarray(self._is_a("float", "integer")[0])

        def one(
            key: Key[Array, ""],
            z: Float[Array, " d"],
            x0: Float[Array, " d"],
            movable: Bool[Array, " parts"],
            changed: Bool[Array, " parts"],
        ) -> Any:
            draw, values, ranks, how = jax.random.split(key, 4)
            back, nearer, share = jax.random.uniform(how, (3,))
            rank = jax.random.uniform(ranks, movable.shape)
            at = jnp.where(movable, jax.random.uniform(draw, movable.shape), -1).argmax()
            far = self._values(values, x0)
            partly = slides & (nearer < 0.5)
            if self._gaps.any():
                partly &= ~jnp.isnan(z) & ~jnp.isnan(x0)
            value = jnp.where(partly, z + share * (far - z), far)
            here = jnp.arange(len(movable)) == at
            moved = jnp.where(here[self._parts] & movable[at], value, z)
            full = (changed | here).sum() > self.changes
            drop = here & changed & (back < 0.5)
            other = jnp.where(changed & ~here, rank, -1)
            drop = drop | (full & (jnp.arange(len(movable)) == other.argmax()))
            return jnp.where(drop[self._parts], 0, moved)

        def drawn(number: Any) -> Float[Array, "b d"]:
            keys = jax.vmap(lambda k: jax.random.fold_in(k, number))(key)
            return jax.vmap(one)(keys, z, x0, movable, changed)

        return self._first_within(drawn, x0), fixed

    def _first_within(self, drawn: Any, x0: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """The first of some draws that keeps the rules; without rules, the first."""

        def within_rules(z: Float[Array, "b d"]) -> Bool[Array, " b"]:
            return self._holds(self._changed(z, x0))

        def again(state: Any) -> Any:
            number, z, fine = state
            z = jnp.where(fine[:, None], z, drawn(number))
            return number + 1, z, within_rules(z)

        def open_still(state: Any) -> Bool[Array, ""]:
            return (state[0] < DRAWS) & ~state[2].all()

        z = drawn(0)
        return jax.lax.while_loop(open_still, again, (1, z, within_rules(z)))[1] if self.rules else z

    def _changed(self, z: Float[Array, "b d"], x0: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """What the latents stand for, as stored, whatever the rules say."""
        low, high = self._range(x0)
        still = (z == 0) | np.array(self.frozen)[None]
        x = jnp.clip(self._placed(x0) + z * self._span, self._scaled(low), self._scaled(high))
        x = jnp.where(still, x0, jnp.clip(self._unscaled(x), low, high))
        for group in map(np.array, self.groups):
            best = jax.nn.one_hot((x0 + z)[:, group].argmax(axis=1), len(group), dtype=x.dtype)
            x = x.at[:, group].set(jnp.where(still[:, group].all(axis=1, keepdims=True), x0[:, group], best))
        for at, grain in self.grains:
            x = x.at[:, at].set(jnp.where(still[:, at], x0[:, at], jnp.round(x[:, at] / grain) * grain))
        return self._followed(self._stored(x), x0)

    def _stored(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return self.encoding.decode(self.encoding.encode(x))

    def _followed(self, x: Float[Array, "b d"], x0: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """What follows from other features, as stored: as the seed has it where those say the same."""
        if not self.follows:
            return x
        before, after = (following(self.follows, self.columns, rows) for rows in (x0, x))
        at, same = self._follow, after == before
        if self._gaps.any():
            same |= jnp.isnan(after) & jnp.isnan(before)
        return self._stored(x.at[:, at].set(jnp.where(same, x0[:, at], after)))

    def _holds(self, x: Float[Array, "b d"]) -> Bool[Array, " b"]:
        """Which rows keep the rules, and are missing no value that has to be there?"""
        holding = holds(self.rules, self.columns, x)
        return holding & ~(jnp.isnan(x) & ~self._gaps).any(axis=1) if self._gaps.any() else holding

    def render(
        self, z: Float[Array, "b d"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> Float[Array, "b d"]:
        x = self._changed(z, x0)
        x = jnp.where(self._holds(x)[:, None], x, x0)
        steep = jnp.where(self._vast, jnp.sqrt(1 + self._filled(x) ** 2), 1) if self.magnitudes else 1
        stays = self._is_a("category") | np.array(self.frozen)[None]
        if self._gaps.any():  # a missing value has no slope, nor has one that would be missing
            stays = stays | jnp.isnan(x) | jnp.isnan(z)
            z = jnp.where(stays, 0, z)
        slides = jnp.where(stays, 0, z * jax.lax.stop_gradient(self._span * steep))
        low, high = self._range(x0)
        slides = inward(slides, x <= low, x >= high)
        moved = jax.lax.stop_gradient(x) + (slides - jax.lax.stop_gradient(slides))
        if not self.follows:
            return moved
        slides = self._sliding(moved)
        return moved.at[:, self._follow].add(slides - jax.lax.stop_gradient(slides))

    def _sliding(self, x: Float[Array, "b d"]) -> Float[Array, "b f"]:
        """What follows from others, with its slope: none, where it is missing."""
        slides = following(self.follows, self.columns, x)
        if not self._gaps.any():
            return slides
        lost = jnp.isnan(jax.lax.stop_gradient(slides)) | jnp.isnan(x[:, self._follow])
        safe = jnp.where(lost.any(axis=1, keepdims=True), self._filled(x), x)
        return jnp.where(lost, 0, following(self.follows, self.columns, safe))

    def project(
        self, z: Float[Array, "b d"], fixed: tuple[()], x0: Float[Array, "b d"]
    ) -> Float[Array, "b d"]:
        low, high = (self._scaled(end) - self._placed(x0) for end in self._range(x0))
        z = jnp.clip(z, jnp.minimum(low, 0) / self._span, jnp.maximum(high, 0) / self._span)
        z = jnp.where(self._movable(x0)[:, self._parts], z, 0)
        sizes = jnp.abs(z)
        if self._gaps.any():
            missing, lost = jnp.isnan(x0), jnp.isnan(z)
            z = jnp.where(missing, jnp.where(z < 0.5, 0, jnp.maximum(z, 1)), z)
            z = jnp.where(lost & (missing | ~self._among(self.comes)), 0, z)
            sizes = jnp.where(missing | lost, (z != 0).astype(z.dtype), jnp.abs(z))
        chosen = jax.vmap(lambda sizes: _first(sizes, self.changes))(self._largest(sizes))
        return jnp.where(chosen[:, self._parts], z, 0)

    def shrink_groups(self, shape: tuple[int, ...]) -> list[Int[np.ndarray, " d"]]:
        return [self._parts]

    def repaired(self, x: Float[Array, "b d"], x0: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return self._followed(self._stored(x), x0)

    def within(
        self, before: Float[Array, "b d"], after: Float[Array, "b d"], latents: Any = None
    ) -> Bool[Array, " b"]:
        low, high = self._range(before)
        follow, followed = self._follow, self._followed(after, before)
        near = jnp.abs(after - followed) <= NEAR * jnp.abs(after)
        still = before == after
        inside = (after >= low) & (after <= high)
        inside &= self._is_a("float") | (after == jnp.round(after))
        for at, grain in self.grains:
            inside = inside.at[:, at].set(inside[:, at] & (after[:, at] % grain == 0))
        if self._gaps.any():
            missing, lost = jnp.isnan(before), jnp.isnan(after)
            near |= lost & jnp.isnan(followed)
            still |= missing & lost
            inside = jnp.where(lost, self._among(self.comes), inside & (~missing | self._among(self.goes)))
        still = still.at[:, follow].set(near[:, follow])
        inside &= ~np.array(self.frozen)[None]
        one_hot = jnp.ones(len(after), bool)
        for group in map(np.array, self.groups):
            one_hot &= still[:, group].all(axis=1) | (after[:, group].sum(axis=1) == 1)
        few = self._any(~still).sum(axis=1) <= self.changes
        return (still | inside).all(axis=1) & one_hot & few & self._holds(after)


def _first(values: Float[Array, " n"], most: int, count: Any = None) -> Bool[Array, " n"]:
    """Which are among the `count` largest, of at most `most`; of equal ones, the first. Sorting is slower.

    >>> _first(jnp.array([1.0, 3.0, 2.0, 3.0]), 2).astype(int).tolist()
    [0, 1, 0, 1]
    """
    most = min(most, len(values))
    at = jax.lax.top_k(values, most)[1]
    return jnp.zeros(len(values), bool).at[at].set(jnp.arange(most) < (most if count is None else count))


def restored(
    table: dict[str, Any],
    frozen: tuple[bool, ...] = (),
    grows: tuple[bool, ...] = (),
    changes: int = 3,
    grains: tuple[tuple[int, float], ...] = (),
    magnitudes: tuple[int, ...] = (),
    comes: tuple[int, ...] = (),
    goes: tuple[int, ...] = (),
) -> Features:
    """The features of a recorded table (`Table.described`), without rules.

    >>> features = Features.infer(np.array([[20, 0.5], [60, 1.5]]), ["age", "rate"]).grow("age")
    >>> restored(features.described(), features.frozen, features.grows)
    Features(age: integer 20 to 60, only up; rate: float 0.5 to 1.5; at most 3 changes)
    """
    known = Table.recorded(table)
    none = (False,) * len(known.columns)
    still = (frozen or none, grows or none, known.groups)
    rest = {"changes": changes, "grains": grains, "magnitudes": magnitudes, "comes": comes, "goes": goes}
    return Features(known.columns, known.low, known.high, known.example, *still, **rest)
