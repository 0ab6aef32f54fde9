"""Are inputs, labels and parts fit for use? Asked before any compute is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int, Shaped

from xplore._util.code_key import code_key
from xplore._util.errors import InputError
from xplore._util.intervals import check_numbers
from xplore._util.pytree import PyTreeNode
from xplore.constraints import Ball, Constraint, Features, Occlusion
from xplore.evaluation.sources import Seeds, lazy, opened, streams
from xplore.inputs.columns import is_frame
from xplore.inputs.encoding import Encoding, check_one_array
from xplore.inputs.media import MOST_IN_COLOUR, PNG
from xplore.model.outputs import CLASSIFICATION
from xplore.model.shape_errors import channels_first
from xplore.panel.panel import Panel

Part = TypeVar("Part")
LARGEST = 2**31 - 1
"""Steps, tries, seeds and lanes are counted in 32 bits, on every device."""


def checked_chart(constraint: Constraint | None, inputs: Any) -> tuple[Constraint, list[str]]:
    """The constraint, or the one that suits the inputs, and what is to be said of the choice.

    Raises:
        InputError: it is no constraint, or inputs are several arrays.
    """
    check_one_array(inputs)
    if constraint is not None:
        constraint = checked_part("constraint", constraint, Constraint)
        constraint.check_moves()
        return constraint, []
    if lazy(inputs) or streams(inputs) or (not is_frame(inputs) and np.ndim(inputs) != 2):
        return Occlusion(), []
    return Features.infer(inputs), ["no constraint was given: Features.infer(X) says what may change"]


def opened_chart(
    constraint: Constraint | None, inputs: Any, labels: Any = None
) -> tuple[Constraint, Seeds, list[str]]:
    """The constraint, the inputs as seeds, and what is to be said of a constraint that was not given.

    It suits the inputs: `Features` of a table, and of images one rectangle whose size follows theirs.
    """
    chart, notes = checked_chart(constraint, inputs)
    if constraint is not None or not isinstance(chart, Occlusion):
        return chart, opened(inputs, labels, chart), notes
    seeds = opened(inputs, labels, Ball())  # of which images of any size can be seeds
    height, width, _ = seeds.first.shape[1:]
    chart = Occlusion.fitted(height, width)
    rectangle = f"Occlusion({chart.height}, {chart.width})"
    note = f"no constraint was given: {rectangle}, {chart.description}"
    note += f", as suits images of {height} x {width} pixels"
    return chart, seeds, [note]


def stored(encoding: Encoding, seeds: Shaped[np.ndarray, "n *x"]) -> list[str]:
    """What is to be said of how inputs like the first seed are stored.

    Raises:
        InputError: they cannot be stored and read again as they are.
    """
    code = np.asarray(seeds[0])
    try:
        same = np.array_equal(encoding.unpack(encoding.pack(code)), code, equal_nan=code.dtype.kind == "f")
        came = "" if same else f"shape {code.shape}, of which it makes others"
    except InputError as error:
        came = f"shape {code.shape} ({error})"
    if came:
        raise InputError("seeds", expected=f"inputs that {encoding.media} holds as they are", got=came)
    if encoding.media != PNG or code.shape[-1] <= MOST_IN_COLOUR:
        return []
    exact = f"images of {code.shape[-1]} channels are stored exactly"
    return [*channels_first(code.shape), f"{exact}; pictures show the channels side by side"]


def checked_labels(labels: Any, n: int, classes: int, names: Sequence[Any] = ()) -> Int[np.ndarray, " n"]:
    """Labels as integers, from names where they are named; an InputError for another length or class."""
    fix = "give one class number for each seed, or none at all"
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InputError("labels", expected=f"one a seed, shape ({n},)", got=f"shape {array.shape}", fix=fix)
    index = {name: number for number, name in enumerate(names)}
    if names and all(label in index for label in array.tolist()):
        return np.array([index[label] for label in array.tolist()], np.int64)
    if array.dtype.kind in "OUST" and names:
        came = ", ".join(sorted({repr(label) for label in array.tolist() if label not in index})[:5])
        words = "give each seed's class as the models call it, or its number"
        raise InputError("labels", expected=f"one of {', '.join(map(str, names))}", got=came, fix=words)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError("labels", expected="class numbers (integers)", got=str(array.dtype), fix=fix)
    if array.min() < -1 or array.max() >= classes:
        came = f"{array.min()} to {array.max()}"
        raise InputError(
            "labels",
            expected=f"0 to {classes - 1}, as the models answer (or -1: not known)",
            got=came,
            fix=fix,
        )
    return array.astype(np.int64)


def checked_truth(
    labels: Any, n: int, panel: Panel, classes: int, names: Sequence[Any] = ()
) -> Shaped[np.ndarray, " n"]:
    """Labels as the models' outputs can be compared to them: classes, or values (NaN is not known)."""
    if panel.head in CLASSIFICATION:
        return checked_labels(labels, n, classes, names)
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iuf" or np.isinf(array).any():
        came = f"{array.dtype} of shape {array.shape}"
        raise InputError("labels", expected=f"one finite number a seed, shape ({n},)", got=came)
    return array.astype(float)


def checked_part(name: str, part: Any, kind: type[Part]) -> Part:
    """A part of the right kind with numbers that make sense, keyed by the functions that it calls now."""
    if isinstance(part, kind):
        if not isinstance(part, PyTreeNode):
            return part
        check_numbers(name, part)
        return part.with_code_key(code_key(part))
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    came = f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
    fix = f"see xplore.{kind.__module__.split('.')[1]} for those that come with xplore"
    raise InputError(name, expected=f"{article} {kind.__name__}", got=came, fix=fix)


def whole(name: str, value: Any, least: int) -> None:
    """An InputError for what is no whole number, too small, or too large to be counted in 32 bits."""
    if not isinstance(value, bool) and isinstance(value, (int, np.integer)) and value > LARGEST:
        wanted = f"a whole number from {least} to {LARGEST}"
        raise InputError(name, expected=wanted, got=repr(value), fix="give a smaller one")
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(
            name,
            expected=f"a whole number >= {least}",
            got=repr(value),
            fix=f"use {name.rsplit('.', 1)[-1]}={max(least, 1)} or more",
        )
