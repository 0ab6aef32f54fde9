"""What the numbers of a part may be: each class of parts says it once, as `intervals`."""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from xplore._util.errors import InputError
from xplore._util.pytree import PyTreeNode

LARGEST = 1e18
"""Numbers of parts are no larger: their squares are numbers of float32."""


class Interval(NamedTuple):
    """From `low` to `high`; `above` and `below` leave out the ends.

    >>> str(PART), str(COUNT), 0.0 in PART, float("nan") in PART, 3 in COUNT
    ('a number above 0, at most 1', 'a whole number >= 1', False, False, True)
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        if not -LARGEST <= value <= LARGEST:  # NaN, too
            return False
        inside = self.low < value if self.above else self.low <= value
        inside = inside and (value < self.high if self.below else value <= self.high)
        return inside and (not self.whole or isinstance(value, numbers.Integral))

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number >= {self.low:g}"
        ends = [f"above {self.low:g}" if self.above else f"at least {self.low:g}"] * math.isfinite(self.low)
        ends += [f"below {self.high:g}" if self.below else f"at most {self.high:g}"] * math.isfinite(
            self.high
        )
        return f"a number {', '.join(ends)}" if ends else "a finite number"


FINITE = Interval()
POSITIVE = Interval(0, above=True)
NOT_NEGATIVE = Interval(0)
SHARE = Interval(0, 1)
PART = Interval(0, 1, above=True)
COUNT = Interval(1, whole=True)


def by_field(**intervals: Interval) -> Mapping[str, Interval]:
    """Intervals by the fields that they are of."""
    return MappingProxyType(intervals)


def check_numbers(name: str, part: Any) -> None:
    """An InputError for a number of a part, or of a part inside it, that makes no sense.

    A field without an interval must be finite; None is no limit, where a class has it so. Words are held to
    the ones that a class lists (`Literal`).

    >>> from xplore.constraints import Lighting
    >>> check_numbers("constraint", Lighting(float("nan")))
    Traceback (most recent call last):
    ...
    xplore.InputError: constraint Lighting.bound: expected a number above 0, at most 1, got nan
    """
    if isinstance(part, (list, tuple)):
        for at, inner in enumerate(part):
            check_numbers(f"{name}[{at}]", inner)
    elif isinstance(part, dict):
        for key, inner in part.items():
            check_numbers(f"{name}.{key}", inner)
    elif isinstance(part, PyTreeNode):
        hints = _hints(type(part))
        for field in dataclasses.fields(part):  # pyright: ignore[reportArgumentType] # every node is one
            value = getattr(part, field.name)
            what = f"{name} {type(part).__name__}.{field.name}"
            words = typing.get_args(hints.get(field.name))
            if typing.get_origin(hints.get(field.name)) is typing.Literal and value not in words:
                raise InputError(what, expected=f"one of {', '.join(map(repr, words))}", got=repr(value))
            if field.name in part.intervals:
                check_number(what, value, part.intervals[field.name])
            else:
                check_numbers(what, value)
    elif _scalar(part) and not isinstance(part, (bool, np.bool_)):
        check_number(name, part, FINITE)


def check_number(what: str, value: Any, interval: Interval) -> None:
    """An InputError for what is no number inside an interval; None is no number, and no fault."""
    if value is None:
        return
    number = value.item() if _scalar(value) and hasattr(value, "item") else value
    if isinstance(number, (bool, str)) or not isinstance(number, (int, float)) or number not in interval:
        fix = f"no number is larger than {LARGEST:g}"
        raise InputError(what, expected=str(interval), got=repr(number), fix=fix * _large(number))


def _large(number: Any) -> bool:
    return isinstance(number, (int, float)) and abs(number) > LARGEST


def _scalar(value: Any) -> bool:
    return isinstance(value, (int, float, np.generic)) or (hasattr(value, "shape") and value.shape == ())


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:  # a class of the user's may name what is imported for the type checker alone
        return {}
