"""Pictures from files that may be anything: opened within limits, upright, RGB, or refused with a reason."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xplore.errors import InputError, told
from xplore.files import FRESH_COPY, contents

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
LARGEST = 2**26  # bytes of one file; how many pixels it may hold is Pillow's own limit


def read_picture(path: str | os.PathLike[str]) -> Image.Image:
    """One picture, decoded whole, turned as its EXIF says, as RGB of 8 bits.

    Transparent parts lie on white, 16 bits become 8, of an animation the first frame is taken. A file holds
    at most `LARGEST` bytes and `PIL.Image.MAX_IMAGE_PIXELS` pixels: Pillow's limit against decompression
    bombs, where Pillow itself only warns up to twice that. Raises `InputError` for a file that is missing,
    empty, too large, truncated, or of another format than `FORMATS`.

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
                return _rgb(ImageOps.exif_transpose(image))
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
                str(path), expected="a whole picture", got=f"a damaged one ({told(error)})", fix=FRESH_COPY
            ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # grey of 16 bits: Pillow's own conversion would cut off, not scale
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(np.round(levels / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
