"""PDF files as 135 numbers: benign ones and malware, as mimicus reads them (Srndic and Laskov, 2014).

What a test may change is what can be done to a file without changing what it does: 33 numbers only grow,
35 move either way, 67 are never chosen (as in DeepXplore's published code; Pei et al., 2017).
Of those 67, 18 are sums, differences and ratios of others by their definition; they follow, so that what is
reported is a vector that a file can have.
"""

import csv
import io
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from xplore._util.errors import InputError
from xplore._util.files import found, text
from xplore.data._base import PARTS, Inputs, split

if TYPE_CHECKING:
    from xplore.constraints import Features

CLASSES = ("benign", "malicious")
FILES = ("contagio-ben.csv", "contagio-mal.csv")
LARGEST = 2**28  # bytes of one file, unzipped; those of Contagio have 3 million

STRINGS = ("author", "creator", "keywords", "producer", "subject", "title")
_COUNTS = """
acroform acroform_obs action action_obs box_a4 box_legal box_letter box_other box_overlap endobj
endstream eof font font_obs image_large image_med image_small image_total image_xlarge image_xsmall
javascript javascript_obs js js_obs obj objstm objstm_obs page page_obs startxref stream stream_diff
trailer xref
"""
_PLACES = ("acroform", "box", "eof", "image", "page")
_IMAGES = tuple(f"count_image_{size}" for size in ("large", "med", "small", "xlarge", "xsmall"))
_BOXES = tuple(f"count_box_{kind}" for kind in ("a4", "legal", "letter", "overlap"))


def _each(stem: str, ends: str) -> list[str]:
    return [f"{stem}_{end}" for end in ends.split()]


def _string(stem: str) -> list[str]:
    return _each(stem, "dot lc len mismatch num oth uc")


def _date(stem: str) -> list[str]:
    return _each(stem, "dot mismatch ts tz version_ratio")


NAMES: tuple[str, ...] = (
    *_string("author"), "box_nonother_types", "box_other_only", "company_mismatch", *_each("count", _COUNTS),
    *_date("createdate"), *_string("creator"), "delta_ts", "delta_tz", "image_mismatch", "image_totalpx",
    *_string("keywords"), *_each("len_obj", "avg max min"), *_each("len_stream", "avg max min"),
    *_date("moddate"), *_string("pdfid0"), *_string("pdfid1"), "pdfid_mismatch",
    *(f"pos_{at}_{end}" for at in _PLACES for end in ("avg", "max", "min")),
    *_string("producer"), "ratio_imagepx_size", *_each("ratio_size", "obj page stream"), "size",
    *_string("subject"), *_string("title"), "version",
)  # fmt: skip
"""The 135 features in the order of the files."""

BOOLEAN = ("box_other_only", "pdfid_mismatch")
FRACTIONS = tuple(
    name
    for name in NAMES
    if name.startswith(("pos_", "ratio_")) or name.endswith(("_version_ratio", "obj_avg", "stream_avg"))
)
"""Numbers with fractions; all others are whole."""

GROW = tuple(
    name
    for name in NAMES
    if name == "size"
    or (name.startswith("count_") and name not in ("count_image_total", "count_stream_diff"))
)
"""What only grows: content can be put into a file, and not safely be taken out."""

EITHER = (
    *(f"{stem}_{end}" for stem in STRINGS for end in ("dot", "lc", "num", "oth", "uc")),
    *(f"{stem}date_{end}" for stem in ("create", "mod") for end in ("ts", "tz")),
    "version",
)
"""What moves either way: what a file says of itself."""

QUARTER = 900.0  # seconds: offsets of time zones are multiples of it


