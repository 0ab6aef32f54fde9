"""The columns of a table: what each holds, and how a table becomes rows of numbers and is read back.

NumPy only; pandas where a table is one of its frames.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from xplore._util.errors import InputError, MissingExtraError
from xplore.inputs import dates
from xplore.inputs.dates import LARGEST

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["float", "integer", "binary", "category", "ordinal"]

Sign = Literal["", "NaN", "None", "NA", "NaT"]
"""What a frame has in place of a missing value."""
MISSING = "(missing)"
"""What a missing value is called."""
FEW = 20
"""So many texts are categories, however they read."""
LONG = 30
"""Characters of a text on average, from which on half of them need not be alike."""
ADDED = {"added": True}
"""Marks fields that came later: where they say nothing, a digest is what it was before."""
_FEW_HAVE = ("missing", "unit", "origin")
_DTYPE = re.compile(
    r"object|str|bool|boolean|[uU]?[iI]nt(8|16|32|64)|[fF]loat(16|32|64)"
    r"|Sparse\[(bool|u?int\d+|float\d+), \w+\]"
    r"|(large_)?(string|u?int\d+|bool|float|double|halffloat)(\[(python|pyarrow|pyarrow_numpy)\])?"
)
"""What a column's dtype may be called."""


@dataclass(frozen=True)
class Column:
    """One column: its name, kind, the frame's dtype, and the values that codes stand for, where they do.

    A `category` and an `ordinal` are stored as the index of one of `values`; the latter's are in order. A
    date is stored as whole `unit`s after its `origin`, a duration as such units. A cell without a value is
    stored as NaN; `missing` is what the frame has there, nothing where each cell has a value.
    """

    name: Any
    kind: Kind
    dtype: str
    values: tuple[Any, ...] = ()
    missing: Sign = field(default="", metadata=ADDED)
    unit: str = field(default="", metadata=ADDED)
    origin: str = field(default="", metadata=ADDED)

    @property
    def whole(self) -> bool:
        """Are its codes whole numbers?"""
        return self.kind != "float"

    def text(self, code: float, digits: int = 4) -> str:
        """A code in the words of the table; fractions to so many digits that matter.

        >>> Column("job", "category", "str", ("clerk", "student")).text(1.0)
        'student'
        >>> Column("x", "float", "float64").text(2641.4), Column("n", "integer", "int8").text(3.0)
        ('2641', '3')
        """
        if np.isnan(code):
            return MISSING
        if self.values:
            return str(self.values[int(code)])
        if self.unit:
            return dates.text(code, self.dtype, self.unit, self.origin)
        if self.dtype in ("bool", "boolean"):
            return str(bool(code))
        if self.whole:
            return f"{int(code)}"
        digits = max(digits, len(f"{abs(code):.0f}"))
        return np.format_float_positional(np.float32(code), digits, fractional=False, trim="-")


