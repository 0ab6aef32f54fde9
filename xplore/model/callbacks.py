"""Calls from a compiled program to functions on the host: black boxes and torch modules."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from xplore._util.errors import InputError

_faults: list[InputError] = []


class HostFunction(abc.ABC):
    """A function of JAX that asks something on the host, which may change between two calls of xplore."""

    @abc.abstractmethod
    def refresh(self) -> str:
        """Forget what was learnt of it before; returns its fingerprint, which tells it from others."""

    def head(self, shape: tuple[int, ...]) -> str | None:
        """What it returns for inputs `[b *shape]`, as `xplore.model.outputs.Head`, where that is seen."""
        return None

    def unseen(self, shape: tuple[int, ...]) -> dict[str, int]:
        """The parts whose layers cannot be seen, and how many weights each holds, for inputs `[b *shape]`."""
        return {}


def call(function: Callable[..., Any], shapes: Any, *given: Any) -> Any:
    """`function(*arrays)` on the host, of the shapes that are told; row by row under `vmap`."""

    def on_host(*arrays: Any) -> Any:
        try:
            return function(*arrays)
        except InputError as error:
            _faults.append(error)
            raise

    return jax.pure_callback(on_host, shapes, *given, vmap_method="sequential")


@contextmanager
def faults() -> Iterator[None]:
    """What a call on the host says of bad input is raised as such: JAX would raise an error of its own."""
    _faults.clear()
    try:
        yield
    except Exception as error:
        if _faults and not isinstance(error, InputError):
            raise _faults[0] from error
        raise
