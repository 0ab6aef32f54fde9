"""Which functions a part of a campaign calls: a user's rules, decoders and classes of parts."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from xplore._util.identity import digest, found, installed


def code_key(part: Any) -> str:
    """The digest of the functions that a part calls, without its numbers; empty, where none is the user's.

    Compiled programs are looked up by it: what a rule, a decoder or a user's own oracle reads of globals may
    have changed since.

    >>> from xplore.constraints import Ball
    >>> code_key(Ball(0.1)), len(code_key(lambda row: row.age < 40))
    ('', 64)
    """
    found = list(_code(part))
    return digest(found) if found else ""


def _code(value: Any) -> Iterator[Any]:
    """Functions and classes of the user's inside a part, in their order."""
    if isinstance(value, (str, int, float, np.ndarray, type(None))):
        return
    kind = type(value)
    if isinstance(value, (list, tuple)):
        held: Iterable[Any] = value
    elif isinstance(value, Mapping):
        held = value.values()
    elif dataclasses.is_dataclass(value):
        held = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, functools.partial):
        held = [value.func, value.args, value.keywords]
    else:
        held = []
        if callable(value) and not (
            isinstance(value, types.FunctionType) and installed(value) and found(value)
        ):
            yield value
    if dataclasses.is_dataclass(value) and not installed(kind):
        yield kind
    for inner in held:
        yield from _code(inner)
