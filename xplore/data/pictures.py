"""Pictures from files that may be anything: opened within limits, upright, in 8 bits, or refused and why."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from xplore._util.errors import InputError, one_line
from xplore._util.files import FRESH_COPY, contents, inside
from xplore.data._base import Unread

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
LARGEST = 2**26  # bytes of one file; how many pixels it may hold is Pillow's own limit


MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Of so many channels, what Pillow calls them."""


def read_picture(path: str | os.PathLike[str], channels: int = 3) -> Image.Image:
    """One picture, decoded whole, turned as its EXIF says, as RGB of 8 bits, or of other `channels`.

    Transparent parts lie on white where no channel is for them, 16 bits become 8, of an animation the first
    frame is taken. A file holds at most `LARGEST` bytes and `PIL.Image.MAX_IMAGE_PIXELS` pixels: Pillow's
    limit against decompression bombs, where Pillow itself only warns up to twice that. Raises `InputError`
    for a file that is missing, empty, too large, truncated, or of another format than `FORMATS`.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (4, 2), 128).save(file)
    >>> read_picture(file).getpixel((0, 0))
    (128, 128, 128)
    """
    path = Path(path)
    content = contents(path, "a picture", LARGEST, fix="scale the picture down")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a damaged EXIF block, of a palette's transparency
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                image.load()
                return _converted(ImageOps.exif_transpose(image), MODES[channels])
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(
                str(path),
                expected=f"at most {Image.MAX_IMAGE_PIXELS} pixels",
                got=f"a picture that could fill the memory ({error})",
                fix="scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if the file is to be trusted",
            ) from error
        except Image.UnidentifiedImageError as error:
            raise InputError(
                str(path),
                expected=f"a picture ({', '.join(FORMATS)})",
                got=f"{len(content)} bytes that are none",
                fix="name pictures alone, or save it in one of these formats",
            ) from error
        except Exception as error:  # decoders raise many kinds of error on damaged bytes
            raise InputError(
                str(path),
                expected="a whole picture",
                got=f"a damaged one ({one_line(error)})",
                fix=FRESH_COPY,
            ) from error


def check_files(folder: str | os.PathLike[str], files: Sequence[str]) -> None:
    """Does a folder hold files of these names that may be pictures? None is opened; raises `InputError`.

    >>> check_files(".", ["none.png"])
    Traceback (most recent call last):
    xplore.InputError: ./none.png: expected a picture of at most 67108864 bytes, got no such file
    """
    known: set[str] = set()
    for file in files:
        path = os.path.join(folder, file)
        parent = os.path.dirname(path)
        # To follow the links of 100,000 paths takes long, and `read` asks again.
        if parent not in known or os.path.islink(path):
            inside(folder, file)
            known.add(parent)
        _check_file(path)


def _check_file(path: str) -> None:
    try:
        about = os.stat(path)
    except FileNotFoundError:
        came = "no such file"
    except (OSError, ValueError) as error:
        came = one_line(error)
    else:
        came = "" if about.st_size else "an empty file"
        came = f"{about.st_size} bytes" if about.st_size > LARGEST else came
        came = came if stat.S_ISREG(about.st_mode) else "something else"
    if came:
        raise InputError(path, expected=f"a picture of at most {LARGEST} bytes", got=came)


def fitted(image: Image.Image, size: int, crop: float) -> UInt8[np.ndarray, "size size channels"]:
    """The middle of a picture, `crop` of its shorter side each way, scaled with antialiasing.

    >>> fitted(Image.new("RGB", (40, 30), "white"), size=8, crop=1.0).shape
    (8, 8, 3)
    """
    left, top = ((length - crop * min(image.size)) / 2 for length in image.size)
    box = (left, top, image.width - left, image.height - top)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box)).reshape(size, size, -1)


class Pictures(Unread):
    """Pictures of a folder, by name, each `fitted` when it is asked for.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a.png", "b.png"):
    ...     Image.new("RGB", (9, 6), name[0] == "b" and "white" or "black").save(folder / name)
    >>> Pictures(folder, ["a.png", "b.png"], size=4)[:].mean(axis=(1, 2, 3)).tolist()
    [0.0, 255.0]
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        files: Sequence[str],
        size: int,
        crop: float = 1.0,
        channels: int = 3,
    ) -> None:
        self.folder, self.files, self.size, self.crop = Path(folder), files, size, crop
        self.channels = channels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.files), self.size, self.size, self.channels)

    def read(self, number: int) -> UInt8[np.ndarray, "size size channels"]:
        picture = read_picture(inside(self.folder, self.files[number]), self.channels)
        return fitted(picture, self.size, self.crop)

    def __repr__(self) -> str:
        return f"<{len(self)} pictures in {self.folder}>"


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # grey of 16 bits: Pillow's own conversion would cut off, not scale
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(np.round(levels / 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data and not mode.endswith("A"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert(mode)
    return image.convert(mode)
