"""One reviewer's queue over an archive: what comes next, and what was said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from xplore._util.errors import InputError, shell
from xplore.archive import Archive
from xplore.report import wording
from xplore.report.precision import ANSWERS, MARGIN, needed, precision, turns
from xplore.report.reading import Reading, read
from xplore.report.review._cards import blind, card

LONGEST_NAME = 80


class RevealedError(Exception):
    """An answer to a finding whose label the reviewer has seen since: the first answer stays."""


def order(groups: Sequence[Sequence[str]], rng: int = 0) -> list[str]:
    """Ids of findings in the order in which they are reviewed: of each group one before a second of any.

    Then of each as many as its size asks for (`xplore.report.precision.turns`). Inside a group the order is
    random, by a hash of `rng` and the id, so that findings which come later change nothing in the order of
    the others.

    >>> order([["a", "b", "c"], ["d"]])
    ['a', 'd', 'c', 'b']
    """
    mixed = [
        iter(sorted(group, key=lambda name: hashlib.sha256(f"{rng}:{name}".encode()).digest()))
        for group in groups
    ]
    return [next(mixed[group]) for group in turns([len(group) for group in groups])]


@dataclass(frozen=True)
class Population:
    """Findings whose share is asked for: those `of` a verdict, by the groups that are sampled from."""

    of: str
    groups: list[list[str]]

    @property
    def size(self) -> int:
        return sum(map(len, self.groups))

    @property
    def needed(self) -> int:
        """How many are to be looked at for an interval of 10 points either side."""
        return needed([len(group) for group in self.groups])


def populations(reading: Reading) -> list[Population]:
    """Whose shares a review tells, those first that are asked first: in doubt, then valid."""
    doubted = [row.id for row in reading.in_doubt]
    every = [Population("in doubt", [doubted] if doubted else []), Population("valid", reading.strata)]
    return [one for one in every if one.size]


def queue(populations: Sequence[Population], rng: int = 0, sample: int | None = None) -> list[str]:
    """The findings of a review in their order: of each population as many as are needed, then the others.

    Without a `sample` only those that are needed, else so many.
    """
    orders = [(order(one.groups, rng), one.needed) for one in populations]
    first = [name for names, enough in orders for name in names[:enough]]
    rest = [name for names, enough in orders for name in names[enough:]]
    return first if sample is None else [*first, *rest][:sample]


def classes(reading: Reading) -> tuple[str, ...]:
    """What a person may take a picture for: the names of the classes, each once; none, where it is not asked.

    It is asked of pictures, where the models return classes whose names the archive records and what is
    expected of each finding is one of them. Of rows, values and angles nobody can read a class off.
    """
    named = reading.meta.get("classes") or ()
    if reading.in_words or reading.of_values or len(named) < 2:
        return ()
    known = all(row.expected in range(len(named)) for row in reading.rows if row.origin == "search")
    return tuple(dict.fromkeys(map(reading.class_name, range(len(named))))) if known else ()


class Session:
    """A reviewer's queue of at most `sample` findings; another session of the same reviewer goes on with it.

    Without a `sample` it has as many as an interval of at most 10 points either side needs. Where there are
    `classes`, the reviewer is asked for one, and an answer is its place among them; a finding's seed, its
    label and the models' answers are shown once it is answered, and then the answer stays.

    Raises:
        InputError: there is no archive or no valid finding, or the name or a number is out of range.
    """

    def __init__(self, folder: Path, reviewer: str, *, sample: int | None = None, rng: int = 0) -> None:
        if (
            not 0 < len(reviewer) <= LONGEST_NAME
            or not reviewer.isprintable()
            or reviewer != reviewer.strip()
        ):
            wanted = f"a name of 1 to {LONGEST_NAME} characters"
            raise InputError(
                "reviewer", expected=wanted, got=repr(reviewer[: 2 * LONGEST_NAME]), fix="use reviewer="
            )
        if (sample is not None and sample < 1) or rng < 0:
            wanted = "a sample of 1 or more, a random state of 0 or more"
            raise InputError("review", expected=wanted, got=f"{sample} and {rng}", fix="use sample=60, rng=0")
        self.reviewer, self.rng, self._lock = reviewer, rng, Lock()
        with ExitStack() as undo:
            self.archive = Archive.open(folder, write=True)
            undo.callback(self.archive.close)
            with self.archive.snapshot():
                self.reading = read(self.archive)
            self.populations, self.classes = populations(self.reading), classes(self.reading)
            self._rows = {row.id: row for row in self.reading.rows}
            self._revealed: set[str] = set()
            self.queue = tuple(queue(self.populations, rng, sample))
            if not self.queue:
                raise InputError(str(self.archive.path), expected="valid findings to review", got="none")
            undo.pop_all()

    def answers(self) -> list[tuple[str, str | None]]:
        """The queue, each finding with the reviewer's answer, where there is one."""
        with self._lock:
            answers = self.archive.answers()
        return [(name, answers.get(name, {}).get(self.reviewer)) for name in self.queue]

    def answer(self, finding: str, answer: str | int | None) -> None:
        """Keep an answer, a class's place where there are `classes`; None takes it back.

        Raises:
            KeyError: the finding is not in the queue.
            RevealedError: its label was shown since it was answered.
            InputError: there is no such answer, or the archive cannot be written.
        """
        if finding not in self.queue:
            raise KeyError(finding)
        if not self.takes(answer):
            wanted = f"a class of 0 to {len(self.classes) - 1}, or unsure"
            wanted = wanted if self.classes else f"one of {', '.join(ANSWERS)}"
            raise InputError("answer", expected=wanted, got=repr(answer))
        with self._lock:
            if finding in self._revealed:
                raise RevealedError(finding)
            judged, read_as = self._judged(finding, answer)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.archive.answer(finding, self.reviewer, judged, now, read_as)

    def takes(self, answer: Any) -> bool:
        """Is this an answer?"""
        if answer is None or not self.classes:
            return answer is None or (isinstance(answer, str) and answer in ANSWERS)
        number = isinstance(answer, int) and not isinstance(answer, bool)
        return answer in range(len(self.classes)) if number else answer == "unsure"

    def _judged(self, finding: str, answer: str | int | None) -> tuple[str | None, int | None]:
        """What an answer says of the label, and the class that was answered: classes of one name are one."""
        if not isinstance(answer, int):
            return answer, None
        expected, name = self._rows[finding].expected, self.classes[answer]
        if name == self.reading.class_name(expected):
            return "valid", expected
        named = range(len(self.reading.meta["classes"]))
        return "invalid", next(i for i in named if self.reading.class_name(i) == name)

    def card(self, finding: str) -> dict[str, Any]:
        """What is shown of a finding; a KeyError for one that is not in the queue.

        Where a class is asked for, what would tell it is shown once it is answered.
        """
        if finding not in self.queue:
            raise KeyError(finding)
        with self._lock:
            stored, row = next(self.archive.take([finding])), self._rows[finding]
            if not self.classes:
                return card(self.reading, row, stored)
            answer = self.archive.answers().get(finding, {}).get(self.reviewer)
            if answer not in ANSWERS:
                return blind(stored)
            self._revealed.add(finding)
            read_as = self.archive.read_as().get(finding, {}).get(self.reviewer)
            return card(self.reading, row, stored, answer, read_as)

    def precisions(self) -> list[tuple[Population, dict[str, Any] | None]]:
        """Of each population how many keep their label, by the answers of all reviewers so far."""
        with self._lock:
            answers = self.archive.answers()
        return [(one, precision(one.groups, answers)) for one in self.populations]

    def goal(self) -> str:
        """How many findings are to be looked at, in words."""
        parts = [wording.enough(one.of, one.needed, one.size) for one in self.populations]
        margin = f"at most {100 * MARGIN:.0f} points either side"
        return f"For a 95 % interval of {margin} look at {' and '.join(parts)}."

    def missing(self, one: Population) -> int:
        """How many findings of a population are still to be looked at."""
        with self._lock:
            answers = self.archive.answers()
        return max(one.needed - sum(name in answers for group in one.groups for name in group), 0)

    def command(self, sample: int) -> str:
        """What goes on with a larger sample."""
        words = ["xplore", "review", self.archive.path.parent, "--reviewer", self.reviewer]
        return shell(*words, "--sample", str(sample), *(["--rng", str(self.rng)] if self.rng else []))

    def summary(self) -> list[str]:
        """How many findings keep their label, and how narrow the interval is; a line a population."""
        judged = [(one, precision) for one, precision in self.precisions() if precision]
        return [
            f"{wording.precision(precision, one.of)} {wording.reached(precision, self.missing(one))}"
            for one, precision in judged
        ]

    def close(self) -> None:
        """Close the archive, after what is being written."""
        with self._lock:
            self.archive.close()
