"""What a command writes to where nobody reads: it goes on, and ends as it would have."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any


@contextmanager
def lasting() -> Iterator[None]:
    """Standard output and error may be closed (`2>&-`), or end on the way (`| head -1`)."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened gets this number, and is written to
            os.open(os.devnull, os.O_RDWR)
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(Stream(sys.stdout or nowhere)) as out,
        redirect_stderr(Stream(sys.stderr or nowhere)) as error,
    ):
        try:
            yield
        finally:
            out.flush()
            error.flush()


class Stream:
    """A stream whose reader may leave: what is written then is lost, and nothing else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return self._lost(len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost()

    def _lost(self, written: int = 0) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return written
