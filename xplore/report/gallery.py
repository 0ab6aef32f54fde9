"""All findings small, in sheets, with what is needed to filter them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from xplore.archive.records import Finding
from xplore.report.pictures import SMALL, embed, png, reduce, sheet, webp
from xplore.report.reading import Reading
from xplore.report.rows import Row, Smallest
from xplore.report.steering import drawn
from xplore.report.wording import why
from xplore.report.words import short_names

COLUMNS = 10
PICTURE_SIZES = (("margin", "margin"), ("SSIM", "ssim"), ("L2", "l2"), ("L∞", "linf"))
TABLE_SIZES = (("margin", "margin"), ("L1", "l1"), ("L2", "l2"), ("nearest row at", "nearest"))
_PER_SHEET = 100
_SMALL = (0, 90, 80, 65, 50, 35)
_LOSSY = ((160, 72), (128, 70), (96, 65), (80, 60), (64, 60), (56, 50), (48, 45), (40, 40), (32, 35))


def gallery(reading: Reading, most: int, budget: int) -> dict[str, Any]:
    """Findings for the page's script, and their pictures in about `budget` bytes a finding.

    Each sheet has a cell a finding: the seed, the finding and, in campaigns that have any, its smallest
    change. Valid findings come first where there are more than `most`; pictures are read a sheet at a time.
    """
    rows = reading.rows
    if len(rows) > most:
        chosen = sorted(rows, key=_state, reverse=True)[:most]
        ids = {row.id for row in chosen}
        rows = tuple(row for row in rows if row.id in ids)
    if reading.in_words:
        return _data(reading, rows, cell=(1, 1), table=True)
    cells = 3 if any(row.smallest for row in rows) else 2
    sheets: list[str] = []
    cell, encoding, largest = (0, 0), None, 0
    for start in range(0, len(rows), _PER_SHEET):
        batch = reading.archive.take([row.id for row in rows[start : start + _PER_SHEET]])
        pictured = [_cell(reading, finding, cells) for finding in batch]
        largest = largest or _largest(pictured[:1])
        encoding = encoding or _encoding(pictured, budget)
        page, cell = _sheet(pictured, *encoding)
        sheets.append(page)
    return _data(
        reading,
        rows,
        cell=cell,
        cells=cells,
        pixelated=bool(encoding and encoding[0] == largest <= SMALL),
        exact=bool(encoding and encoding[1] == 0),
        sheets=sheets,
    )


def _cell(reading: Reading, finding: Finding, cells: int) -> list[Image.Image]:
    pictures = drawn(reading, finding)
    return [*pictures, *[Image.new("L", pictures[0].size, "white")] * (cells - len(pictures))]


def _data(reading: Reading, order: Sequence[Row], **shown: Any) -> dict[str, Any]:
    """Findings in the order in which they are `shown`, as the page's script reads them."""
    return {
        "columns": COLUMNS,
        "perSheet": _PER_SHEET,
        "cells": 2,
        "table": False,
        "pixelated": False,
        "exact": True,
        "sheets": [],
        **shown,
        "sizes": [name for name, _ in (TABLE_SIZES if reading.in_words else PICTURE_SIZES)],
        "models": list(reading.models),
        "short": short_names(reading.models),
        "classes": _classes(reading, order),
        "label_stands": reading.label_stands,
        "findings": [_entry(reading, row) for row in order],
        "total": len(reading.rows),
    }


def _largest(pictured: list[list[Image.Image]]) -> int:
    return max(max(image.size) for cell in pictured for image in cell)


def _encoding(pictured: list[list[Image.Image]], budget: int) -> tuple[int, int]:
    """The side and the quality (0: exact) with which all sheets fit, told from the first."""
    largest = _largest(pictured)
    tries = [(largest, quality) for quality in _SMALL] if largest <= SMALL else []
    tries += [(side, quality) for side, quality in _LOSSY if side < largest]
    for side, quality in tries:
        if len(_sheet(pictured, side, quality)[0]) * 3 / 4 <= budget * len(pictured):
            return side, quality
    return tries[-1]


def _sheet(pictured: list[list[Image.Image]], side: int, quality: int) -> tuple[str, tuple[int, int]]:
    cells = [sheet(parts := [reduce(part, side) for part in cell], columns=len(parts)) for cell in pictured]
    page = sheet(cells, COLUMNS)
    cell = (cells[0].width // len(pictured[0]), cells[0].height)
    return (embed(webp(page, quality), "webp") if quality else embed(png(page), "png")), cell


def _classes(reading: Reading, rows: Sequence[Row]) -> dict[str, str]:
    """Names of the classes that occur, and of no others: there may be a thousand."""
    used = {d for row in rows for d in (*row.decisions, row.expected) if d is not None}
    return {str(decision): reading.class_name(decision) for decision in sorted(used)}


def _entry(reading: Reading, row: Row) -> list[Any]:
    """One finding: id, seed, expected, decisions, confidences (%) or values in words, state, why it does not
    count, sizes, changes of a table's row, and sizes and changes of its smallest change.
    """
    confidences: list[Any] = [None if c is None else round(100 * c) for c in row.confidences]
    confidences = list(map(reading.value_name, row.values)) or confidences
    name, answers = reading.short_ids[row.id], (row.expected, row.decisions, confidences)
    smallest = [_sizes(reading, row.smallest), row.smallest.changes] if row.smallest else None
    state = _state(row), why(row)
    return [name, reading.seed_name(row), *answers, *state, _sizes(reading, row), row.changes, smallest]


def _state(row: Row) -> int:
    """3 for valid, 2 for in doubt, 1 for left out, 0 for a seed on which models differ as it is."""
    return {"valid": 3, "in_doubt": 2, "invalid": 1}[row.verdict] if row.origin == "search" else 0


def _sizes(reading: Reading, row: Row | Smallest) -> list[str]:
    measured = [row.measure(name) for _, name in (TABLE_SIZES if reading.in_words else PICTURE_SIZES)]
    return ["–" if value is None else f"{value:.2f}" for value in measured]
