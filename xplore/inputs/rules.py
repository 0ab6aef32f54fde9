"""Rules that a row must keep, as functions of its columns: `lambda row: row.start <= row.end`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xplore._util.errors import InputError, one_line
from xplore.inputs.columns import Column
from xplore.inputs.row import Row, Time

Rule = Callable[[Any], Any]


def holds(rules: Sequence[Rule], columns: Sequence[Column], x: Float[Array, "b d"]) -> Bool[Array, " b"]:
    """Which rows keep all of the rules? One that reads a missing value says nothing of that row."""
    holding = jnp.ones(len(x), bool)
    for rule in rules:
        row = Row(columns, x)
        holding &= rule(row) | row.unknown
    return holding


def following(
    follows: Sequence[tuple[int, Rule]], columns: Sequence[Column], x: Float[Array, "b d"]
) -> Float[Array, "b f"]:
    """The columns that follow from others, in the order in which they were told: each from those before."""
    row, values = Row(columns, x), []
    for at, value in follows:
        values.append(_counted(value(row), columns[at]).astype(x.dtype))
        row.put(at, values[-1])
    return jnp.stack(values, axis=1)


def _counted(value: Any, column: Column) -> Any:
    """What a rule says of a column, as that is stored: of a time, its units."""
    wanted = "a date, as row.start + 30" if column.origin else "a duration" if column.unit else "a number"
    if isinstance(value, Time) != bool(column.unit) or (
        column.unit and bool(value.origin) != bool(column.origin)
    ):
        came = "a number" if not isinstance(value, Time) else "a date" if value.origin else "a duration"
        fix = "" if column.unit else ".days of a duration is a number"
        raise InputError(f"what {column.name!r} follows from", expected=wanted, got=came, fix=fix)
    return value.counted_in(column.unit, column.origin).codes if column.unit else value


def name_of(rule: Rule, number: int, given: str = "") -> str:
    """What a rule is called: as it was given, by its function's name, or by its number.

    >>> def starts_before_end(row): ...
    >>> name_of(starts_before_end, 1), name_of(lambda row: row, 2), name_of(lambda row: row, 2, "of age")
    ('starts_before_end', 'rule 2', 'of age')
    """
    name = given or getattr(rule, "__name__", "<lambda>")
    return f"rule {number}" if name == "<lambda>" else name


def words(name: str) -> str:
    """A rule by its name, in a sentence.

    >>> words("rule 2"), words("of age")
    ('rule 2', "rule 'of age'")
    """
    return name if name.startswith("rule ") else f"rule {name!r}"


def check(rule: Rule, columns: Sequence[Column], what: str, gives: Column | None = None) -> None:
    """An InputError for a rule that does not tell of many rows at once; by abstract evaluation.

    It tells of truth, or `gives` the values of a column; `what` it is called.
    """
    rows = jax.ShapeDtypeStruct((2, len(columns)), np.float32)
    fix = "compare columns, and join with & | ~ in brackets: (row.a <= row.b) & (row.b < 3)"

    def value_of(x: Any) -> Any:
        came = rule(Row(columns, x))
        return came if gives is None else _counted(came, gives)

    try:
        came = jax.eval_shape(value_of, rows)
    except InputError:
        raise
    except jax.errors.TracerArrayConversionError as error:
        fix = "compute by jax.numpy in place of numpy: jnp.log(row.a)"
        raise InputError(what, expected="a function of JAX", got="one of NumPy's in it", fix=fix) from error
    except (jax.errors.ConcretizationTypeError, ValueError) as error:
        if isinstance(error, ValueError) and "truth value" not in str(error):
            raise InputError(what, expected="a function of a row", got=one_line(error), fix=fix) from error
        got = "`and`, `or`, `not`, `if` or a chain as in a < b < c, which asks for one truth of many"
        raise InputError(what, expected="a comparison that holds for many rows", got=got, fix=fix) from error
    except Exception as error:
        raise InputError(what, expected="a function of a row", got=one_line(error), fix=fix) from error
    kind, wanted = ("b", "a truth value a row") if gives is None else ("f", "a number a row")
    if getattr(came, "shape", None) != (2,) or came.dtype.kind != kind:
        raise InputError(what, expected=wanted, got=str(came), fix=fix)
