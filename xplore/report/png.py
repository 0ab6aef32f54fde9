"""Every valid finding as a picture: seed, finding and change side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.inputs.media import SETS
from xplore.report._base import Reporter, store
from xplore.report.pictures import decode, enlarge, png, reduce, sheet, triptych
from xplore.report.reading import read
from xplore.report.rows import Row
from xplore.report.steering import drawn

OVERVIEW_SIDE = 56
OVERVIEW_MOST = 1200
OVERVIEW_ROW = 12


@dataclass(frozen=True)
class Png(Reporter):
    """`findings/`: one picture a valid finding, named by seed and id, and `overview.png` of them all.

    Each shows the smallest change, where there is one. The overview pairs each seed with its finding, in the
    order of the seeds.

    >>> Png().target(Path("runs/mine")).as_posix()
    'runs/mine/findings'
    """

    file_name: ClassVar[str] = "findings"
    side: int = 224

    def _write(self, archive: Archive, out: Path) -> Path:
        if archive.meta.get("table") or archive.meta.get("media") == SETS:
            raise InputError(
                "report format png",
                expected="a campaign on images",
                got="rows of a table, of which there are no pictures",
                fix="use format=html, md or csv",
            )
        folder, pairs, reading = self.target(out), [], read(archive)
        for finding in archive.findings() if archive.meta.get("layout") else ():
            if not finding.valid:
                continue
            seed, found = decode(finding.before), decode((finding.shrunk or finding).after)
            first, *_, last = drawn(reading, finding)
            shown = [first, last]
            store(folder / file_name(finding), png(triptych(seed, found, self.side, drawn=shown)))
            if len(pairs) < OVERVIEW_MOST:
                pairs.append(sheet([_thumbnail(one) for one in shown], columns=2, gap=1))
        overview = sheet(pairs, OVERVIEW_ROW, gap=8) if pairs else Image.new("L", (1, 1), "white")
        store(folder / "overview.png", png(overview))
        return folder


def file_name(finding: Finding | Row) -> str:
    """A file name no two findings share, in the order of the seeds; an id never makes a path."""
    return f"{finding.seed:07d}-{re.sub(r'[^0-9A-Za-z_-]', '_', finding.id)}.png"


def _thumbnail(image: Image.Image) -> Image.Image:
    return enlarge(reduce(image, OVERVIEW_SIDE), OVERVIEW_SIDE)
