"""Two campaigns in figures: what each found and reached that the other did not."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError
from xplore._util.statistics import correlation, difference
from xplore.archive import Archive
from xplore.archive.metadata import differing
from xplore.report import wording
from xplore.report.reading import Reading, read
from xplore.report.rows import Row, least_changed
from xplore.report.summary import SHRUNK_SIZES, clean, figures, quantiles

SETTINGS = {
    "name": "campaign",
    "models": "models",
    "constraint": "constraint",
    "bound": "bound",
    "search": "search",
    "objective": "objective",
    "oracle": "oracle",
    "criteria": "criteria",
    "evidence": "labels held against",
    "shrinks": "findings shrunk",
    "rng": "rng",
    "round_size": "seeds a round",
    "lag": "rounds that coverage lags",
    "lanes": "lanes",
    "lowering": "lowering",
    "dtype": "dtype",
    "device": "device",
}
"""What a campaign was run with, by its key in the archive, as people call it."""
FIGURES = (
    *("seeds", "already_differ", "agree_wrongly", "found", "rejudged_away", "findings"),
    *("valid", "valid_as_found", "in_doubt", "invalid"),
    *("seeds_with_valid_finding", "steps", "queries", "seconds", "seeds_per_second"),
)
Key = tuple[str, tuple[str, ...]]


def compare(a: Any, b: Any) -> dict[str, Any]:
    """Two campaigns, folders or results, in figures: `xplore compare --format json` writes the same.

    >>> import xplore
    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> models = [phishing1(), phishing2()]
    >>> seeds, charts = pages.images[:8], map(phishing.realistic, (1, 2))
    >>> few, more = (xplore.run(models, seeds, constraint=chart, **how) for chart in charts)
    >>> told = compare(few, more)
    >>> told["same_seeds"], sum(told["seeds"].values())
    (True, 8)

    Raises:
        InputError: a folder holds no campaign, or both are one.
    """
    folders = [Path(getattr(one, "folder", one)) for one in (a, b)]
    with (
        closing(Archive.open(folders[0])) as first,
        closing(Archive.open(folders[1])) as second,
        first.snapshot(),
        second.snapshot(),
    ):
        return compared(*both(first, second))


def both(a: Archive, b: Archive) -> tuple[Reading, Reading]:
    """Two archives that were read; an InputError, if they are one."""
    if a.path.resolve() == b.path.resolve():
        fix = "name two campaigns"
        raise InputError("compare", expected="two campaigns", got=f"{a.path.parent} twice", fix=fix)
    return read(a), read(b)


def compared(a: Reading, b: Reading) -> dict[str, Any]:
    """The comparison of two campaigns, JSON-able: each key that tells of both has `a` and `b`."""
    values = {side: _figures(reading) for side, reading in (("a", a), ("b", b))}
    pairs = _pairs(a, b)
    sides = {side: _side(reading, values[side]) for side, reading in (("a", a), ("b", b))}
    shared = {
        "campaigns": sides,
        "settings": [key for key in SETTINGS if sides["a"][key] != sides["b"][key]],
        "differ": _differ(sides, a, b),
        "same_seeds": pairs is not None,
        "seeds": pairs,
        "valid_share": _shares(values, pairs),
        "figures": {name: {side: values[side][name] for side in values} for name in FIGURES},
        "reasons": {
            name: {side: values[side][f"{name}_by_reason"] for side in values}
            for name in ("in_doubt", "invalid")
        },
        "reaching": {"a": len(a.rows), "b": len(b.rows)},
        "sizes": {
            name: {s: _sizes(r, name, False) for s, r in (("a", a), ("b", b))} for name in SHRUNK_SIZES
        },
        "smallest": {
            name: {s: _sizes(r, name, True) for s, r in (("a", a), ("b", b))} for name in SHRUNK_SIZES
        },
        "at_equal_queries": _at_equal_queries(a, b),
        "coverage": _coverage(a, b),
        "groups": _groups(a, b),
    }
    return clean(shared)


def key_of(reading: Reading, row: Row, models: tuple[str, ...] | None) -> Key:
    """What a finding is grouped by: what was expected, and each of the `models`' answers; without them, the
    wrong answers alone.
    """
    answers = dict(zip(reading.models, map(reading.class_name, row.decisions), strict=True))
    expected = reading.class_name(row.expected)
    if models is None:
        return expected, tuple(sorted({answer for answer in answers.values() if answer != expected}))
    return expected, tuple(answers[model] for model in models)


def _figures(reading: Reading) -> dict[str, Any]:
    values = figures(reading)
    shrinks = "no" if values["shrunk"] is None else "yes"
    return values | {"invalid": values["findings"] - values["valid"] - values["in_doubt"], "shrinks": shrinks}


def _side(reading: Reading, values: dict[str, Any]) -> dict[str, Any]:
    models = reading.meta.get("models") or []
    digests = {str(model["name"]): str(model.get("digest") or "") for model in models}
    keys = ("name", "created", "command", "finished", "ended", "labelled", "models", "criteria", "inputs")
    folder = str(reading.archive.path.parent)
    gate = values["gate"] and (values["gate"]["decision"] or "not finished")
    figures = {key: values[key] if key in values else reading.meta.get(key) for key in (*keys, *SETTINGS)}
    uses_grad = bool(wording.gradient_steps(values))
    return {"folder": folder, **figures, "gate": gate, "climbs": uses_grad, "digests": digests}


def _differ(sides: dict[str, Any], a: Reading, b: Reading) -> list[str]:
    """What keeps two campaigns from being compared plainly."""
    one, other = sides["a"], sides["b"]
    lines = []
    if one["inputs"] != other["inputs"]:
        lines.append(f"A has {one['inputs']}, B has {other['inputs']}: their fault groups are not compared.")
    if set(a.models) != set(b.models):
        known = [f"only {side} has {', '.join(names)}" for side, names in _only(a.models, b.models) if names]
        lines.append(
            f"The models differ ({'; '.join(known)}): fault groups are compared by their wrong answers."
        )
    changed = [m for m in a.models if m in b.models and _digest(one, m) != _digest(other, m)]
    if changed:
        lines.append(f"The weights differ of {', '.join(changed)}: a neuron of one is not that of the other.")
    if any(names for _, names in _only(a.criteria, b.criteria)):
        lines.append("The criteria differ: coverage is compared by those that both have.")
    apart = [m for m in a.models if m in b.models and _layers(a, m) != _layers(b, m)]
    if apart:
        lines.append(f"The layers differ of {', '.join(apart)}: their coverage is not compared.")
    for key, names in differing(a.meta, b.meta).items():
        if key in SETTINGS and one[key] == other[key]:
            inside = f", by its {' and '.join(names)}" if names else ""
            lines.append(f"The {SETTINGS[key]} prints the same in both, and is another{inside}.")
    if one["labelled"] != other["labelled"]:
        lines.append("One has labels, the other goes by the answer that all models gave on the seed.")
    if (a.meta.get("classes") or []) != (b.meta.get("classes") or []):
        lines.append("The classes are called otherwise: groups are compared by their names.")
    if one["round_size"] != other["round_size"]:
        sizes = f"{one['round_size']} and {other['round_size']}"
        lines.append(
            f"Rounds have {sizes} seeds: whether the seeds are the same is not known, so that they are not"
            " paired, and the interval of the difference is wider than it might be."
        )
    for side, campaign in sides.items():
        if not campaign["finished"] or campaign["ended"]:
            lines.append(f"{side.upper()} did not judge all its seeds: {campaign['ended'] or 'unfinished'}.")
    return lines


def _only(a: tuple[str, ...], b: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    return [("A", [x for x in a if x not in b]), ("B", [x for x in b if x not in a])]


def _digest(side: dict[str, Any], model: str) -> str:
    return side["digests"].get(model, "")


def _layers(reading: Reading, model: str) -> list[tuple[str, int]]:
    if model not in reading.models or not reading.layout:
        return []
    return [(str(la["name"]), la["units"]) for la in reading.layout[reading.models.index(model)]["layers"]]


def _cells(reading: Reading, criterion: str) -> int:
    """How many cells of a unit a campaign counts by a criterion; 0 for none."""
    rows = reading.covered_rows.get(criterion, slice(0, 0))
    return rows.stop - rows.start


def _pairs(a: Reading, b: Reading) -> dict[str, int] | None:
    """Which seeds have a valid finding in which campaign; None where they are not known to be the same."""
    rounds = list(a.archive.rounds())
    same = rounds == list(b.archive.rounds()) and all(digest for *_, digest in rounds)
    if not (same and rounds and np.array_equal(a.seeds.order, b.seeds.order)):
        return None
    one, other = a.queries_until_found > 0, b.queries_until_found > 0
    parts = {"both": one & other, "only_a": one & ~other, "only_b": other & ~one, "neither": ~(one | other)}
    return {name: int(part.sum()) for name, part in parts.items()}


def _at_equal_queries(a: Reading, b: Reading) -> dict[str, int]:
    """How many seeds have a valid finding once as many queries were spent as the cheaper one spent in all."""
    queries = min(a.seeds.queries, b.seeds.queries)
    until = {"a": a.queries_until_found, "b": b.queries_until_found}
    found = {side: int(((at > 0) & (at <= queries)).sum()) for side, at in until.items()}
    return {"queries": queries, **found}


def _shares(sides: dict[str, Any], pairs: dict[str, int] | None) -> dict[str, Any]:
    a, b = sides["a"]["valid_share"], sides["b"]["valid_share"]
    gap = difference(b, a, correlation(pairs) if pairs else 0.0) if a and b else None
    return {"a": a, "b": b, "b_minus_a": gap, "paired": pairs is not None}


def _sizes(reading: Reading, name: str, smallest: bool) -> float | None:
    rows = (row.smallest if smallest else row for row in reading.valid)
    spread = quantiles([row.measure(name) for row in rows if row is not None])
    return spread["median"] if spread else None


def _coverage(a: Reading, b: Reading) -> dict[str, dict[str, dict[str, int]]]:
    """`{model: {criterion: {only_a, only_b, both, units}}}`: cells reached where models differ."""
    models = [m for m in a.models if _layers(a, m) and _layers(a, m) == _layers(b, m)]
    if not (models and a.complete and b.complete):
        return {}
    criteria = [name for name in a.criteria if _cells(a, name) == _cells(b, name)]
    one, other = a.archive.coverage(), b.archive.coverage()
    by_model: dict[str, dict[str, dict[str, int]]] = {}
    for model in models:
        spans = a.spans[a.models.index(model)], b.spans[b.models.index(model)]
        if spans[0].stop == spans[0].start:  # a black box has no neurons
            continue
        for name in criteria:
            x, y = one[a.covered_rows[name], spans[0]], other[b.covered_rows[name], spans[1]]
            counts = {"only_a": x & ~y, "only_b": y & ~x, "both": x & y}
            by_model.setdefault(model, {})[name] = {k: int(v.sum()) for k, v in counts.items()} | {
                "units": x.size
            }
    return by_model


def _groups(a: Reading, b: Reading) -> dict[str, Any] | None:
    """Fault groups by disagreement, largest first, each with the finding of the smallest change."""
    if a.inputs != b.inputs:
        return None
    models = a.models if set(a.models) == set(b.models) else None
    rows: dict[Key, dict[str, list[Row]]] = defaultdict(lambda: {"a": [], "b": []})
    for side, reading in (("a", a), ("b", b)):
        for row in reading.valid:
            rows[key_of(reading, row, models)][side].append(row)
    by_side: dict[str, list[dict[str, Any]]] = {"only_a": [], "only_b": [], "both": []}
    for (expected, answers), found in rows.items():
        kind = "both" if found["a"] and found["b"] else "only_a" if found["a"] else "only_b"
        counts = {side: len(members) for side, members in found.items()}
        examples = {f"example_{side}": _example(members) for side, members in found.items()}
        off = [i for i, answer in enumerate(answers) if answer != expected]
        names = {
            "expected": expected,
            "answers": list(answers),
            "answered": list(dict.fromkeys(answers[i] for i in off)),
            "by": [models[i] for i in off] if models else [],
        }
        by_side[kind].append({**names, **counts, **examples})
    for groups in by_side.values():
        groups.sort(key=lambda g: (-g["a"] - g["b"], g["expected"], g["answers"]))
    return {"models": models and list(models), **by_side}


def _example(rows: list[Row]) -> str | None:
    return least_changed(rows).id if rows else None
