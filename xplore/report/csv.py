"""One line a finding, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xplore.archive import Archive
from xplore.report._base import Export, beside, storing
from xplore.report.lines import exported, kinds, label_name, line, ordered, row
from xplore.report.reading import Reading, head

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNSEEN = r"\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
_FORMULA = re.compile(
    rf"^(?=[{_UNSEEN}]*[=+@\uff1d\uff0b\uff0d\uff20\u2212\t\r\n-])|(?<=[;\t])(?=[{_UNSEEN}]*[=+@-])"
)
"""Where a spreadsheet begins to run a text: at its start, and after what it may take for a cell's end."""


@dataclass(frozen=True)
class Csv(Export):
    """`findings.csv`: every scalar of every finding, valid or not, seeds that differ as they are too.

    For `retraining`, of a table: its own columns and the label that is expected, in the user's words. All
    else is beside, in `findings.meta.csv`, line by line. Of images and sets `label` is the expected label.

    >>> Csv().target(Path("runs/mine")).as_posix()
    'runs/mine/findings.csv'
    """

    file_name: ClassVar[str] = "findings.csv"
    every: bool = True
    retraining: bool = False

    def _write(self, archive: Archive, out: Path) -> Path:
        path, reading = self.target(out), head(archive)
        if self.retraining and reading.columns:
            columns = [*(str(column.name) for column in reading.columns), label_name(reading)]
            rows = (row(finding, reading) for finding in self.findings(reading))
            _store(path, columns, rows)
            path = beside(path)
        columns = ordered(reading, kinds(self._lines(reading)))
        _store(path, columns, self._lines(reading))
        return self.target(out)

    def _lines(self, reading: Reading) -> Iterator[dict[str, Any]]:
        for finding in self.findings(reading):
            cells = line(reading.row(finding), reading)
            yield cells if not self.retraining else exported(finding, reading)


def _store(path: Path, columns: list[str], lines: Iterator[dict[str, Any]]) -> None:
    with storing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(map(safe, columns))
        for cells in lines:
            writer.writerow([safe(cells.get(name)) for name in columns])


def safe(cell: Any) -> Any:
    """Text that a spreadsheet will not run as a formula; truth values as 0 and 1, anything else as it is.

    An apostrophe is put before text that begins, after spaces and what does not show, as a formula does, in
    full-width signs too, or with a tab or the end of a line; and before what would begin so where `;` or a
    tab is taken for the end of a cell. Numbers stay numbers, as text too.

    >>> safe("=1+1"), safe("a;=1"), safe("\uff1d1"), safe("lenet1"), safe(-0.5), safe("-0.5"), safe(True)
    ("'=1+1", "a;'=1", "'\uff1d1", 'lenet1', -0.5, '-0.5', 1)
    """
    if isinstance(cell, bool):
        return int(cell)
    if not isinstance(cell, str) or _NUMBER.fullmatch(cell):
        return cell
    return _FORMULA.sub("'", cell)
