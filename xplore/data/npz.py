"""Arrays in an `.npz` file of NumPy: mapped where they lie, so that a file may be larger than the memory."""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped, UInt8

from xplore._util.errors import InputError, one_line
from xplore._util.files import FRESH_COPY
from xplore.data._base import Inputs, Unread

LARGEST = 2**30
"""Bytes of an array that is read into memory: a compressed one, and labels."""
MOST_CLASSES = 2**16
"""Classes that are named by their numbers."""

_LOCAL = struct.Struct("<4s22xHH")  # of a member's own header: the mark, ..., the lengths of two names
_ENCRYPTED = 1
_CHUNK = 2**20
_NEAR = 255e-5
"""Of a level: how far a float of 32 bits may be from what it stands for."""
_STORE = "store it plain, by np.savez"


def load(
    path: str | os.PathLike[str], images: str = "images", labels: str = "labels", classes: Sequence[str] = ()
) -> Inputs:
    """Images uint8 [n h w c] or [n h w], and labels where the file has them, from a file of `np.savez`.

    Floats are taken where each is a level of 8 bits, k/255.

    What is stored plain is mapped and read when it is asked for: a campaign needs no memory for more than a
    round. A compressed array (`np.savez_compressed`) is read whole, up to `LARGEST` bytes. Labels are whole
    numbers (-1: not known), values, or names, which are then the classes, sorted. Without `classes` whole
    numbers name themselves. No pickle is read. Raises `InputError`.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "digits.npz")
    >>> np.savez(file, images=np.zeros((3, 8, 8), np.uint8), labels=[2, 0, 1])
    >>> digits = load(file)
    >>> type(digits.images).__name__, digits.images.shape, digits.classes
    ('memmap', (3, 8, 8, 1), ('0', '1', '2'))
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as file, path.open("rb") as plain:
            pixels = _array(file, plain, path, images)
            known = None
            if f"{labels}.npy" in file.namelist():
                known = _array(file, plain, path, labels)
    except InputError:
        raise
    except zipfile.BadZipFile as error:
        raise InputError(
            str(path), expected="a whole .npz file", got=one_line(error), fix=FRESH_COPY
        ) from error
    except (OSError, ValueError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(
            str(path), expected="an .npz file", got=one_line(error), fix="check the path"
        ) from error
    what = f"{path}, {images}"
    if pixels.dtype.kind not in "uf" or pixels.ndim not in (3, 4) or 0 in pixels.shape:
        raise _no_images(what, pixels)
    pixels = pixels if pixels.ndim == 4 else pixels[..., None]
    if pixels.dtype.kind == "f":
        pixels = Levels(pixels, what)
        pixels.read(0)
    elif pixels.dtype != np.uint8:
        raise _no_images(what, pixels)
    return Inputs(pixels, *_labels(known, tuple(classes), f"{path}, {labels}", path.name))


class Levels(Unread):
    """Images of floats, each of which is a level, k/255, but for rounding errors.

    >>> Levels(np.array([[[[0.2], [1.0]]]]), "two pixels")[0].ravel().tolist()
    [51, 255]
    """

    def __init__(self, images: Float[np.ndarray, "n h w c"], what: str) -> None:
        self._images, self._what = images, what

    def __str__(self) -> str:
        return self._what

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._images.shape

    def read(self, number: int) -> UInt8[np.ndarray, "h w c"]:
        """One of them; raises `InputError` where a number is no level."""
        exact = 255 * np.asarray(self._images[number], np.float64)
        levels = np.round(exact)
        near = (np.abs(exact - levels) <= _NEAR) & (levels >= 0) & (levels <= 255)  # NaN is near none
        if not near.all():
            raise _no_images(self._what, self._images, f", {exact[~near][0] / 255:g} for one")
        return levels.astype(np.uint8)


def _no_images(what: str, array: Shaped[np.ndarray, "..."], also: str = "") -> InputError:
    return InputError(
        what,
        expected="images, uint8 [n h w c] or [n h w], or floats that are levels of 8 bits, k/255",
        got=f"{array.dtype} {list(array.shape)}{also}",
        fix="name another array, or store levels: np.round(255 * x).astype(np.uint8)",
    )


def _labels(
    known: Shaped[np.ndarray, "..."] | None, classes: tuple[str, ...], what: str, name: str
) -> tuple[Int64[np.ndarray, " n"] | Float64[np.ndarray, " n"] | None, str, tuple[str, ...]]:
    """Labels, the data set's name, and those of its classes."""
    if known is None:
        return None, name, classes
    if known.nbytes > LARGEST:
        raise InputError(what, expected=f"labels of at most {LARGEST} bytes", got=str(known.nbytes))
    if known.dtype.kind == "f":
        return np.array(known, np.float64), name, classes
    if known.dtype.kind == "U" and known.ndim == 1:
        classes = classes or tuple(sorted(set(known.tolist())))
        number = {word: index for index, word in enumerate(classes)}
        if others := sorted(set(known.tolist()) - set(classes)):
            raise InputError(what, expected=f"one of {', '.join(classes)}", got=repr(others[0]))
        return np.array([number[word] for word in known.tolist()], np.int64), name, classes
    if not np.can_cast(known.dtype, np.int64):
        raise InputError(what, expected="whole numbers, values or names", got=str(known.dtype))
    known = np.array(known, np.int64)
    if not classes:
        classes = tuple(map(str, range(min(int(known.max(initial=-1)) + 1, MOST_CLASSES))))
    return known, name, classes


