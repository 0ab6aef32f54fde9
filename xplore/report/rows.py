"""A finding without its pictures: what every account of it tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from xplore.columns import Column, changes
from xplore.finding import Finding
from xplore.media import NPY, SETS, from_npy, from_set


@dataclass(frozen=True)
class Row:
    """A finding without its pictures; `confidences` are each model's probability of its own decision.

    Of models that return numbers they are None, and `values` what each returns.
    `changes` are, of a table's row, the features that changed: name, old value, new value;
    of a set, those that were added, with nothing as the old value.
    """

    id: str
    origin: str
    seed: int
    label: int | None
    expected: int | None
    decisions: tuple[int, ...]
    confidences: tuple[float | None, ...]
    reasons: tuple[str, ...]
    measures: dict[str, Any]
    steps: int
    changes: tuple[tuple[str, ...], ...] = ()
    values: tuple[float, ...] = ()
    campaign: int = 0

    @property
    def valid(self) -> bool:
        return not self.reasons and self.origin == "search"

    @property
    def settings(self) -> str:
        """What the chart was set to, as `turned 7.1 degrees, shifted down -2 px`; nothing for others."""
        told = []
        settings = self.measures.get("settings")
        for title, number in settings.items() if isinstance(settings, dict) else ():
            value = finite(number) or 0.0
            name, _, unit = title.removesuffix(")").partition(" (")
            told += [f"{name} {value:.2g} {unit}".rstrip()] if abs(value) >= 0.005 else []
        return ", ".join(told)

    def measure(self, name: str) -> float | None:
        """A measured number, or None where it was not taken or is not finite."""
        return finite(self.measures.get(name))


def finite(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN, and a reader has no use for one."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    return None


def row_of(finding: Finding, columns: tuple[Column, ...], of_values: bool) -> Row:
    """A finding of a table with these columns, if of one; `of_values` says that models return numbers."""
    confidences, changed = [], ()
    if finding.media == NPY:
        changed = changes(columns, from_npy(finding.before), from_npy(finding.after))
    elif finding.media == SETS:
        (before, _), (after, _) = from_set(finding.before), from_set(finding.after)
        changed = tuple((name, "", "added") for at, name in after.items() if at not in before)
    for decision, probabilities in zip(finding.decisions, finding.probabilities, strict=True):
        known = not of_values and 0 <= decision < len(probabilities)
        confidence = finite(float(probabilities[decision])) if known else None
        confidences.append(None if confidence is None else min(max(confidence, 0.0), 1.0))
    return Row(
        id=finding.id,
        origin=finding.origin,
        campaign=finding.campaign,
        seed=finding.seed,
        label=finding.label,
        expected=finding.expected,
        decisions=finding.decisions,
        confidences=tuple(confidences),
        values=tuple(finding.probabilities[:, 0].tolist()) if of_values else (),
        reasons=finding.reasons,
        measures=finding.measures,
        steps=finding.steps,
        changes=changed,
    )
