"""Failure modes: the fault groups of one expected answer, one wrong answer and the model to blame.

Fault groups are many, and fine: each has its own answers of all models. A failure mode says which model takes
what for what. Each fault group is in exactly one, and so is each valid finding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xplore.archive.records import NO_ANSWER
from xplore.report.rows import Row, finite, least_changed

if TYPE_CHECKING:
    from xplore.report.reading import Group

SHOWN = 12
"""Failure modes that reports show first."""


@dataclass(frozen=True)
class FailureMode:
    """Valid findings for which one `model` is to blame, by its number: it should have answered `expected`.

    Of models that return values `expected` is None, and so is `answered` but for a model without an answer:
    `direction` is 1 where the model returns too much, -1 where too little, else 0. `groups` are the fault
    groups, largest first.
    """

    expected: int | None
    answered: int | None
    direction: int
    model: int
    groups: tuple[Group, ...] = field(repr=False)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def example(self) -> Row:
        """The finding that changes least."""
        return least_changed(self.rows)


def failure_modes(groups: Sequence[Group], kind: str = "labels") -> tuple[FailureMode, ...]:
    """The failure modes of fault groups, worst first: the one with the most findings.

    To blame is, of the models that are wrong, the one that is surest of its answer in the mean of a group's
    findings; of models that return numbers (`kind` is `values` or `angles`) the one that is farthest from the
    label or, without one, from what it returned on the seed; before all others one that gives no answer. Of
    failure modes with equally many findings the one comes first whose model is surer, or farther off.
    """
    parts: dict[tuple[int | None, int | None, int, int], list[tuple[Group, float]]] = defaultdict(list)
    for group in groups:
        model, off = _blamed(group, kind)
        answered = group.decisions[model]
        if kind != "values":
            key = group.expected, answered, 0, model
        elif answered == NO_ANSWER:
            key = None, answered, 0, model
        else:
            key = None, None, -1 if off < 0 else 1, model
        parts[key].append((group, off))
    found = [
        (FailureMode(*key, tuple(group for group, _ in members)), _mean_of(members))
        for key, members in parts.items()
    ]
    found.sort(key=lambda one: (-len(one[0].rows), -one[1], _key(one[0])))
    return tuple(mode for mode, _ in found)


def _key(mode: FailureMode) -> tuple[str, str, int, int]:
    return str(mode.expected), str(mode.answered), mode.direction, mode.model


def _mean_of(members: Sequence[tuple[Group, float]]) -> float:
    """How far off, or how sure, the model to blame is in the mean of its findings."""
    sizes = [len(group.rows) for group, _ in members]
    return math.fsum(n * abs(off) for n, (_, off) in zip(sizes, members, strict=True)) / sum(sizes)


def _blamed(group: Group, kind: str) -> tuple[int, float]:
    """The model to blame for a fault group, and how sure it is, or how far off and to which side."""
    wrong = [i for i, decision in enumerate(group.decisions) if decision != group.expected]
    wrong = wrong or list(range(len(group.decisions)))
    for model in wrong:
        if group.decisions[model] == NO_ANSWER:
            return model, math.inf
    off = {model: _off(group.rows, model, kind) for model in wrong}
    model = max(wrong, key=lambda model: (abs(off[model]), -model))
    return model, off[model]


def _off(rows: Sequence[Row], model: int, kind: str) -> float:
    if kind not in ("values", "angles"):
        return _mean([row.confidences[model] for row in rows])
    return _mean([_distance(row, model) for row in rows])


def _distance(row: Row, model: int) -> float | None:
    """How much larger a model's value is than the label or, without one, than its value on the seed."""
    value = row.values[model] if model < len(row.values) else None
    target = row.measure("truth")
    if target is None:
        seeds: Any = row.measures.get("seed_values")
        known = isinstance(seeds, list) and model < len(seeds)
        target = finite(seeds[model]) if known else None
    return None if value is None or target is None else value - target


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else 0.0