def described(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Columns as JSON holds them; what is added to few of them is told of those alone."""
    return [
        {
            **{key: held for key, held in asdict(column).items() if held or key not in _FEW_HAVE},
            "name": column.name if isinstance(column.name, int) else str(column.name),
        }
        for column in columns
    ]


def recorded(columns: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
    """Columns as `described` wrote them.

    Raises:
        InputError: dates that are counted in no unit, or from no day.
    """
    made = tuple(Column(**{**column, "values": tuple(column["values"])}) for column in columns)
    for column in made:
        if column.unit and not dates.sound(column.unit, column.origin):
            came = f"{column.unit!r} after {column.origin!r}"
            raise InputError(f"column {column.name!r}", expected="a unit of time, and a day", got=came)
    return made


def changes(
    columns: Sequence[Column], before: Float32[np.ndarray, " d"], after: Float32[np.ndarray, " d"]
) -> tuple[tuple[str, ...], ...]:
    """The features in which two rows differ: name, old value, new value, in the table's words.

    >>> columns = (Column("age", "integer", "int64"), Column("job", "category", "str", ("clerk", "student")))
    >>> changes(columns, np.float32([31, 0]), np.float32([31, 1]))
    (('job', 'clerk', 'student'),)

    Raises:
        InputError: rows that these columns cannot have.
    """
    for row in (before, after):
        check(columns, row)

    def texts(column: Column, *codes: float) -> tuple[str, ...]:
        """Both in as many digits as tell them apart."""
        words = (tuple(column.text(code, digits) for code in codes) for digits in (4, 6, 9))
        return next((pair for pair in words if pair[0] != pair[1]), ("", ""))

    at = np.flatnonzero((before != after) & ~(np.isnan(before) & np.isnan(after))).tolist()
    return tuple((str(columns[i].name), *texts(columns[i], before[i].item(), after[i].item())) for i in at)


def check(columns: Sequence[Column], row: Float32[np.ndarray, " d"]) -> None:
    """An InputError for a stored row that these columns cannot have."""
    size, most = len(columns), [len(c.values) or (2 * LARGEST if c.unit else np.inf) for c in columns]
    least = [0 if c.values else -2 * LARGEST if c.unit else -np.inf for c in columns]
    fits = row.shape == (size,)
    if fits:
        gaps = np.isnan(row)
        fits = not (gaps & [not c.missing for c in columns]).any()
        fits &= bool((gaps | ((row < most) & (row >= least))).all())
    if not fits:
        raise InputError("a stored row", expected=f"one of {size} columns, as recorded", got="another")


def pandas() -> Any:
    """pandas, where it is installed.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", extra="tabular", purpose="tables") from error
    return pandas


def is_frame(table: Any) -> bool:
    """Is it a pandas DataFrame? Asked without importing pandas."""
    return type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "columns")


def inferred(table: Any, names: Sequence[Any] | None = None) -> tuple[Column, ...]:
    """What the columns of a frame, or of an array `[n d]` with names, seem to hold.

    Raises:
        InputError: no rows, free text, or what cannot be stored as a number.
    """
    series = _series(table, names)
    return tuple(_column(name, values) for name, values in series.items())


def encoded(columns: Sequence[Column], table: Any) -> Float32[np.ndarray, "n d"]:
    """A frame or an array `[n d]` as rows of codes.

    Raises:
        InputError: columns that are not there, missing values, categories that were not seen before.
    """
    names = [column.name for column in columns]
    series = _series(table, None if is_frame(table) else names)
    absent = [name for name in names if name not in series]
    if absent:
        raise InputError("the table", expected=f"columns {_list(names)}", got=f"none called {_list(absent)}")
    return np.stack([_codes(column, series[column.name]) for column in columns], axis=1)


def framed(columns: Sequence[Column], rows: Float32[np.ndarray, "n d"]) -> pd.DataFrame:
    """Rows of codes as a frame: names, dtypes and categories as they came."""
    pd = pandas()
    names, dtypes = [column.name for column in columns], {column.dtype for column in columns}
    if dtypes <= {"float32", "float64"} and len(dtypes) == 1:  # one block, made in no time
        return pd.DataFrame(rows.astype(dtypes.pop()), columns=names)
    pairs = zip(names, columns, strict=True)
    return pd.DataFrame({name: _read(c, rows[:, i]) for i, (name, c) in enumerate(pairs)})


def series(
    values: Sequence[Any], dtype: str, categories: Sequence[Any] | None = None, ordered: bool = False
) -> Any:
    """Plain values, None where one is missing, as a column of a frame.

    >>> series(["yes", None], "str").tolist(), str(series([1, None], "int64").dtype)
    (['yes', nan], 'Int64')

    Raises:
        InputError: a dtype that a column cannot have.
    """
    pd, wanted = pandas(), "values of the dtype that it tells"
    if None in values and re.fullmatch(r"bool|u?int\d+", dtype):
        dtype = "boolean" if dtype == "bool" else dtype.capitalize().replace("Ui", "UI")
    try:
        if dtype == "category":
            return pd.Series(pd.Categorical(list(values), list(categories or ()), ordered=ordered))
        if _DTYPE.fullmatch(dtype):  # an archive may say anything
            return pd.Series(list(values), dtype="object").astype(dtype)
    except (ValueError, TypeError) as error:
        raise InputError("labels", expected=wanted, got=f"{dtype}: {error}") from error
    raise InputError("labels", expected="a dtype of pandas", got=repr(dtype))


