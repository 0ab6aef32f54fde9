"""A finding as a line of scalars: for a spreadsheet, a data frame, a program."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count
from typing import Any

import numpy as np

from xplore.archive.records import Finding
from xplore.inputs.columns import Column
from xplore.inputs.media import NPY, from_npy
from xplore.report import wording
from xplore.report.reading import Reading
from xplore.report.rows import Row, finite
from xplore.report.summary import SHRUNK_SIZES

MEASURES = ("margin", "ssim", "l2", "linf", "changed", "hidden", "nearest", "referee")


def names(reading: Reading) -> list[str]:
    """What every line has; lines of other measures have more."""
    start = ["id", "origin", "seed", "valid", "verdict", "reasons", "doubts"]
    start += ["label", "expected", "expected_name", "steps"]
    start[2:2] = ["campaign"] if reading.campaigns > 1 else []
    each = [
        f"{part}:{model}"
        for model in reading.models
        for part in ("decision", "decision_name", score(reading))
    ]
    return [*start, *each, *MEASURES]


def line(row: Row, reading: Reading) -> dict[str, Any]:
    """All that is one number, one truth value or one text of a finding; None where it is not known."""
    cells: dict[str, Any] = {
        "id": row.id,
        "origin": row.origin,
        "seed": row.seed,
        "valid": row.valid,
        "verdict": row.verdict,
        "reasons": " ".join(row.reasons),
        "doubts": " ".join(row.doubts),
        "label": row.label,
        "expected": row.expected,
        "expected_name": None if row.expected is None else reading.class_name(row.expected),
        "steps": row.steps,
    }
    cells |= {"campaign": row.campaign + 1} if reading.campaigns > 1 else {}
    if row.changes:
        cells["changes"] = wording.changed(row)
    if row.settings:
        cells["settings"] = row.settings
    scores = row.values or row.confidences
    for model, decision, value in zip(reading.models, row.decisions, scores, strict=True):
        cells[f"decision:{model}"] = decision
        cells[f"decision_name:{model}"] = reading.class_name(decision)
        cells[f"{score(reading)}:{model}"] = value
    if row.smallest is not None:
        sizes = {f"smallest:{name}": row.smallest.measure(name) for name in SHRUNK_SIZES}
        cells |= {name: value for name, value in sizes.items() if value is not None}
        cells |= {"smallest:changes": wording.changed(row.smallest)} if row.changes else {}
    for name, value in row.measures.items():
        number = isinstance(value, (bool, int, float))
        if name != "agreed" and name not in cells and (number or isinstance(value, str)):
            cells[name] = finite(value) if number else value
    return cells


def exported(finding: Finding, reading: Reading, named: Iterable[tuple[str, Column]] = ()) -> dict[str, Any]:
    """A line for retraining: `label` is the expected label, as the user calls it.

    A row stands in it by its table's columns.
    """
    cells = line(reading.row(finding), reading)
    cells["label"] = reading.label_of(finding)
    if finding.media == NPY and named:
        row = from_npy(finding.after).tolist()
        cells |= {name: _plain(column, code) for (name, column), code in zip(named, row, strict=True)}
    return cells


def row(finding: Finding, reading: Reading) -> dict[str, Any]:
    """A table's row for retraining: its own columns, and the label that is expected of it."""
    codes = from_npy(finding.after).tolist()
    cells = {str(c.name): _plain(c, code) for c, code in zip(reading.columns, codes, strict=True)}
    return cells | {label_name(reading): reading.label_of(finding)}


def label_name(reading: Reading) -> str:
    """What the label's column is called beside a table's own: as the user calls it, or `label`."""
    taken = {str(column.name) for column in reading.columns}
    given = reading.label.get("name")
    names = chain([] if given is None else [str(given)], ("label", "expected"))
    return next(name for name in chain(names, (f"label_{n}" for n in count(2))) if name not in taken)


def features(reading: Reading) -> list[tuple[str, Column]]:
    """A table's columns and what they are called in a line, where some of these names are taken."""
    taken = {*names(reading), "changes", "settings"}
    called = [str(column.name) for column in reading.columns]
    return [
        (f"feature:{name}" if name in taken else name, column)
        for name, column in zip(called, reading.columns, strict=True)
    ]


def kinds(lines: Iterable[dict[str, Any]]) -> dict[str, type]:
    """The type of each column of some lines: a whole number, a number, a truth value, or text."""
    found: dict[str, type] = {}
    for cells in lines:
        for name, value in cells.items():
            if value is not None:
                known = found.setdefault(name, type(value))
                if known is not type(value):
                    found[name] = float if {known, type(value)} <= {int, float} else str
    return found


def score(reading: Reading) -> str:
    """What stands beside a decision: how sure a model is, or the number that it returns."""
    return "value" if reading.of_values else "confidence"


def _plain(column: Column, code: float) -> Any:
    """A code as a value of the table; a date as text, None where a value is missing."""
    if np.isnan(code):
        return None
    if column.unit:
        return column.text(code)
    if column.values:
        return column.values[int(code)]
    if column.dtype in ("bool", "boolean"):
        return bool(code)
    return int(code) if column.whole else float(np.format_float_positional(np.float32(code)))


def ordered(reading: Reading, found: Iterable[str], features: Iterable[tuple[str, Column]] = ()) -> list[str]:
    """Columns in their order: what every line has, a table's own, then other measures."""
    first = [*names(reading), *(name for name, _ in features)]
    return [*first, *sorted({*found} - {*first})]
