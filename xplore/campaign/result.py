"""What a campaign from Python returns."""

from __future__ import annotations

import shutil
import sqlite3
import weakref
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xplore._util.folders import alone, whole
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.archive.tables import unused
from xplore.inputs.columns import framed, pandas
from xplore.inputs.media import from_npy
from xplore.report import exporter, reporter
from xplore.report.reading import read
from xplore.report.summary import summary
from xplore.report.wording import changed, counted

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """A finished campaign: what was found, what was reached, and the archive that holds both.

    >>> import xplore
    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> models, chart = [phishing1(), phishing2()], phishing.realistic()
    >>> result = xplore.run(models, pages.images[:8], constraint=chart, **how)
    >>> sorted(result.coverage), sorted(path.name for path in result.save(result.folder / "kept").iterdir())
    (['phishing1', 'phishing2'], ['archive.sqlite', 'report.html', 'summary.json'])
    """

    def __init__(self, folder: Path, *, temporary: bool = False) -> None:
        self.folder, self.temporary = folder, temporary
        self.archive = Archive.open(folder)
        weakref.finalize(self, _release, self.archive, folder if temporary else None)
        self._only: set[str] | None = None

    def note(self, **meta: Any) -> None:
        """Add to what the archive tells of the campaign as a whole, and write its reports anew.

        Raises:
            InputError: the archive cannot be written, or another process writes there.
        """
        with alone(self.folder):
            self.archive.close()  # else its file would keep a log beside it
            try:
                with closing(Archive.open(self.folder, write=True)) as archive:
                    archive.note(**meta)
            finally:
                self.archive = Archive.open(self.folder)
                weakref.finalize(self, self.archive.close)
            if not self.temporary:
                write_reports(self.folder)

    @property
    def findings(self) -> list[Finding]:
        """Every input found on which models differ, as stored; valid or not."""
        every = self.archive.findings()
        return [finding for finding in every if self._only is None or finding.id in self._only]

    def only(self, ids: Iterable[str]) -> None:
        """Narrow `findings` to some: those that a replay reproduced."""
        self._only = set(ids)

    @property
    def valid(self) -> list[Finding]:
        """The findings that count."""
        return [finding for finding in self.findings if finding.valid]

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of `summary.json`."""
        return summary(self.archive)

    @property
    def coverage(self) -> dict[str, dict[str, float]]:
        """`{model: {criterion: share}}` over the inputs on which models differ."""
        return self.summary["coverage"]

    def frame(self, *, as_found: bool = False) -> pd.DataFrame:
        """One line a finding: what changed, what each model answers and how surely, the nearest real row.

        It tells of the smallest change that shows a finding, as reports and exports do, or with `as_found` of
        the change that the search found. `changes` tells it in words; `before:NAME` and `after:NAME` are the
        whole rows, in the dtypes of the table that was searched from (of images, they are left out).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pd = pandas()
        with self.archive.snapshot():
            reading, by_id = read(self.archive), {finding.id: finding for finding in self.findings}
        rows = [row for row in reading.rows if row.id in by_id]
        rows = [replace(row, smallest=None) for row in rows] if as_found else rows
        shown = [row.shown for row in rows]
        table = pd.DataFrame({"id": [row.id for row in rows], "seed": [row.seed for row in rows]})
        table["valid"] = [row.valid for row in rows]
        table["reasons"] = [", ".join(row.reasons) for row in rows]
        table["doubts"] = [", ".join(row.doubts) for row in rows]
        table["expected"] = [reading.class_name(row.expected) for row in rows]
        for i, model in enumerate(reading.models):
            table[f"answer:{model}"] = [reading.class_name(row.decisions[i]) for row in rows]
            score = "value" if any(one.values for one in shown) else "confidence"
            table[f"{score}:{model}"] = [(one.values or one.confidences)[i] for one in shown]
        for name in sorted(
            {name for one in shown for name in one.measures} - {"agreed", "doubts", "seed_values"}
        ):
            table[name] = [one.measures.get(name) for one in shown]
        if not reading.columns:
            return table
        table.insert(3, "changes", [changed(one) for one in shown])
        sides = {
            "before": lambda finding: finding.before,
            "after": lambda finding: finding.after if as_found else (finding.shrunk or finding).after,
        }
        parts = [table]
        for side, of in sides.items():
            empty = np.zeros((0, len(reading.columns)), np.float32)
            codes = np.stack([from_npy(of(by_id[row.id])) for row in rows]) if rows else empty
            parts.append(framed(reading.columns, codes).add_prefix(f"{side}:"))
        return pd.concat(parts, axis=1)

    def export(self, format: str, folder: str | Path | None = None, *, as_found: bool = False) -> Path:
        """Write the valid findings for retraining, with their labels; returns the file or folder.

        As `xplore export` does: `format` is png, npz, parquet, csv or jsonl, the folder by default `export`
        in the campaign's.

        Raises:
            InputError: there is no such format, or the folder cannot be written.
        """
        chosen = exporter(format, shrunk=not as_found)
        return chosen.write(self.archive, Path(folder) if folder is not None else self.folder / "export")

    def save(self, folder: str | Path) -> Path:
        """Copy the archive into a folder without one, with `summary.json` and `report.html`.

        Raises:
            InputError: the folder already holds a campaign.
        """
        folder = Path(folder)
        with alone(folder):
            path = unused(folder, fix="choose a new folder")
            with (
                whole(path) as partial,
                closing(sqlite3.connect(self.archive.path)) as source,
                closing(sqlite3.connect(partial)) as copy,
            ):
                source.backup(copy)
            write_reports(folder)
        return folder

    def _repr_html_(self) -> str:
        from xplore.report.html import fragment

        return fragment(self.archive)

    def __repr__(self) -> str:
        return f"<xplore.Result: {counted(self.summary)}; {self.folder}>"


def _release(archive: Archive, folder: Path | None) -> None:
    """A temporary folder lives as long as its result."""
    archive.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def write_reports(folder: Path) -> None:
    """`summary.json` and `report.html` beside the archive."""
    with closing(Archive.open(folder)) as archive, archive.snapshot():
        for kind in ("json", "html"):
            reporter(kind).write(archive, folder)
