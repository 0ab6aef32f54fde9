"""The pickle inside a file of `torch.save`, read by a machine that cannot run anything.

A pickle is a program for a stack machine that may call any function of Python. The machine here knows the
steps of protocol 2 that a state dict is written with. The few names that it may say are compared with a
list, never looked up; of its calls, one makes a dict and one notes down a tensor.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
MOST_STEPS = 2**20  # of one pickle; a tensor takes about 35
MOST_AXES = 32

_DICT, _TENSOR = "collections.OrderedDict", "torch._utils._rebuild_tensor_v2"


class Refusal(Exception):  # noqa: N818
    """What a file says that no state dict would."""


class Storage(NamedTuple):
    """Numbers that lie elsewhere in the file."""

    key: str
    dtype: np.dtype[Any]
    length: int


class Tensor(NamedTuple):
    """A view of a storage, strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Name(NamedTuple):
    name: str


class _Machine:
    def __init__(self, stream: io.BytesIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self, length: int) -> bytes:
        content = self.stream.read(length)
        if len(content) < length:
            raise EOFError("it ends before its pickle does")
        return content

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, n: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < n:
            raise IndexError("a stack that is too short")
        return self._take(len(self.stack) - n)

    def since_mark(self) -> list[Any]:
        return self._take(self.marks.pop())

    def _take(self, start: int) -> list[Any]:
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def keep(self, form: str) -> None:
        self.memo[self.number(form)] = self.stack[-1]

    def protocol(self) -> None:
        if (number := self.number("<B")) > 2:
            raise Refusal(f"is a pickle of protocol {number}")

    def name(self) -> None:
        name = b".".join(self.stream.readline(256).strip() for _ in range(2)).decode("utf-8")
        if name not in (_DICT, _TENSOR, *STORAGES):
            raise Refusal(f"names {name}")
        self.push(_Name(name))

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, dict) and all(type(key) is str for key in items[::2]):
            target.update(zip(items[::2], items[1::2], strict=True))
        else:
            raise Refusal("fills what is no list and no dict of names")

    def attributes(self) -> None:
        """A state dict's metadata, which is not needed."""
        self.pop(1)
        self.fill([])

    def call(self) -> None:
        name, given = self.pop(2)
        if name == _Name(_DICT) and given == ():
            return self.push({})
        if name == _Name(_TENSOR) and isinstance(given, tuple) and len(given) in (6, 7):
            storage, offset, shape, strides, *_ = given
            shaped = isinstance(shape, tuple) and isinstance(strides, tuple)
            shaped = shaped and len(shape) == len(strides) <= MOST_AXES
            if shaped and isinstance(storage, Storage) and _natural(offset, *shape, *strides):
                return self.push(Tensor(storage, offset, shape, strides))
        raise Refusal("makes something else than dicts and tensors")

    def storage(self) -> None:
        kind, name, key, _, length, *_view = self.pop(1)[0]
        if kind != "storage" or type(key) is not str or not _natural(length):
            raise Refusal("names a storage otherwise")
        if not isinstance(name, _Name) or name.name not in STORAGES:
            raise Refusal("holds other numbers than " + ", ".join(STORAGES))
        self.push(Storage(key, np.dtype(STORAGES[name.name]), length))


def _natural(*numbers: Any) -> bool:
    return all(type(n) is int and 0 <= n < 2**48 for n in numbers)


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"c": _Machine.name,
    b"R": _Machine.call,
    b"b": _Machine.attributes,
    b"Q": _Machine.storage,
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.push(tuple(m.pop(1))),
    b"\x86": lambda m: m.push(tuple(m.pop(2))),
    b"\x87": lambda m: m.push(tuple(m.pop(3))),
    b")": lambda m: m.push(()),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b"u": lambda m: m.fill(m.since_mark()),
    b"e": lambda m: m.fill(m.since_mark()),
    b"s": lambda m: m.fill(m.pop(2)),
    b"a": lambda m: m.fill(m.pop(1)),
    b"X": lambda m: m.push(m.read(m.number("<I")).decode("utf-8")),
    b"\x8a": lambda m: m.push(int.from_bytes(m.read(m.number("<B")), "little", signed=True)),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"J": lambda m: m.push(m.number("<i")),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"q": lambda m: m.keep("<B"),
    b"r": lambda m: m.keep("<I"),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
}


def run(stream: io.BytesIO) -> Any:
    """What one pickle makes, from where the stream stands: numbers, words, tuples, lists, dicts, `Tensor`s.

    Raises `Refusal` for steps and names that no state dict needs, and `LookupError`, `ValueError`,
    `TypeError`, `EOFError` or `struct.error` for a damaged one.

    >>> run(io.BytesIO(b"}X\\x01\\0\\0\\0aK\\x07s."))
    {'a': 7}
    """
    machine = _Machine(stream)
    for _ in range(MOST_STEPS):
        step = machine.read(1)
        if step == b".":
            (result,) = machine.stack
            return result
        if step not in _STEPS:
            raise Refusal(f"takes the step {step!r}")
        _STEPS[step](machine)
    raise Refusal(f"takes more than {MOST_STEPS} steps")
