"""Files that may be anything: read within a limit, unzipped where they are gzip, never beyond a folder."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError, one_line

FRESH_COPY = "fetch the file again from where it came"


def cache_folder() -> Path:
    """The user's folder for what may be deleted at any time, and is made anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xplore"


@contextmanager
def opened(path: str | os.PathLike[str], what: str) -> Iterator[io.BufferedIOBase]:
    """The bytes of a file, unzipped where it is gzip: that is told by the first two, not by the suffix.

    Raises:
        InputError: no such file, none that can be read, or a damaged gzip; also where reading finds that out.
    """
    path = Path(path)
    try:
        if not path.is_file():
            came = "something else" if path.exists() else "no such file"
            raise InputError(str(path), expected=what, got=came, fix="check the path")
        with path.open("rb") as plain:
            gzipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if not gzipped:
                yield plain
                return
            with gzip.GzipFile(fileobj=plain) as unpacked:
                yield unpacked
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            str(path), expected="a whole gzip file", got=f"a damaged one ({error})", fix=FRESH_COPY
        ) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(str(path), expected=what, got=one_line(error)) from error


def contents(
    path: str | os.PathLike[str],
    what: str,
    largest: int,
    fix: str = "raise `largest` if the file is to be trusted",
) -> bytes:
    """All bytes of a file; raises `InputError` as `opened` does, where it is empty, and where it holds more
    than `largest` bytes, of which no more is ever read.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "words.gz")
    >>> _ = file.write_bytes(gzip.compress(b"some words"))
    >>> contents(file, "words", largest=100)
    b'some words'
    """
    with opened(path, what) as stream:
        content = stream.read(largest + 1)
    if not content:
        raise InputError(str(path), expected=what, got="an empty file", fix=FRESH_COPY)
    if len(content) > largest:
        raise InputError(str(path), expected=f"at most {largest} bytes", got="more", fix=fix)
    return content


def text(path: str | os.PathLike[str], what: str, largest: int) -> str:
    """The text of a file; raises `InputError` as `contents` does, and where it is no UTF-8."""
    try:
        return contents(path, what, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            str(path), expected=f"{what}, in UTF-8", got=f"other bytes ({error.reason})"
        ) from error


def let_go(array: Any) -> None:
    """Let go of what was read of an array that is mapped read-only: till then it counts as this process's."""
    if not isinstance(array, np.memmap) or array.mode != "r":
        return  # of a private copy changes would be lost
    held: Any = array
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, mmap.mmap) and hasattr(held, "madvise"):
        held.madvise(mmap.MADV_DONTNEED)


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of `name` in `folder`, links followed; raises `InputError` where that leads out of it.

    >>> inside("/data", "frames/1.jpg").as_posix()
    '/data/frames/1.jpg'
    """
    try:
        place = Path(folder).resolve()
        path = (place / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a name too long, a loop of links
        raise InputError(
            f"{name!r} in {folder}", expected="the name of a file", got=one_line(error), fix="mend the name"
        ) from error
    if path == place or not path.is_relative_to(place):
        raise InputError(
            f"{name!r} in {folder}",
            expected="a file inside this folder",
            got=f"{path}, outside of it" if path != place else "the folder itself",
            fix="copy the file into the folder",
        )
    return path


def found(folder: str | os.PathLike[str], *names: str) -> Path | None:
    """The first of some names that a folder holds, or none.

    Raises:
        InputError: no such folder, none that can be read, or a name or a link that leads out of it.
    """
    try:
        if not Path(folder).is_dir():
            came = "a file" if Path(folder).exists() else "no such folder"
            raise InputError(os.fspath(folder), expected="a folder", got=came, fix="check the path")
        name = next((name for name in names if inside(folder, name).exists()), None)
        return None if name is None else Path(folder, name)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise InputError(os.fspath(folder), expected="a readable folder", got=one_line(error)) from error
