"""Inputs as bytes: PNG for an image, `.npy` for a row, JSON for a set; NumPy and Pillow, never pickle."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from xplore.errors import InputError, told

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 2**26
"""Of one picture: a small file may say that it holds more than fits into memory."""
PNG, NPY, SETS = "image/png", "application/x-npy", "application/json"


def to_png(codes: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A lossless PNG of a grey (`c = 1`) or colour (`c = 3`) image."""
    from PIL import Image

    image = Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def from_png(data: bytes) -> UInt8[np.ndarray, "h w c"]:
    """The image that `to_png` wrote.

    >>> from_png(to_png(np.eye(3, dtype=np.uint8)[..., None]))[..., 0].tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

    Raises:
        InputError: it is anything else, or holds more than `MOST_PIXELS`.
    """
    image = opened_png(data)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise InputError("a stored picture", expected="a PNG of 8 bits a channel", got=image.mode)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def opened_png(data: bytes) -> Image.Image:
    """A PNG of any mode, decoded; its size is looked at before.

    Raises:
        InputError: it is no PNG, a damaged one, or holds more than `MOST_PIXELS`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=["PNG"])
        pixels = image.width * image.height
        if pixels <= MOST_PIXELS:
            image.load()
            return image
        came = f"{image.width} x {image.height}"
    except Image.DecompressionBombError:
        came = "one that could fill the memory"
    except (OSError, ValueError, SyntaxError, OverflowError, struct.error, zlib.error) as error:
        raise InputError("a stored picture", expected="PNG", got=told(error)) from error
    raise InputError("a stored picture", expected=f"at most {MOST_PIXELS:,} pixels", got=came)


def to_npy(row: Float32[np.ndarray, " d"]) -> bytes:
    """A row as `.npy`, version 1.0, little endian: `numpy.load` opens it, too."""
    return _head(row.size) + row.astype("<f4").tobytes()


def from_npy(data: bytes) -> Float32[np.ndarray, " d"]:
    """The row that `to_npy` wrote; its header is compared, never interpreted.

    >>> from_npy(to_npy(np.array([0.5, 3], np.float32))).tolist()
    [0.5, 3.0]

    Raises:
        InputError: it is anything else, or holds what is no finite number.
    """
    size, odd = divmod(len(data) - len(_head(0)), 4)
    if size < 0 or odd or not data.startswith(_head(size)):
        raise InputError("a stored row", expected="a .npy of float32 [d]", got=f"{len(data)} other bytes")
    row = np.frombuffer(data, "<f4", offset=len(_head(size))).astype(np.float32)
    if not np.isfinite(row).all():
        raise InputError("a stored row", expected="finite numbers", got="NaN or infinite ones")
    return row


def to_set(ones: Sequence[int], names: Sequence[str], size: int) -> bytes:
    """Which of `size` features there are, with their names, as JSON.

    >>> to_set([2], ["permission::X"], 5)
    b'{"features": 5, "ones": {"2": "permission::X"}}'
    """
    return json.dumps({"features": size, "ones": dict(zip(ones, names, strict=True))}).encode()


def from_set(data: bytes) -> tuple[dict[int, str], int]:
    """The features by number that `to_set` wrote, in order, and of how many.

    Raises:
        InputError: it is anything else.
    """
    try:
        said = json.loads(data)
        size, ones = said["features"], {int(at): str(name) for at, name in said["ones"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        came = f"{len(data)} other bytes"
        raise InputError("a stored set", expected="features by number, as JSON", got=came) from error
    if type(size) is not int or sorted(ones) != [*ones] or not all(0 <= at < size for at in ones):
        raise InputError("a stored set", expected="numbers in order, below `features`", got="others")
    return ones, size


def _head(size: int) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()
