"""Findings as a columnar file, for data frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xplore._util.errors import MissingExtraError
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.inputs.columns import framed, series
from xplore.inputs.media import SETS, from_npy, from_set
from xplore.report._base import Export, beside, storing
from xplore.report.lines import exported, kinds, label_name, ordered
from xplore.report.reading import Reading, head

GROUP = 256
"""Findings a row group: no more are held."""
WHOLE: dict[str, type] = dict.fromkeys(("label", "expected", "seed", "steps"), int)


@dataclass(frozen=True)
class Parquet(Export):
    """`findings.parquet`: one row a finding; `pandas.read_parquet` reads it in one line.

    Of a table: its own columns in their dtypes, and the label that is expected, in the user's words, so that
    it goes below the table as it is. All else is beside, in `findings.meta.parquet`, row by row. Of others
    every scalar is a column; an image is PNG, in `image`; of a set `features` lists the numbers.

    >>> Parquet().target(Path("runs/mine")).as_posix()
    'runs/mine/findings.parquet'

    Raises:
        MissingExtraError: pyarrow, or for a table pandas, is not installed.
    """

    file_name: ClassVar[str] = "findings.parquet"

    def _write(self, archive: Archive, out: Path) -> Path:
        arrow, _ = _arrow()
        path, reading = self.target(out), head(archive)
        found = WHOLE | kinds(exported(finding, reading) for finding in self.findings(reading))
        kind = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
        scalars = [(name, kind[found.get(name, str)]) for name in ordered(reading, found)]

        def cells(batch: list[Finding]) -> list[Any]:
            lines = [exported(finding, reading) for finding in batch]
            return [
                arrow.array([_as(cells.get(n), t == kind[str]) for cells in lines], t) for n, t in scalars
            ]

        if reading.columns:
            gap = self.every and any(reading.label_of(one) is None for one in self.findings(reading))
            rows = arrow.Schema.from_pandas(_frame(reading, [], gap), preserve_index=False)
            self._store(path, reading, rows, lambda batch: _arrays(arrow, _frame(reading, batch), rows))
            self._store(beside(path), reading, arrow.schema(scalars), cells)
        else:
            inputs = _inputs(arrow, reading)
            every = arrow.schema([*scalars, inputs])
            self._store(path, reading, every, lambda batch: [*cells(batch), _images(arrow, batch, inputs)])
        return path

    def _store(
        self, path: Path, reading: Reading, schema: Any, columns: Callable[[list[Finding]], list[Any]]
    ) -> None:
        """The chosen findings, some at a time."""
        arrow, writing = _arrow()
        with storing(path) as partial, writing.ParquetWriter(partial, schema) as writer:
            chosen = self.findings(reading)
            while batch := list(islice(chosen, GROUP)):
                writer.write_table(arrow.Table.from_arrays(columns(batch), schema=schema))


def _as(value: Any, text: bool) -> Any:
    return str(value) if text and value is not None else value


def _frame(reading: Reading, batch: list[Finding], gap: bool = False) -> Any:
    """Rows of a table, with their labels, as a frame.

    Of no findings, one that tells the dtypes, where a label may be missing or not.
    """
    empty = np.zeros((1, len(reading.columns)), np.float32)
    frame = framed(reading.columns, np.stack([from_npy(f.after) for f in batch]) if batch else empty)
    frame.columns = [str(name) for name in frame.columns]
    label, words = reading.label, [reading.label_of(finding) for finding in batch]
    dtype = label.get("dtype") or ("float64" if reading.of_values else "int64")
    words = words if batch else [None if gap else (label.get("classes") or [0])[0]]
    column = series(words, dtype, label.get("categories"), bool(label.get("ordered")))
    return frame.assign(**{label_name(reading): column})


def _arrays(arrow: Any, frame: Any, schema: Any) -> list[Any]:
    columns = (frame.iloc[:, at] for at in range(frame.shape[1]))
    return [
        arrow.Array.from_pandas(column, type=field.type)
        for column, field in zip(columns, schema, strict=True)
    ]


def _inputs(arrow: Any, reading: Reading) -> Any:
    """The column that holds inputs that are no rows."""
    if reading.meta.get("media") == SETS:
        return arrow.field("features", arrow.list_(arrow.int32()))
    return arrow.field("image", arrow.binary())


def _images(arrow: Any, batch: list[Finding], field: Any) -> Any:
    if field.name == "features":
        return arrow.array([list(from_set(finding.after)[0]) for finding in batch], field.type)
    return arrow.array([finding.after for finding in batch], field.type)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="parquet files") from error
    return pyarrow, pyarrow.parquet
