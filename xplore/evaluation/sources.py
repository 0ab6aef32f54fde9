"""The inputs that a campaign starts from, read a round at a time: arrays, files on disk, generators."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xplore._util.errors import InputError, one_line
from xplore._util.files import let_go
from xplore.constraints import Constraint
from xplore.inputs.columns import is_frame

Check = Callable[[Any], Shaped[np.ndarray, " n"]]
"""Labels as users give them to labels as they are compared; an `InputError` for others."""


@dataclass(frozen=True)
class Block:
    """Some seeds in a row: their codes, as they are stored, and their labels where there are any."""

    codes: Shaped[np.ndarray, "n *x"]
    truth: Shaped[np.ndarray, " n"] | None

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice) -> Block:
        return Block(self.codes[rows], None if self.truth is None else self.truth[rows])

    def digest(self, count: int) -> str:
        """What tells the first `count` from others."""
        sha = hashlib.sha256(np.ascontiguousarray(self.codes[:count]).tobytes())
        if self.truth is not None:
            sha.update(np.ascontiguousarray(self.truth[:count]).tobytes())
        return sha.hexdigest()


class Seeds(abc.ABC):
    """Seeds in an order that never changes, so that a number names one."""

    @property
    @abc.abstractmethod
    def total(self) -> int | None:
        """How many there are; None where only the end will tell."""

    @property
    @abc.abstractmethod
    def labelled(self) -> bool:
        """Have they labels?"""

    @property
    @abc.abstractmethod
    def first(self) -> Shaped[np.ndarray, "1 *x"]:
        """The code of the first one."""

    @abc.abstractmethod
    def read(self, start: int, count: int) -> Block:
        """So many seeds from a number on, fewer at the end.

        Raises:
            InputError: what was read cannot be used.
        """

    def peek(self, count: int) -> Block:
        """The first so many, fewer if there are not as many, before any is read; they can be read later."""
        return self.read(0, count)


@dataclass(frozen=True)
class Held(Seeds):
    """Seeds in memory."""

    codes: Shaped[np.ndarray, "n *x"] = field(repr=False)
    truth: Shaped[np.ndarray, " n"] | None = field(default=None, repr=False)

    @property
    def total(self) -> int:
        return len(self.codes)

    @property
    def labelled(self) -> bool:
        return self.truth is not None

    @property
    def first(self) -> Shaped[np.ndarray, "1 *x"]:
        return self.codes[:1]

    def read(self, start: int, count: int) -> Block:
        return Block(self.codes, self.truth)[start : start + count]


@dataclass(frozen=True)
class OnDisk(Seeds):
    """Seeds that are read when they are asked for: whatever has a length and gives slices."""

    images: Sequence[Any] = field(repr=False)
    chart: Constraint
    truth: Shaped[np.ndarray, " n"] | None = field(default=None, repr=False)

    @property
    def total(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        return self.truth is not None

    @property
    def first(self) -> Shaped[np.ndarray, "1 *x"]:
        return self.read(0, 1).codes

    def read(self, start: int, count: int) -> Block:
        at = slice(start, min(start + count, len(self.images)))
        if at.stop <= start:
            return Block(self.first[:0], None)
        codes = _codes(lambda: np.array(self.images[at]), self.chart, start)
        let_go(self.images)
        return Block(codes, None if self.truth is None else self.truth[at])


class Streamed(Seeds):
    """Seeds of a generator: images, or pairs of an image and a label; each is read once, in order.

    A function that returns a new generator may be read again and again.
    """

    def __init__(self, source: Any, chart: Constraint) -> None:
        self._source: Any = source
        self._fresh, self.chart, self._check = callable(source), chart, None
        self._again()
        start = list(islice(self._items, 1))
        if not start:
            raise InputError("seeds", expected="at least one", got="a generator that ends at once")
        self._ahead, self._at = start, 0
        self._pairs = isinstance(start[0], tuple)
        self._first = _codes(lambda: [self._split(start)[0][0]], chart, 0)

    def _again(self) -> None:
        self._items: Iterator[Any] = iter(self._source() if self._fresh else self._source)

    @property
    def total(self) -> None:
        return None

    @property
    def labelled(self) -> bool:
        return self._pairs

    @property
    def first(self) -> Shaped[np.ndarray, "1 *x"]:
        return self._first

    def checked(self, check: Check) -> Streamed:
        """The same, its labels checked as they come."""
        self._check: Check | None = check
        return self

    def _split(self, items: list[Any]) -> tuple[list[Any], list[Any] | None]:
        if not self._pairs:
            return items, None
        if any(not isinstance(item, tuple) or len(item) != 2 for item in items):
            raise InputError("seeds", expected="pairs of an image and a label", got="others among them")
        return [image for image, _ in items], [label for _, label in items]

    def read(self, start: int, count: int) -> Block:
        if start < self._at:
            if not self._fresh:
                fix = "give a function that returns a new generator, or an array"
                raise InputError(
                    "seeds", expected="to be read again", got="a generator, which is read once", fix=fix
                )
            self._again()
            self._ahead, self._at = [], 0
        for _ in self._next(start - self._at):
            pass
        return self._block(list(self._next(count)), start)

    def peek(self, count: int) -> Block:
        self._ahead += islice(self._items, max(count - len(self._ahead), 0))
        return self._block(self._ahead[:count], 0)

    def _block(self, items: list[Any], start: int) -> Block:
        if not items:
            return Block(self._first[:0], None)
        images, labels = self._split(items)
        truth = None if labels is None or self._check is None else self._check(labels)
        return Block(_codes(lambda: images, self.chart, start), truth)

    def _next(self, count: int) -> Iterator[Any]:
        for _ in range(count):
            ahead = self._ahead or list(islice(self._items, 1))
            if not ahead:
                return
            self._ahead = ahead[1:]
            self._at += 1
            yield ahead[0]


@dataclass(frozen=True)
class First(Seeds):
    """The first so many of some seeds."""

    of: Seeds
    count: int

    @property
    def total(self) -> int | None:
        return None if self.of.total is None else min(self.count, self.of.total)

    @property
    def labelled(self) -> bool:
        return self.of.labelled

    @property
    def first(self) -> Shaped[np.ndarray, "1 *x"]:
        return self.of.first

    def read(self, start: int, count: int) -> Block:
        return self.of.read(start, max(0, min(count, self.count - start)))

    def peek(self, count: int) -> Block:
        return self.of.peek(min(count, self.count))


def opened(inputs: Any, labels: Any, chart: Constraint) -> Seeds:
    """Inputs as users give them, unread where they need not be; the labels are still to be checked."""
    if streams(inputs):
        if labels is not None:
            fix = "let the generator give pairs (image, label)"
            raise InputError("labels", expected="none beside a generator", got="some", fix=fix)
        return Streamed(inputs, chart)
    if lazy(inputs):
        if not len(inputs):
            raise InputError("seeds", expected="at least one", got="none")
        seeds = OnDisk(inputs, chart)
        chart.check(seeds.first)
        return seeds
    codes = chart.encode_inputs(inputs)
    chart.check(codes)
    return Held(codes)


def labelled(seeds: Seeds, labels: Any, check: Callable[[Any, int], Any]) -> Seeds:
    """The seeds, with labels that are known to fit; those of a generator are checked as they come."""
    if isinstance(seeds, Streamed):
        return seeds.checked(lambda given: check(given, len(given)))
    if labels is not None and isinstance(seeds, (Held, OnDisk)):
        return replace(seeds, truth=check(labels, seeds.total))
    return seeds


def streams(inputs: Any) -> bool:
    """Is it a generator, or what returns one?"""
    return callable(inputs) or (hasattr(inputs, "__next__") and not hasattr(inputs, "__len__"))


def lazy(inputs: Any) -> bool:
    """Is it a sequence that is better not read whole: memory-mapped, in a file, in a folder?"""
    if isinstance(inputs, np.memmap):
        return True
    if is_frame(inputs) or isinstance(inputs, (np.ndarray, list, tuple)) or hasattr(inputs, "__jax_array__"):
        return False
    return hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__") and not hasattr(inputs, "device")


def _codes(read: Callable[[], Any], chart: Constraint, start: int) -> Shaped[np.ndarray, "n *x"]:
    """Some inputs as they are stored; an `InputError` says which they were."""
    try:
        codes = chart.encode_inputs(np.asarray(read()))
        chart.check(codes)
        return codes
    except InputError as error:
        error.add_note(f"seeds from number {start} on")
        raise
    except (OSError, ValueError) as error:
        what, wanted = f"seeds from number {start} on", "inputs of one shape that can be read"
        raise InputError(what, expected=wanted, got=one_line(error)) from error
