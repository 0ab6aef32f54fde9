"""What a reporter is: one account of an archive, written to disk."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from xplore.archive import Archive
from xplore.errors import InputError


class Reporter(ABC):
    """One way to show an archive to a reader, a person or a program.

    A reporter reads the archive and nothing else, so that a report can be drawn again at any time, on
    any machine, and says the same.
    """

    file_name: ClassVar[str]

    @abstractmethod
    def write(self, archive: Archive, out: Path) -> Path:
        """Write the account and return where it lies.

        `out` is a folder, or a path that ends as `file_name` does.

        Raises:
            InputError: `out` cannot be written.
        """

    def target(self, out: Path) -> Path:
        """Where the account goes: `out` itself if it names a file of this kind, else a file in it."""
        out, suffix = Path(out), Path(self.file_name).suffix
        return out if suffix and out.suffix == suffix else out / self.file_name


def store(path: Path, data: bytes | str) -> Path:
    """Write a whole file or none: a reader never meets half a report.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True) if partial.parent.is_dir() else None
        raise InputError(
            str(path), expected="a place that can be written", got=str(error), fix="choose --out"
        ) from error
    return path
