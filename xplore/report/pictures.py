"""Pictures of findings: decoded, compared, enlarged, laid out; Pillow only."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from xplore.inputs.media import opened_png

LARGEST = 2048
SMALL = 64
"""Pictures up to this side are shown pixel by pixel; larger ones are smoothed."""

_BRIGHTER, _DARKER = np.array([201, 84, 0.0]), np.array([11, 92, 173.0])
_GHOST = 38.0


def decode(png: bytes) -> Image.Image:
    """The picture as stored, grey or RGB; one that is larger than any screen is scaled down.

    Raises:
        InputError: it is no picture, or holds more than `media.MOST_PIXELS`.
    """
    image = opened_png(png)
    if image.mode.startswith("I"):
        return reduce(
            Image.fromarray((np.asarray(image) / np.float32(257)).round().astype(np.uint8)), LARGEST
        )
    return reduce(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), LARGEST)


def difference(seed: Image.Image, finding: Image.Image) -> tuple[Image.Image, float]:
    """What changed, amplified, and by how much: orange is brighter, blue darker, over a ghost of the seed.

    >>> black, spot = Image.new("L", (2, 1)), Image.new("L", (2, 1))
    >>> spot.putpixel((1, 0), 51)
    >>> picture, times = difference(black, spot)
    >>> picture.getpixel((1, 0)), times
    ((201, 84, 0), 5.0)
    """
    before, after = _brightness(seed), _brightness(finding)
    change = after - before
    sizes = np.abs(change[change != 0])
    # Not the largest: one bright pixel must not pale the rest.
    times = 255 / float(np.quantile(sizes, 0.95)) if sizes.size else 1.0
    ghost = 255 - _GHOST * np.abs(before - np.median(before)) / 255
    # The root lets small changes be seen beside the largest.
    weight = np.sqrt((np.abs(change) * times / 255).clip(0, 1))[..., None]
    tint = np.where((change > 0)[..., None], _BRIGHTER, _DARKER)
    mixed = (1 - weight) * ghost[..., None] + weight * tint
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)), times


def enlarge(image: Image.Image, side: int) -> Image.Image:
    """A small picture enlarged by whole pixels to about `side`; others as they are."""
    times = max(1, side // max(image.size)) if max(image.size) <= SMALL else 1
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def reduce(image: Image.Image, side: int) -> Image.Image:
    """A picture made no larger than `side`, its proportions kept."""
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if scale == 1 else image.resize(size, Image.Resampling.LANCZOS)


def triptych(
    seed: Image.Image,
    finding: Image.Image,
    side: int = 224,
    gap: int = 8,
    drawn: Sequence[Image.Image] | None = None,
) -> Image.Image:
    """Seed, finding and change side by side; the first two as `drawn`, where that is given."""
    parts = [enlarge(part, side) for part in (*(drawn or (seed, finding)), difference(seed, finding)[0])]
    return sheet(parts, columns=3, gap=gap)


def sheet(images: Sequence[Image.Image], columns: int, gap: int = 0) -> Image.Image:
    """Pictures in rows, each in a cell as large as the largest; grey if all are grey."""
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    columns, rows = min(columns, len(images)), -(-len(images) // columns)
    mode = "L" if all(image.mode == "L" for image in images) else "RGB"
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    page = Image.new(mode, size, "white")
    for i, image in enumerate(images):
        page.paste(image, (i % columns * (width + gap), i // columns * (height + gap)))
    return page


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    # Pillow's `optimize` takes ten times as long for a tenth of the size.
    image.save(data, "PNG", compress_level=9 if max(image.size) <= SMALL else 6)
    return data.getvalue()


def webp(image: Image.Image, quality: int) -> bytes:
    data = io.BytesIO()
    image.convert("RGB").save(data, "WEBP", quality=quality, method=3)
    return data.getvalue()


def data_uri(image: Image.Image, limit: int) -> str:
    """A picture inside a page: exact PNG within `limit` bytes, else compressed to about that."""
    exact = png(image) if image.width * image.height <= SMALL * SMALL * 16 else b""
    if exact and len(exact) <= limit:
        return embed(exact, "png")
    packed = b""
    for side, quality in ((256, 88), (256, 75), (224, 60), (160, 50), (112, 40)):
        packed = webp(reduce(image, side), quality)
        if len(packed) <= limit:
            break
    return embed(packed, "webp")


def embed(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _brightness(image: Image.Image) -> Float[np.ndarray, "h w"]:
    values = np.asarray(image).astype(float)
    return values.mean(axis=2) if values.ndim == 3 else values
