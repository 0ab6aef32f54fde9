"""A gate in words: what it compared and what it decided, the same in a terminal and in each report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xplore.archive.gate_record import FLIPS, WHERE, GateRecord, Line, undecided
from xplore.report.words import interval, listing, percent, plural

MOST_SEEDS = 12
STATES = {"passed": "passed", "failed": "FAILED", "undecided": "UNDECIDED", None: "did not finish"}
NOT_FINISHED = (
    "The process ended, or is still at work, before anything was compared: this says neither that the new "
    "model may be released nor that it may not. What was searched until then is below."
)


def lines(record: GateRecord) -> list[str]:
    """The comparisons in lines, as a terminal shows them."""
    first = f"gate {STATES[record.decision]}: {record.kind}{versions(record)}"
    return [first, *(f"  {line_text(line)}" for line in record.whole), *_classes(record), *_flipped(record)]


def line_text(line: Line) -> str:
    """A comparison in a line."""
    if line.share is None:
        return f"{WHERE[line.where]}: {line.void}"
    text = f"{line.flips} of {line.seeds} seeds, {_share(line.share)}"
    others = ", ".join(f"{share:.1%}" for share in line.null)
    beside = f", of another training (these: {others})" if line.null else ""
    end = ": above" if line.fails else f": {line.void}" if line.void else ""
    return f"{name(line)}: {text}; up to {line.allowed:.1%} is allowed{beside}{end}"


def name(line: Line) -> str:
    """What is compared: `on the data`, `class 3 near the data`."""
    return WHERE[line.where] if line.of is None else f"class {line.name} {WHERE[line.where]}"


def _share(value: dict[str, float]) -> str:
    return f"{value['share']:.1%} ({value['low']:.1%} to {value['high']:.1%})"


def _classes(record: GateRecord) -> list[str]:
    """Each class that fails, or the one that comes closest to it."""
    if not record.by_class:
        return []
    failed = [f"  {line_text(line)}" for line in record.broken]
    return failed or [f"  by class: none is above; the closest, {line_text(closest(record.by_class))}"]


def closest(lines: Sequence[Line]) -> Line:
    """The comparison that lies closest to its limit, or farthest above it."""
    return max(lines, key=_nearness)


def _nearness(line: Line) -> tuple[float, float]:
    """How large a part of what is allowed a comparison comes to."""
    part = _part(line)
    return (part / line.allowed if line.allowed else math.inf if part else 0.0), part


def versions(record: GateRecord) -> str:
    """Which versions were compared, as a part of a line; nothing, where they have no names of their own.

    >>> versions(GateRecord(FLIPS, 0.02, 0, versions=("v1", "v2"))), versions(GateRecord(FLIPS, 0.02, 0))
    ('; old: v1, new: v2', '')
    """
    named = len(record.versions) == 2 and record.versions[0] != record.versions[1]
    return f"; old: {record.versions[0]}, new: {record.versions[1]}" if named else ""


def terms(record: GateRecord) -> str:
    """What the words of a gate's report mean, for somebody to whom it was forwarded."""
    named = versions(record).removeprefix("; ")
    seed = f"{named[:1].upper()}{named[1:]}. " * bool(named) + "A seed is an input as it came."
    flip = " A flip is one that the old model answers rightly and the new one wrongly."
    near = " Near a seed are small changes of it, within the bound, which the search tries."
    return f"{seed}{flip if record.kind == FLIPS else ''}{near}"


def _flipped(record: GateRecord) -> list[str]:
    seeds = [str(seed) for seed in record.flipped]
    more = f" and {len(seeds) - MOST_SEEDS} more" if len(seeds) > MOST_SEEDS else ""
    return [f"  seeds as they are: {', '.join(seeds[:MOST_SEEDS])}{more}"] if seeds else []


def verdict(record: GateRecord) -> str:
    """What the gate said, in a sentence.

    >>> print(verdict(GateRecord(FLIPS, 0.02, 0)))
    The gate did not finish: there is no verdict.
    >>> share = {"share": 0.3, "low": 0.24, "high": 0.37}
    >>> line = Line("data", None, None, 60, 200, share, 0.02, True)
    >>> print(verdict(GateRecord(FLIPS, 0.02, 0, "failed", (line,))).replace("\\xa0", " "))
    Gate FAILED: 60 of 200 seeds flip from right to wrong (30.0 %); up to 2.0 % is allowed.
    """
    if record.decision is None:
        return "The gate did not finish: there is no verdict."
    if record.decision == "undecided":
        void = undecided(record.lines)
        if not void:
            return "Gate UNDECIDED."
        line = void[0]
        why = line.void.partition("; more trainings")[0]  # how to mend it is told beside the comparison
        return f"Gate UNDECIDED: it could not have failed {name(line)}. {why[:1].upper()}{why[1:]}."
    if record.decision == "passed":
        lines, start = record.whole, "Gate passed"
    else:
        start = "Gate FAILED"
        lines = tuple(line for line in record.whole if line.fails)
        if not lines:  # classes alone
            lines = tuple(sorted(record.broken, key=_nearness, reverse=True)[:2])
    limits = {line.allowed for line in lines}
    clauses = [_against(record, line, limit=len(limits) > 1) for line in lines]
    same = [f"; {_allowed(lines[0])}"] if len(limits) == 1 else []
    trained = record.decision == "passed" and any(line.limit == "null" for line in lines)
    plain = " The new version breaks no more than another training of the old one does." if trained else ""
    return f"{start}{': ' if clauses else ''}{', and '.join(clauses)}{''.join(same)}.{plain}"