def _series(table: Any, names: Sequence[Any] | None) -> dict[Any, Any]:
    """Each column's values by name."""
    if is_frame(table):
        series = {name: table[name] for name in table.columns.unique()}
        if len(series) != table.shape[1]:
            raise InputError(
                "the table", expected="columns with names of their own", got=f"{_list(table.columns)}"
            )
        rows = len(table)
    else:
        array = np.asarray(table)
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise InputError(
                "the table",
                expected="a pandas DataFrame, or numbers [n d]",
                got=f"{array.dtype} of shape {array.shape}",
                fix="give text and categories in a DataFrame",
            )
        names = [f"x{i}" for i in range(array.shape[1])] if names is None else list(names)
        if len(names) != array.shape[1]:
            raise InputError("the table", expected=f"{len(names)} columns", got=str(array.shape[1]))
        series, rows = {name: array[:, i] for i, name in enumerate(names)}, len(array)
    if not rows or not series:
        raise InputError("the table", expected="a row and a column at least", got=f"{rows} rows")
    return series


def _missing(values: Any) -> Bool[np.ndarray, " n"]:
    if hasattr(values, "isna"):
        return np.asarray(values.isna())
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def _column(name: Any, values: Any) -> Column:
    gaps = _missing(values)
    if gaps.all():
        came = f"{len(gaps)} missing ones"
        raise InputError(f"column {name!r}", expected="values", got=came, fix="drop it, or fill it in")
    column = _full(name, values[~gaps])
    if not gaps.any():
        return column
    signs = sorted({_sign(value) for value in np.asarray(values[gaps], object)})
    if len(signs) > 1:
        fix = f"make them one: table[{name!r}].where(table[{name!r}].notna(), None)"
        one, came = "one kind of missing value, since models may tell them apart", " and ".join(signs)
        raise InputError(f"column {name!r}", expected=one, got=came, fix=fix)
    return replace(column, missing=signs[0])


def _sign(value: Any) -> Sign:
    signs: dict[str, Sign] = {"NoneType": "None", "NAType": "NA", "NaTType": "NaT"}
    return signs.get(type(value).__name__, "NaN")


def gap(column: Column) -> Sign:
    """What would stand for a missing value in a column that has none yet; nothing, where none can.

    >>> [gap(Column("x", "integer", dtype)) for dtype in ("int64", "Int64", "float64", "datetime64[us]")]
    ['', 'NA', 'NaN', 'NaT']
    """
    if column.missing or re.fullmatch(r"bool|u?int\d+|Sparse.*", column.dtype):
        return column.missing
    if column.dtype.startswith(("datetime64", "timedelta64")):
        return "NaT"
    if column.dtype.endswith("[pyarrow]") or re.fullmatch(
        r"boolean|U?Int\d+|Float\d+|string.*", column.dtype
    ):
        return "NA"
    return "None" if column.unit else "NaN"


def _full(name: Any, values: Any) -> Column:
    """What a column of which no value is missing seems to hold."""
    dtype = str(values.dtype)
    declared = getattr(values.dtype, "categories", None)
    if declared is not None:
        known = tuple(map(_plain, declared.tolist()))
        return Column(name, "ordinal" if values.dtype.ordered else "category", dtype, known)
    if dtype in ("bool", "boolean"):
        return Column(name, "binary", dtype)
    when = dates.times(values)
    if when is not None:
        unit = dates.unit_of(when)
        column = Column(name, "integer", dtype, unit=unit, origin=dates.origin_of(when, unit))
        _full_codes(column, values)  # is it near enough?
        return column
    if _is_number(values):
        numbers = _numbers(name, values)
        if not (numbers == np.round(numbers)).all():
            return Column(name, "float", dtype)
        column = Column(name, "binary" if set(np.unique(numbers)) == {0.0, 1.0} else "integer", dtype)
        _full_codes(column, values)  # is it small enough?
        return column
    plain = list(map(_plain, np.asarray(values, object)))
    kinds = {type(value) for value in plain}
    if len(kinds) > 1 or not kinds <= {str, bool, int}:
        raise InputError(
            f"column {name!r}",
            expected="numbers, truth values, text, dates or categories",
            got=f"{dtype} with {', '.join(sorted(kind.__name__ for kind in kinds))}",
            fix="turn it into a number, a category or, by pd.to_datetime, into dates; or drop it",
        )
    known = tuple(sorted(set(plain)))
    if kinds == {str} and (fault := free_text(known, len(plain))):
        raise _text(name, known, fault)
    return Column(name, "category", dtype, known)


