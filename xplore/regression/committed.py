"""Regression inputs: what a test once found, as plain files to be committed and judged first ever after.

A folder with `regressions.csv` (file, test, expected, decisions) and one file an input: PNG, or CSV for a row
of a table, or JSON for a set. A file has one line for each test that found it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError, one_line
from xplore._util.files import contents, inside, text
from xplore._util.folders import alone
from xplore._util.jax_settings import own_settings
from xplore.adapters.predictor import reading
from xplore.archive.records import Finding, content_hash
from xplore.campaign.claims import ask
from xplore.campaign.replay import shape_of
from xplore.inputs.media import NPY, PNG, SETS, from_npy, to_npy
from xplore.inputs.table import Table
from xplore.oracles import LabelsDiffer, Oracle
from xplore.panel import Panel
from xplore.report._base import store
from xplore.report.csv import safe

INDEX, LARGEST = "regressions.csv", 2**24
COLUMNS = ("file", "test", "expected", "decisions")
NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
WAIT = 60.0
"""Seconds that a process waits for others which keep inputs in the same folder."""
Row = tuple[str, str, str, str]
SUFFIXES = {PNG: ".png", NPY: ".csv", SETS: ".json"}


@dataclass(frozen=True)
class CommittedInput:
    """A regression input: its file, the test that found it, its label, and what was decided then."""

    path: Path
    test: str
    expected: int | None
    decisions: str

    def read(self) -> tuple[str, bytes]:
        """Its media type and its bytes; an `InputError` for a file that is none."""
        kinds = {suffix: kind for kind, suffix in SUFFIXES.items()}
        kind = kinds.get(self.path.suffix)
        if kind is None:
            raise InputError(str(self.path), expected=" or ".join(kinds), got=self.path.suffix or "no suffix")
        data = contents(self.path, "a regression input", LARGEST)
        return (kind, data) if kind != NPY else (kind, _row(self.path, data))


class Regressions:
    """The regression inputs of a folder, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, test: str) -> list[CommittedInput]:
        """Those that a test found.

        Raises:
            InputError: the index is none, or names files outside of the folder.
        """
        return [one for one in self._all() if one.test == test]

    def _all(self) -> Iterator[CommittedInput]:
        for name, test, expected, decisions in self._rows():
            yield CommittedInput(
                inside(self.folder, name), test, int(expected) if expected else None, decisions
            )

    def _rows(self) -> Iterator[Row]:
        """The lines of the index, as they stand there."""
        index = self.folder / INDEX
        if not index.is_file():
            return
        lines = csv.reader(io.StringIO(text(index, "a CSV file", LARGEST), newline=""), strict=True)
        try:
            for number, line in enumerate(filter(None, lines)):
                if len(line) != len(COLUMNS) or (not number and tuple(line) != COLUMNS):
                    raise _damaged(index, lines.line_num, f"the columns {', '.join(COLUMNS)}", str(line))
                if line[2] and number and not NUMBER.fullmatch(line[2]):
                    raise _damaged(index, lines.line_num, "a class number", repr(line[2]))
                if number:
                    yield (line[0], line[1], line[2], line[3])
        except csv.Error as error:
            raise _damaged(index, lines.line_num, "CSV", one_line(error)) from error

    def keep(self, test: str, findings: Sequence[Finding], columns: Sequence[str] = ()) -> list[Path]:
        """Write findings of a test beside what is there; the smallest change, where there is one.

        A line is of one file and one test: other tests keep theirs, of the same file too. One process writes
        at a time, others wait for it.

        Raises:
            InputError: the folder cannot be written, or its index is none; what is there stays as it is.
        """
        if not findings:
            return []
        with alone(self.folder, wait=WAIT):
            rows = {row[:2]: row for row in self._rows()}
            paths = []
            for finding in findings:
                after = finding.after if finding.shrunk is None else finding.shrunk.after
                data = after if finding.media != NPY else _header(after, columns)
                path = store(self._place(finding, data), data)
                expected = "" if finding.expected is None else str(finding.expected)
                decisions = " ".join(map(str, finding.decisions))
                rows[path.name, test] = (path.name, test, expected, decisions)
                paths.append(path)
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerows([COLUMNS, *(rows[key] for key in sorted(rows))])
            store(self.folder / INDEX, out.getvalue())
        return paths

    def _place(self, finding: Finding, data: bytes) -> Path:
        """Where an input goes: by its finding's id; another test may have shrunk the same one otherwise."""
        path = self.folder / f"{finding.id}{SUFFIXES[finding.media]}"
        if not path.exists() or path.read_bytes() == data:
            return path
        return path.with_stem(f"{finding.id}-{content_hash(data)[:12]}")


@own_settings()
def judged(
    inputs: Sequence[CommittedInput], models: Sequence[Any], chart: Any = None, oracle: Oracle | None = None
) -> list[tuple[CommittedInput, tuple[int, ...], bool]]:
    """Of each regression input, what each model decides alone, and whether they differ."""
    if not inputs:
        return []
    table = chart if isinstance(chart, Table) else None
    panel, judge = Panel.of([reading(model, table) for model in models]), oracle or LabelsDiffer()
    bound: dict[tuple[int, ...], Panel] = {}
    answers = []
    for one in inputs:
        media, data = one.read()
        shape = shape_of(media, data)
        if shape not in bound:
            bound[shape] = panel.bind(shape)
        answer = ask(bound[shape], judge, media, data)
        answers.append((one, answer.decisions, answer.differ))
    return answers


def _damaged(index: Path, line: int, expected: str, got: str) -> InputError:
    return InputError(f"{index}, line {line}", expected=expected, got=got, fix="mend this line, or delete it")


def _header(row: bytes, columns: Sequence[str]) -> bytes:
    """A row of a table as CSV, exactly."""
    values = from_npy(row)
    names = columns if len(columns) == len(values) else [f"x{at}" for at in range(len(values))]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(
        [map(safe, names), [repr(float(value)) for value in values]]
    )
    return out.getvalue().encode()


def _row(path: Path, data: bytes) -> bytes:
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"))))
        row = np.array([float(value) for value in lines[1]], np.float32)
    except (UnicodeDecodeError, ValueError, IndexError, csv.Error) as error:
        raise InputError(str(path), expected="names, and a line of numbers", got=str(error)) from error
    return to_npy(row)
