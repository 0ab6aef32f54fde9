"""Rules that a row must keep, as functions of its columns: `lambda row: row.start <= row.end`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xplore.columns import Column
from xplore.errors import InputError, told

Rule = Callable[[Any], Any]


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


class Row:
    """The columns of rows by name, as attributes or items: numbers `[b]`, or a `Choice`."""

    def __init__(self, columns: Sequence[Column], x: Float[Array, "b d"]) -> None:
        self._columns = {column.name: (i, column) for i, column in enumerate(columns)}
        self._x = x
        self._instead: dict[int, Array] = {}

    def put(self, index: int, values: Float[Array, " b"]) -> None:
        """A column's values, from now on."""
        self._instead[index] = values

    def __getitem__(self, name: Any) -> Any:
        if name not in self._columns:
            raise unknown(name, list(self._columns))
        index, column = self._columns[name]
        values = self._instead.get(index, self._x[:, index])
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


def holds(rules: Sequence[Rule], columns: Sequence[Column], x: Float[Array, "b d"]) -> Bool[Array, " b"]:
    """Which rows keep all of the rules?"""
    kept = jnp.ones(len(x), bool)
    for rule in rules:
        kept &= rule(Row(columns, x))
    return kept


def following(
    follows: Sequence[tuple[int, Rule]], columns: Sequence[Column], x: Float[Array, "b d"]
) -> Float[Array, "b f"]:
    """The columns that follow from others, in the order in which they were told: each from those before."""
    row, values = Row(columns, x), []
    for at, value in follows:
        values.append(value(row).astype(x.dtype))
        row.put(at, values[-1])
    return jnp.stack(values, axis=1)


def check(rule: Rule, columns: Sequence[Column], gives: str = "a truth value a row") -> None:
    """An InputError for a rule that does not tell of many rows at once; by abstract evaluation."""
    what, rows = "a rule", jax.ShapeDtypeStruct((2, len(columns)), np.float32)
    fix = "compare columns, and join with & | ~ in brackets: (row.a <= row.b) & (row.b < 3)"
    try:
        came = jax.eval_shape(lambda x: rule(Row(columns, x)), rows)
    except InputError:
        raise
    except (jax.errors.ConcretizationTypeError, ValueError) as error:
        if isinstance(error, ValueError) and "truth value" not in str(error):
            raise InputError(what, expected="a function of a row", got=told(error), fix=fix) from error
        got = "`and`, `or`, `not`, `if` or a chain as in a < b < c, which asks for one truth of many"
        raise InputError(what, expected="a comparison that holds for many rows", got=got, fix=fix) from error
    except Exception as error:
        raise InputError(what, expected="a function of a row", got=told(error), fix=fix) from error
    kind = "b" if gives == "a truth value a row" else "f"
    if getattr(came, "shape", None) != (2,) or came.dtype.kind != kind:
        raise InputError(what, expected=gives, got=str(came), fix=fix)
