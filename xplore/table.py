"""A table's columns and what may happen to them: how `constraints.Features` is told what is realistic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from xplore import columns as tables
from xplore import rules as rule
from xplore import struct
from xplore.columns import Column
from xplore.errors import InputError
from xplore.units import Number

if TYPE_CHECKING:
    import pandas as pd

Own = TypeVar("Own", bound="Table")


class Table(struct.PyTreeNode):
    """Columns, the range of each, which are frozen, only grow or follow, one-hot groups, and rules of a row.

    `example` is a row of the table that this was inferred from. Every method that tells more returns
    another table; this one stays as it is.
    """

    columns: tuple[Column, ...] = struct.field(pytree_node=False)
    low: Number
    high: Number
    example: Number
    frozen: tuple[bool, ...] = struct.field(pytree_node=False)
    grows: tuple[bool, ...] = struct.field(pytree_node=False)
    groups: tuple[tuple[int, ...], ...] = struct.field(pytree_node=False, default=())
    rules: tuple[rule.Rule, ...] = struct.field(pytree_node=False, default=())
    changes: int = struct.field(pytree_node=False, default=3)
    follows: tuple[tuple[int, rule.Rule], ...] = struct.field(pytree_node=False, default=())
    grains: tuple[tuple[int, float], ...] = struct.field(pytree_node=False, default=())
    magnitudes: tuple[int, ...] = struct.field(pytree_node=False, default=())

    @classmethod
    def infer(cls: type[Own], table: Any, names: Sequence[Any] | None = None, *, changes: int = 3) -> Own:
        """What a DataFrame, or an array `[n d]` with or without names, seems to hold.

        Numbers without fractions are integers, 0 and 1 binary; binary columns side by side that always
        sum to one are a one-hot group; ordered categories are levels.

        Raises:
            InputError: missing values, no rows, or columns that hold neither numbers nor categories.
        """
        if isinstance(changes, bool) or not isinstance(changes, int) or changes < 1:
            raise InputError("changes", expected="a whole number >= 1", got=repr(changes), fix="use 3")
        columns = tables.inferred(table, names)
        rows, none = tables.encoded(columns, table), (False,) * len(columns)
        low = np.where([bool(c.values) for c in columns], 0, rows.min(axis=0))
        high = np.where(
            [bool(c.values) for c in columns], [len(c.values) - 1 for c in columns], rows.max(axis=0)
        )
        ends = (low.astype(np.float32), high.astype(np.float32))
        return cls(columns, *ends, rows[0], none, none, _groups(columns, rows), changes=changes)

    def described(self) -> dict[str, Any]:
        """The table as JSON holds it: what reports and a replay need to read its rows."""
        numbers = {name: np.asarray(getattr(self, name)).tolist() for name in ("low", "high", "example")}
        return {"columns": tables.described(self.columns), "groups": self.groups, **numbers}

    @classmethod
    def recorded(cls, told: dict[str, Any]) -> Table:
        """The table that `described` told of, without what may happen to it."""
        columns, groups = tables.recorded(told["columns"]), tuple(map(tuple, told["groups"]))
        numbers = (np.array(told[name], np.float32) for name in ("low", "high", "example"))
        return Table(columns, *numbers, frozen=(), grows=(), groups=groups)

    def freeze(self: Own, *names: Any) -> Own:
        """These never change."""
        at = {self._at(name) for name in names}
        return self.replace(frozen=tuple(f or i in at for i, f in enumerate(self.frozen)))

    def grow(self: Own, *names: Any) -> Own:
        """These only go up: counts, ages, levels reached."""
        at = {self._at(name) for name in names}
        for i in at:
            self._is(i, ("float", "integer", "ordinal"), "only numbers and levels go up")
        return self.replace(grows=tuple(g or i in at for i, g in enumerate(self.grows)))

    def limit(self: Own, name: Any, low: float, high: float) -> Own:
        """This number changes between `low` and `high`, whatever was observed."""
        at = self._at(name)
        self._is(at, ("float", "integer"), "only numbers have limits")
        if not -np.inf < low <= high < np.inf:
            raise InputError(f"limits of {name!r}", expected="low <= high", got=f"{low} and {high}")
        if self.columns[at].whole and max(-low, high) > tables.LARGEST:
            wanted = f"whole numbers up to {tables.LARGEST:,}, which float32 holds exactly"
            raise InputError(f"limits of {name!r}", expected=wanted, got=f"{low:,} and {high:,}")
        if self.columns[at].whole:
            low, high = np.ceil(low), np.floor(high)
        here = np.arange(len(self.columns)) == at
        return self.replace(
            low=np.where(here, np.float32(low), self.low), high=np.where(here, np.float32(high), self.high)
        )

    def order(self: Own, name: Any, levels: Sequence[Any]) -> Own:
        """These categories are levels, the lowest first."""
        at, levels = self._at(name), tuple(levels)
        self._is(at, ("category", "ordinal"), "numbers have an order")
        absent = [value for value in self.columns[at].values if value not in levels]
        if absent or len(set(levels)) < len(levels):
            came = f"none of {absent}" if absent else "one twice"
            raise InputError(f"levels of {name!r}", expected="every category once", got=came)
        column = Column(name, "ordinal", self.columns[at].dtype, levels)
        here = np.arange(len(self.columns)) == at
        example = levels.index(self.columns[at].values[int(self.example[at])])
        return self.replace(
            columns=(*self.columns[:at], column, *self.columns[at + 1 :]),
            high=np.where(here, np.float32(len(levels) - 1), self.high),
            example=np.where(here, np.float32(example), self.example),
        )

    def multiples(self: Own, name: Any, of: float) -> Own:
        """This number changes to multiples of `of` alone: offsets of time zones, prices in steps."""
        at = self._at(name)
        self._is(at, ("float", "integer"), "only numbers have multiples")
        wanted, whole = "a number > 0, with multiples in its range", self.columns[at].whole
        ends = (float(end) / of for end in (self.low[at], self.high[at])) if of > 0 else (0.0, -1.0)
        first, last = (round_(end) for round_, end in zip((np.ceil, np.floor), ends, strict=True))
        if first > last or (whole and of != round(of)) or self.grows[at]:
            came = f"{of:g}" + (", of one that only goes up" if self.grows[at] else "")
            raise InputError(f"multiples of {name!r}", expected=wanted, got=came)
        low, high = float(first * of), float(last * of)
        return self.limit(name, low, high).replace(grains=(*self.grains, (at, float(of))))

    def magnitude(self: Own, *names: Any) -> Own:
        """These move by orders of magnitude: counts, sizes, amounts, of which most are small and a few huge.

        A change is measured as a share of the range of `arcsinh(x)`, about the logarithm, of either sign.
        """
        at = {self._at(name) for name in names}
        for i in at:
            self._is(i, ("float", "integer"), "only numbers have a magnitude")
        return self.replace(magnitudes=tuple(sorted({*self.magnitudes, *at})))

    def follow(self: Own, name: Any, value: rule.Rule) -> Own:
        """This number is never chosen: it follows from others, `follow("total", lambda row: row.a + row.b)`.

        It is no change of its own, and has no range. Where what it follows from stays, it keeps what the seed
        has, so that a total which was rounded otherwise stays as it is.
        """
        at = self._at(name)
        self._is(at, ("float", "integer", "binary"), "only numbers follow")
        rule.check(value, self.columns, gives="a number a row")
        return self.freeze(name).replace(follows=(*self.follows, (at, value)))

    def where(self: Own, holds: rule.Rule) -> Own:
        """A rule that every row keeps: `where(lambda row: (row.start <= row.end) & (row.job != "none"))`."""
        rule.check(holds, self.columns)
        return self.replace(rules=(*self.rules, holds))

    def check(self, rows: Float32[np.ndarray, "n d"]) -> None:
        """An `InputError` for seeds that break a rule or a one-hot group, which no change may do."""
        for group in self.groups:
            wrong = int((rows[:, list(group)].sum(axis=1) != 1).sum())
            if wrong:
                names = ", ".join(str(self.columns[i].name) for i in group)
                raise InputError("seeds", expected=f"exactly one of {names}", got=f"others in {wrong} rows")
        for number, holds in enumerate(self.rules, start=1):
            wrong = int((~np.asarray(rule.holds((holds,), self.columns, jnp.asarray(rows)))).sum())
            if wrong:
                raise InputError(
                    "seeds",
                    expected=f"rows that keep rule {number} of {len(self.rules)}",
                    got=f"{wrong} of {len(rows)} that break it",
                    fix="leave those rows out, or mend the rule",
                )

    def probes(self, n: int) -> Float32[np.ndarray, "n d"]:
        """Rows anywhere in the table's range, the example first: the same ones every time."""
        draw = np.random.default_rng(0).random((n, len(self.columns)))
        rows = self.low + draw * (self.high - self.low)
        rows = np.where([column.whole for column in self.columns], np.round(rows), rows)
        for group in self.groups:
            members = draw[:, group[0]] * len(group)
            rows[:, list(group)] = members.astype(int)[:, None] == np.arange(len(group))
        return np.concatenate([self.example[None], rows[1:]]).astype(np.float32)

    def codes(self, table: Any) -> Float32[np.ndarray, "n d"]:
        """A DataFrame or an array as rows that models read: categories by their number."""
        return tables.encoded(self.columns, table)

    def frame(self, rows: Float32[np.ndarray, "n d"]) -> pd.DataFrame:
        """Rows as a DataFrame with the names, dtypes and categories of the one that was inferred from."""
        return tables.framed(self.columns, rows)

    def _at(self, name: Any) -> int:
        names = [column.name for column in self.columns]
        if name not in names:
            raise rule.unknown(name, names)
        return names.index(name)

    def _is(self, at: int, kinds: Sequence[str], why: str) -> None:
        column = self.columns[at]
        if column.kind not in kinds:
            wanted = " or ".join(kinds)
            raise InputError(f"column {column.name!r}", expected=f"{wanted}: {why}", got=column.kind)

    def __repr__(self) -> str:
        told = []
        for column, low, high, frozen, grows in zip(
            self.columns, self.low, self.high, self.frozen, self.grows, strict=True
        ):
            reach = f"{len(column.values)} values" if column.values else f"{low:g} to {high:g}"
            how = "frozen" if frozen else f"{reach}, only up" if grows else reach
            told.append(f"{column.name}: {column.kind} {how}")
        some = [*told[:6], f"and {len(told) - 6} more"] if len(told) > 7 else told
        rules = [f"{len(self.rules)} rules"] if self.rules else []
        return f"Features({'; '.join([*some, *rules, f'at most {self.changes} changes'])})"


def _groups(columns: Sequence[Column], rows: Float32[np.ndarray, "n d"]) -> tuple[tuple[int, ...], ...]:
    """Binary columns side by side of which each row has exactly one.

    >>> columns = [Column(name, "binary", "int64") for name in "abcd"]
    >>> _groups(columns, np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]], np.float32))
    ((1, 2, 3),)
    """
    groups, first = [], 0
    while first < len(columns):
        last = first
        while last < len(columns) and columns[last].kind == "binary":
            last += 1
            total = rows[:, first:last].sum(axis=1)
            if total.max() > 1 or total.min() == 1:
                break
        else:
            total = np.zeros(1)
        found = last - first > 1 and (total == 1).all()
        groups += [tuple(range(first, last))] if found else []
        first = last if found else first + 1
    return tuple(groups)
