"""What a reporter is: one account of an archive, written to disk."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.report.reading import Reading

FILES = (".html", ".md", ".png", ".json", ".jsonl", ".csv", ".xml", ".junit", ".npz", ".parquet")
"""How names end that are meant as files."""


class Reporter(ABC):
    """One way to show an archive to a reader, a person or a program.

    A reporter reads the archive and nothing else, so that a report can be drawn again at any time, on
    any machine, and says the same.
    """

    file_name: ClassVar[str]

    def write(self, archive: Archive, out: Path) -> Path:
        """Write the account and return where it lies: of one instant, though a campaign may go on writing.

        `out` is a folder, or a path that ends as `file_name` does.

        Raises:
            InputError: `out` cannot be written.
        """
        with archive.snapshot():
            return self._write(archive, out)

    @abstractmethod
    def _write(self, archive: Archive, out: Path) -> Path:
        """Write the account of an archive that does not change meanwhile."""

    def target(self, out: Path) -> Path:
        """Where the account goes: `out` itself if it names a file of this kind, else a file in it.

        Raises:
            InputError: it names a file of another kind.
        """
        out, suffix = Path(out), Path(self.file_name).suffix
        if suffix and out.suffix == suffix:
            return out
        if out.suffix in FILES and not out.is_dir():
            wanted = f"a folder, or a path that ends in {suffix}" if suffix else "a folder"
            raise InputError("out", expected=wanted, got=str(out), fix="choose out=")
        return out / self.file_name


@dataclass(frozen=True)
class Export(Reporter):
    """Findings for a program: the valid ones of the search, or `every` one and seeds that differ as they are.

    Each is the smallest change that shows it, where it was `shrunk`, or, without that, as it was found.
    """

    every: bool = False
    shrunk: bool = True

    def findings(self, reading: Reading) -> Iterator[Finding]:
        """Those that were chosen, one after the other; none of an archive that does not say its layout."""
        if not reading.complete:
            return
        for finding in reading.archive.findings(origin=None if self.every else "search"):
            smallest = _smallest(finding) if self.shrunk else replace(finding, shrunk=None)
            if self.every or smallest.valid:
                yield smallest


def beside(path: Path) -> Path:
    """Where what is said of exported rows goes, beside the rows themselves.

    >>> beside(Path("export/findings.parquet")).name
    'findings.meta.parquet'
    """
    return path.with_name(f"{path.stem}.meta{path.suffix}")


def _smallest(finding: Finding) -> Finding:
    small = finding.shrunk
    if small is None:
        return finding
    measures = finding.measures | small.measures
    return replace(finding, after=small.after, probabilities=small.probabilities, measures=measures)


@contextmanager
def storing(path: Path) -> Iterator[Path]:
    """Where to write a file that is there whole or not at all: a reader never meets half a report.

    Raises:
        InputError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise InputError(
            str(path), expected="a place that can be written", got=str(error), fix="choose out="
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def store(path: Path, data: bytes | str) -> Path:
    """Write a whole file or none.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    with storing(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
    return path
