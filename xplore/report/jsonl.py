"""One JSON object a finding, for a program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xplore.archive import Archive
from xplore.report._base import Export, storing
from xplore.report.lines import exported, features
from xplore.report.reading import head


@dataclass(frozen=True)
class Jsonl(Export):
    """`findings.jsonl`: every scalar of each finding, a table's row by its columns.

    `label` is the expected label. `pandas.read_json("findings.jsonl", lines=True)` reads it.

    >>> Jsonl().target(Path("runs/mine")).as_posix()
    'runs/mine/findings.jsonl'
    """

    file_name: ClassVar[str] = "findings.jsonl"

    def _write(self, archive: Archive, out: Path) -> Path:
        path, reading = self.target(out), head(archive)
        named = features(reading)
        with storing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            for finding in self.findings(reading):
                cells = exported(finding, reading, named)
                file.write(json.dumps(cells, allow_nan=False, ensure_ascii=False) + "\n")
        return path
