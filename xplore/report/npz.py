"""Findings as arrays, for retraining."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.inputs.media import NPY, PNG, SETS, from_npy, from_png, from_set
from xplore.report._base import Export, storing
from xplore.report.reading import Reading, head


@dataclass(frozen=True)
class Npz(Export):
    """`findings.npz`: `images` uint8 [n h w c] or `rows` float32 [n d], with `labels` and `decisions` [n m].

    Labels are the expected ones, as the user calls them, -1 where none is known; where they are words, there
    are `numbers` beside. `ids`, `seeds` and `campaigns` tell whence. Sets are
    rows of zeros and ones, sparse, as `indices`, `indptr` and `shape` (`scipy.sparse.csr_array` takes them).
    Inputs are written one by one: only what is small is held.

    >>> Npz().target(Path("runs/mine")).as_posix()
    'runs/mine/findings.npz'
    """

    file_name: ClassVar[str] = "findings.npz"

    def _write(self, archive: Archive, out: Path) -> Path:
        path = self.target(out)
        with storing(path) as partial, zipfile.ZipFile(partial, "w") as file:
            for name, array in self._arrays(archive, file).items():
                with _member(file, name) as member:
                    np.lib.format.write_array(member, array)
        return path

    def _arrays(self, archive: Archive, file: zipfile.ZipFile) -> dict[str, np.ndarray]:
        """Writes the inputs, and returns what goes with them."""
        reading = head(archive)
        rows = [_row(finding, reading) for finding in self.findings(reading)]
        columns = zip(*rows, strict=True) if rows else ((),) * 6
        media, ids, seeds, campaigns, labels, decisions = map(list, columns)
        kind = (media or [reading.meta.get("media", PNG)])[0]
        found = (finding.after for finding in self.findings(reading))
        words = [reading.label_of(finding) for finding in self.findings(reading)]
        arrays = {
            **_labels(words, np.array(labels, np.int64), reading.of_values),
            "decisions": np.array(decisions, np.int64).reshape(len(rows), len(reading.models)),
            "ids": np.array(ids, str),
            "seeds": np.array(seeds, np.int64),
            "campaigns": np.array(campaigns, np.int64),
        }
        if kind == SETS:
            return arrays | _sets(found)
        if kind == NPY:
            arrays["columns"] = np.array([str(column.name) for column in reading.columns], str)
            _inputs(file, "rows", "<f4", len(rows), map(from_npy, found))
        else:
            _inputs(file, "images", "|u1", len(rows), map(from_png, found))
        return arrays


def _labels(words: list[Any], numbers: np.ndarray, of_values: bool) -> dict[str, np.ndarray]:
    """Labels as the user calls them; where that is no number, with the classes' numbers."""
    if of_values:
        return {"labels": np.array([np.nan if word is None else word for word in words], np.float64)}
    if any(isinstance(word, str) for word in words):
        return {"labels": np.array(["" if w is None else str(w) for w in words], str), "numbers": numbers}
    return {"labels": np.array([-1 if word is None else word for word in words], np.int64)}


def _row(finding: Finding, reading: Reading) -> tuple[Any, ...]:
    reading.row(finding)  # its models are those of the archive
    label = -1 if finding.expected is None else finding.expected
    whence = (finding.id, finding.seed, finding.campaign + 1)
    return finding.media, *whence, label, finding.decisions


def _inputs(file: zipfile.ZipFile, name: str, dtype: str, n: int, found: Iterator[np.ndarray]) -> None:
    """An array of `n` inputs, each written as it comes.

    Raises:
        InputError: they are not all of one shape, as in an archive that was merged.
    """
    first = next(found, np.zeros(0, dtype))
    with _member(file, name) as member:
        header = {"descr": dtype, "fortran_order": False, "shape": (n, *first.shape)}
        np.lib.format.write_array_header_1_0(member, header)
        for array in chain([first] if n else [], found):
            if array.shape != first.shape:
                one, other = f"inputs of one shape, {first.shape}", str(array.shape)
                raise InputError("an array", expected=one, got=other, fix="use format=png or parquet")
            member.write(np.ascontiguousarray(array, dtype).tobytes())


def _sets(found: Iterator[bytes]) -> dict[str, np.ndarray]:
    """Rows of zeros and ones by where the ones are."""
    indices, ends, size = [], [0], 0
    for ones, size in map(from_set, found):  # noqa: B007
        indices += ones
        ends.append(len(indices))
    shape = np.array([len(ends) - 1, size], np.int64)
    return {"indices": np.array(indices, np.int32), "indptr": np.array(ends, np.int32), "shape": shape}


def _member(file: zipfile.ZipFile, name: str) -> Any:
    """A file in the archive that may be large, of no particular time: the same findings, the same bytes."""
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = zipfile.ZIP_DEFLATED
    return file.open(info, "w", force_zip64=True)
