"""All findings small, in sheets, with what is needed to filter them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from PIL import Image

from xplore.report.pictures import SMALL, embed, png, reduce, sheet, webp
from xplore.report.reading import Reading, Row
from xplore.report.steering import pair
from xplore.report.wording import reason
from xplore.report.words import short_names

COLUMNS = 10
PICTURE_SIZES = (("margin", "margin"), ("SSIM", "ssim"), ("L2", "l2"), ("L∞", "linf"))
TABLE_SIZES = (("margin", "margin"), ("L1", "l1"), ("L2", "l2"), ("nearest row at", "nearest"))
_PER_SHEET = 100
_SMALL = (0, 90, 80, 65, 50, 35)
_LOSSY = ((160, 72), (128, 70), (96, 65), (80, 60), (64, 60), (56, 50), (48, 45), (40, 40), (32, 35))


def gallery(reading: Reading, most: int, budget: int) -> dict[str, Any]:
    """Findings for the page's script, and their pictures in at most about `budget` bytes.

    Each sheet has a cell a finding, the seed left and the finding right. Valid findings come first
    where there are more than `most`.
    """
    chosen = sorted(reading.rows, key=lambda row: (not row.valid, row.origin != "search"))[:most]
    kept = {row.id for row in chosen}
    rows = {row.id: row for row in reading.rows if row.id in kept}
    if reading.in_words:
        return _told(reading, list(rows.values()), cell=(1, 1), table=True)
    stored = reading.archive.findings(origin=None) if kept else ()
    findings = (f for f in stored if f.id in kept)
    order: list[Row] = []
    sheets: list[str] = []
    cell, encoding, first = (0, 0), None, []
    while batch := list(islice(findings, _PER_SHEET)):
        pairs = [pair(reading, f) for f in batch]
        first = first or pairs[:1]
        encoding = encoding or _encoding(pairs, len(kept), budget)
        page, cell = _sheet(pairs, *encoding)
        sheets.append(page)
        order += [rows[f.id] for f in batch]
    return _told(
        reading,
        order,
        cell=cell,
        pixelated=bool(encoding and encoding[0] == _largest(first) <= SMALL),
        exact=bool(encoding and encoding[1] == 0),
        sheets=sheets,
    )


def _told(reading: Reading, order: list[Row], **shown: Any) -> dict[str, Any]:
    """Findings in the order in which they are `shown`, as the page's script reads them."""
    return {
        "columns": COLUMNS,
        "perSheet": _PER_SHEET,
        "table": False,
        "pixelated": False,
        "exact": True,
        "sheets": [],
        **shown,
        "sizes": [name for name, _ in (TABLE_SIZES if reading.in_words else PICTURE_SIZES)],
        "models": list(reading.models),
        "short": short_names(reading.models),
        "classes": _classes(reading, order),
        "labelled": reading.labelled,
        "findings": [_entry(reading, row) for row in order],
        "total": len(reading.rows),
    }


def _largest(pairs: list[tuple[Image.Image, Image.Image]]) -> int:
    return max(max(image.size) for pair in pairs for image in pair)


def _encoding(pairs: list[tuple[Image.Image, Image.Image]], total: int, budget: int) -> tuple[int, int]:
    """The side and the quality (0: exact) with which all sheets fit, told from the first."""
    allowed = budget * len(pairs) / total
    largest = _largest(pairs)
    tries = [(largest, quality) for quality in _SMALL] if largest <= SMALL else []
    tries += [(side, quality) for side, quality in _LOSSY if side < largest]
    for side, quality in tries:
        if len(_sheet(pairs, side, quality)[0]) * 3 / 4 <= allowed:
            return side, quality
    return tries[-1]


def _sheet(
    pairs: list[tuple[Image.Image, Image.Image]], side: int, quality: int
) -> tuple[str, tuple[int, int]]:
    halves = [(reduce(seed, side), reduce(finding, side)) for seed, finding in pairs]
    cells = [sheet(pair, columns=2) for pair in halves]
    page = sheet(cells, COLUMNS)
    cell = (cells[0].width // 2, cells[0].height)
    return (embed(webp(page, quality), "webp") if quality else embed(png(page), "png")), cell


def _classes(reading: Reading, rows: list[Row]) -> dict[str, str]:
    """Names of the classes that occur, and of no others: there may be a thousand."""
    used = {d for row in rows for d in (*row.decisions, row.expected) if d is not None}
    return {str(decision): reading.class_name(decision) for decision in sorted(used)}


def _entry(reading: Reading, row: Row) -> list[Any]:
    """One finding: id, seed, expected, decisions, confidences (%) or values in words, state, why it does not
    count, sizes, changes of a table's row.

    The state is 2 for valid, 1 for left out, 0 for a seed on which models differ as it is.
    """
    measured = [row.measure(name) for _, name in (TABLE_SIZES if reading.in_words else PICTURE_SIZES)]
    sizes = ["–" if value is None else f"{value:.2f}" for value in measured]
    confidences: list[Any] = [None if c is None else round(100 * c) for c in row.confidences]
    confidences = list(map(reading.value_name, row.values)) or confidences
    state = 2 if row.valid else int(row.origin == "search")
    why = ", ".join(map(reason, row.reasons))
    name, answers = reading.short_ids[row.id], (row.expected, row.decisions, confidences)
    return [name, reading.seed_name(row), *answers, state, why, sizes, row.changes]
