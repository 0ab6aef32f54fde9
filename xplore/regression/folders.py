"""The folder of one test: its campaigns run there, and stay there for the next run where it fails."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from xplore._util.errors import InputError, one_line
from xplore._util.folders import alone
from xplore.archive.tables import FILE

ROOM = 2**20
"""Bytes that a small campaign takes, as its archive and its report."""


class Entry:
    """A test's folder, which no other session uses meanwhile, with a folder for each of its campaigns.

    Where it cannot be had, since another session runs the same test, or nothing can be written there, it is a
    new temporary folder; `why` then says so.
    """

    def __init__(self, folder: Path) -> None:
        self._lock, self._new, self.why = ExitStack(), list[Path](), ""
        try:
            self._lock.enter_context(alone(folder))
            _check_room(folder)
        except InputError as error:
            self._lock.close()
            _drop(folder)
            folder, self.why = Path(tempfile.mkdtemp(prefix="xplore-")), str(error)
        self.folder = folder

    def saved(self, number: int) -> list[Path]:
        """What earlier runs kept of the campaign with this number, the newest first."""
        return [path for path in reversed(self._of(number)) if path not in self._new]

    def new(self, number: int) -> Path:
        """A folder, not yet made, for the campaign with this number; what is kept of it stays."""
        there = self._of(number)
        path = self.folder / (f"{number}-{_parts(there[-1])[1] + 1}" if there else str(number))
        self._new.append(path)
        return path

    def only(self, number: int, folder: Path) -> None:
        """Forget what else is kept of the campaign with this number."""
        for path in self._of(number):
            if path != folder:
                forget(path)

    def end(self, *, passed: bool, failed: bool) -> None:
        """The test ended: all is forgotten where it passed; where it did not fail, what is of this run."""
        everything = [path for path in self.folder.glob("*") if _parts(path)] if passed else self._new
        for path in () if failed else everything:
            forget(path)
        self._lock.close()
        _drop(self.folder)

    def _of(self, number: int) -> list[Path]:
        parts = [(_parts(path), path) for path in self.folder.glob("*") if (path / FILE).exists()]
        return [path for of, path in sorted(parts) if of and of[0] == number]


def forget(folder: Path) -> None:
    """Remove a campaign's folder, as far as that can be done."""
    shutil.rmtree(folder, ignore_errors=True)


def _parts(path: Path) -> tuple[int, ...]:
    """The campaign's number, and which of its folders this is: (0, 1) of `0`, (0, 2) of `0-2`."""
    name = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", path.name)
    return (int(name[1]), int(name[2] or 1)) if name else ()


def _check_room(folder: Path) -> None:
    probe = folder / ".room"
    try:
        probe.write_bytes(bytes(ROOM))
    except OSError as error:
        raise InputError(f"output folder {folder}", expected="room", got=one_line(error)) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def _drop(folder: Path) -> None:
    """Remove a folder that is empty."""
    with suppress(OSError):
        folder.rmdir()
