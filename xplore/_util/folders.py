"""Folders that campaigns are written into: by one process at a time, and files that are there once whole."""

from __future__ import annotations

import glob
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from xplore._util.errors import InputError, one_line

LOCK = ".xplore.lock"
REMOVED = 1
"""What stands in a lock, as its version, once its file is removed: others may have opened it before."""
LOGS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file while it is written."""


@contextmanager
def alone(folder: Path, *, wait: float = 0) -> Iterator[None]:
    """A folder, made where there is none, in which no other process writes meanwhile.

    It waits for another one at most so many seconds. The lock is SQLite's, on an empty file: it ends with its
    process, however that ends. Where an error comes before anything was written, no folder is left behind.

    Raises:
        InputError: another process writes there, or the folder cannot be written.
    """
    with _made(folder), closing(_locked(folder, wait)) as lock:
        try:
            yield
        finally:
            with suppress(OSError, sqlite3.Error):  # what cannot be removed is the lock of the next one
                lock.execute(f"PRAGMA user_version={REMOVED}")
                (folder / LOCK).unlink()
                lock.execute("COMMIT")


def _locked(folder: Path, wait: float) -> sqlite3.Connection:
    """The lock of a folder. Who gets one that was removed while it waited locks nobody out: it tries anew."""
    until = time.monotonic() + wait
    while True:
        try:
            left = max(0.0, until - time.monotonic())
            lock = sqlite3.connect(folder / LOCK, timeout=left, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise _unwritable(folder, error) from error
        with ExitStack() as undo:
            undo.callback(lock.close)
            try:
                lock.executescript("PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE;")  # no file beside it
                removed = lock.execute("PRAGMA user_version").fetchone()[0] == REMOVED
            except sqlite3.Error as error:
                if "locked" not in str(error):
                    raise _unwritable(folder, error) from error
                raise InputError(
                    f"output folder {folder}",
                    expected="one run at a time",
                    got="another one that writes there",
                    fix="let that one end, or choose a new folder with out=; nothing was changed",
                ) from error
            if not removed:
                undo.pop_all()
                return lock


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that is to be at `path` once all went well; otherwise nothing is left behind.

    What a process left here that was killed is removed, so that the folder must be this one's `alone`.

    Raises:
        InputError: there is no room for it, or no right to write.
    """
    partial = path.with_name(f".{path.name}.part")
    with _made(path.parent):
        try:
            for left in path.parent.glob(f".{glob.escape(path.name)}*.part*"):
                left.unlink()
            yield partial
            for log in LOGS:  # of what is replaced: SQLite would write it into what comes
                _drop(Path(f"{path}{log}"))
            partial.replace(path)
        except (OSError, sqlite3.Error) as error:
            raise _unwritable(path.parent, error, "room, and ") from error
        finally:
            for suffix in ("", *LOGS):
                _drop(Path(f"{partial}{suffix}"))


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder is there; where an error comes before anything is in it, those that were made go again."""
    with ExitStack() as undo:
        try:
            made = [place for place in (folder, *folder.parents) if not place.exists()]
            for place in reversed(made):
                undo.callback(_drop, place)
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # ValueError: a null byte
            raise _unwritable(folder, error) from error
        yield
        undo.pop_all()


def _drop(path: Path) -> None:
    """Remove a file, or a folder that is empty, where that can be done."""
    with suppress(OSError, ValueError):
        path.rmdir() if path.is_dir() else path.unlink()


def _unwritable(folder: Path, error: Exception, also: str = "") -> InputError:
    wanted = f"{also}a folder that can be written"
    return InputError(
        f"output folder {folder}", expected=wanted, got=one_line(error), fix="choose another with out="
    )
