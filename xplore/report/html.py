"""The report: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from xplore.archive import Archive
from xplore.report import wording, words
from xplore.report._base import Reporter, store
from xplore.report.charts import coverage_curve, histogram
from xplore.report.coverage_map import LEGEND, MOST_CELLS, coverage_map
from xplore.report.gallery import gallery
from xplore.report.pictures import SMALL, data_uri, decode, difference, enlarge, reduce, sheet
from xplore.report.reading import Group, Reading, Row, read
from xplore.report.steering import COLOURS, pair
from xplore.report.summary import figures

CARDS = 6
CARD_PICTURE = 15_000
GALLERY_PICTURES = 700_000
FRAGMENT_PICTURE = 16_000
MOST_LISTED = 200
BADGES = (("margin", "margin"), ("SSIM", "ssim"), ("L1", "l1"), ("L2", "l2"))
SIZES = (
    ("L2", "l2", "distance between seed and finding"),
    ("L1", "l1", "sum of all changes, each in shares of its feature's range"),
    ("L∞", "linf", "largest change of one value"),
    ("SSIM", "ssim", "likeness to the seed, 1 is the same"),
)


@dataclass(frozen=True)
class Html(Reporter):
    """`report.html`: verdict, six findings, funnel, blame, comparison, sizes; the rest folded.

    At most `most_pictured` findings are in the gallery, so that the file stays below 2 MB.
    """

    file_name: ClassVar[str] = "report.html"
    most_pictured: int = 1000

    def write(self, archive: Archive, out: Path) -> Path:
        reading = read(archive)
        script = _text("html.js")
        context = {
            **_shared(reading, CARDS),
            "style": Markup(_text("html.css")),
            "script": Markup(script),
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "gallery": script_data(gallery(reading, self.most_pictured, GALLERY_PICTURES)),
            "histograms": _histograms(reading),
            "groups": [_group(reading, group) for group in reading.groups[:MOST_LISTED]],
            "map": coverage_map(reading),
            "map_pictures": len(reading.hits) > MOST_CELLS,
            "legend": LEGEND,
            "curve": coverage_curve(reading, _criterion(reading)) if reading.spans else "",
            "agree_wrongly": [_agreed(reading, seed) for seed in reading.agree_wrongly[:MOST_LISTED]],
            "config": json.dumps(reading.meta.get("config"), indent=2, ensure_ascii=False, default=str),
        }
        return store(self.target(out), _environment().get_template("html.jinja").render(context))


def fragment(archive: Archive) -> str:
    """A part of a page for a notebook: verdict, up to six groups, the funnel; no script, its own style."""
    context = _shared(read(archive), CARDS, pictures=False)
    return _environment().get_template("fragment.jinja").render(context)


def script_data(value: Any) -> Markup:
    """JSON that is safe inside a script element: nothing in it can close the element.

    >>> str(script_data({"name": "</script>"}))
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def card(reading: Reading, group: Group, *, pictures: bool = True) -> dict[str, Any]:
    """What a card shows of a fault group; without `pictures` one small strip in place of three pictures."""
    row = group.example
    measured = [(label, row.measure(name)) for label, name in BADGES]
    badges = [f"{label} {value:.2f}" for label, value in measured if value is not None]
    hidden, referee = row.measure("hidden"), row.measures.get("referee")
    badges = [row.settings, *badges] if row.settings else badges
    badges += [f"{words.percent(hidden)} hidden"] if hidden is not None else []
    # A referee that agrees is no news on a card; the share is told below.
    differs = isinstance(referee, int) and referee != row.expected
    badges += [f"referee: {reading.class_name(referee)}"] if differs else []
    if row.changes:
        nearest = row.measure("nearest_row")
        badges += [f"nearest row {nearest}"] if nearest is not None else []
        shown: dict[str, Any] = {"changes": row.changes}
    else:
        shown = _pictures(reading, row, pictures)
    return {
        **_group(reading, group),
        "changes": (),
        **shown,
        "told": wording.told(reading, row),
        "answers": _answers(reading, row),
        "badges": badges,
        "command": reading.replay(row),
        "seed_index": row.seed,
    }


