"""What a seed costs as more of them come: seconds a seed, from the first 100 seeds to 100,000, and a picture.

A campaign of `mnist_light` on digits with noise of their own, one random change of the light each, everything on: coverage, judging,
measures, the archive on disk. With `--page` it writes docs/results/cost-per-seed.csv, and .svg, drawn from it.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_memory import digits

from benches._prepared import prepared
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.evaluation.sources import Streamed
from xplore.report.charts import COLOURS
from xplore.search import Random

TITLE = "What a seed costs as more of them come"
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
NAME = "cost-per-seed"
PUBLISHED = {10: 2.62, 20: 1.70, 50: 1.13, 100: 0.57}
"""Seeds/s of the published DeepXplore over its first so many seeds: light, up to 20 steps, three LeNets, two CPU
cores (its code, moved to a current TensorFlow in graph mode and otherwise as it is)."""
BEFORE = 1000
"""Windows that end by then are not compared: lanes fill, and the first findings are judged one by one."""


class Window(NamedTuple):
    """Seeds from a number up to another, and what each cost: wall-clock seconds, and CPU seconds of all cores."""

    first: int
    last: int
    seconds: float
    cpu_seconds: float = math.nan


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--lanes", type=int, default=64)


def marks(seeds: int) -> list[int]:
    """Where windows end: 100, 200, 500, 1,000 and so on, and the last seed."""
    steps = [part * 10**power for power in range(2, 9) for part in (1, 2, 5)]
    return [step for step in steps if step < seeds] + [seeds]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    windows = run(options.seeds, options.lanes)
    late = [window for window in windows if window.last > BEFORE] or windows
    if options.page:
        rows = [",".join(Window._fields), *(",".join(f"{value:.6g}" for value in row) for row in windows)]
        (RESULTS / f"{NAME}.csv").write_text("\n".join(rows) + "\n", "utf-8")
        (RESULTS / f"{NAME}.svg").write_text(picture(windows, published()), "utf-8")
    return {
        "ratio": late[-1].cpu_seconds / late[0].cpu_seconds,
        "ratio_wall": late[-1].seconds / late[0].seconds,
        "seconds_per_seed": statistics.median(window.seconds for window in late),
        "windows": [window._asdict() for window in windows],
        "seeds": options.seeds,
        "lanes": options.lanes,
    }


def run(seeds: int, lanes: int) -> list[Window]:
    """One campaign, its clocks read whenever a mark is passed."""
    ready = prepared("mnist_light", 1, lanes)
    method = ready.method.replace(search=Random(steps=1, tries=1))
    source = Streamed(lambda: digits(seeds), method.constraint).checked(np.asarray)
    campaign = Campaign(method, ready.judge, ready.layout, source, ready.plan)
    passed = [(0, 0.0, 0.0)]
    left = marks(seeds)
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
        cpu = None
        for tally in campaign.run(archive):
            cpu = time.process_time() if cpu is None else cpu  # compiled
            if left and tally.closed >= left[0]:
                passed.append((tally.closed, tally.seconds, time.process_time() - cpu))
                left = [mark for mark in left if mark > tally.closed]
        archive.close()
    return [
        Window(
            a[0],
            b[0],
            *((after - before) / (b[0] - a[0]) for before, after in zip(a[1:], b[1:], strict=True)),
        )
        for a, b in pairwise(passed)
    ]


def published() -> list[Window]:
    """The published program's windows."""
    seconds = {0: 0.0} | {seeds: seeds / rate for seeds, rate in PUBLISHED.items()}
    pairs = pairwise(seconds.items())
    return [Window(a, b, (after - before) / (b - a)) for (a, before), (b, after) in pairs]


def picture(ours: Sequence[Window], theirs: Sequence[Window]) -> str:
    """Both, with logarithmic axes, as SVG."""
    width, height, left, right, top, base = 760, 380, 78, 46, 24, 320
    most = math.ceil(math.log10(ours[-1].last))
    costs = [*(w.seconds for w in (*ours, *theirs)), *(w.cpu_seconds for w in ours)]
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))

    def across(seeds: float) -> float:
        return left + math.log10(max(seeds, 1)) / most * (width - left - right)

    def down(seconds: float) -> float:
        return base - (math.log10(seconds) - low) / (high - low) * (base - top)

    parts = []
    for power in range(low, high + 1):
        y = down(10.0**power)
        parts.append(f'<path d="M{left} {y:.1f}H{width - right}" stroke="#d5d9de"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 5:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    for power in range(most + 1):
        x = across(10.0**power)
        parts.append(f'<path d="M{x:.1f} {base}v6" stroke="#3d444d"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 22}" text-anchor="middle">{10**power:,}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{base + 46}" text-anchor="middle">seeds searched so far</text>')
    for windows, colour, name in (
        (theirs, COLOURS[1], "the original, up to 20 steps a seed"),
        (ours, COLOURS[0], "xplore, one look a seed"),
    ):
        for costs, dash in ([w.seconds for w in windows], ""), ([w.cpu_seconds for w in windows], "3 3"):
            if not math.isnan(costs[0]):
                path = "".join(
                    f"V{down(y):.1f}H{across(w.last):.1f}" for w, y in zip(windows, costs, strict=True)
                )
                told = f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
                parts.append(f'<path d="M{left} {down(costs[0]):.1f}{path}" fill="none" {told}/>')
        x, y = across(windows[-1].last), down(max(window.seconds for window in windows[-3:]))
        place = (
            f'x="{x + 8:.1f}" y="{y + 5:.1f}"'
            if x < middle
            else f'x="{x:.1f}" y="{y - 10:.1f}" text-anchor="end"'
        )
        parts.append(f'<text {place} fill="{colour}" font-weight="600">{name}</text>')
    spans = [
        f"{name} {of[0].seconds:.2g} at first, {of[-1].seconds:.2g} from the {of[-1].first:,}th to the {of[-1].last:,}th"
        for name, of in (("the original", theirs), ("xplore", ours))
    ]
    words = f"Seconds a seed: {'; '.join(spans)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-size="15"'
        f' font-family="system-ui, sans-serif" fill="#3d444d"><title>{words}</title>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def section(figures: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {w['first']:,} to {w['last']:,} | {1000 * w['seconds']:.2f} | {1000 * w['cpu_seconds']:.2f} |"
        for w in figures["windows"]
    )
    last = published()[-1]
    theirs = {"theirs": published()[0].seconds, "rest": last.seconds, "until": last.last}
    return TEXT.format(rows=rows, name=NAME, **theirs, **figures)


TEXT = """
A campaign of `mnist_light` on {seeds:,} digits, each with noise of its own, one random change of the light each,
{lanes} lanes; coverage, judging, measures and the archive on disk included. What a seed costs in milliseconds, and in
those of a CPU core (of all cores together), which other programs on the machine hardly move:

| seeds | ms a seed | CPU ms a seed |
|---|--:|--:|
{rows}

`ratio`, **{ratio:.2f}**, is the CPU time of a seed in the last window over that in the first one that ends after 1,000
seeds: it does not grow ({ratio_wall:.2f} of the wall clock, on a machine that may be shared). The original builds new nodes
of its graph for each seed: {theirs:.2f} s a seed over its first 10, {rest:.2f} s from the 50th to the {until}th, with up to 20 steps
each (its code, moved to a current TensorFlow, two CPU cores).

![Seconds a seed by the number of seeds; dashed: of CPU time]({name}.svg)

[The windows as CSV]({name}.csv).
"""
