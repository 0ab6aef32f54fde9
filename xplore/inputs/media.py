"""Inputs as bytes: PNG for an image, `.npy` for a row, JSON for a set; NumPy and Pillow, never pickle."""

from __future__ import annotations

import io
import json
import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from xplore._util.errors import InputError, one_line, visible

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 2**26
"""Of one picture: a small file may say that it holds more than fits into memory."""
MOST_IN_COLOUR = 4
"""Channels of an image that a PNG holds as such."""
CHANNELS = "xplore channels"
"""The keyword of a PNG's text that says how many there are in a grid."""
PNG, NPY, SETS = "image/png", "application/x-npy", "application/json"


def to_png(codes: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A lossless PNG of a grey (`c = 1`) or colour (`c = 3`) image, or of one with transparency (2, 4).

    Of an image of more channels the picture is a grid of them, each in grey, and says how many there are.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    channels, info = codes.shape[-1], PngInfo()
    if channels > MOST_IN_COLOUR:
        info.add_text(CHANNELS, str(channels))
        codes = _grid(codes)
    image = Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes)
    buffer = io.BytesIO()
    image.save(buffer, "png", pnginfo=info)
    return buffer.getvalue()


def from_png(data: bytes) -> UInt8[np.ndarray, "h w c"]:
    """The image that `to_png` wrote.

    >>> from_png(to_png(np.eye(3, dtype=np.uint8)[..., None]))[..., 0].tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    >>> from_png(to_png(np.zeros((2, 3, 13), np.uint8))).shape
    (2, 3, 13)

    Raises:
        InputError: it is anything else, or holds more than `MOST_PIXELS`.
    """
    image = opened_png(data)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise InputError("a stored picture", expected="a PNG of 8 bits a channel", got=image.mode)
    pixels, channels = np.asarray(image), image.info.get(CHANNELS)
    if channels is not None:
        return _from_grid(pixels, str(channels))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _sides(channels: int) -> tuple[int, int]:
    """Rows and columns of a grid of channels."""
    columns = math.isqrt(channels - 1) + 1
    return -(-channels // columns), columns


def _grid(codes: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "gh gw 1"]:
    """The channels side by side, black where the grid has room for more."""
    high, wide, channels = codes.shape
    rows, columns = _sides(channels)
    filled = np.pad(codes, ((0, 0), (0, 0), (0, rows * columns - channels)))
    cells = filled.reshape(high, wide, rows, columns).transpose(2, 0, 3, 1)
    return cells.reshape(rows * high, columns * wide, 1)


def _from_grid(pixels: UInt8[np.ndarray, "gh gw *one"], text: str) -> UInt8[np.ndarray, "h w c"]:
    """The image whose channels lie side by side, so many as is `said`."""
    channels = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    rows, columns = _sides(channels) if channels > MOST_IN_COLOUR else (0, 0)
    if pixels.ndim > 2 or not rows or pixels.shape[0] % rows or pixels.shape[1] % columns:
        came = f"{visible(text[:20])} channels in {pixels.shape}"
        raise InputError("a stored picture", expected="a grid of grey channels", got=came)
    cells = pixels.reshape(rows, pixels.shape[0] // rows, columns, -1).transpose(1, 3, 0, 2)
    return cells.reshape(*cells.shape[:2], rows * columns)[..., :channels]


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
        raise InputError("a stored picture", expected="PNG", got=one_line(error)) from error
    raise InputError("a stored picture", expected=f"at most {MOST_PIXELS:,} pixels", got=came)


def to_npy(row: Float32[np.ndarray, " d"]) -> bytes:
    """A row as `.npy`, version 1.0, little endian: `numpy.load` opens it, too. NaN has one form of bytes."""
    return _head(row.size) + np.where(np.isnan(row), np.float32(np.nan), row).astype("<f4").tobytes()


def from_npy(data: bytes) -> Float32[np.ndarray, " d"]:
    """The row that `to_npy` wrote; its header is compared, never interpreted. NaN is a missing value.

    >>> from_npy(to_npy(np.array([0.5, 3], np.float32))).tolist()
    [0.5, 3.0]

    Raises:
        InputError: it is anything else, or holds infinity.
    """
    size, odd = divmod(len(data) - len(_head(0)), 4)
    if size < 0 or odd or not data.startswith(_head(size)):
        raise InputError("a stored row", expected="a .npy of float32 [d]", got=f"{len(data)} other bytes")
    row = np.frombuffer(data, "<f4", offset=len(_head(size))).astype(np.float32)
    if np.isinf(row).any():
        raise InputError("a stored row", expected="finite numbers", got="infinite ones")
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
        listed = json.loads(data)
        size, ones = listed["features"], {int(at): str(name) for at, name in listed["ones"].items()}
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
