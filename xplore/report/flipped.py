"""Seeds that flip as they are, before any change: what a gate found on the data, in pictures or words."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from xplore.archive.records import Finding
from xplore.inputs.media import NPY, from_npy, from_set
from xplore.report.pictures import SMALL, data_uri, enlarge, reduce
from xplore.report.reading import Reading
from xplore.report.rows import Row
from xplore.report.steering import drawn

SIDE, PICTURE = 112, 6_000
MOST_FEATURES = 6


@dataclass(frozen=True)
class Flipped:
    """Seeds that both models answer alike among each other: the old one `before`, the new one `after`."""

    before: str
    after: str
    broken: bool
    rows: tuple[Row, ...] = field(repr=False)


def flipped(reading: Reading) -> list[Flipped]:
    """The seeds that flip as they are, by the old model's answer and the new one's: those of classes that
    broke first, then the most; of models that return numbers all together, those farthest apart first.
    """
    record = reading.gate
    if record is None or len(reading.models) != 2:
        return []
    named, known = set(record.flipped), defaultdict(list)
    for row in reading.rows:
        if row.origin == "seed" and row.seed in named:
            known[("", "") if row.values else tuple(map(reading.class_name, row.decisions))].append(row)
    broken = {line.name for line in record.broken}
    groups = [
        Flipped(
            before, after, before in broken, tuple(sorted(rows, key=lambda row: (-_apart(row), row.seed)))
        )
        for (before, after), rows in known.items()
    ]
    return sorted(groups, key=lambda group: (not group.broken, -len(group.rows), group.before, group.after))


def _apart(row: Row) -> float:
    one, other = row.values or (None, None)
    return abs(one - other) if one is not None and other is not None else 0.0


def shown(reading: Reading, rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Each of these seeds with its picture, or what it holds in words."""
    stored = {finding.id: finding for finding in reading.archive.take([row.id for row in rows])}
    return [
        {
            "seed": reading.seed_name(row),
            "values": " → ".join(map(reading.value_name, row.values)),
            "picture": "" if reading.in_words else data_uri(picture(reading, stored[row.id]), PICTURE),
            "small": not reading.in_words and max(drawn(reading, stored[row.id])[0].size) <= SMALL,
            "words": words(reading, stored[row.id]) if reading.in_words else "",
        }
        for row in rows
        if row.id in stored
    ]


def picture(reading: Reading, finding: Finding) -> Image.Image:
    """A seed, as the models read it: with an arrow for each that steers."""
    return enlarge(reduce(drawn(reading, finding)[1], SIDE), SIDE)


def words(reading: Reading, finding: Finding) -> str:
    """What a row or a set holds, its first features."""
    if finding.media == NPY:
        texts = [
            f"{column.name}: {column.text(code)}"
            for column, code in zip(reading.columns, from_npy(finding.after).tolist(), strict=False)
        ]
    else:
        texts = list(from_set(finding.after)[0].values())
    more = f"; and {len(texts) - MOST_FEATURES} more" if len(texts) > MOST_FEATURES else ""
    return "; ".join(texts[:MOST_FEATURES]) + more
