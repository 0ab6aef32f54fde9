"""Small charts as inline SVG, each with its text alternative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from markupsafe import Markup, escape

from xplore.report.reading import Reading
from xplore.report.words import count, number, percent, plural, short_names

COLOURS = ("#0b5cad", "#b35900", "#2d6a3e", "#7a3b9c", "#3d444d", "#00707a")
_DASHES = ("", "9 2", "4 2", "9 2 3 2", "2 2", "6 3")


def histogram(values: Sequence[float], name: str, means: str) -> Markup:
    """How a measure is spread over the valid findings, its median marked."""
    if min(values) == max(values):
        return Markup('<p class="same"><b>{}</b> in all {}</p>').format(
            number(values[0]), plural(len(values), "valid finding")
        )
    width, height, base, bins, edge = 320, 128, 100, 26, 18
    ticks = _ticks(min(values), max(values), 4)
    low, high = ticks[0], ticks[-1]
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    step, top = (width - 2 * edge) / bins, max(int(counts.max()), 1)
    bars = [
        f'<rect x="{edge + i * step + 0.5:.1f}" y="{base - n / top * 76:.1f}" width="{step - 1:.1f}"'
        f' height="{n / top * 76:.1f}"/>'
        for i, n in enumerate(counts)
        if n
    ]
    place = lambda value: edge + (value - low) / (high - low) * (width - 2 * edge)  # noqa: E731
    middle = float(np.median(values))
    q05, q95 = np.quantile(values, [0.05, 0.95])
    words = (
        f"{name}, {means}: median {number(middle)}, nine in ten between {number(q05)} and {number(q95)}, "
        f"over {plural(len(values), 'valid finding')}"
    )
    anchor = "end" if place(middle) > width * 0.6 else "start"
    shift = -5 if anchor == "end" else 5
    axis = "".join(
        f'<line x1="{place(t):.1f}" x2="{place(t):.1f}" y1="{base}" y2="{base + 4}" class="axis"/>'
        f'<text x="{place(t):.1f}" y="{base + 18}" text-anchor="middle">{number(t)}</text>'
        for t in ticks
    )
    return Markup(
        f'<svg class="histogram" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<title>{escape(words)}</title><g class="bars">{"".join(bars)}</g>'
        f'<line x1="{edge}" x2="{width - edge}" y1="{base}" y2="{base}" class="axis"/>{axis}'
        f'<line x1="{place(middle):.1f}" x2="{place(middle):.1f}" y1="12" y2="{base}" class="median"/>'
        f'<text x="{place(middle) + shift:.1f}" y="20" text-anchor="{anchor}" class="strong">'
        f"median {number(middle)}</text></svg>"
    )


def coverage_curve(reading: Reading, criterion: str) -> Markup:
    """How much of each model was reached as seeds were processed."""
    spans = zip(reading.models, reading.spans, strict=True)  # a black box has no neurons
    first = {model: reading.first[:, span].ravel() for model, span in spans if span.stop > span.start}
    short = dict(zip(reading.models, short_names(reading.models), strict=True))
    title = f"{criterion} over {plural(reading.seeds.count, 'seed')}"
    return growth(first, reading.seeds.count, title, "seeds processed", short)


def growth(
    first: Mapping[str, Int[np.ndarray, " _"]],
    inputs: int,
    title: str,
    axis: str,
    short: Mapping[str, str] | None = None,
    lasts: Mapping[str, int] | None = None,
) -> Markup:
    """How coverage grows: by name, for each cell the number of the first input that reaches it; 0 is none.

    Where lines are of fewer inputs, `lasts` says of how many: each ends where its inputs do, and says so.
    What grows may be another share, and the `axis` count something else.
    """
    width, height, left, right, top, base = 920, 260, 46, 210, 14, 218
    seeds = max(inputs, 1)
    ticks = [t for t in _ticks(0, seeds, 6) if t <= seeds and t == int(t)]
    across = lambda n: left + n / seeds * (width - left - right)  # noqa: E731
    down = lambda part: base - part * (base - top)  # noqa: E731
    parts = [
        f'<path d="M{left} {down(p):.1f}H{width - right}" class="{"axis" if p == 0 else "grid"}"/>'
        f'<text x="{left - 8}" y="{down(p) + 4:.1f}" text-anchor="end">{100 * p:.0f} %</text>'
        for p in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts += [
        f'<line x1="{across(t):.1f}" x2="{across(t):.1f}" y1="{base}" y2="{base + 5}" class="axis"/>'
        f'<text x="{across(t):.1f}" y="{base + 19}" text-anchor="middle">{count(t)}</text>'
        for t in ticks
    ]
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 4}" text-anchor="middle">{escape(axis)}</text>')
    ends, lines = [], []
    for i, (model, reached) in enumerate(first.items()):
        colour, dash = COLOURS[i % len(COLOURS)], _DASHES[i % len(_DASHES)]
        at, units = np.sort(reached), len(reached)
        points = _steps(at[at > 0], seeds)
        path = "".join(
            f"{'H' if j % 2 else 'V'}{across(n) if j % 2 else down(covered / units):.1f}"
            for n, covered in points
            for j in (1, 0)
        )
        final = points[-1][1] / units
        lines.append(
            f'<path d="M{left} {base}{path}H{across((lasts or {}).get(model, seeds)):.1f}" fill="none"'
            f' stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dash}"/>'
        )
        ends.append((down(final), colour, model, final))
    for y, (_, colour, model, final) in _apart(sorted(ends), 15, top, base):
        lines.append(
            f'<text x="{width - right + 8}" y="{y + 4:.1f}" style="fill:{colour}">'
            f"<title>{escape(model)}</title>{escape((short or {}).get(model, model))} {percent(final)}"
            f"{f' by {count(lasts[model])}' if lasts else ''}</text>"
        )
    by = {model: f" by {count(n)} {axis}" for model, n in (lasts or {}).items()}
    ended = ", ".join(f"{model} {percent(final)}{by.get(model, '')}" for _, _, model, final in ends)
    words = f"{title}; at the end {ended}"
    return Markup(
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f"{''.join(parts)}{''.join(lines)}</svg>"
    )


def _steps(first: np.ndarray, seeds: int, most: int = 240) -> list[tuple[int, int]]:
    """Where the cells reached grow: (seeds processed, cells reached), at most `most` points."""
    at, grown = np.unique(first, return_counts=True)
    points = list(zip(at.tolist(), np.cumsum(grown).tolist(), strict=True)) or [(seeds, 0)]
    return points[:: -(-len(points) // most)] + points[-1:]


def _ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers that span a range.

    >>> _ticks(0, 1000, 5), _ticks(0.31, 0.98, 4)
    ([0, 200, 400, 600, 800, 1000], [0.2, 0.4, 0.6, 0.8, 1.0])
    """
    if high <= low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * 0.999)
    start, stop = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 10) for i in range(start, stop + 1)]
    return [int(t) for t in ticks] if step >= 1 else ticks


def _apart(ends: list[tuple], gap: float, top: float, base: float) -> list[tuple[float, tuple]]:
    """Labels moved so that none covers another."""
    places = [max(top, end[0]) for end in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for i in range(len(places) - 1, -1, -1):
        ceiling = base if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], ceiling)
    return list(zip(places, ends, strict=True))
