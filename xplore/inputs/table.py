"""A table's columns and what may happen to them: how `constraints.Features` is told what is realistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from xplore._util.errors import InputError
from xplore._util.pytree import Number, PyTreeNode, field
from xplore.inputs import columns as tables
from xplore.inputs import dates
from xplore.inputs import rules as rule
from xplore.inputs.columns import ADDED, Column
from xplore.inputs.row import unknown

if TYPE_CHECKING:
    import pandas as pd

Own = TypeVar("Own", bound="Table")


class Table(PyTreeNode):
    """Columns, the range of each, which are frozen, only grow or follow, one-hot groups, and rules of a row.

    Where a value is missing it stays so, and one that is there stays, unless `missing` says otherwise.
    `example` is a row of the table that this was inferred from. Every method that tells more returns
    another table; this one stays as it is.
    """

    columns: tuple[Column, ...] = field(pytree_node=False)
    low: Number
    high: Number
    example: Number
    frozen: tuple[bool, ...] = field(pytree_node=False)
    grows: tuple[bool, ...] = field(pytree_node=False)
    groups: tuple[tuple[int, ...], ...] = field(pytree_node=False, default=())
    rules: tuple[rule.Rule, ...] = field(pytree_node=False, default=())
    changes: int = field(pytree_node=False, default=3)
    follows: tuple[tuple[int, rule.Rule], ...] = field(pytree_node=False, default=())
    grains: tuple[tuple[int, float], ...] = field(pytree_node=False, default=())
    magnitudes: tuple[int, ...] = field(pytree_node=False, default=())
    comes: tuple[int, ...] = field(pytree_node=False, default=(), metadata=ADDED)
    goes: tuple[int, ...] = field(pytree_node=False, default=(), metadata=ADDED)
    titles: tuple[str, ...] = field(pytree_node=False, default=(), metadata=ADDED)

    @classmethod
    def infer(cls: type[Own], table: Any, names: Sequence[Any] | None = None, *, changes: int = 3) -> Own:
        """What a DataFrame, or an array `[n d]` with or without names, seems to hold.

        Numbers without fractions are integers, 0 and 1 binary; binary columns side by side that always
        sum to one are a one-hot group; ordered categories are levels; dates and durations are whole numbers
        of days, or of the coarsest unit that is exact. A value may be missing where one is in the table.

        Raises:
            InputError: no rows, or columns that hold neither numbers, dates nor categories: free text, or
                nothing at all.
        """
        if isinstance(changes, bool) or not isinstance(changes, int) or changes < 1:
            raise InputError("changes", expected="a whole number >= 1", got=repr(changes), fix="use 3")
        columns = tables.inferred(table, names)
        rows, none = tables.encoded(columns, table), (False,) * len(columns)
        low = np.where([bool(c.values) for c in columns], 0, np.nanmin(rows, axis=0))
        high = np.where(
            [bool(c.values) for c in columns], [len(c.values) - 1 for c in columns], np.nanmax(rows, axis=0)
        )
        ends = (low.astype(np.float32), high.astype(np.float32))
        return cls(columns, *ends, rows[0], none, none, _groups(columns, rows), changes=changes)

    def described(self) -> dict[str, Any]:
        """The table as JSON holds it: what reports and a replay need to read its rows."""
        numbers = {name: np.asarray(getattr(self, name)).tolist() for name in ("low", "high", "example")}
        return {"columns": tables.described(self.columns), "groups": self.groups, **numbers}

    @classmethod
    def recorded(cls, metadata: dict[str, Any]) -> Table:
        """The table that `described` told of, without what may happen to it."""
        columns, groups = tables.recorded(metadata["columns"]), tuple(map(tuple, metadata["groups"]))
        numbers = (np.array(metadata[name], np.float32) for name in ("low", "high", "example"))
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

    def only(self: Own, *names: Any) -> Own:
        """Nothing but these changes, as where it is asked whether models take one protected column otherwise.

        Models that decide by it alike do not disagree: to ask one model, put the same model beside it on
        that column fixed. A column of a one-hot group stands for the group. What follows from them follows.

        >>> features = Table.infer(np.array([[0, 20, 0.5], [1, 60, 1.5]]), ["sex", "age", "rate"])
        >>> features.only("sex").frozen
        (False, True, True)

        Raises:
            InputError: one of them is frozen, or follows from others.
        """
        free = {self._at(name) for name in names}
        free |= {i for group in self.groups if free & {*group} for i in group}
        still = [str(self.columns[i].name) for i in sorted(free) if self.frozen[i]]
        if still or not free:
            came = f"{', '.join(still)}, frozen" if still else "none"
            raise InputError("only(...)", expected="columns that may change, one at least", got=came)
        return self.replace(frozen=tuple(i not in free for i in range(len(self.columns))))

    def missing(self: Own, *names: Any, may_be_lost: bool = False, may_be_found: bool = False) -> Own:
        """Whether values here may be lost, and become missing, and whether missing ones may be found.

        Without either, a missing value stays missing and one that is there stays: so it is of every column.

        >>> features = Table.infer(np.array([[20, 0.5], [60, np.nan]]), ["age", "rate"])
        >>> features.missing("rate", may_be_lost=True, may_be_found=True).comes
        (1,)

        Raises:
            InputError: the column's dtype cannot have missing values, or it is a part of a one-hot group.
        """
        at, columns = {self._at(name) for name in names}, list(self.columns)
        for i in at:
            column = columns[i]
            if not tables.gap(column):
                nullable = "boolean" if column.dtype == "bool" else column.dtype.capitalize()
                raise InputError(
                    f"column {column.name!r}",
                    expected="a dtype that can have missing values",
                    got=column.dtype,
                    fix=f"infer from table.astype({{{column.name!r}: {nullable!r}}})",
                )
            if any(i in group for group in self.groups):
                raise InputError(f"column {column.name!r}", expected="no one-hot group", got="a part of one")
            columns[i] = replace(column, missing=tables.gap(column))
        came, went = ({*held} - at for held in (self.comes, self.goes))
        return self.replace(
            columns=tuple(columns),
            comes=tuple(sorted(came | at if may_be_lost else came)),
            goes=tuple(sorted(went | at if may_be_found else went)),
        )

    def limit(self: Own, name: Any, low: Any, high: Any) -> Own:
        """This number, or date, changes between `low` and `high`, whatever was observed."""
        at = self._at(name)
        self._is(at, ("float", "integer"), "only numbers have limits")
        low, high = (self._number(at, end) for end in (low, high))
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
        column = replace(self.columns[at], kind="ordinal", values=levels)
        here = np.arange(len(self.columns)) == at
        code = self.example[at]
        example = code if np.isnan(code) else levels.index(self.columns[at].values[int(code)])
        return self.replace(
            columns=(*self.columns[:at], column, *self.columns[at + 1 :]),
            high=np.where(here, np.float32(len(levels) - 1), self.high),
            example=np.where(here, np.float32(example), self.example),
        )

    def multiples(self: Own, name: Any, of: float) -> Own:
        """This number changes to multiples of `of` alone: offsets of time zones, prices in steps."""
        at = self._at(name)
        self._is(at, ("float", "integer"), "only numbers have multiples", times=False)
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
            self._is(i, ("float", "integer"), "only numbers have a magnitude", times=False)
        return self.replace(magnitudes=tuple(sorted({*self.magnitudes, *at})))

    def follow(self: Own, name: Any, value: rule.Rule) -> Own:
        """This number is never chosen: it follows from others, `follow("total", lambda row: row.a + row.b)`.

        It is no change of its own, and has no range. Where what it follows from stays, it keeps what the seed
        has, so that a total which was rounded otherwise stays as it is.
        """
        at = self._at(name)
        self._is(at, ("float", "integer", "binary"), "only numbers follow")
        rule.check(value, self.columns, f"what {name!r} follows from", self.columns[at])
        return self.freeze(name).replace(follows=(*self.follows, (at, value)))

    def where(self: Own, holds: rule.Rule, name: str = "") -> Own:
        """A rule that every row keeps: `where(lambda row: (row.start <= row.end) & (row.job != "none"))`.

        Errors and reports call it by its `name`, or its function's. Dates compare with each other and with
        text, `row.since >= "2020-01-01"`; `(row.end - row.start).days` is a number. A rule that reads a
        value that is missing says nothing of that row; `row.missing("job")` tells where that is.
        """
        name = rule.name_of(holds, len(self.rules) + 1, name)
        rule.check(holds, self.columns, rule.words(name))
        return self.replace(rules=(*self.rules, holds), titles=(*self.names_of_rules, name))

    @property
    def names_of_rules(self) -> tuple[str, ...]:
        """What the rules are called."""
        known = self.titles[: len(self.rules)]
        others = enumerate(self.rules[len(known) :], start=len(known) + 1)
        return (*known, *(rule.name_of(holds, number) for number, holds in others))

    def broken(self, rows: Float32[np.ndarray, "n d"]) -> list[list[str]]:
        """The names of the rules that each row breaks."""
        named, holding = self.names_of_rules, self._holding(rows)
        return [
            [name for name, of in zip(named, holding, strict=True) if not of[i]] for i in range(len(rows))
        ]

    def _holding(self, rows: Float32[np.ndarray, "n d"]) -> list[np.ndarray]:
        """Of each rule, which rows keep it."""
        return [np.asarray(rule.holds((one,), self.columns, jnp.asarray(rows))) for one in self.rules]

    def check(self, rows: Float32[np.ndarray, "n d"]) -> None:
        """An `InputError` for seeds that break a rule or a one-hot group, which no change may do."""
        for group in self.groups:
            wrong = int((rows[:, list(group)].sum(axis=1) != 1).sum())
            if wrong:
                names = ", ".join(str(self.columns[i].name) for i in group)
                raise InputError("seeds", expected=f"exactly one of {names}", got=f"others in {wrong} rows")
        pairs = zip(self.names_of_rules, self._holding(rows), strict=True)
        for number, (name, holding) in enumerate(pairs, start=1):
            wrong = int((~holding).sum())
            if wrong:
                of = "" if len(self.rules) == 1 else f"{number} of {len(self.rules)}"
                named = rule.words(name) + (f" ({of})" if of else "")
                named = f"rule {of or number}" if name == f"rule {number}" else named
                first = ", ".join(map(str, np.flatnonzero(~holding)[:5].tolist()))
                raise InputError(
                    "seeds",
                    expected=f"rows that keep {named}",
                    got=f"{wrong} of {len(rows)} that break it (rows {first}{', …' * (wrong > 5)})",
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
        gaps = [bool(column.missing) for column in self.columns]
        if any(gaps):  # a few, so that it is known how models take them
            rows[(np.random.default_rng(1).random(rows.shape) < 0.1) & gaps] = np.nan
        return np.concatenate([self.example[None], rows[1:]]).astype(np.float32)

    def encode_inputs(self, table: Any) -> Float32[np.ndarray, "n d"]:
        """A DataFrame or an array as rows that models read: categories by their number."""
        return tables.encoded(self.columns, table)

    def frame(self, rows: Float32[np.ndarray, "n d"]) -> pd.DataFrame:
        """Rows as a DataFrame with the names, dtypes and categories of the one that was inferred from."""
        return tables.framed(self.columns, rows)

    def _at(self, name: Any) -> int:
        names = [column.name for column in self.columns]
        if name not in names:
            raise unknown(name, names)
        return names.index(name)

    def _is(self, at: int, kinds: Sequence[str], why: str, times: bool = True) -> None:
        column = self.columns[at]
        if column.kind not in kinds or (column.unit and not times):
            wanted, came = " or ".join(kinds), "a date or duration" if column.unit else column.kind
            raise InputError(f"column {column.name!r}", expected=f"{wanted}: {why}", got=came)

    def _number(self, at: int, end: Any) -> float:
        """The end of a range as it is stored: a date in its unit, others as they are."""
        column = self.columns[at]
        if not column.unit:
            return end
        try:
            return dates.between(end, column.unit, column.origin)
        except (ValueError, TypeError) as error:
            wanted = "a date, as '2020-01-31'" if column.origin else "a duration, as a timedelta"
            raise InputError(f"limits of {column.name!r}", expected=wanted, got=repr(end)) from error

    def __repr__(self) -> str:
        lines = []
        for i, column in enumerate(self.columns):
            reach = (
                f"{len(column.values)} values" if column.values else f"{self._end(i, 0)} to {self._end(i, 1)}"
            )
            how = "frozen" if self.frozen[i] else f"{reach}, only up" if self.grows[i] else reach
            may = [word for word, at in (("lost", self.comes), ("found", self.goes)) if i in at]
            gaps = f", may be {' and '.join(may)}" if may else ", some missing" if column.missing else ""
            lines.append(f"{column.name}: {dates.UNITS.get(column.unit, column.kind)} {how}{gaps}")
        lines = [lines[i] for i in sorted(range(len(lines)), key=lambda i: self.frozen[i])]
        some = [*lines[:6], f"and {len(lines) - 6} more"] if len(lines) > 7 else lines
        rules = [f"{len(self.rules)} rules"] if self.rules else []
        return f"Features({'; '.join([*some, *rules, f'at most {self.changes} changes'])})"

    def _end(self, at: int, last: int) -> str:
        """The lowest or the highest value of a column, in words."""
        end, column = float((self.low, self.high)[last][at]), self.columns[at]
        return column.text(end) if column.unit else f"{end:g}"


def _groups(columns: Sequence[Column], rows: Float32[np.ndarray, "n d"]) -> tuple[tuple[int, ...], ...]:
    """Binary columns side by side of which each row has exactly one.

    >>> columns = [Column(name, "binary", "int64") for name in "abcd"]
    >>> _groups(columns, np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]], np.float32))
    ((1, 2, 3),)
    """
    groups, first = [], 0
    while first < len(columns):
        last = first
        while last < len(columns) and columns[last].kind == "binary" and not columns[last].missing:
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
