"""Dates and durations as whole numbers of a unit, and back; pandas only where a frame's column is made."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

LARGEST = 2**24
"""Whole numbers up to here are exact in float32, in which rows are stored."""
UNITS = {
    **{"D": "days", "h": "hours", "m": "minutes", "s": "seconds"},
    **{"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"},
}
"""What times are counted in, from coarse to fine, by NumPy's names."""
EPOCH = "1970-01-01"
_DTYPE = re.compile(
    r"(datetime64\[(?:s|ms|us|ns)(?:, (?P<zone>[^\]]+))?\]|timedelta64\[(?:s|ms|us|ns)\]|object"
    r"|(timestamp|duration)\[(?:s|ms|us|ns)\]\[pyarrow\]|date32\[day\]\[pyarrow\])"
)


def times(values: Any) -> Shaped[np.ndarray, " n"] | None:
    """A frame's dates, with times or without, or durations, as NumPy's, in UTC; None of any others.

    None of them is missing.
    """
    kind = getattr(values.dtype, "kind", "O")
    if kind in "Mm" and fits(str(values.dtype)):
        if getattr(values.dtype, "tz", None) is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
        if isinstance(values.dtype, np.dtype):
            return np.asarray(values)
        return np.array(list(values), {"M": "datetime64[us]", "m": "timedelta64[us]"}[kind])
    if kind == "O" and len(values):
        plain = np.asarray(values, object).tolist()
        if {*map(type, plain)} == {datetime.date}:
            return np.array(plain, "datetime64[D]")
    return None


def fits(dtype: str) -> bool:
    """May a column of dates or durations have this dtype? An archive may say anything, of time zones, too.

    >>> fits("datetime64[us]"), fits("datetime64[ns, Europe/Berlin]"), fits("datetime64[ns, dateutil//x]")
    (True, True, False)
    """
    found = _DTYPE.fullmatch(dtype)
    zone = found["zone"] if found else None
    return bool(found) and (
        zone is None
        or re.fullmatch(r"UTC([+-]\d\d:\d\d)?", zone) is not None
        or zone in zoneinfo.available_timezones()
    )


def sound(unit: str, origin: str) -> bool:
    """Can times be counted so? An archive may say anything.

    >>> sound("D", "1970-01-01"), sound("h", ""), sound("Y", ""), sound("D", "tomorrow")
    (True, True, False, False)
    """
    try:
        return unit in UNITS and (not origin or np.datetime_data(np.datetime64(origin))[0] == "D")
    except ValueError:
        return False


def unit_of(when: Shaped[np.ndarray, " n"]) -> str:
    """The coarsest unit that is exact.

    >>> unit_of(np.array(["2020-02-01", "2021-05-05T12:00"], "M8[ms]")), unit_of(np.array([90], "m8[s]"))
    ('h', 's')
    """
    kind = when.dtype.kind
    return next(unit for unit in UNITS if (when.astype(f"{kind}8[{unit}]") == when).all())


def origin_of(when: Shaped[np.ndarray, " n"], unit: str) -> str:
    """From when on dates are counted: 1970, or the first day where that is too far; of durations, nothing.

    >>> dates = np.array(["2020-02-01T10:15", "2020-02-02T00:15"], "M8[m]")
    >>> origin_of(dates, "m"), origin_of(dates, "D")
    ('2020-02-01', '1970-01-01')
    """
    if when.dtype.kind == "m":
        return ""
    far = np.abs(counted(when, unit, EPOCH)).max() > LARGEST
    return str(when.min().astype("datetime64[D]")) if far else EPOCH


def counted(when: Shaped[np.ndarray, " n"], unit: str, origin: str) -> Int64[np.ndarray, " n"]:
    """How many units after the origin, a part of one cut off."""
    if not origin:
        return when.astype(f"timedelta64[{unit}]").astype(np.int64)
    start = np.datetime64(origin, "D").astype(f"datetime64[{unit}]")
    return (when.astype(f"datetime64[{unit}]") - start).astype(np.int64)


def between(when: Any, unit: str, origin: str) -> float:
    """A date or a duration as users write it, in units after the origin, with their fraction.

    >>> between("2020-01-02 12:00", "D", "2020-01-01"), between(datetime.date(2020, 1, 3), "D", "2020-01-01")
    (1.5, 2.0)
    >>> between(datetime.timedelta(hours=6), "h", "")
    6.0

    Raises:
        ValueError: it is none.
    """
    kind = "datetime64" if origin else "timedelta64"
    if isinstance(when, (bool, int, float, np.number)):
        raise ValueError(f"{when!r} is no {'date' if origin else 'duration'}")
    if hasattr(when, "tz_convert") and getattr(when, "tzinfo", None) is not None:
        when = when.tz_convert("UTC").tz_localize(None)
    if hasattr(when, "to_numpy"):
        when = when.to_numpy()
    elif isinstance(when, datetime.datetime) and when.tzinfo is not None:
        when = when.astimezone(datetime.UTC).replace(tzinfo=None)
    made: Any = np.datetime64 if origin else np.timedelta64
    exact = made(when)
    if np.isnat(exact):
        raise ValueError(f"{when!r} is no {'date' if origin else 'duration'}")
    fine = "us" if np.datetime_data(exact.dtype)[0] not in ("ns",) and unit != "ns" else "ns"
    exact = exact.astype(f"{kind}[{fine}]")
    passed = exact - np.datetime64(origin, "D").astype(f"datetime64[{fine}]") if origin else exact
    return float(passed / np.timedelta64(1, unit))


def read(codes: Float[np.ndarray, " n"], dtype: str, unit: str, origin: str) -> Any:
    """Counts as a column of a frame; NaN is no time.

    Raises:
        ValueError: a dtype or counts that such a column cannot have.
    """
    import pandas as pd

    found = _DTYPE.fullmatch(dtype)
    if found is None or unit not in UNITS or not fits(dtype):
        raise ValueError(f"{unit!r} and {dtype!r}")
    when = _moments(codes, unit, origin)
    if dtype == "object":
        return pd.Series(when.astype("datetime64[D]").astype(object), dtype="object")
    if unit in ("D", "h", "m"):  # which pandas has not
        when = when.astype(f"{when.dtype.kind}8[s]")
    series = pd.Series(when)
    return (series.dt.tz_localize("UTC") if found["zone"] else series).astype(dtype)


def text(code: float, dtype: str, unit: str, origin: str) -> str:
    """A count in words: a date, with its time where the unit is finer than a day; or a duration.

    >>> text(18262.0, "datetime64[us]", "D", EPOCH), text(90.0, "datetime64[us]", "m", "2020-01-01")
    ('2020-01-01', '2020-01-01 01:30')
    >>> text(3.0, "timedelta64[us]", "h", "")
    '3 hours'
    """
    if not origin:
        return f"{int(code)} {UNITS.get(unit, unit)}"
    (when,) = _moments(np.array([code]), unit, origin)
    words = str(np.datetime_as_string(when)).replace("T", " ")
    words += ":00" if unit == "h" else ""
    return f"{words} UTC" if ", " in dtype and unit != "D" else words


def _moments(codes: Float[np.ndarray, " n"], unit: str, origin: str) -> Any:
    if unit not in UNITS or (np.abs(codes) > 2 * LARGEST).any():
        raise ValueError("times that were never stored")
    gaps = np.isnan(codes)
    passed = np.where(gaps, 0, codes).astype(np.int64).astype(f"timedelta64[{unit}]")
    when = np.datetime64(origin, "D").astype(f"datetime64[{unit}]") + passed if origin else passed
    when[gaps] = np.array("NaT", when.dtype)
    return when
