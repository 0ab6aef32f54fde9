"""Lengths of time as people write them."""

from xplore._util.errors import InputError

UNITS = {"s": 1, "m": 60, "h": 3600}


def duration(time: str, what: str = "--time") -> float:
    """A length of time in seconds.

    >>> duration("90s"), duration("10m"), duration("1.5h"), duration("20")
    (90.0, 600.0, 5400.0, 20.0)

    Raises:
        InputError: it is none, or not above 0.
    """
    number, unit = (time[:-1], time[-1]) if time[-1:] in UNITS else (time, "s")
    try:
        came = float(number) * UNITS[unit]
    except ValueError:
        came = 0.0
    if not 0 < came < float("inf"):
        raise InputError(what, expected="a length of time above 0", got=repr(time), fix=f"use {what} 10m")
    return came
