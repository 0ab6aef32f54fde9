"""Numbers and names in words, for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(number: float | None) -> str:
    """
    >>> count(12345), count(None)
    ('12,345', '–')
    """
    return "–" if number is None else f"{number:,.0f}"


def percent(part: float | None, digits: int = 0) -> str:
    """A share in per cent; only what is whole or nothing reads 100 % or 0 %.

    >>> percent(0.4124, 1), percent(0.9996), percent(0.0001)
    ('41.2\\xa0%', '>99\\xa0%', '<1\\xa0%')
    """
    if part is None:
        return "–"
    step = 10.0**-digits
    if 0 < part * 100 < step / 2:
        return f"<{step:.{digits}f}\xa0%"
    if 100 - step / 2 <= part * 100 < 100:
        return f">{100 - step:.{digits}f}\xa0%"
    return f"{part * 100:.{digits}f}\xa0%"


def interval(value: dict[str, float] | None) -> str:
    """
    >>> interval({"share": 0.5, "low": 0.4, "high": 0.6})
    '40.0 to 60.0\\xa0%'
    """
    return "–" if value is None else f"{value['low'] * 100:.1f} to {value['high'] * 100:.1f}\xa0%"


def number(value: float | None) -> str:
    """Three figures that matter.

    >>> number(2.5941), number(0.0123), number(60.0), number(1234)
    ('2.59', '0.0123', '60', '1,234')
    """
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cut(text: str, most: int) -> str:
    """
    >>> cut("abcdef", 4), cut("abc", 4)
    ('abc…', 'abc')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def plural(amount: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "seed"), plural(2000, "seed")
    ('1 seed', '2,000 seeds')
    """
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def numeral(amount: int) -> str:
    return _NUMERALS[amount] if amount < len(_NUMERALS) else count(amount)


def listing(names: Sequence[str], last: str = "and") -> str:
    """
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def short_names(names: Sequence[str], most: int = 14) -> list[str]:
    """Names cut to what tells them apart: models are often called alike.

    >>> short_names(["lenet1", "lenet4"])
    ['lenet1', 'lenet4']
    >>> short_names(["resnet50-imagenet-float32", "resnet50-imagenet-int8"], 12)
    ['…float32', '…int8']
    """
    head = _shared(names)
    tail = _shared([name[head:][::-1] for name in names])
    return [name if len(name) <= most else _window(name, head, len(name) - tail, most) for name in names]


def _window(name: str, head: int, stop: int, most: int) -> str:
    """What lies between head and stop, with as much before it as there is room for; a last word whole."""
    start = max(0, min(head, stop - (most - 2)))
    if start <= 1:
        return f"{name[: most - 1]}…"
    if start + most - 1 >= len(name):
        word = max(name.rfind(mark, 0, min(head, len(name) - 1)) + 1 for mark in "-_ ./:")
        return f"…{name[max(word, len(name) + 1 - most) :]}"
    return f"…{name[start : start + most - 2]}…"


def _shared(names: Sequence[str]) -> int:
    """How many characters all names begin with."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    return len(list(columns)) if len(names) > 1 else 0


def duration(seconds: float | None) -> str:
    """
    >>> duration(0.51), duration(75), duration(7320)
    ('0.5 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return (
        f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
    )
