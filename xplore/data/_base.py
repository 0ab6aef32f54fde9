"""What every data set hands over: images or rows, labels where there are any, and the classes' names."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from xplore._util.errors import InputError

PARTS = ("test", "train")
LARGEST = 2**31
"""Bytes of images that are read at once."""


class Unread(Sequence[Any], abc.ABC):
    """Images uint8 [n h w c] that are read when they are asked for.

    `[3]`, `[3:7]`, `[[5, 2]]` and, for all of them, `[:]` give arrays of at most `LARGEST` bytes. A campaign
    asks for a round at a time.
    """

    dtype = np.dtype(np.uint8)

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """Of all of them."""

    @abc.abstractmethod
    def read(self, number: int) -> UInt8[np.ndarray, "h w c"]:
        """One of them; raises `InputError`, which names its file."""

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> UInt8[np.ndarray, "..."]:
        numbers = np.arange(len(self))[at]
        if numbers.ndim == 0:
            return self.read(int(numbers))
        size = len(numbers) * math.prod(self.shape[1:])
        if size > LARGEST:
            wanted, fix = f"at most {LARGEST} bytes at once", "take a slice of them, or make them smaller"
            raise InputError(str(self), expected=wanted, got=f"{size}", fix=fix)
        images = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for row, number in zip(images, numbers.tolist(), strict=True):
            row[:] = self.read(number)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


@dataclass(frozen=True)
class Inputs:
    """Inputs as they are stored, with the label of each where one is known.

    `images` are uint8, in memory, memory-mapped or `Unread`; or float32 rows of a table whose `columns` are
    named. `labels` index `classes` (which may be empty where the names are not known; -1 is a label that is
    not known), or are values, and `name` says which data set and part this is, for reports. Raises
    `InputError` where inputs and labels do not fit.

    >>> digits = Inputs(np.zeros((2, 28, 28, 1), np.uint8), np.array([3, 8]), "blank")
    >>> digits.images.shape, len(digits.labels)
    ((2, 28, 28, 1), 2)
    """

    images: UInt8[np.ndarray, "n h w c"] | UInt8[Unread, "n h w c"] | Float32[np.ndarray, "n d"]
    labels: Int64[np.ndarray, " n"] | Float64[np.ndarray, " n"] | None
    name: str
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.columns:
            wanted = f"float32 [n {len(self.columns)}], a column for each name, each finite"
            whole = self.images.dtype == np.float32 and bool(np.isfinite(self.images).all())
            if self.images.shape[1:] != (len(self.columns),) or not whole:
                got = f"{self.images.dtype} {list(self.images.shape)}" + (", some not finite" * (not whole))
                raise InputError(f"{self.name} rows", expected=wanted, got=got)
        elif self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise InputError(
                f"{self.name} images",
                expected="uint8 [n h w c]",
                got=f"{self.images.dtype} {list(self.images.shape)}",
            )
        if self.labels is None:
            return
        if self.labels.dtype not in (np.int64, np.float64) or self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"{self.name} labels",
                expected=f"int64 [{len(self.images)}] (float64 for values), one for each image",
                got=f"{self.labels.dtype} {list(self.labels.shape)}",
            )
        if (
            self.classes
            and self.labels.size
            and not -1 <= self.labels.min() <= self.labels.max() < len(self.classes)
        ):
            raise InputError(
                f"{self.name} labels",
                expected=f"numbers from 0 to {len(self.classes) - 1}, for the named classes, or -1",
                got=f"numbers from {self.labels.min()} to {self.labels.max()}",
            )


def split(rows: Shaped[np.ndarray, "n d"]) -> dict[str, Int64[np.ndarray, " _"]]:
    """Which rows are for testing, a fifth of the distinct ones, and which for training, in their fixed order.

    Equal rows go together, or models would be tested on what they were trained on.
    """
    distinct = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    rank = np.random.RandomState(0).permutation(distinct.max() + 1)[distinct]  # frozen by NEP 19
    order = np.argsort(rank, kind="stable")
    test = rank[order] < (distinct.max() + 1) // 5
    return {"test": order[test], "train": order[~test]}