def _pictures(reading: Reading, row: Row, three: bool) -> dict[str, Any]:
    """Seed, finding and change, as three pictures or in one strip."""
    stored = next(reading.archive.findings(origin=row.origin, prefix=row.id))
    change, times = difference(decode(stored.before), decode(stored.after))
    seed, finding = pair(reading, stored)
    told: dict[str, Any] = {"times": f"{times:.1f}", "small": max(seed.size) <= SMALL}
    if three:
        parts = {"seed": seed, "finding": finding, "change": change}
        return told | {name: data_uri(part, CARD_PICTURE) for name, part in parts.items()}
    strip = sheet([enlarge(reduce(part, 84), 84) for part in (seed, finding, change)], 3, gap=4)
    return told | {"strip": data_uri(strip, FRAGMENT_PICTURE)}


def _shared(reading: Reading, cards: int, *, pictures: bool = True) -> dict[str, Any]:
    told = figures(reading)
    shown = [card(reading, group, pictures=pictures) for group in reading.groups[:cards]]
    return {
        "f": told,
        "meta": {"models": reading.meta.get("models")},
        "models": reading.models,
        "short": words.short_names(reading.models),
        "verdict": wording.verdict(told),
        "state": wording.state(told),
        "headline": wording.headline(told),
        "precision": wording.precision(told["precision"]),
        "funnel": wording.funnel(told),
        "searches": wording.searches(told),
        "cards": shown,
        "is_table": bool(reading.in_words),
        "wordy": any(len(answer["answer"]) > 4 for card in shown for answer in card["answers"]),
        "compared": wording.compared(told),
        "no_baseline": wording.NO_BASELINE,
        "baseline": wording.BASELINE,
        "limits": wording.LIMITS,
        "deviates": "wrong" if reading.labelled else "leaves",
    }


def _group(reading: Reading, group: Group) -> dict[str, Any]:
    off, short = [d != group.expected for d in group.decisions], words.short_names(reading.models)
    answers = dict.fromkeys(d for d, is_off in zip(group.decisions, off, strict=True) if is_off)
    return {
        "expected": reading.class_name(group.expected),
        "answered": ", ".join(map(reading.class_name, answers)),
        "by": words.listing([m for m, is_off in zip(reading.models, off, strict=True) if is_off]),
        "by_short": words.listing([m for m, is_off in zip(short, off, strict=True) if is_off]),
        "part": wording.part(group),
        "count": len(group.rows),
        "id": reading.short_ids[group.example.id],
    }


def _answers(reading: Reading, row: Row) -> list[dict[str, Any]]:
    short = words.short_names(reading.models)
    return [
        {
            "model": model,
            "short": name,
            "answer": reading.class_name(d),
            "confidence": c,
            "value": reading.value_name(row.values[number]) if row.values else "",
            "colour": COLOURS[number % len(COLOURS)] if reading.steers else "",
            "off": d != row.expected,
        }
        for number, (model, name, d, c) in enumerate(
            zip(reading.models, short, row.decisions, row.confidences, strict=True)
        )
    ]


def _histograms(reading: Reading) -> list[tuple[str, str, Markup]]:
    charts = []
    for label, name, means in SIZES:
        values = [value for row in reading.valid if (value := row.measure(name)) is not None]
        if values:
            charts.append((label, means, histogram(values, label, means)))
    return charts


def _agreed(reading: Reading, seed: Any) -> tuple[int, str, str]:
    return seed.seed, reading.class_name(seed.label), reading.class_name(seed.decisions[0])


def _criterion(reading: Reading) -> str:
    return wording.criterion(reading.criteria[reading.main])


def _text(name: str) -> str:
    return files("xplore.report").joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_text),
    )
    environment.filters.update(
        {
            name: getattr(words, name)
            for name in ("count", "percent", "interval", "number", "duration", "listing")
        }
    )
    environment.filters.update(criterion=wording.criterion, spoken=wording.spoken)
    environment.globals.update(plural=words.plural)
    return environment
