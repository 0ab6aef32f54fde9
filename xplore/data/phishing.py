"""Phishing websites (Abdelhamid et al., 2014) as `river` carries them: nine features of a page."""

import csv
import importlib.util
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from xplore._util.errors import InputError, MissingExtraError
from xplore._util.files import text
from xplore.data._base import PARTS, Inputs, split

if TYPE_CHECKING:
    from xplore.constraints import Features

CLASSES = ("legitimate", "phishing")
LEVELS = (0.0, 0.5, 1.0)
VALUES: dict[str, tuple[float, ...]] = {
    "empty_server_form_handler": LEVELS,
    "popup_window": LEVELS,
    "https": LEVELS,
    "request_from_other_domain": LEVELS,
    "anchor_from_other_domain": LEVELS,
    "is_popular": LEVELS,
    "long_url": LEVELS,
    "age_of_domain": (0.0, 1.0),
    "ip_in_url": (0.0, 1.0),
}
"""The values of each feature: levels, the last two either or. There can be 3^7 * 2^2 = 8,748 pages."""

LARGEST = 2**20  # bytes of the file


def load(part: str = "test") -> Inputs:
    """Pages, float32 [n 9] of `VALUES`, and labels: 0 legitimate, 1 phishing.

    A fifth of the distinct rows is for testing ("test"), the others for training ("train"); equal rows go
    together. The split is fixed. Raises `InputError`; `MissingExtraError` where river is not installed.

    >>> pages = load("test")
    >>> pages.images.shape, pages.columns[:2]
    ((273, 9), ('empty_server_form_handler', 'popup_window'))
    """
    if part not in PARTS:
        raise InputError("part", expected=" or ".join(map(repr, PARTS)), got=repr(part))
    rows, labels = embedded()
    chosen = split(rows)[part]
    return Inputs(rows[chosen], labels[chosen], f"phishing/{part}", CLASSES, tuple(VALUES))


def embedded() -> tuple[Float32[np.ndarray, "1250 9"], Int64[np.ndarray, " 1250"]]:
    """All pages of river and their labels, in the package's order; raises `InputError`.

    >>> rows, labels = embedded()
    >>> rows.shape, int(labels.sum())
    ((1250, 9), 548)
    """
    # The package itself is not imported: that takes seconds, for one CSV file.
    spec = importlib.util.find_spec("river")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("river", extra="phishing", purpose="the phishing websites")
    path = Path(spec.submodule_search_locations[0], "datasets", "phishing.csv.gz")
    what, fix = "the phishing websites of river", "reinstall river"
    try:
        head, *lines = csv.reader(io.StringIO(text(path, what, LARGEST)), strict=True)
        table = np.array(lines, np.float32)
    except (csv.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(path), expected=what, got=str(error), fix=fix) from error
    known = tuple(head) == (*VALUES, "is_phishing") and table.shape == (1250, 10)
    same = known and all(np.isin(table[:, i], v).all() for i, v in enumerate([*VALUES.values(), (0, 1)]))
    if not same:
        raise InputError(
            str(path), expected=f"{what}, 1,250 rows", got="others", fix="install river 0.22 or later"
        )
    return table[:, :-1], table[:, -1].astype(np.int64)


def every() -> Float32[np.ndarray, "8748 9"]:
    """All pages there can be.

    >>> every().shape, len(np.unique(every(), axis=0))
    ((8748, 9), 8748)
    """
    return np.array(list(itertools.product(*VALUES.values())), np.float32)


def realistic(changes: int = 2) -> "Features":
    """What may happen to a page: at most `changes` features take another of their `VALUES`.

    >>> realistic(1).description
    'at most 1 of 9 features, each inside its range'
    """
    from xplore.constraints import Features
    from xplore.inputs.columns import Column

    columns = tuple(
        Column(name, "ordinal", "float64", values) if len(values) > 2 else Column(name, "binary", "float64")
        for name, values in VALUES.items()
    )
    high = np.array([len(values) - 1 for values in VALUES.values()], np.float32)
    none = (False,) * len(columns)
    return Features(columns, np.zeros_like(high), high, np.zeros_like(high), none, none, changes=changes)
