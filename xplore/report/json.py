"""The figures of a campaign as JSON, for a program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from xplore.archive import Archive
from xplore.report._base import Reporter, store
from xplore.report.summary import summary


@dataclass(frozen=True)
class Json(Reporter):
    """`summary.json`: one object, keys as in `summary`, None where a figure is not known.

    >>> Json().target(Path("runs/mine")).as_posix()
    'runs/mine/summary.json'
    """

    file_name: ClassVar[str] = "summary.json"

    def _write(self, archive: Archive, out: Path) -> Path:
        text = json.dumps(summary(archive), indent=2, allow_nan=False, ensure_ascii=False)
        return store(self.target(out), text + "\n")