def free_text(known: Sequence[str], rows: int) -> str:
    """Why texts, so many of so many rows, are no categories; nothing, where they may be.

    They are free text or names of rows where nearly all of them differ, or half of them and they are long.

    >>> free_text([f"C-{n}" for n in range(40)], 41), free_text(["red", "blue"], 3)
    ('40 different texts in 41 rows', '')
    """
    many = len(known) > FEW and len(known) > 0.9 * rows
    long = len(known) > max(FEW, rows / 2) and sum(map(len, known)) > LONG * len(known)
    return f"{len(known):,} different texts in {rows:,} rows" if many or long else ""


def _text(name: Any, known: Sequence[str], came: str) -> InputError:
    fix = f"drop it, or make it a category: table[{name!r}].astype('category'); freeze what is only carried"
    if all(re.match(r"\d{4}-\d\d-\d\d", text) for text in known):
        fix = f"read it as dates: pd.to_datetime(table[{name!r}])"
    return InputError(f"column {name!r}", expected="categories, not free text or names", got=came, fix=fix)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_number(values: Any) -> bool:
    return getattr(values.dtype, "kind", "O") in "iuf"


def _numbers(name: Any, values: Any) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"column {name!r}", expected="finite numbers", got="infinite ones")
    return numbers


def _codes(column: Column, values: Any) -> Float32[np.ndarray, " n"]:
    """One column as codes, NaN where a value is missing."""
    gaps = _missing(values)
    if not gaps.any():
        return _full_codes(column, values)
    if not column.missing:
        raise InputError(
            f"column {column.name!r}",
            expected="no missing values, as where it was inferred from",
            got=f"{int(gaps.sum())} missing",
            fix="infer the features from a table in which some are missing, or fill them in",
        )
    codes = np.full(len(gaps), np.nan, np.float32)
    if not gaps.all():
        codes[~gaps] = _full_codes(column, values[~gaps])
    return codes


def _full_codes(column: Column, values: Any) -> Float32[np.ndarray, " n"]:
    """The codes of values of which none is missing."""
    what = f"column {column.name!r}"
    if column.values:
        index = {value: code for code, value in enumerate(column.values)}
        came = list(map(_plain, np.asarray(values, object)))
        unknown = sorted({repr(value) for value in came if value not in index})
        if unknown:
            fix = "infer the features from a table that has them"
            raise InputError(what, expected=f"one of {_list(column.values)}", got=_list(unknown), fix=fix)
        return np.array([index[value] for value in came], np.float32)
    if column.unit:
        return _counts(column, values)
    if not _is_number(values) and str(values.dtype) not in ("bool", "boolean"):
        raise InputError(what, expected="numbers", got=str(values.dtype), fix="give it as it was inferred")
    numbers = _numbers(column.name, values)
    single = str(getattr(values, "dtype", "")) == "float32"  # as stored already: nothing is lost
    if column.whole and not single and np.abs(numbers).max() > LARGEST:
        raise InputError(
            what,
            expected=f"whole numbers up to {LARGEST:,}, which float32 holds exactly",
            got=f"{np.abs(numbers).max():,.0f}",
            fix="count from another origin or in another unit, or drop it if it is an identifier",
        )
    if column.whole and (numbers != np.round(numbers)).any():
        raise InputError(what, expected="whole numbers", got="others", fix="infer it from all rows")
    with np.errstate(over="ignore"):
        codes = numbers.astype(np.float32)
    if not np.isfinite(codes).all():
        raise InputError(what, expected="numbers that float32 holds", got=f"{np.abs(numbers).max():g}")
    if not single and (alike := _alike(numbers, codes)):
        raise InputError(
            what,
            expected="numbers that stay apart in float32, in which rows are stored and asked",
            got=alike,
            fix="subtract an origin (seconds since the first row), count in another unit, or drop it",
        )
    return codes


