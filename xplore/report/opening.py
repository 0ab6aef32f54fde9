"""What every report opens with: the verdict of a gate or a campaign, its numbers, and what its words mean."""

from __future__ import annotations

from typing import Any

from xplore.report import gate as gates
from xplore.report import wording
from xplore.report.reading import Reading


def verdict(reading: Reading, summary: dict[str, Any]) -> str:
    """What was said, in a sentence."""
    return gates.verdict(reading.gate) if reading.gate else wording.verdict(summary)


def headline(reading: Reading, summary: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """The numbers under the verdict, each with what it means, and whether it is bad news."""
    numbers = gates.headline(reading.gate) if reading.gate else []
    first = bool(summary["valid"])
    return numbers or [
        (value, means, first and not at) for at, (value, means) in enumerate(wording.headline(summary))
    ]


def terms(reading: Reading, summary: dict[str, Any]) -> str:
    """What the words mean, for somebody to whom the report was forwarded."""
    return gates.terms(reading.gate) if reading.gate else wording.terms(summary)
