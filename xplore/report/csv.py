"""One line a finding, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xplore.archive import Archive
from xplore.report import wording
from xplore.report._base import Reporter, store
from xplore.report.reading import Reading, read
from xplore.report.rows import Row, finite
from xplore.report.summary import SHRUNK_SIZES

MEASURES = ("margin", "ssim", "l2", "linf", "changed", "hidden", "nearest", "referee")


@dataclass(frozen=True)
class Csv(Reporter):
    """`findings.csv`: every scalar of every finding, valid or not, seeds that differ as they are too."""

    file_name: ClassVar[str] = "findings.csv"

    def write(self, archive: Archive, out: Path) -> Path:
        reading = read(archive)
        rows = [_line(row, reading) for row in reading.rows]
        extra = sorted({key for row in rows for key in row} - set(_line_keys(reading)))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*_line_keys(reading), *extra], restval="")
        writer.writeheader()
        writer.writerows({key: safe(value) for key, value in row.items()} for row in rows)
        return store(self.target(out), text.getvalue())


def safe(cell: Any) -> Any:
    """Text that a spreadsheet will not run as a formula; anything else as it is.

    >>> safe("=1+1"), safe("lenet1"), safe(-0.5)
    ("'=1+1", 'lenet1', -0.5)
    """
    risky = isinstance(cell, str) and cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if risky else cell


def _line_keys(reading: Reading) -> list[str]:
    start = ["id", "origin", "seed", "valid", "reasons", "label", "expected", "expected_name", "steps"]
    each = [
        f"{part}:{model}"
        for model in reading.models
        for part in ("decision", "decision_name", _score(reading))
    ]
    return [*start, *map(safe, each), *MEASURES]


def _line(row: Row, reading: Reading) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": row.id,
        "origin": row.origin,
        "seed": row.seed,
        "valid": int(row.valid),
        "reasons": " ".join(row.reasons),
        "label": row.label,
        "expected": row.expected,
        "expected_name": None if row.expected is None else reading.class_name(row.expected),
        "steps": row.steps,
    }
    if row.changes:
        line["changes"] = safe(wording.changed(row))
    scores = row.values or row.confidences
    if row.settings:
        line["settings"] = safe(row.settings)
    for model, decision, score in zip(reading.models, row.decisions, scores, strict=True):
        line[f"decision:{model}"] = decision
        line[f"decision_name:{model}"] = reading.class_name(decision)
        line[f"{_score(reading)}:{model}"] = score
    if row.smallest:
        line |= {
            f"smallest:{name}": value
            for name in SHRUNK_SIZES
            if (value := row.smallest.measure(name)) is not None
        }
        line |= {"smallest:changes": safe(wording.changed(row.smallest))} if row.changes else {}
    for name, value in row.measures.items():
        number = isinstance(value, (bool, int, float))
        if name != "agreed" and name not in line and (number or isinstance(value, str)):
            line[safe(name)] = finite(value) if number else value
    return line


def _score(reading: Reading) -> str:
    """What stands beside a decision: how sure a model is, or the number that it returns."""
    return "value" if reading.decides.get("kind") in ("angles", "values") else "confidence"
