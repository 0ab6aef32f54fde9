"""What every data set hands over: images or rows, labels where there are any, and the classes' names."""

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8

from xplore.errors import InputError

PARTS = ("test", "train")


@dataclass(frozen=True)
class Inputs:
    """Inputs as they are stored, with the label of each where one is known.

    `images` are uint8, or float32 rows of a table whose `columns` are named; `labels` index `classes`
    (which may be empty where the names are not known; -1 is a label that is not known), or are values, and
    `name` says which data set and part this is, for reports. Raises `InputError` where inputs and labels do
    not fit.

    >>> digits = Inputs(np.zeros((2, 28, 28, 1), np.uint8), np.array([3, 8]), "blank")
    >>> digits.images.shape, len(digits.labels)
    ((2, 28, 28, 1), 2)
    """

    images: UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n d"]
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


def contents(path: str | os.PathLike[str], what: str, largest: int) -> bytes:
    """The bytes of a file, unzipped where it is gzip: that is told by the first two, not by the suffix.

    Raises:
        InputError: no such file, none that can be read, a damaged gzip, an empty one, or more than `largest`
            bytes, of which no more is ever read.
    """
    path = Path(path)
    fix = "fetch the file again from where it came"
    try:
        if not path.is_file():
            came = "something else" if path.exists() else "no such file"
            raise InputError(str(path), expected=what, got=came, fix="check the path")
        with path.open("rb") as plain:
            gzipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if gzipped:
                with gzip.GzipFile(fileobj=plain) as unpacked:
                    content = unpacked.read(largest + 1)
            else:
                content = plain.read(largest + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            str(path), expected="a whole gzip file", got=f"a damaged one ({error})", fix=fix
        ) from error
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(str(path), expected=what, got=str(error)) from error
    if not content:
        raise InputError(str(path), expected=what, got="an empty file", fix=fix)
    if len(content) > largest:
        fix = "raise `largest` if the file is to be trusted"
        raise InputError(str(path), expected=f"at most {largest} bytes", got="more", fix=fix)
    return content


def text(path: str | os.PathLike[str], what: str, largest: int) -> str:
    """The text of a file; raises `InputError` as `contents` does, and where it is no UTF-8."""
    try:
        return contents(path, what, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            str(path), expected=f"{what}, in UTF-8", got=f"other bytes ({error.reason})"
        ) from error


def inside(folder: str | os.PathLike[str], *names: str) -> Path | None:
    """The first of some names that a folder holds, or none.

    Raises:
        InputError: no such folder, a name that leads up, or a link that leads out of the folder.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            came = "a file" if folder.exists() else "no such folder"
            raise InputError(str(folder), expected="a folder", got=came, fix="check the path")
        home = folder.resolve()
        for name in names:
            path = folder / name
            if not path.resolve().is_relative_to(home):
                wanted, fix = "files inside this folder", "put the file itself there"
                raise InputError(str(path), expected=wanted, got="a way out of it", fix=fix)
            if path.exists():
                return path
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a loop of links
        raise InputError(str(folder), expected="a folder that can be read", got=str(error)) from error
    return None


def split(rows: Shaped[np.ndarray, "n d"]) -> dict[str, Int64[np.ndarray, " _"]]:
    """Which rows are for testing, a fifth of the distinct ones, and which for training, in their fixed order.

    Equal rows go together, or models would be tested on what they were trained on.
    """
    distinct = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    rank = np.random.RandomState(0).permutation(distinct.max() + 1)[distinct]  # frozen by NEP 19
    order = np.argsort(rank, kind="stable")
    test = rank[order] < (distinct.max() + 1) // 5
    return {"test": order[test], "train": order[~test]}
