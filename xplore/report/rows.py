"""A finding as the reports read it: what was said of it, and none of its pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

import numpy as np
from jaxtyping import Float

from xplore.archive.records import Finding, Verdict, verdict
from xplore.inputs.columns import Column, changes
from xplore.inputs.media import NPY, SETS, from_npy, from_set

Changes = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest change that still shows a finding, told as the finding is; `queries` found it."""

    confidences: tuple[float | None, ...]
    measures: dict[str, Any]
    queries: int
    changes: Changes = ()
    values: tuple[float | None, ...] = ()

    @property
    def settings(self) -> str:
        return settings_of(self.measures)

    def measure(self, name: str) -> float | None:
        """A measured number, or None where it was not taken or is not finite."""
        return finite(self.measures.get(name))


def settings_of(measures: dict[str, Any]) -> str:
    """What the chart was set to, as `turned 7.1 degrees, shifted down -2 px`; nothing for others."""
    texts = []
    settings = measures.get("settings")
    for title, number in settings.items() if isinstance(settings, dict) else ():
        value = finite(number) or 0.0
        name, _, unit = title.removesuffix(")").partition(" (")
        texts += [f"{name} {value:.2g} {unit}".rstrip()] if abs(value) >= 0.005 else []
    return ", ".join(texts)


@dataclass(frozen=True, slots=True)
class Row:
    """A finding without its pictures; `confidences` are each model's probability of its own decision.

    Of models that return numbers they are None, and `values` what each returns.
    `changes` are, of a table's row, the features that changed: name, old value, new value;
    of a set, those that were added, with nothing as the old value. An archive may have a hundred
    thousand of them: none has a dictionary of its own, and names of measures are one object each.
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
    changes: Changes = ()
    values: tuple[float | None, ...] = ()
    campaign: int = 0
    smallest: Smallest | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the label of what is shown may not hold."""
        return tuple(self.shown.measures.get("doubts") or ())

    @property
    def verdict(self) -> Verdict:
        """`valid`, `in_doubt` or `invalid`; a seed on which models differ as it is counts as invalid."""
        return verdict(self.reasons if self.origin == "search" else ("already_differ",), self.doubts)

    @property
    def valid(self) -> bool:
        return self.verdict == "valid"

    @property
    def valid_as_found(self) -> bool:
        """Whether it is valid without being shrunk, as what another search found is judged."""
        return self.origin == "search" and not (self.reasons or self.measures.get("doubts"))

    @property
    def settings(self) -> str:
        return settings_of(self.measures)

    def measure(self, name: str) -> float | None:
        """A measured number, or None where it was not taken or is not finite."""
        return finite(self.measures.get(name))

    @property
    def shown(self) -> Row | Smallest:
        """What a reader sees first: the smallest change where there is one, else the finding as found."""
        return self.smallest or self


def row_of(finding: Finding, columns: tuple[Column, ...], of_values: bool) -> Row:
    """A finding without its pictures; `columns` are those of a table, `of_values` tells models that return
    numbers.
    """
    smallest, shrunk = None, finding.shrunk
    if shrunk is not None:
        sure, values = _answers(finding.decisions, shrunk.probabilities, of_values)
        changes = changes_of(finding.media, columns, finding.before, shrunk.after)
        smallest = Smallest(sure, _interned(shrunk.measures), shrunk.queries, changes, values)
    confidences, values = _answers(finding.decisions, finding.probabilities, of_values)
    return Row(
        id=finding.id,
        origin=intern(finding.origin),
        seed=finding.seed,
        label=finding.label,
        expected=finding.expected,
        decisions=finding.decisions,
        confidences=confidences,
        values=values,
        reasons=tuple(map(intern, finding.reasons)),
        measures=_interned(finding.measures),
        steps=finding.steps,
        changes=changes_of(finding.media, columns, finding.before, finding.after),
        campaign=finding.campaign,
        smallest=smallest,
    )


def changes_of(media: str, columns: tuple[Column, ...], before: bytes, after: bytes) -> Changes:
    """What changed, in words; nothing for images."""
    if media == NPY:
        return changes(columns, from_npy(before), from_npy(after))
    if media == SETS:
        (old, _), (new, _) = from_set(before), from_set(after)
        return tuple((name, "", "added") for at, name in new.items() if at not in old)
    return ()


def least_changed(rows: Sequence[Row]) -> Row:
    """The finding whose change, as it is shown, is smallest: the example of a group."""
    return min(rows, key=lambda row: (finite(row.shown.measures.get("l2")) or math.inf, row.id))


def finite(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN, and a reader has no use for one."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    return None


def _interned(measures: dict[str, Any]) -> dict[str, Any]:
    return {intern(name): value for name, value in measures.items()}


def _answers(
    decisions: tuple[int, ...], probabilities: Float[np.ndarray, "m c"], of_values: bool
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Each model's confidence in what it decides, and of models that return numbers what each returns."""
    confidences = []
    for decision, probable in zip(decisions, probabilities, strict=True):
        known = not of_values and 0 <= decision < len(probable)
        confidence = finite(float(probable[decision])) if known else None
        confidences.append(None if confidence is None else min(max(confidence, 0.0), 1.0))
    return tuple(confidences), tuple(map(finite, probabilities[:, 0].tolist())) if of_values else ()
