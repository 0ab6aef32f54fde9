"""Labels as their owner calls them: what an account says of them, so that exports use the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def account(labels: Any, names: Sequence[Any], classes: int | None) -> dict[str, Any]:
    """The labels' name and dtype, and what each of so many `classes` is called in them.

    `names` are the models' own of the classes. Without labels, the classes are called by these, or by their
    numbers. Of models that return numbers `classes` is None: a label is a number itself.

    >>> account(np.array(["yes", "no"]), ["no", "yes"], 2)
    {'name': None, 'dtype': 'str', 'classes': ['no', 'yes']}
    >>> account([1, 0, 1], ["no", "yes"], 2)
    {'name': None, 'dtype': 'int64', 'classes': [0, 1]}
    """
    name = getattr(labels, "name", None)
    metadata: dict[str, Any] = {"name": name if isinstance(name, (str, int)) else None}
    if classes is None:
        return {**metadata, "dtype": "float64" if labels is None else str(np.asarray(labels).dtype)}
    plain, given = [_plain(one) for one in names], None if labels is None else np.asarray(labels).tolist()
    words = plain if len(plain) == classes and (given is None or {*given} <= {*plain}) else [*range(classes)]
    if given:  # 1 and True are one key: as the labels have them
        called = {one: one for one in given}
        words = [called.get(word, word) for word in words]
    dtype = getattr(labels, "dtype", None)
    if dtype is None or isinstance(dtype, np.dtype):
        kinds = {int: "int64", bool: "bool", float: "float64"}
        found = {*map(type, words)}
        of_words = kinds.get(found.pop(), "str") if len(found) == 1 else "object"
        dtype = dtype if dtype is not None and dtype.kind not in "OUS" else of_words
    elif str(dtype) == "category":
        metadata |= {"categories": list(map(_plain, dtype.categories)), "ordered": bool(dtype.ordered)}
    return {**metadata, "dtype": str(dtype), "classes": words}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
