"""Regression inputs: what a test once found, as plain files to be committed and judged first ever after.

A folder with `regressions.csv` (file, test, expected, decisions) and one file an input: PNG, or CSV for a row
of a table, or JSON for a set.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xplore.adapters.predictor import reading
from xplore.claims import ask
from xplore.errors import InputError
from xplore.files import contents, inside, text
from xplore.finding import Finding
from xplore.media import NPY, PNG, SETS, from_npy, to_npy
from xplore.oracles import LabelsDiffer, Oracle
from xplore.panel import Panel
from xplore.rejudge import shape_of
from xplore.report._base import store
from xplore.report.csv import safe
from xplore.settings import own_settings
from xplore.table import Table

INDEX, LARGEST = "regressions.csv", 2**24
COLUMNS = ("file", "test", "expected", "decisions")
SUFFIXES = {PNG: ".png", NPY: ".csv", SETS: ".json"}


@dataclass(frozen=True)
class Kept:
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

    def of(self, test: str) -> list[Kept]:
        """Those that a test found.

        Raises:
            InputError: the index is none, or names files outside of the folder.
        """
        return [kept for kept in self._all() if kept.test == test]

    def _all(self) -> Iterable[Kept]:
        index = self.folder / INDEX
        if not index.is_file():
            return
        lines = csv.DictReader(io.StringIO(text(index, "a CSV file", LARGEST)), strict=True)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise InputError(
                str(index), expected=f"the columns {', '.join(COLUMNS)}", got=str(lines.fieldnames)
            )
        for line in lines:
            expected = line["expected"]
            if expected and not expected.lstrip("-").isdigit():
                what = f"{index}, line {lines.line_num}"
                raise InputError(what, expected="a class number", got=repr(expected))
            label = int(expected) if expected else None
            yield Kept(inside(self.folder, line["file"]), line["test"], label, line["decisions"])

    def keep(self, test: str, findings: Sequence[Finding], columns: Sequence[str] = ()) -> list[Path]:
        """Write findings of a test beside what is there; the smallest change, where there is one."""
        lines = {kept.path.name: _line(kept) for kept in self._all()}
        paths = []
        for finding in findings:
            after = finding.after if finding.shrunk is None else finding.shrunk.after
            path = self.folder / f"{finding.id}{SUFFIXES[finding.media]}"
            store(path, after if finding.media != NPY else _told(after, columns))
            expected = "" if finding.expected is None else str(finding.expected)
            lines[path.name] = (path.name, test, expected, " ".join(map(str, finding.decisions)))
            paths.append(path)
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([COLUMNS, *(lines[name] for name in sorted(lines))])
        store(self.folder / INDEX, out.getvalue())
        return paths


@own_settings()
def judged(
    kept: Sequence[Kept], models: Sequence[Any], chart: Any = None, oracle: Oracle | None = None
) -> list[tuple[Kept, tuple[int, ...], bool]]:
    """Of each regression input, what each model decides alone, and whether they differ."""
    if not kept:
        return []
    table = chart if isinstance(chart, Table) else None
    panel, judge = Panel.of([reading(model, table) for model in models]), oracle or LabelsDiffer()
    bound: dict[tuple[int, ...], Panel] = {}
    told = []
    for one in kept:
        media, data = one.read()
        shape = shape_of(media, data)
        if shape not in bound:
            bound[shape] = panel.bind(shape)
        answer = ask(bound[shape], judge, media, data)
        told.append((one, answer.decisions, answer.differ))
    return told


def _line(kept: Kept) -> tuple[str, str, str, str]:
    return kept.path.name, kept.test, "" if kept.expected is None else str(kept.expected), kept.decisions


def _told(row: bytes, columns: Sequence[str]) -> str:
    """A row of a table as CSV, exactly."""
    values = from_npy(row)
    names = columns if len(columns) == len(values) else [f"x{at}" for at in range(len(values))]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(
        [map(safe, names), [repr(float(value)) for value in values]]
    )
    return out.getvalue()


def _row(path: Path, data: bytes) -> bytes:
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"))))
        row = np.array([float(value) for value in lines[1]], np.float32)
    except (UnicodeDecodeError, ValueError, IndexError, csv.Error) as error:
        raise InputError(str(path), expected="names, and a line of numbers", got=str(error)) from error
    return to_npy(row)
