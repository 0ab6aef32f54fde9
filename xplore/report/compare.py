"""Two campaigns side by side: a page, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.report import names, wording, words
from xplore.report._base import store
from xplore.report._page import environment, text
from xplore.report.cards import pictures
from xplore.report.charts import growth
from xplore.report.comparison import SETTINGS, both, compared
from xplore.report.reading import Reading

NAME = "comparison"
PICTURED, LISTED, LONGEST = 12, 200, 160
KINDS = {"only_a": "Only in A", "only_b": "Only in B", "both": "In both"}
CAMPAIGNS = {**SETTINGS, "folder": "folder", "created": "created", "gate": "gate"}
COUNTS = {
    "seeds": "seeds",
    "already_differ": "seeds that differ as they are",
    "seeds_with_valid_finding": "seeds with a valid finding",
    "rejudged_away": "claims that were gone once stored",
    "findings": "findings",
    "valid": "valid findings",
    "valid_as_found": "valid as found, without being shrunk",
    "in_doubt": "findings in doubt",
    "invalid": "invalid findings",
    "queries": "model queries",
    "steps": "gradient steps",
}
SIZES = (
    ("features or pixels changed", "changed"),
    ("L1", "l1"),
    ("L2", "l2"),
    ("L∞", "linf"),
    ("SSIM", "ssim"),
)
NOTES = (
    "One campaign each: a difference may come from the random state alone. The intervals tell what other "
    "seeds would have changed, not what other runs would.",
    "Compare at equal queries: a search that is given more finds more. So do more inputs reach more neurons.",
    "Fault groups estimate faults: a group that only one campaign has may be one that the other just missed.",
)


def write(a: Archive, b: Archive, out: Path, format: str = "html") -> Path:
    """Write `comparison.html`, `.md` or `.json` into a folder, or to a path that ends so; where it lies.

    Raises:
        InputError: both are one campaign, there is no such format, or `out` cannot be written.
    """
    if format not in FORMATS:
        raise InputError("comparison format", expected=f"one of {', '.join(FORMATS)}", got=repr(format))
    out = Path(out)
    path = out if out.suffix == f".{format}" else out / f"{NAME}.{format}"
    with a.snapshot(), b.snapshot():
        readings = both(a, b)
        return store(path, FORMATS[format](*readings, compared(*readings)))


def verdict(comparison: dict[str, Any]) -> str:
    """Two campaigns in one sentence."""
    gap, groups = comparison["valid_share"]["b_minus_a"], comparison["groups"]
    if gap is None:
        return " ".join(_no_share(comparison, side) for side in "ab" if not comparison["valid_share"][side])
    a, b = (words.percent(comparison["valid_share"][side]["share"], 1) for side in "ab")
    points = f"{abs(100 * gap['difference']):.1f} points {'more' if gap['difference'] > 0 else 'fewer'}"
    points = "no clear difference" if gap["low"] <= 0 <= gap["high"] else points
    sentences = (
        f"Valid findings near {a} of A's seeds and {b} of B's: {points} (B\xa0−\xa0A: {points_between(gap)})"
    )
    if groups is None:
        return f"{sentences}."
    only = [f"{words.count(len(groups[f'only_{side.lower()}']))} only in {side}" for side in "AB"]
    return f"{sentences}; fault groups: {', '.join(only)}, {words.count(len(groups['both']))} in both."


def _no_share(comparison: dict[str, Any], side: str) -> str:
    """Why a campaign has no share of seeds."""
    seeds = comparison["figures"]["seeds"][side]
    if not seeds:
        return f"{side.upper()} has not judged a seed yet."
    judged, size = words.plural(seeds, "seed"), comparison["campaigns"][side]["round_size"]
    return (
        f"{side.upper()} judged {judged} and no whole round{f' of {size}' if size else ''}: seeds that are"
        " divided end first, so that their share is not told. A smaller round_size makes rounds whole."
    )


def points_between(gap: dict[str, float]) -> str:
    """
    >>> points_between({"low": -0.012, "high": 0.2})
    '\N{MINUS SIGN}1.2 to +20.0 points'
    """
    low, high = (f"{100 * gap[end]:+.1f}".replace("-", "\N{MINUS SIGN}") for end in ("low", "high"))
    return f"{low} to {high} points"


def table(comparison: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was run and what came of it: a line a setting or figure, with A's and B's."""
    lines = [(label, one, other) for label, one, other in _settings(comparison) if one != other]
    lines += [(label, *(_figure(comparison, key, s) for s in "ab")) for key, label in COUNTS.items()]
    equal, spent = comparison["at_equal_queries"], comparison["figures"]["queries"]
    if spent["a"] != spent["b"]:
        label = f"seeds with a valid finding at {words.count(equal['queries'])} queries"
        lines.append((label, *(words.count(equal[s]) for s in "ab")))
    shares = [comparison["valid_share"][s] for s in "ab"]
    each = [f"{words.percent(x['share'], 1)} ({words.interval(x)})" if x else "–" for x in shares]
    lines.append(("share of seeds with a valid finding", *each))
    if comparison["groups"]:
        groups = (len(comparison["groups"][f"only_{s}"]) + len(comparison["groups"]["both"]) for s in "ab")
        lines.append(("fault groups, by disagreement", *map(words.count, groups)))
    for prefix, sizes in (
        ("median", comparison["sizes"]),
        ("median, smallest change", comparison["smallest"]),
    ):
        lines += [(f"{prefix} {label}", *(words.number(sizes[key][s]) for s in "ab")) for label, key in SIZES]
    seconds, speed = comparison["figures"]["seconds"], comparison["figures"]["seeds_per_second"]
    lines.append(("time", *(words.duration(seconds[s]) for s in "ab")))
    lines.append(("seeds a second", *(words.number(speed[s]) for s in "ab")))
    return [(label, a, b) for label, a, b in lines if (a, b) != ("–", "–")]