def _array(file: zipfile.ZipFile, plain: Any, path: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """An array of the file: mapped, if it lies there as it is, or else read."""
    try:
        member = file.getinfo(f"{name}.npy")
    except KeyError:
        others = ", ".join(one.removesuffix(".npy") for one in file.namelist()[:8])
        fix = f"name it: images={others.split(', ')[0]!r}" if others else ""
        raise InputError(str(path), expected=f"an array {name!r}", got=others or "none", fix=fix) from None
    what = f"{path}, {name}"
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    ):
        raise InputError(what, expected="an array that is stored plain", got="another form", fix=_STORE)
    if member.compress_type == zipfile.ZIP_DEFLATED:
        with file.open(member) as stream:
            return _read(stream, what, member.file_size)
    start = _start(plain, member, what)
    plain.seek(start)
    shape, order, dtype = _header(plain, what)
    first = plain.tell()
    _fits(what, math.prod(shape) * dtype.itemsize, member.file_size - (first - start))
    if start + member.file_size > os.fstat(plain.fileno()).st_size:
        raise InputError(what, expected="a whole file", got="one that ends before", fix=FRESH_COPY)
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", first, shape, "F" if order else "C")


def _start(plain: Any, member: zipfile.ZipInfo, what: str) -> int:
    """Where the bytes of a member that is stored plain begin."""
    plain.seek(member.header_offset)
    local = plain.read(_LOCAL.size)
    if len(local) < _LOCAL.size or local[:4] != b"PK\x03\x04":
        raise InputError(what, expected="a whole .npz file", got="a damaged one", fix=FRESH_COPY)
    _, name, extra = _LOCAL.unpack(local)
    return member.header_offset + _LOCAL.size + name + extra


def _header(stream: Any, what: str) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether columns come first, and kind of numbers, of an array that holds no objects."""
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, order, dtype = read[version](stream)
    except Exception as error:  # what NumPy raises on damaged bytes is of many kinds
        raise InputError(what, expected="an array", got=f"a damaged one ({one_line(error)})") from error
    if dtype.hasobject or dtype.names or dtype.subdtype or any(size < 0 for size in shape):
        raise InputError(what, expected="an array of numbers", got=f"{dtype} {list(shape)}")
    return shape, order, dtype


def _fits(what: str, declared: int, held: int) -> None:
    if declared != held:
        raise InputError(what, expected=f"{declared} bytes of an array", got=str(held), fix=FRESH_COPY)


def _read(stream: Any, what: str, size: int) -> Shaped[np.ndarray, "..."]:
    """A compressed array; what is allocated follows what the file holds, not what it claims."""
    if size > LARGEST:
        got = f"{size}, which are compressed"
        raise InputError(what, expected=f"at most {LARGEST} bytes", got=got, fix=_STORE)
    shape, order, dtype = _header(stream, what)
    declared = math.prod(shape) * dtype.itemsize
    if declared > LARGEST:
        raise InputError(what, expected=f"at most {LARGEST} bytes", got=str(declared), fix=FRESH_COPY)
    content = bytearray()
    while chunk := stream.read(min(_CHUNK, declared + 1 - len(content))):
        content += chunk
    _fits(what, declared, len(content))
    return np.frombuffer(content, dtype).reshape(shape, order="F" if order else "C")
