"""State dicts of PyTorch (`.pth`, `.pt`) without torch, and without what a pickle may do.

`torch.save` writes a pickle with the numbers beside it: in a zip archive, or before 1.6 behind five pickles
in a row. What the pickle says is read by `_torch_tensors.py`, which cannot run anything.
"""

from __future__ import annotations

import functools
import io
import math
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from xplore._util.errors import InputError, one_line

from ._torch_tensors import Refusal, Storage, Tensor, run

LARGEST = 2**31  # bytes of a file, and of all its tensors together

_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before 1.6, and the number of that format
_PROTOCOL = 1001


def read_state_dict(
    path: str | os.PathLike[str], largest: int = LARGEST
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The tensors of a file that `torch.save(module.state_dict(), path)` wrote, by name, as arrays.

    Both of torch's formats are read; metadata is left out. Raises `InputError` for a file that is missing,
    damaged, larger than `largest` bytes, or says anything that a plain state dict has no need to say; nothing
    that a file names is run.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "bad.pth"
    >>> _ = file.write_bytes(b"cos\\nsystem\\n(X\\x02\\0\\0\\0lstR.")
    >>> read_state_dict(file)
    Traceback (most recent call last):
    xplore.InputError: ...bad.pth: expected a state dict of tensors, got one that names ...
    """
    path = Path(path)
    content = _content(path, largest)
    try:
        tensors, storages = (_zipped if content[:2] == b"PK" else _legacy)(content)
        wanted = sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values())
        if wanted > largest:
            raise Refusal(f"{wanted} bytes of tensors")
        return {name: _array(name, tensor, storages) for name, tensor in tensors.items()}
    except Refusal as error:
        raise InputError(
            str(path),
            expected="a state dict of tensors",
            got=f"one that {error}",
            fix="save module.state_dict() with torch.save",
        ) from error
    except (
        *(IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error),
        *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError),
    ) as error:
        raise InputError(
            str(path),
            expected="a whole file of torch.save",
            got=f"a damaged one ({one_line(error)})",
            fix="fetch the file again from where it came",
        ) from error


def _content(path: Path, largest: int) -> bytes:
    try:
        if not path.is_file():
            raise InputError(
                str(path), expected="a file of torch.save", got="no such file", fix="check the path"
            )
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(str(path), expected="a readable file", got=one_line(error)) from error
    if len(content) > largest:
        raise InputError(str(path), expected=f"at most {largest} bytes", got="a larger file")
    return content


def _legacy(content: bytes) -> tuple[dict[str, Tensor], Callable[[Storage], bytes]]:
    """Five pickles in a row, then each storage behind its length."""
    stream = io.BytesIO(content)
    if run(stream) != _MAGIC or run(stream) != _PROTOCOL:
        raise Refusal("starts as no file of torch.save does")
    about = run(stream)
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise Refusal("was not written on a little-endian machine")
    tensors = _tensors(run(stream))
    keys = run(stream)
    declared = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or not all(type(k) is str for k in keys) or {*keys} != {*declared}:
        raise Refusal("lists other storages than it uses")
    places: dict[str, bytes] = {}
    for key in keys:
        (length,) = struct.unpack("<q", stream.read(8))
        if length != declared[key].length:
            raise Refusal(f"says {declared[key].length} and {length} of one storage's length")
        places[key] = stream.read(length * declared[key].dtype.itemsize)
    return tensors, lambda storage: places[storage.key]


def _zipped(content: bytes) -> tuple[dict[str, Tensor], Callable[[Storage], bytes]]:
    """An archive of one pickle and a file a storage, uncompressed."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    unpacked = sum(entry.file_size for entry in entries.values())
    if len(pickles) != 1 or any(e.compress_type for e in entries.values()) or unpacked > len(content):
        raise Refusal("is another kind of zip archive")
    place = pickles[0].removesuffix("data.pkl")
    if place + "byteorder" in entries and archive.read(place + "byteorder") != b"little":
        raise Refusal("was not written on a little-endian machine")
    tensors = _tensors(run(io.BytesIO(archive.read(pickles[0]))))
    return tensors, functools.cache(lambda storage: archive.read(f"{place}data/{storage.key}"))


def _tensors(state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise Refusal(f"is a {type(state).__name__}" if state else "is empty")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise Refusal(f"holds a {type(value).__name__.strip('_').lower()} under {name[:80]!r}")
    return state


def _array(name: str, tensor: Tensor, storages: Callable[[Storage], bytes]) -> np.ndarray:
    storage, offset, shape, strides = tensor
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    data = storages(storage)
    if len(data) != storage.length * storage.dtype.itemsize:
        raise ValueError(f"{name} has {len(data)} bytes instead of {storage.length * storage.dtype.itemsize}")
    if math.prod(shape) > storage.length or (0 not in shape and last >= storage.length):
        raise ValueError(f"{name} {list(shape)} reaches beyond its {storage.length} numbers")
    flat = np.frombuffer(data, storage.dtype)[offset:]
    steps = [stride * storage.dtype.itemsize for stride in strides]
    array = (
        np.lib.stride_tricks.as_strided(flat, shape, steps) if 0 not in shape else np.zeros(shape, flat.dtype)
    )
    return array.astype(storage.dtype.newbyteorder("="))


def _natural(*numbers: Any) -> bool:
    return all(type(n) is int and 0 <= n < 2**48 for n in numbers)
