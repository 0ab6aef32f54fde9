"""What a rule reads of rows: their columns by name, as numbers, categories or times."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xplore._util.errors import InputError
from xplore.inputs.columns import Column
from xplore.inputs.dates import UNITS, between


class Choice:
    """A column of categories: compared with their names, `<` and its like by the order of levels."""

    __hash__ = None  # pyright: ignore[reportAssignmentType] # compared element by element

    def __init__(self, column: Column, codes: Array) -> None:
        self._column, self._codes = column, codes

    def _code(self, value: Any) -> int:
        if value not in self._column.values:
            known = ", ".join(map(str, self._column.values[:8]))
            raise InputError(f"a rule on {self._column.name!r}", expected=f"one of {known}", got=repr(value))
        return self._column.values.index(value)

    def _level(self, value: Any) -> int:
        if self._column.kind != "ordinal":
            raise InputError(
                f"a rule on {self._column.name!r}",
                expected="== or != with categories that have no order",
                got="< or >",
                fix=f"order({self._column.name!r}, [...]) first",
            )
        return self._code(value)

    def __eq__(self, value: Any) -> Any:
        return self._codes == self._code(value)

    def __ne__(self, value: Any) -> Any:
        return self._codes != self._code(value)

    def __le__(self, value: Any) -> Any:
        return self._codes <= self._level(value)

    def __ge__(self, value: Any) -> Any:
        return self._codes >= self._level(value)

    def __lt__(self, value: Any) -> Any:
        return self._codes < self._level(value)

    def __gt__(self, value: Any) -> Any:
        return self._codes > self._level(value)


def _compared(by: Callable[[Any, Any], Any]) -> Any:
    """A comparison of times, in the finer of their units."""

    def compare(self: Time, value: Any) -> Any:
        return by(*self._other(value))

    return compare


@dataclass(frozen=True, eq=False)
class Time:
    """A column of dates or durations: compared with others and with dates as text; `+` and `-` days.

    The difference of two dates is a duration, `.days` of which is a number. Counts of units are whole and
    small, so that all of this is exact, whatever the units of the columns.
    """

    __hash__ = None  # pyright: ignore[reportAssignmentType] # compared element by element
    codes: Array
    unit: str
    origin: str
    name: Any = ""

    @property
    def days(self) -> Array:
        """As a number: days, of a date since 1970."""
        return self.counted_in("D", "1970-01-01" if self.origin else "").codes

    def counted_in(self, unit: str, origin: str) -> Time:
        """The same times, counted in a unit from an origin."""
        ours, theirs = (np.timedelta64(1, one) for one in (self.unit, unit))
        codes = self.codes
        if self.origin != origin:
            passed = np.datetime64(self.origin, "D") - np.datetime64(origin, "D")
            codes = codes + float(passed / ours)
        ratio = float(ours / theirs) if ours >= theirs else 1 / float(theirs / ours)
        return Time(codes if ratio == 1 else codes * ratio, unit, origin, self.name)

    def _other(self, value: Any) -> tuple[Any, Any]:
        """These counts and another's, in the finer of two units."""
        if isinstance(value, Time):
            if bool(value.origin) != bool(self.origin):
                raise self._wrong("dates with dates, durations with durations", repr(value.name))
            unit = self._finer(value)
            return self.counted_in(unit, value.origin).codes, value.counted_in(unit, value.origin).codes
        if not self.origin and isinstance(value, (int, float)):
            return self.days, value
        try:
            return self.codes, between(value, self.unit, self.origin)
        except (ValueError, TypeError) as error:
            wanted = "a date, as '2020-01-31'" if self.origin else "a duration, or a number of days"
            raise self._wrong(wanted, repr(value)) from error

    def _finer(self, other: Time) -> str:
        return max(self.unit, other.unit, key=[*UNITS].index)

    def _wrong(self, expected: str, got: str) -> InputError:
        return InputError(f"a rule on {self.name!r}", expected=expected, got=got)

    __eq__ = _compared(operator.eq)
    __ne__ = _compared(operator.ne)
    __le__ = _compared(operator.le)
    __ge__ = _compared(operator.ge)
    __lt__ = _compared(operator.lt)
    __gt__ = _compared(operator.gt)

    def __add__(self, days: Any) -> Time:
        """So many days later, or later by a duration."""
        if isinstance(days, Time):
            if days.origin:
                return days + self if not self.origin else self + days.days
            unit = self._finer(days)
            ours = self.counted_in(unit, self.origin)
            return Time(ours.codes + days.counted_in(unit, "").codes, unit, self.origin, self.name)
        return Time(
            self.codes + days * float(np.timedelta64(1, "D") / np.timedelta64(1, self.unit)),
            self.unit,
            self.origin,
            self.name,
        )

    __radd__ = __add__

    def __sub__(self, other: Any) -> Time:
        """So many days before; or what passed since another date."""
        if not isinstance(other, Time):
            return self + (-other)
        if other.origin and self.origin:
            one, two = self._other(other)
            unit = self._finer(other)
            return Time(one - two, unit, "", self.name)
        return self + Time(-other.codes, other.unit, "", other.name)


class Row:
    """The columns of rows by name, as attributes or items: numbers `[b]`, a `Choice`, or a `Time`.

    `row.missing("name")` tells where a column has no value.
    """

    def __init__(self, columns: Sequence[Column], x: Float[Array, "b d"]) -> None:
        self._columns = {column.name: (i, column) for i, column in enumerate(columns)}
        self._x = x
        self._instead: dict[int, Array] = {}
        self._unknown: Any = False

    def put(self, index: int, values: Float[Array, " b"]) -> None:
        """A column's values, from now on."""
        self._instead[index] = values

    def _read(self, name: Any) -> tuple[Column, Array]:
        if name not in self._columns:
            raise unknown(name, list(self._columns))
        index, column = self._columns[name]
        return column, self._instead.get(index, self._x[:, index])

    def missing(self, name: Any) -> Bool[Array, " b"]:
        """In which rows has a column no value?"""
        return jnp.isnan(self._read(name)[1])

    @property
    def unknown(self) -> Any:
        """In which rows was a value read that is missing?"""
        return self._unknown

    def __getitem__(self, name: Any) -> Any:
        column, values = self._read(name)
        if column.missing:
            self._unknown = self._unknown | jnp.isnan(values)
        if column.unit:
            return Time(values, column.unit, column.origin, column.name)
        return Choice(column, values) if column.values else values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


def unknown(name: Any, names: Sequence[Any]) -> InputError:
    """No column is called so: which may be meant?"""
    near = difflib.get_close_matches(str(name), list(map(str, names)), 1)
    some = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
    fix = f"did you mean {near[0]!r}?" if near else ""
    return InputError(f"column {name!r}", expected=f"one of {some}", got="no such column", fix=fix)