def _figure(comparison: dict[str, Any], key: str, side: str) -> str:
    """A count, with the reasons of what does not count; no gradient steps of a search that climbs none."""
    if key == "steps" and not comparison["campaigns"][side]["climbs"]:
        return "–"
    reasons = comparison["reasons"].get(key, {}).get(side) or {}
    called = {"in_doubt": wording.doubt, "invalid": wording.reason}.get(key, str)
    why = ", ".join(f"{called(name)} {words.count(n)}" for name, n in reasons.items())
    return words.count(comparison["figures"][key][side]) + (f" ({why})" if why else "")


def same(comparison: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings that both campaigns have."""
    return [(label, one) for label, one, other in _settings(comparison) if one == other != "–"]


def otherwise(comparison: dict[str, Any]) -> str:
    """In which settings the campaigns differ, in a sentence."""
    a, b = comparison["campaigns"]["a"], comparison["campaigns"]["b"]
    changed = [(key, SETTINGS[key]) for key in comparison["settings"]]
    if not changed:
        return "No setting that is recorded differs."
    return f"They differ in: {', '.join(_both(label, a[key], b[key], key) for key, label in changed)}."


def _both(label: str, a: Any, b: Any, key: str) -> str:
    """A setting by its name, and what it is in each, where that is short."""
    values = f" (A: {_shown(a, key)}; B: {_shown(b, key)})"
    return label + values * (len(values) <= LONGEST)


def reached_by(comparison: dict[str, Any]) -> str:
    """Which inputs reach what is compared as coverage."""
    a, b = (words.count(comparison["reaching"][side]) for side in "ab")
    return f"Neurons' cells, by the {a} inputs of A and the {b} of B on which models differ, valid or not"


def how_paired(comparison: dict[str, Any]) -> str:
    """What the interval of the difference takes the seeds for (Newcombe, 1998)."""
    if comparison["valid_share"]["paired"]:
        return "the same seeds, paired"
    a, b = (comparison["campaigns"][side]["round_size"] for side in "ab")
    return "independent seeds" if a == b else "seeds as if they were independent"


def _settings(comparison: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What each was run with: a setting's label, and A's and B's."""
    a, b = comparison["campaigns"]["a"], comparison["campaigns"]["b"]
    return [(label, _shown(a[key], key), _shown(b[key], key)) for key, label in CAMPAIGNS.items()]


def _shown(value: Any, key: str) -> str:
    if key == "criteria":
        return "; ".join(names.criteria(value)) or "–"
    if key == "evidence" and value:
        return words.listing([name.replace("_", " ") for name in value])
    if isinstance(value, (list, tuple)):
        return words.listing([*map(str, value)]) or "–"
    return "–" if value in (None, "") else names.spoken(str(value))


def _html(a: Reading, b: Reading, comparison: dict[str, Any]) -> str:
    groups = comparison["groups"] or {}
    context = {
        "style": Markup(text("html.css")),
        "t": comparison,
        "verdict": verdict(comparison),
        "between": points_between,
        "otherwise": otherwise(comparison),
        "paired": how_paired(comparison),
        "reached_by": reached_by(comparison),
        "over_queries": _found_over_queries(a, b),
        "table": table(comparison),
        "same": same(comparison),
        "kinds": KINDS,
        "cards": {kind: _cards(a, b, groups, kind) for kind in KINDS} if groups else {},
        "others": {kind: groups[kind][PICTURED:LISTED] for kind in KINDS} if groups else {},
        "notes": NOTES,
    }
    return environment().get_template("compare.jinja").render(context)


def _found_over_queries(a: Reading, b: Reading) -> Markup:
    """How many seeds have a valid finding as queries are spent: of the seeds of the larger one."""
    until = {"A": a.queries_until_found, "B": b.queries_until_found}
    spent = {"A": a.seeds.queries, "B": b.seeds.queries}
    if not all(spent.values()):
        return Markup()
    most = max(map(len, until.values()))
    each = {name: np.pad(at, (0, most - len(at))) for name, at in until.items()}
    title = f"seeds with a valid finding, of {words.count(most)}, over the queries of the models"
    return growth(each, max(spent.values()), title, "model queries", lasts=spent)


def _cards(a: Reading, b: Reading, groups: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The largest groups of a kind, each with its example in a picture or in words."""
    side, reading = ("b", b) if kind == "only_b" else ("a", a)
    shown = groups[kind][:PICTURED]
    wanted = {group[f"example_{side}"] for group in shown}
    rows = {row.id: row for row in reading.rows if row.id in wanted}
    cards = []
    for group in shown:
        row = rows[group[f"example_{side}"]]
        example = {"changes": row.shown.changes} if reading.in_words else pictures(reading, row, three=False)
        about = {"sentence": wording.sentence(reading, row), "command": reading.replay(row)}
        seed = reading.seed_name(row)
        cards.append(
            {**group, "changes": (), "id": reading.short_ids[row.id], "seed": seed, **about, **example}
        )
    return cards


def _markdown(a: Reading, b: Reading, comparison: dict[str, Any]) -> str:
    from xplore.report.markdown import cell
    from xplore.report.markdown import table as rows

    lines = [
        "# A and B compared",
        "",
        f"**{cell(verdict(comparison), 400)}**",
        "",
        cell(otherwise(comparison), 400),
        "",
    ]
    lines += [
        "" if not comparison["valid_share"]["b_minus_a"] else f"The interval is of {how_paired(comparison)}.",
        "",
    ]
    lines += [f"- {cell(difference, 400)}" for difference in comparison["differ"]] + [""]
    lines += [*rows(["", "A", "B"], [[cell(x, 300) for x in line] for line in table(comparison)]), ""]
    lines += [f"In both: {'; '.join(f'{label} {cell(value)}' for label, value in same(comparison))}.", ""]
    if seeds := comparison["seeds"]:
        lines += [f"Of the same seeds, {_seeds(seeds)}.", ""]
    for kind, where in KINDS.items() if comparison["groups"] else ():
        groups = comparison["groups"][kind]
        lines += [f"## {where}: {words.plural(len(groups), 'fault group')}", ""]
        shown = groups[:20]
        head = ["expected", "answers", "findings in A", "findings in B", "example"]
        body = [
            [
                cell(g["expected"]),
                cell(", ".join(g["answers"])),
                g["a"],
                g["b"],
                f"`{g['example_a'] or g['example_b']}`",
            ]
            for g in shown
        ]
        lines += [*rows(head, body, left=2), ""] if shown else []
        lines += (
            [f"and {words.count(len(groups) - len(shown))} smaller ones.", ""] if len(groups) > 20 else []
        )
    if comparison["coverage"]:
        body = [
            [
                cell(model),
                cell(names.criterion(name)),
                *(n[k] for k in ("only_a", "only_b", "both", "units")),
            ]
            for model, covered in comparison["coverage"].items()
            for name, n in covered.items()
        ]
        head = ["model", "criterion", "only A", "only B", "both", "cells"]
        lines += ["## Coverage", "", f"{reached_by(comparison)}.", "", *rows(head, body, left=2), ""]
    return "\n".join([*lines, *(f"- {note}" for note in NOTES), ""])


def _seeds(seeds: dict[str, int]) -> str:
    a, b, same, none = (words.count(seeds[key]) for key in ("only_a", "only_b", "both", "neither"))
    return f"{a} have a valid finding only in A, {b} only in B, {same} in both and {none} in neither"


def _json(a: Reading, b: Reading, comparison: dict[str, Any]) -> str:
    return json.dumps(comparison, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Reading, Reading, dict[str, Any]], str]] = {
    "html": _html,
    "md": _markdown,
    "json": _json,
}
