"""A campaign in figures: what every other report says, and what a program may read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from xplore._util.statistics import share
from xplore.archive import Archive
from xplore.archive.rows import clean
from xplore.report import wording
from xplore.report.precision import precision
from xplore.report.reading import Reading, read
from xplore.report.rows import Row, finite

SIZES = ("l2", "linf", "ssim", "changed")
SHRUNK_SIZES = ("changed", "l1", "l2", "linf", "ssim")
QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}


def summary(archive: Archive) -> dict[str, Any]:
    """The figures of a campaign, JSON-able and free of NaN; None is what is not known."""
    with archive.snapshot():
        return figures(read(archive))


def figures(reading: Reading) -> dict[str, Any]:
    """The figures of an archive that was read."""
    meta, fates, seeds = reading.meta, reading.seeds.fates, reading.seeds.count
    with_valid = reading.archive.seeds_with_valid()
    counted, of = reading.in_whole_rounds
    seconds = finite(meta.get("seconds"))
    answers = reading.archive.answers()
    doubted = [row.id for row in reading.in_doubt]
    number = {id(group): place for place, group in enumerate(reading.groups)}
    keys = (
        "name",
        "created",
        "command",
        "search",
        "objective",
        "constraint",
        "bound",
        "baselines",
        "lanes",
        "rng",
    )
    keys += ("device", "versions", "config")
    return clean(
        {
            **{key: meta.get(key) for key in keys},
            "notes": [
                *(meta.get("notes") or ()),
                *wording.not_finite(reading.not_finite, seeds),
                *wording.never_valid(dict(reading.seeds.never_valid), seeds),
            ],
            "gate": reading.gate and reading.gate.meta(),
            "finished": bool(meta.get("finished", False)),
            "ended": meta.get("ended") or "",
            "inputs": reading.inputs,
            "labelled": reading.labelled,
            "label_stands": reading.label_stands,
            "models": list(reading.models),
            "criteria": list(reading.criteria),
            "main_criterion": reading.criteria[reading.main] if reading.criteria else None,
            "seeds": seeds,
            "seeds_total": meta.get("seeds_total"),
            "fates": dict(fates),
            "already_differ": fates["already_differ"],
            "agree_wrongly": reading.seeds.agree_wrongly_count,
            "never_valid": dict(reading.seeds.never_valid),
            "not_found": fates["not_found"],
            "found": fates["found"] + fates["rejudged_away"],
            "rejudged_away": fates["rejudged_away"],
            "findings": len(reading.found),
            "valid": len(reading.valid),
            "valid_as_found": sum(row.valid_as_found for row in reading.found),
            "in_doubt": len(reading.in_doubt),
            "in_doubt_by_reason": dict(Counter(d for r in reading.in_doubt for d in r.doubts).most_common()),
            "evidence": None if reading.evidence is None else list(reading.evidence),
            "invalid_by_reason": dict(Counter(r for row in reading.found for r in row.reasons).most_common()),
            "seeds_with_valid_finding": with_valid,
            "valid_share": share(of, counted),
            "share_of_seeds": counted,
            "groups": [
                {
                    "expected": group.expected,
                    "decisions": list(group.decisions),
                    "part": group.part,
                    "parts": group.parts,
                    "count": len(group.rows),
                    "example": group.example.id,
                }
                for group in reading.groups
            ],
            "failure_modes": [
                {
                    "expected": mode.expected,
                    "answered": mode.answered,
                    **dict(
                        zip(("expected_name", "answered_name"), wording.confusion(reading, mode), strict=True)
                    ),
                    "model": reading.models[mode.model],
                    "count": len(mode.rows),
                    "groups": sorted(number[id(group)] for group in mode.groups),
                    "example": mode.example.id,
                }
                for mode in reading.failure_modes
            ],
            "precision": precision(reading.strata, answers),
            "precision_in_doubt": precision([doubted], answers),
            "wrong": dict(zip(reading.models, wrong(reading.valid, len(reading.models)), strict=True)),
            "disagree": disagree(reading.valid, len(reading.models)),
            "referee": opinions_of_reference([*reading.valid, *reading.in_doubt]),
            "sizes": {name: quantiles([row.measure(name) for row in reading.valid]) for name in SIZES},
            "shrunk": shrunk(reading.valid),
            "not_finite": reading.not_finite,
            "coverage": _coverage(reading, reading.archive.coverage),
            "coverage_valid": _coverage(reading, lambda: reading.archive.coverage(valid=True)),
            "coverage_seeds": _coverage(reading, reading.archive.seed_coverage),
            "steps": meta.get("steps", reading.seeds.steps),
            "queries": meta.get("queries", reading.seeds.queries),
            "seconds": seconds,
            "compile_seconds": finite(meta.get("compile_seconds")),
            "seeds_per_second": seeds / seconds if seconds else None,
        }
    )


def wrong(rows: Sequence[Row], models: int) -> list[dict[str, int]]:
    """How often each model is wrong alone, wrong with others, and right alone.

    Without labels, wrong means: leaves the answer on which all models agreed.
    """
    tally = [{"alone": 0, "with_others": 0, "right_alone": 0} for _ in range(models)]
    for row in rows:
        if row.expected is None:
            continue
        off = [decision != row.expected for decision in row.decisions]
        for count, is_off in zip(tally, off, strict=True):
            if is_off:
                count["alone" if sum(off) == 1 else "with_others"] += 1
            elif sum(off) == len(off) - 1:
                count["right_alone"] += 1
    return tally


def disagree(rows: Sequence[Row], models: int) -> list[list[int]]:
    """In how many findings each model's decision differs from each other's."""
    table = np.zeros((models, models), int)
    for row in rows:
        decisions = np.array(row.decisions)
        table += decisions[:, None] != decisions[None, :]
    return table.tolist()


def opinions_of_reference(rows: Sequence[Row]) -> dict[str, int]:
    """How often the reference model, where there is one, gives the expected label to what is shown."""
    opinions = [(row.expected, row.shown.measures.get("referee")) for row in rows]
    judged = [(expected, answer) for expected, answer in opinions if None not in (expected, answer)]
    agree = sum(answer == expected for expected, answer in judged)
    return {"agree": agree, "judged": len(judged)}


def shrunk(rows: Sequence[Row]) -> dict[str, Any] | None:
    """How large the changes of findings are that were shrunk, as `found` and `smallest`; None where none was.

    `queries` of the models were spent on shrinking these findings.
    """
    pairs = [(row, row.smallest) for row in rows if row.smallest is not None]
    if not pairs:
        return None
    return {
        "findings": len(pairs),
        "queries": sum(smallest.queries for _, smallest in pairs),
        "found": {name: quantiles([row.measure(name) for row, _ in pairs]) for name in SHRUNK_SIZES},
        "smallest": {name: quantiles([one.measure(name) for _, one in pairs]) for name in SHRUNK_SIZES},
    }


def quantiles(values: Sequence[float | None]) -> dict[str, float] | None:
    """The spread of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    spread = np.quantile(known, list(QUANTILES.values()))
    return {"count": len(known), **dict(zip(QUANTILES, spread.tolist(), strict=True))}


def _coverage(reading: Reading, measure: Any) -> dict[str, dict[str, float]]:
    if not (reading.spans and reading.criteria):
        return {}
    covered: Bool[np.ndarray, "rows u"] = measure()
    return {
        model: {name: float(covered[rows, span].mean()) for name, rows in reading.covered_rows.items()}
        for model, span in zip(reading.models, reading.spans, strict=True)
        if span.stop > span.start  # a black box has no neurons
    }
