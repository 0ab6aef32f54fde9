"""A failure mode as a card: its example in pictures or words, what each model answers, the change's sizes."""

from __future__ import annotations

from typing import Any

from xplore.report import wording, words
from xplore.report.failure_modes import FailureMode
from xplore.report.pictures import SMALL, data_uri, decode, difference, enlarge, reduce, sheet
from xplore.report.reading import Group, Reading
from xplore.report.rows import Row
from xplore.report.steering import COLOURS, drawn

CARD_PICTURE = 15_000
FRAGMENT_PICTURE = 16_000
MOST_GROUPS = 20
"""Fault groups of a failure mode that a card lists."""
BADGES = (("margin", "margin"), ("SSIM", "ssim"), ("L1", "l1"), ("L2", "l2"))
SHRUNK_BADGES = (("SSIM", "ssim"), ("L0", "changed"), ("L2", "l2"), ("L∞", "linf"))
SHRUNK_WORDS = (("features", "changed"), ("L1", "l1"), ("L2", "l2"))


def card(reading: Reading, mode: FailureMode, *, three: bool = True) -> dict[str, Any]:
    """What a card shows of a failure mode; without `three` one small strip in place of three pictures."""
    row = mode.example
    badges = _badges(reading, row)
    hidden, changed = row.shown.measure("hidden"), row.shown.measure("content_changed")
    opinion = row.shown.measures.get("referee")
    badges = [row.shown.settings, *badges] if row.shown.settings else badges
    if changed is not None:  # which its bound is about
        badges += [f"{words.percent(changed)} of the content changed"]
    elif hidden is not None:
        badges += [f"{words.percent(hidden)} hidden"]
    # A reference model that agrees is no news on a card; the share is told below.
    differs = isinstance(opinion, int) and opinion != row.expected
    badges += [f"reference model: {reading.class_name(opinion)}"] if differs else []
    if row.changes:
        nearest = row.shown.measure("nearest_row")
        badges += [f"nearest row {nearest}"] if nearest is not None else []
        shown: dict[str, Any] = {"changes": row.shown.changes}
    else:
        shown = pictures(reading, row, three=three)
    return {
        **mode_named(reading, mode),
        "groups": [named(reading, group) for group in mode.groups[:MOST_GROUPS]],
        "more_groups": max(len(mode.groups) - MOST_GROUPS, 0),
        "changes": (),
        **shown,
        "sentence": wording.sentence(reading, row),
        "answers": _answers(reading, row),
        "badges": badges,
        "command": reading.replay(row),
        "seed_index": reading.seed_name(row),
        "smallest": row.smallest is not None,
    }


def _badges(reading: Reading, row: Row) -> list[str]:
    """Sizes of the change: of a shrunk finding as found, and what is left of it."""
    if row.smallest is None:
        measured = [(label, row.measure(name)) for label, name in BADGES]
        return [f"{label} {value:.2f}" for label, value in measured if value is not None]
    names = SHRUNK_WORDS if reading.in_words else SHRUNK_BADGES
    both = [(label, row.measure(name), row.smallest.measure(name)) for label, name in names]
    return [f"{label} {words.number(a)} → {words.number(b)}" for label, a, b in both if None not in (a, b)]


def pictures(reading: Reading, row: Row, *, three: bool) -> dict[str, Any]:
    """Seed, finding (the smallest change that shows it, where there is one) and change, as three pictures or
    in one strip.
    """
    stored = next(reading.archive.take([row.id]))
    after = stored.shrunk.after if stored.shrunk else stored.after
    change, times = difference(decode(stored.before), decode(after))
    seed, *_, finding = drawn(reading, stored)
    view: dict[str, Any] = {"times": f"{times:.1f}", "small": max(seed.size) <= SMALL}
    if three:
        parts = {"seed": seed, "finding": finding, "change": change}
        return view | {name: data_uri(part, CARD_PICTURE) for name, part in parts.items()}
    strip = sheet([enlarge(reduce(part, 84), 84) for part in (seed, finding, change)], 3, gap=4)
    return view | {"strip": data_uri(strip, FRAGMENT_PICTURE)}


def mode_named(reading: Reading, mode: FailureMode) -> dict[str, Any]:
    """A failure mode in words."""
    expected, answered = wording.confusion(reading, mode)
    return {
        "expected": expected,
        "answered": answered,
        "by": reading.models[mode.model],
        "by_short": words.short_names(reading.models)[mode.model],
        "part": "",
        "count": len(mode.rows),
        "id": reading.short_ids[mode.example.id],
    }


def named(reading: Reading, group: Group) -> dict[str, Any]:
    """A fault group in words."""
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
            "value": reading.value_name(row.shown.values[number]) if row.shown.values else "",
            "colour": COLOURS[number % len(COLOURS)] if reading.steers else "",
            "off": d != row.expected,
        }
        for number, (model, name, d, c) in enumerate(
            zip(reading.models, short, row.decisions, row.shown.confidences, strict=True)
        )
    ]
