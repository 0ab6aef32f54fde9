"""A square for each cell of each neuron: how often the inputs on which models differ reach it."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int
from markupsafe import Markup, escape
from PIL import Image

from xplore.report.pictures import embed, png
from xplore.report.reading import Reading
from xplore.report.words import count, percent, plural

LEVELS = (0.01, 0.05, 0.2, 0.5, 1.0)
LEGEND = ("never", "up to 1 %", "to 5 %", "to 20 %", "to 50 %", "to 100 %")
MOST_CELLS = 6000
MOST_COUNTS = 150_000
COLOURS = ("#ffffff", "#d5e3f1", "#a3c4e4", "#649bd0", "#2a6fb5", "#083f7a")
NEVER = "#b35900"
_COLUMNS, _PIXELS = (160, 280), (5, 3)
_WIDE = 3000


def coverage_map(reading: Reading) -> list[dict[str, Any]]:
    """Each model's layers, each with its cells as markup; neuron after neuron, where one has several.

    Cells are elements of the page up to `MOST_CELLS` of them; beyond that one picture a layer, a pixel a
    cell, with the counts beside it for the pointer.
    """
    if not (reading.spans and reading.criteria):
        return []
    inputs, cells, models = max(len(reading.rows), 1), reading.hits.size, []
    each = len(reading.hits)
    for name, model, span in zip(reading.models, reading.layout, reading.spans, strict=True):
        if span.stop == span.start:  # a black box has no neurons
            continue
        start, layers = span.start, []
        for layer in model["layers"]:
            hits = reading.hits[:, start : start + layer["units"]].T.ravel()
            start += layer["units"]
            reached = int((hits > 0).sum())
            draw = _cells if cells <= MOST_CELLS else _picture
            layers.append(
                {
                    "name": layer.get("name") or "",
                    "kind": layer.get("kind", ""),
                    "count": len(hits),
                    "reached": reached,
                    "cells": draw(layer.get("name") or "", hits, inputs, cells, each),
                }
            )
        models.append(
            {
                "name": name,
                "layers": layers,
                "count": (span.stop - span.start) * each,
                "reached": sum(layer["reached"] for layer in layers),
            }
        )
    return models


def levels(hits: Int[np.ndarray, " n"], inputs: int) -> Int[np.ndarray, " n"]:
    """0 for never, else 1 to 5: rising steps of the share of inputs that hit.

    >>> levels(np.array([0, 1, 5, 20, 50, 51, 100]), 100).tolist()
    [0, 1, 2, 3, 4, 5, 5]
    """
    return np.where(hits > 0, 1 + np.searchsorted(LEVELS, hits / inputs - 1e-12), 0).clip(0, len(LEVELS))


def _cells(layer: str, hits: Int[np.ndarray, " n"], inputs: int, cells: int, each: int) -> Markup:
    squares = "".join(
        f'<i class="h{level}" title="{_name(i, each)}: {n if n else "never"}"></i>'
        for i, (n, level) in enumerate(zip(hits.tolist(), levels(hits, inputs).tolist(), strict=True))
    )
    title = escape(_tooltip(layer, hits, inputs, each))
    return Markup(f'<div class="cells" role="img" aria-label="{title}">{squares}</div>')


def _picture(layer: str, hits: Int[np.ndarray, " n"], inputs: int, cells: int, each: int) -> Markup:
    wide = len(hits) > _WIDE
    columns, pixels = min(_COLUMNS[wide], max(len(hits), 1)), _PIXELS[wide]
    rows = max(-(-len(hits) // columns), 1)
    grid = np.full(rows * columns, len(COLOURS), np.uint8)
    grid[: len(hits)] = levels(hits, inputs)
    image = Image.fromarray(grid.reshape(rows, columns)).convert("P")
    image.putdata(grid.tolist())
    # Too small to outline: never is filled with the colour of the outline.
    palette = [NEVER, *COLOURS[1:], "#ffffff"]
    image.putpalette([int(colour[k : k + 2], 16) for colour in palette for k in (1, 3, 5)])
    counts = f' data-hits="{" ".join(map(str, hits.tolist()))}"' if cells <= MOST_COUNTS else ""
    counts += f' data-each="{each}"' if counts and each > 1 else ""
    return Markup(
        f'<img class="neurons" width="{columns * pixels}" height="{rows * pixels}" data-columns="{columns}"'
        f' src="{embed(png(image), "png")}" alt="{escape(_tooltip(layer, hits, inputs, each))}"{counts}>'
    )


def _name(number: int, each: int) -> str:
    """What a square stands for."""
    return f"neuron {number}" if each == 1 else f"neuron {number // each}, cell {number % each}"


def _tooltip(layer: str, hits: Int[np.ndarray, " n"], inputs: int, each: int) -> str:
    reached = int((hits > 0).sum())
    of = plural(len(hits), "neuron" if each == 1 else "cell")
    return (
        f"{layer}: {count(reached)} of {of} reached by {plural(inputs, 'input')} "
        f"({percent(reached / len(hits) if len(hits) else 0)})"
    )