def _counts(column: Column, values: Any) -> Float32[np.ndarray, " n"]:
    """Dates and durations as whole units."""
    what, when, named = f"column {column.name!r}", dates.times(values), dates.UNITS[column.unit]
    if when is None or (when.dtype.kind == "M") != bool(column.origin):
        kind = "dates" if column.origin else "durations"
        raise InputError(what, expected=kind, got=str(values.dtype), fix="give it as it was inferred")
    counts = dates.counted(when, column.unit, column.origin)
    if (when.astype(f"{when.dtype.kind}8[{column.unit}]") != when).any():
        fix = "infer it from all rows, or round them"
        raise InputError(what, expected=f"whole {named}", got="others", fix=fix)
    if (far := np.abs(counts).max()) > LARGEST:
        of = f", counted from {column.origin}" if column.origin else ""
        raise InputError(
            what,
            expected=f"up to {LARGEST:,} {named}{of}, which float32 holds exactly",
            got=f"{far:,}",
            fix=f"round them, as by table[{column.name!r}].dt.round('min'), 'h' or 'D'",
        )
    return counts.astype(np.float32)


def _alike(numbers: Float[np.ndarray, " n"], codes: Float32[np.ndarray, " n"]) -> str:
    """What numbers of a column become one in float32, in words; nothing, where they tell as much as before.

    Of numbers anywhere in a range a few always fall together, about one in 2**25 / n: they were that near.
    What is lost is what many of them differ in, or, above 2**24, the decimals that were written.

    >>> times = 1.7e9 + np.array([0.25, 10.5, 20.75])
    >>> _alike(times, times.astype(np.float32))
    '1 of 3 different values: 1700000000.25 and 1700000010.5 become one'
    >>> _alike(times - 1.7e9, (times - 1.7e9).astype(np.float32))
    ''
    """
    middle = np.abs(numbers - np.median(numbers))
    if np.abs(numbers).max() <= LARGEST and (np.abs(numbers - codes).max() <= 1e-3 * np.median(middle)):
        return ""
    apart = np.unique(numbers)
    same = np.flatnonzero(np.diff(apart.astype(np.float32)) == 0)
    decimals = np.abs(apart).max() > LARGEST and bool((apart == np.round(apart, 4)).all())
    if not same.size or (same.size <= apart.size * max(0.01, apart.size / 2**23) and not decimals):
        return ""
    one, other = (repr(float(apart[at])) for at in (same[0], same[0] + 1))
    return f"{apart.size - same.size:,} of {apart.size:,} different values: {one} and {other} become one"


def _read(column: Column, codes: Float32[np.ndarray, " n"]) -> Any:
    """Codes as the column that they came from."""
    pd, gaps = pandas(), np.isnan(codes)
    if gaps.any() and not gap(column):
        raise InputError(f"column {column.name!r}", expected="values: none can be missing", got="NaN")
    if column.unit:
        try:
            return dates.read(codes.astype(np.float64), column.dtype, column.unit, column.origin)
        except ValueError as error:
            came = str(error)
            raise InputError(f"column {column.name!r}", expected="times of pandas", got=came) from error
    if column.dtype == "category":
        whole = np.where(gaps, -1, codes).astype(int)
        return pd.Categorical.from_codes(whole, list(column.values), ordered=column.kind == "ordinal")
    if not _DTYPE.fullmatch(column.dtype):  # an archive may say anything
        raise InputError(f"column {column.name!r}", expected="a dtype of pandas", got=repr(column.dtype))
    if column.values:
        picked = np.array([*column.values, None], object)[np.where(gaps, -1, codes).astype(int)]
        picked[gaps] = {"None": None, "NA": pd.NA}.get(column.missing, np.nan)
        return pd.Series(picked, dtype="object").astype(column.dtype)
    if re.fullmatch(r"bool|u?int\d+|float\d+", column.dtype):
        return codes.astype(column.dtype)
    return pd.Series(codes.astype(np.float64)).astype(column.dtype)


def _list(names: Any, most: int = 8) -> str:
    names = list(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
