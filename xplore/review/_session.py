"""One reviewer's queue over an archive: what comes next, and what was said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain, zip_longest
from pathlib import Path
from threading import Lock
from typing import Any

from xplore.archive import Archive
from xplore.errors import InputError, shell
from xplore.report import wording
from xplore.report.precision import ANSWERS, precision
from xplore.report.reading import read
from xplore.review._cards import card

LONGEST_NAME = 80


def order(groups: Sequence[Sequence[str]], rng: int = 0) -> list[str]:
    """Ids of findings in the order in which they are reviewed: of each group one before a second of any.

    Inside a group the order is random, by a hash of `rng` and the id, so that findings which come later
    change nothing in the order of the others.

    >>> order([["a", "b", "c"], ["d"]])
    ['a', 'd', 'c', 'b']
    """
    mixed = [
        sorted(group, key=lambda name: hashlib.sha256(f"{rng}:{name}".encode()).digest()) for group in groups
    ]
    return [name for name in chain.from_iterable(zip_longest(*mixed)) if name is not None]


class Session:
    """A reviewer's queue of at most `sample` findings; another session of the same reviewer goes on with it.

    Raises:
        InputError: there is no archive or no valid finding, or the name or a number is out of range.
    """

    def __init__(self, folder: Path, reviewer: str, *, sample: int = 60, rng: int = 0) -> None:
        if (
            not 0 < len(reviewer) <= LONGEST_NAME
            or not reviewer.isprintable()
            or reviewer != reviewer.strip()
        ):
            wanted = f"a name of 1 to {LONGEST_NAME} characters"
            raise InputError(
                "reviewer", expected=wanted, got=repr(reviewer[: 2 * LONGEST_NAME]), fix="use --reviewer"
            )
        if sample < 1 or rng < 0:
            wanted, came = "--sample of 1 or more, --rng of 0 or more", f"{sample} and {rng}"
            raise InputError("review", expected=wanted, got=came)
        self.reviewer, self.rng, self._lock = reviewer, rng, Lock()
        with ExitStack() as undo:
            self.archive = Archive.open(folder, write=True)
            undo.callback(self.archive.close)
            with self.archive.snapshot():
                self.reading = read(self.archive)
            self._rows = {row.id: row for row in self.reading.valid}
            self._groups = [[row.id for row in group.rows] for group in self.reading.groups]
            self.queue = tuple(order(self._groups, rng)[:sample])
            if not self.queue:
                raise InputError(str(self.archive.path), expected="valid findings to review", got="none")
            undo.pop_all()

    def said(self) -> list[tuple[str, str | None]]:
        """The queue, each finding with the reviewer's answer, where there is one."""
        with self._lock:
            answers = self.archive.answers()
        return [(name, answers.get(name, {}).get(self.reviewer)) for name in self.queue]

    def answer(self, finding: str, answer: str | None) -> None:
        """Keep an answer; None takes it back.

        Raises:
            KeyError: the finding is not in the queue.
            InputError: there is no such answer, or the archive cannot be written.
        """
        if finding not in self.queue:
            raise KeyError(finding)
        if answer not in (*ANSWERS, None):
            raise InputError("answer", expected=f"one of {', '.join(ANSWERS)}", got=repr(answer))
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.archive.answer(finding, self.reviewer, answer, now)

    def card(self, finding: str) -> dict[str, Any]:
        """What is shown of a finding; a KeyError for one that is not in the queue."""
        if finding not in self.queue:
            raise KeyError(finding)
        with self._lock:
            stored = next(self.archive.take([finding]))
        return card(self.reading, self._rows[finding], stored)

    def precision(self) -> dict[str, Any] | None:
        """How many findings keep their label, by the answers of all reviewers so far."""
        with self._lock:
            return precision(self._groups, self.archive.answers())

    def command(self, sample: int) -> str:
        """What goes on with a larger sample."""
        words = ["xplore", "review", self.archive.path.parent, "--reviewer", self.reviewer]
        return shell(*words, "--sample", str(sample), *(["--rng", str(self.rng)] if self.rng else []))

    def told(self) -> str:
        """The same in words."""
        return wording.precision(self.precision())

    def close(self) -> None:
        """Close the archive, after what is being written."""
        with self._lock:
            self.archive.close()