def load(part: str = "test", path: str | os.PathLike[str] | None = None, largest: int = LARGEST) -> Inputs:
    """Rows of `NAMES`, float32 [n 135], and labels: 0 benign, 1 malicious.

    `path` is a folder with `contagio-ben.csv` and `contagio-mal.csv`, plain or `.gz`, as mimicus publishes
    them. A fifth of the distinct rows is for testing ("test"), the others for training ("train"); files with
    one and the same row go together. The split is fixed. Dates are seconds, to 128: float32 holds no more.

    >>> try:
    ...     load()
    ... except InputError as error:
    ...     print(str(error).split(",")[0])
    the PDF data: expected a folder with contagio-ben.csv and contagio-mal.csv

    Raises:
        InputError: no path, no such files, a link out of the folder, a file that is too large, empty, of
            other columns, or has what is no finite number.
    """
    if part not in PARTS:
        raise InputError("part", expected=" or ".join(map(repr, PARTS)), got=repr(part))
    if path is None:
        fix = "give path=FOLDER (in a config, seeds.path), with the files that mimicus publishes"
        raise InputError(
            "the PDF data", expected=f"a folder with {' and '.join(FILES)}", got="no path", fix=fix
        )
    tables = [_read(path, name, largest) for name in FILES]
    rows, labels = (np.concatenate(pair) for pair in zip(*tables, strict=True))
    chosen = split(rows)[part]
    return Inputs(rows[chosen], labels[chosen], f"pdf/{part}", CLASSES, NAMES)


def _read(folder: str | os.PathLike[str], name: str, largest: int) -> tuple[Any, Any]:
    path = found(folder, name, f"{name}.gz")
    if path is None:
        wanted = f"{name} or {name}.gz in this folder"
        raise InputError(
            os.fspath(folder), expected=wanted, got="neither", fix="name the folder of both files"
        )
    what = "a CSV file of mimicus, 135 features a line"
    try:
        head, *lines = csv.reader(io.StringIO(text(path, what, largest)), strict=True)
    except csv.Error as error:
        raise InputError(str(path), expected=what, got=str(error)) from error
    if tuple(head) != ("class", "filename", *NAMES):
        names = ("class", "filename", *NAMES)
        at = next((i for i, pair in enumerate(zip(head, names, strict=False)) if pair[0] != pair[1]), -1)
        came = f"{len(head)} columns" if at < 0 else f"{head[at][:40]!r} for {names[at]!r}"
        raise InputError(str(path), expected="class, filename and the 135 names of mimicus", got=came)
    if not lines:
        raise InputError(str(path), expected="a line for each PDF file", got="a header alone")
    wrong = next((n for n, line in enumerate(lines, start=2) if len(line) != len(head)), None)
    if wrong:
        came = f"{len(lines[wrong - 2])} in line {wrong}"
        raise InputError(str(path), expected=f"{len(head)} columns a line", got=came)
    words = {"TRUE": "1", "FALSE": "0"}
    rows = _numbers(path, head, [[words.get(cell, cell) for cell in (line[0], *line[2:])] for line in lines])
    if not np.isin(rows[:, 0], (0, 1)).all():
        raise InputError(str(path), expected="TRUE or FALSE as the class", got="others")
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _numbers(path: Any, head: Sequence[str], cells: list[list[str]]) -> Float32[np.ndarray, "n d"]:
    try:
        with np.errstate(over="ignore"):
            rows = np.array(cells, np.float64).astype(np.float32)
    except ValueError:
        rows = np.array([[_number(cell) for cell in line] for line in cells], np.float32)
    if not np.isfinite(rows).all():
        line, at = np.argwhere(~np.isfinite(rows))[0].tolist()
        name = [head[0], *head[2:]][at]
        came = f"{cells[line][at][:40]!r} as {name} in line {line + 2}"
        raise InputError(str(path), expected="finite numbers, TRUE or FALSE", got=came)
    return rows


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def ends(rows: Float32[np.ndarray, "n d"]) -> tuple[Float32[np.ndarray, " d"], Float32[np.ndarray, " d"]]:
    """The range of each feature in some rows; of a date and its zone, where there is one (-1 says that there
    is none).

    >>> rows = np.zeros((2, len(NAMES)), np.float32)
    >>> rows[:, NAMES.index("size")] = 900, 7000
    >>> low, high = ends(rows)
    >>> float(low[NAMES.index("size")]), float(high[NAMES.index("size")])
    (900.0, 7000.0)
    """
    low, high = rows.min(axis=0), rows.max(axis=0)
    for name in ("createdate_ts", "createdate_tz", "moddate_ts", "moddate_tz"):
        at = NAMES.index(name)
        low[at] = rows[:, at][rows[:, at] != -1].min()
    return low, high


