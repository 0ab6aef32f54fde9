"""The idx format of MNIST and Fashion-MNIST: big-endian arrays behind a short header, plain or gzipped."""

import io
import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Shaped, UInt8

from xplore._util.errors import InputError
from xplore._util.files import FRESH_COPY, found, opened
from xplore.data._base import Inputs

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LARGEST = 2**30  # bytes of one array; all of EMNIST stays below, a hostile header does not
PARTS = {"test": "t10k", "train": "train"}

_MOST_DIMENSIONS = 8
_CHUNK = 2**20


def read_idx(path: str | os.PathLike[str], largest: int = LARGEST) -> Shaped[np.ndarray, "..."]:
    """The array of one idx file, in the machine's own byte order.

    Gzip is told by the first two bytes, not by the suffix. At most `largest` bytes of array are accepted and
    never more than the declared size (and one byte) is read, so a small gzip cannot expand to fill the
    memory. Raises `InputError` for a file that is missing, empty, truncated, too long, too large, or of
    another format.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    with opened(path, "an idx file") as stream:
        return _read(stream, Path(path), largest)


def load(path: str | os.PathLike[str], part: str = "test", classes: tuple[str, ...] = ()) -> Inputs:
    """Images and labels from a folder with the four standard files, or from one file of images.

    In a folder `part` ("test" or "train") chooses `t10k-*` or `train-*`, with or without `.gz`, also spelled
    `t10k-images.idx3-ubyte`. For a single file of images the labels are looked for beside it; a folder
    or a file without labels gives `labels=None`. Without `classes` the labels' own numbers name them.
    Raises `InputError`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> head = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2])  # uint8, 1 x 2 x 2
    >>> _ = (folder / "t10k-images-idx3-ubyte").write_bytes(head + bytes([9, 8, 7, 6]))
    >>> load(folder).images[0, ..., 0].tolist()
    [[9, 8], [7, 6]]
    """
    path = Path(path)
    if _kind(path) == "folder":
        images_path = _in_folder(path, part)
        name = f"{path.resolve().name}/{part}"
    else:
        images_path, name = path, path.name
    images = read_idx(images_path)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise InputError(
            str(images_path),
            expected="images, uint8 [n h w]",
            got=f"{images.dtype} {list(images.shape)}",
            fix="name the file of images, not the one of labels",
        )
    labels = _labels_beside(images_path, images)
    if labels is not None and not classes:
        classes = tuple(str(number) for number in range(int(labels.max()) + 1))
    return Inputs(images[..., None], labels, name, classes)


def _kind(path: Path) -> str:
    try:
        return "folder" if path.is_dir() else "file"
    except (OSError, ValueError):
        return "file"  # read_idx says what is wrong with it


def _in_folder(folder: Path, part: str) -> Path:
    if part not in PARTS:
        raise InputError("part", expected=" or ".join(map(repr, PARTS)), got=repr(part))
    names = [f"{PARTS[part]}-images{mark}idx3-ubyte{suffix}" for mark in "-." for suffix in ("", ".gz")]
    images = found(folder, *names)
    if images is not None:
        return images
    try:
        present = sorted(entry.name for entry in folder.iterdir())[:5]
    except OSError as error:
        raise InputError(str(folder), expected="a readable folder", got=str(error)) from error
    raise InputError(
        str(folder),
        expected=f"{names[0]} or {names[1]} in this folder",
        got=", ".join(present) if present else "an empty folder",
        fix="name the folder with the four files of the data set",
    )


def _labels_beside(images_path: Path, images: UInt8[np.ndarray, "n h w"]) -> Int64[np.ndarray, " n"] | None:
    name = images_path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    if "images" not in images_path.name:
        return None
    labels_path = found(images_path.parent, name, f"{name}.gz")
    if labels_path is None:
        return None
    labels = read_idx(labels_path)
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise InputError(
            str(labels_path),
            expected=f"uint8 [{len(images)}], one label for each image of {images_path.name}",
            got=f"{labels.dtype} {list(labels.shape)}",
            fix="use the images and labels of one data set",
        )
    return labels.astype(np.int64)


def _read(stream: io.BufferedIOBase, path: Path, largest: int) -> Shaped[np.ndarray, "..."]:
    magic = stream.read(4)
    if not magic:
        raise InputError(str(path), expected="an idx file", got="an empty file", fix=FRESH_COPY)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise InputError(
            str(path),
            expected="an idx file, which starts with two zero bytes, a type and a number of dimensions",
            got=f"the bytes {magic.hex(' ')}",
            fix="name an idx file, plain or gzipped",
        )
    if magic[2] not in DTYPES or not 1 <= magic[3] <= _MOST_DIMENSIONS:
        types = ", ".join(f"{code:#04x}" for code in DTYPES)
        raise InputError(
            str(path),
            expected=f"an idx type ({types}) and 1 to {_MOST_DIMENSIONS} dimensions",
            got=f"type {magic[2]:#04x} and {magic[3]} dimensions",
            fix=FRESH_COPY,
        )
    dtype = np.dtype(DTYPES[magic[2]])
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise InputError(
            str(path), expected=f"{magic[3]} dimensions", got="a file that ends before", fix=FRESH_COPY
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    declared = math.prod(shape) * dtype.itemsize
    if not 0 < declared <= largest:
        raise InputError(
            str(path),
            expected=f"an array of 1 to {largest} bytes",
            got=f"{list(shape)} of {dtype.itemsize} bytes each, {declared} in all",
            fix="raise `largest` if the file is to be trusted" if declared else FRESH_COPY,
        )
    content = bytearray()
    # In chunks: what is allocated follows what the file holds, not what its header claims.
    while chunk := stream.read(min(_CHUNK, declared + 1 - len(content))):
        content += chunk
    if len(content) != declared:
        came = "more" if len(content) > declared else f"{len(content)}"
        raise InputError(
            str(path),
            expected=f"{declared} bytes after the header, for {list(shape)}",
            got=came,
            fix=FRESH_COPY,
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