def _against(record: GateRecord, line: Line, *, limit: bool) -> str:
    """A comparison in words, as a part of a sentence; with its limit, where others have another one."""
    if line.share is None:
        return f"{WHERE[line.where]} nothing was compared"
    of = f" of class {line.name}" if line.of is not None else ""
    count = f"{line.flips:,} of {plural(line.seeds, 'seed')}{of}"
    if record.kind == FLIPS:
        text = f"{count} flip from right to wrong"
        near = f"near {count} the search finds a flip"
    else:
        text = f"old and new disagree on {count}"
        near = f"near {count} the search finds a disagreement"
    more = f"; {_allowed(line)}" if limit else ""
    return f"{text if line.where == 'data' else near} ({percent(_part(line), 1)}{more})"


def _allowed(line: Line) -> str:
    return f"up to {percent(line.allowed, 1)} is allowed" if line.allowed else "none is allowed"


def _part(line: Line) -> float:
    return line.share["share"] if line.share else 0.0


def headline(record: GateRecord) -> list[tuple[str, str, bool]]:
    """The numbers under the verdict: each with what it means, and whether it lies above its limit."""
    numbers = []
    does = "flip" if record.kind == FLIPS else "are answered otherwise by the new model"
    has = "have a flip near them, which the search finds" if record.kind == FLIPS else ""
    has = has or "have an input near them that is answered otherwise, which the search finds"
    for line in record.whole:
        what = f"of {plural(line.seeds, 'seed')} {f'{does} as they are' if line.where == 'data' else has}"
        spread = f" (95\xa0% interval {interval(line.share)})" if line.share else f": {line.void}"
        within = "above" if line.fails else "within"
        limit = f"; {within} the {percent(line.allowed, 1)} allowed" if line.share and line.allowed else ""
        number = percent(line.share["share"] if line.share else None, 1)
        numbers.append((number, what + spread + limit, line.fails))
    return sorted([*numbers, _third(record)], key=lambda number: not number[2]) if numbers else []


def _third(record: GateRecord) -> tuple[str, str, bool]:
    """The class that broke, or what is allowed and who says so."""
    broken = list(dict.fromkeys(str(line.name) for line in record.broken))
    if len(broken) == 1:
        line = closest(record.broken)
        part = f"{line.flips:,} of its {plural(line.seeds, 'seed')} {WHERE[line.where]}"
        return f"class {broken[0]}", f"is broken: {part}; up to {percent(line.allowed, 1)} is allowed", True
    if broken:
        few = broken if len(broken) <= 6 else [*broken[:5], f"{len(broken) - 5} more"]
        return f"{len(broken)} classes", f"are broken: {listing(few)}", True
    if any(line.limit == "null" for line in record.whole):
        limits = [f"{percent(line.allowed, 1)} {WHERE[line.where]}" for line in record.whole]
        return plural(record.trainings, "training"), f"say what is allowed: {listing(limits)}", False
    if record.allow is None:
        return "none", "is allowed: no limit was given", False
    return percent(record.allow, 1), "is allowed: the number that was given", False


def counted(record: GateRecord) -> str:
    """What is counted of the seeds, as a table's head."""
    return "flip" if record.kind == FLIPS else "disagree"


def limit(record: GateRecord, line: Line) -> str:
    """Where what is allowed comes from, in words."""
    if line.limit == "null":
        shares = ", ".join(percent(share, 1) for share in line.null)
        return f"95\xa0% prediction interval for one more training; {len(line.null)} came to {shares}"
    if record.allow is None:
        return "no limit was given: none may"
    return "the number that was given"


def outcome(line: Line) -> str:
    """What came of a comparison, in a word or two."""
    if line.fails:
        return "above"
    return "could not have failed" if line.void else "within"


def table(record: GateRecord) -> list[dict[str, Any]]:
    """The comparisons as rows: those over all classes, then classes, the worst first."""
    classes = sorted(record.by_class, key=lambda line: (line.fails, *_nearness(line)), reverse=True)
    return [
        {
            "name": name(line),
            "flips": f"{line.flips:,} of {line.seeds:,}",
            "share": percent(line.share["share"] if line.share else None, 1),
            "interval": interval(line.share),
            "allowed": percent(line.allowed, 1),
            "limit": limit(record, line),
            "outcome": outcome(line),
            "why": line.void,
            "fails": line.fails,
            "void": bool(line.void),
            "whole": line.of is None,
        }
        for line in [*record.whole, *classes]
    ]