def _total(*names: str) -> Callable[[Any], Any]:
    return lambda row: sum(row[name] for name in names)


def _a_day(stem: str) -> Callable[[Any], Any]:
    """Days since 1970 over the version, which is 0 where the version is."""

    def value(row: Any) -> Any:
        import jax.numpy as jnp

        days = jnp.floor(row[f"{stem}_ts"] / 86400)
        return jnp.where(row.version > 0, jnp.floor(days / jnp.maximum(row.version, 1)), 0)

    return value


def _size_a(what: str) -> Callable[[Any], Any]:
    """The size over a count, which jumps, and so has no slope, where there is none."""

    def value(row: Any) -> Any:
        import jax
        import jax.numpy as jnp

        count = row[f"count_{what}"]
        return row.size / (jnp.where(count > 0, count, jax.lax.stop_gradient(count)) + 1e-6)

    return value


FOLLOW: dict[str, Callable[[Any], Any]] = {
    **{f"{stem}_len": _total(*(f"{stem}_{end}" for end in ("lc", "num", "oth", "uc"))) for stem in STRINGS},
    "box_nonother_types": _total(*_BOXES),
    "box_other_only": lambda row: (row.box_nonother_types == 0).astype(row.size.dtype),
    "count_image_total": _total(*_IMAGES),
    "count_stream_diff": lambda row: row.count_stream - row.count_endstream,
    "createdate_version_ratio": _a_day("createdate"),
    "moddate_version_ratio": _a_day("moddate"),
    "delta_ts": lambda row: row.createdate_ts - row.moddate_ts,
    "delta_tz": lambda row: row.createdate_tz - row.moddate_tz,
    "ratio_imagepx_size": lambda row: row.image_totalpx / row.size,
    **{f"ratio_size_{what}": _size_a(what) for what in ("obj", "page", "stream")},
}
"""What is no choice: each is this function of the others, in every row of Contagio (held by a test)."""


def _dots(stem: str) -> Callable[[Any], Bool[Any, " b"]]:
    return lambda row: row[f"{stem}_dot"] <= row[f"{stem}_oth"]


RULES: tuple[Callable[[Any], Any], ...] = (
    *(_dots(stem) for stem in STRINGS),  # a dot is one of the other characters
    lambda row: (row.createdate_ts != -1) | (row.createdate_tz == -1),  # a zone belongs to a date
    lambda row: (row.moddate_tz != -1) | (row.moddate_ts == -1),
)
"""What a file's numbers keep, in every row of Contagio."""


def features(
    low: Float32[np.ndarray, " d"],
    high: Float32[np.ndarray, " d"],
    example: Float32[np.ndarray, " d"],
    changes: int = 3,
) -> "Features":
    """What may happen to a file's row, inside a range: by `GROW`, `EITHER`, `FOLLOW` and `RULES`.

    >>> zeros, ones = np.zeros(len(NAMES), np.float32), np.ones(len(NAMES), np.float32)
    >>> features(zeros, ones, zeros, changes=2).changes
    2
    """
    from xplore.constraints import Features
    from xplore.inputs.columns import Column, Kind

    kinds: dict[str, Kind] = {**dict.fromkeys(FRACTIONS, "float"), **dict.fromkeys(BOOLEAN, "binary")}
    columns = tuple(Column(name, kinds.get(name, "integer"), "float32") for name in NAMES)
    frozen = tuple(name not in GROW and name not in EITHER for name in NAMES)
    made = Features(
        columns, low, high, example, frozen, tuple(name in GROW for name in NAMES), changes=changes
    )
    made = made.magnitude(*(name for name in NAMES if name != "version" and name not in BOOLEAN))
    for stem in ("createdate", "moddate"):
        made = made.multiples(f"{stem}_tz", QUARTER)
    for name, value in FOLLOW.items():
        made = made.follow(name, value)
    for rule in RULES:
        made = made.where(rule)
    return made
