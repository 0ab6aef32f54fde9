"""Where models steer, drawn on what they saw: an arrow a model, in its colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from xplore.archive.records import Finding
from xplore.report.pictures import decode
from xplore.report.reading import Reading
from xplore.report.rows import finite

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2")
"""Okabe and Ito (2008): told apart by colour-blind readers, too; an eighth model begins anew."""
LEAST = 240
_FINE = 4


def drawn(reading: Reading, finding: Finding) -> list[Image.Image]:
    """Seed, finding and, where there is one, its smallest change, as they are shown: with an arrow for each
    model that steers.
    """
    inputs = [finding.before, finding.after, *([finding.shrunk.after] if finding.shrunk else [])]
    pictures = [decode(data) for data in inputs]
    if not reading.steers:
        return pictures
    recorded = [finding.probabilities, *([finding.shrunk.probabilities] if finding.shrunk else [])]
    angles = [finding.measures.get("seed_values") or (), *(outputs[:, 0].tolist() for outputs in recorded)]
    return [arrows(picture, angle) for picture, angle in zip(pictures, angles, strict=True)]


def arrows(image: Image.Image, angles: Sequence[float | None]) -> Image.Image:
    """The picture, at least `LEAST` high, with an arrow an angle (radians, positive to the left) from below.

    >>> arrows(Image.new("RGB", (160, 120)), [0.0, 0.5]).size
    (320, 240)
    """
    times = max(1, math.ceil(LEAST / image.height))
    size = (image.width * times, image.height * times)
    image = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    fine = Image.new("RGBA", (size[0] * _FINE, size[1] * _FINE))
    draw = ImageDraw.Draw(fine)
    for edge, colours in ((5, ("#000000",)), (0, COLOURS)):
        for number, angle in enumerate(angles):
            if (turned := finite(angle)) is None:
                continue
            _arrow(draw, fine.size, turned, size[1] / 55, edge, colours[number % len(colours)])
    image.paste(small := fine.resize(size, Image.Resampling.LANCZOS), (0, 0), small)
    return image


def _arrow(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], angle: float, width: float, edge: float, colour: str
) -> None:
    """A shaft and a head, `edge` wider all around than `width` says."""
    width = _FINE * width
    length, side = 0.45 * size[1], (math.cos(angle), -math.sin(angle))
    ahead = (-math.sin(angle), -math.cos(angle))
    start = (size[0] / 2, size[1] - 2 * width)

    def at(along: float, across: float) -> tuple[float, float]:
        x, y = (start[i] + along * ahead[i] + across * side[i] for i in (0, 1))
        return x, y

    neck, half = length - 4 * width, width / 2 + edge
    corners = [
        (-edge, -half),
        (neck, -half),
        (neck - edge, -1.7 * width - 2 * edge),
        (length + 3 * edge, 0.0),
    ]
    draw.polygon([at(*c) for c in corners] + [at(a, -b) for a, b in corners[2::-1]], fill=colour)
