"""Findings as a folder of plain pictures with their labels: new seeds, or data to train on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.inputs.media import MOST_IN_COLOUR, PNG, from_png, to_png
from xplore.report._base import Export, store, storing
from xplore.report.csv import safe
from xplore.report.png import file_name
from xplore.report.reading import Reading, head

HEAD = ("file", "label", "number", "id", "campaign", "seed", "valid", "channels")


@dataclass(frozen=True)
class Images(Export):
    """`images/`: one PNG a finding, as stored, and `labels.csv` with the columns file and label.

    `xplore.data.photos.load("images", classes=[...])` reads it back. A class is told by its name, or by its
    number where no name, or another's, would tell it.

    >>> Images().target(Path("runs/mine")).as_posix()
    'runs/mine/images'
    """

    file_name: ClassVar[str] = "images"

    def _write(self, archive: Archive, out: Path) -> Path:
        folder, reading = self.target(out), head(archive)
        if reading.meta.get("media", PNG) != PNG or reading.columns:
            raise InputError(
                "export format png",
                expected="a campaign on images",
                got="rows or sets, of which there are no pictures",
                fix="use format=parquet, npz, csv or jsonl",
            )
        first = next((from_png(finding.after) for finding in self.findings(reading)), None)
        if first is not None and first.shape[2] > MOST_IN_COLOUR:
            raise InputError(
                "export format png",
                expected=f"images of up to {MOST_IN_COLOUR} channels, of which pictures tell all",
                got=f"{first.shape[2]} channels",
                fix="use format=npz",
            )
        labels = _words(reading)
        with (
            storing(folder / "labels.csv") as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file)
            table.writerow(HEAD)
            for finding in self.findings(reading):
                name, label = file_name(finding), finding.expected
                picture = from_png(finding.after)
                store(folder / name, to_png(picture))
                word = "" if label is None else labels.get(label, str(label))
                whence = (finding.id, finding.campaign + 1, finding.seed, int(finding.valid))
                table.writerow([name, word, label, *whence, picture.shape[2]])
        return folder


def _words(reading: Reading) -> dict[int, str]:
    """The classes that a name alone tells, which no spreadsheet runs as a formula."""
    names = list(map(str, reading.meta.get("classes") or ()))
    plain = [" ".join(name.replace("_", " ").lower().split()) for name in names]
    return {
        number: name
        for number, (name, one) in enumerate(zip(names, plain, strict=True))
        if one and plain.count(one) == 1 and safe(name) == name
    }
