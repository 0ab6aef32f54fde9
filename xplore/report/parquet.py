"""Findings as a columnar file, for data frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xplore.archive import Archive
from xplore.columns import framed
from xplore.errors import MissingExtraError
from xplore.finding import Finding
from xplore.media import SETS, from_npy, from_set
from xplore.report._base import Export, storing
from xplore.report.lines import exported, features, kinds, ordered
from xplore.report.reading import Reading, head

GROUP = 256
"""Findings a row group: no more are held."""
WHOLE: dict[str, type] = dict.fromkeys(("label", "expected", "seed", "steps"), int)


@dataclass(frozen=True)
class Parquet(Export):
    """`findings.parquet`: one row a finding, every scalar a column; `label` is the expected label.

    A table's columns stand beside them in their own dtypes; an image is PNG, in `image`; of a set `features`
    lists the numbers. `pandas.read_parquet` reads it in one line.

    >>> Parquet().target(Path("runs/mine")).as_posix()
    'runs/mine/findings.parquet'

    Raises:
        MissingExtraError: pyarrow, or for a table pandas, is not installed.
    """

    file_name: ClassVar[str] = "findings.parquet"

    def _write(self, archive: Archive, out: Path) -> Path:
        arrow, writing = _arrow()
        path, reading = self.target(out), head(archive)
        found = WHOLE | kinds(exported(finding, reading) for finding in self.findings(reading))
        kind = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
        scalars = [(name, kind[found.get(name, str)]) for name in ordered(reading, found)]
        inputs = _inputs(arrow, reading)
        schema = arrow.schema([*scalars, *inputs], inputs.metadata)
        with storing(path) as partial, writing.ParquetWriter(partial, schema) as writer:
            chosen = self.findings(reading)
            while batch := list(islice(chosen, GROUP)):
                lines = [exported(finding, reading) for finding in batch]
                columns = [
                    arrow.array([_as(told.get(n), t == kind[str]) for told in lines], t) for n, t in scalars
                ]
                columns += _columns(arrow, batch, reading, inputs)
                writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
        return path


def _as(value: Any, text: bool) -> Any:
    return str(value) if text and value is not None else value


def _inputs(arrow: Any, reading: Reading) -> Any:
    """The columns that hold inputs, as a schema; of a table, with what pandas needs to know."""
    if reading.columns:
        frame = framed(reading.columns, np.zeros((1, len(reading.columns)), np.float32))
        frame.columns = [name for name, _ in features(reading)]
        return arrow.Schema.from_pandas(frame, preserve_index=False)
    if reading.meta.get("media") == SETS:
        return arrow.schema([("features", arrow.list_(arrow.int32()))])
    return arrow.schema([("image", arrow.binary())])


def _columns(arrow: Any, batch: list[Finding], reading: Reading, inputs: Any) -> list[Any]:
    """The inputs of some findings."""
    if reading.columns:
        frame = framed(reading.columns, np.stack([from_npy(finding.after) for finding in batch]))
        series = (frame.iloc[:, at] for at in range(frame.shape[1]))
        return [
            arrow.Array.from_pandas(column, type=field.type)
            for column, field in zip(series, inputs, strict=True)
        ]
    if reading.meta.get("media") == SETS:
        return [arrow.array([list(from_set(finding.after)[0]) for finding in batch], inputs.field(0).type)]
    return [arrow.array([finding.after for finding in batch], inputs.field(0).type)]


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="parquet files") from error
    return pyarrow, pyarrow.parquet
