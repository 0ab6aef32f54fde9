"""What a gate asked, compared and decided, and how its campaign's archive holds that.

The archive holds it from the campaign's first instant on, without a decision: a gate whose process was killed
has none. An archive may come from anyone: what is read back is checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Decision = Literal["passed", "failed", "undecided"]
WHERE = {"data": "on the data", "near": "near the data"}
DECISIONS, LIMITS = ("passed", "failed", "undecided"), ("allow", "null")
FLIPS, DISAGREEMENTS = "negative flips (old right, new wrong)", "disagreements of old and new"
"""What a gate counts: with labels, and without."""


@dataclass(frozen=True)
class Line:
    """One comparison: a share, what it is held against, and whether it lies above, beyond chance.

    It is of all seeds, or of those of one class (`of`, called `name`). `void` says why it could not have
    failed, where that is so. `limit` says where `allowed` comes from: `allow`, the given number (0 without
    one), or `null`, the prediction interval of the other trainings, whose shares are `null`.
    """

    where: str
    of: int | None
    name: str | None
    flips: int
    seeds: int
    share: dict[str, float] | None
    allowed: float
    fails: bool
    void: str = ""
    limit: str = "allow"
    null: tuple[float, ...] = ()


def whole(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The comparisons over all classes: on the data, near the data."""
    return tuple(line for line in lines if line.of is None)


def by_class(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The comparisons class by class."""
    return tuple(line for line in lines if line.of is not None)


def undecided(lines: Sequence[Line]) -> list[Line]:
    """The comparisons that leave a gate undecided, where none fails: those over all classes that could not
    have failed, and one of each place at which none of the classes could.
    """
    classes = [[line for line in by_class(lines) if line.where == where] for where in WHERE]
    every = [group[0] for group in classes if group and all(line.void for line in group)]
    return [line for line in whole(lines) if line.void] + every


def decide(lines: Sequence[Line]) -> Decision:
    """Failed, where a comparison fails; undecided, where one that counts could not; else passed."""
    if any(line.fails for line in lines):
        return "failed"
    return "undecided" if undecided(lines) else "passed"


@dataclass(frozen=True)
class GateRecord:
    """A gate: what it counts (`kind`), what was allowed, how many other trainings (`trainings`) it was given.

    Once it has ended also its `decision`, its comparisons (`lines`), and the seeds that flip as they are.
    `versions` are the old and the new model as the user calls them.
    """

    kind: str
    allow: float | None
    trainings: int
    decision: Decision | None = None
    lines: tuple[Line, ...] = ()
    flipped: tuple[int, ...] = field(default=(), repr=False)
    versions: tuple[str, ...] = ()

    @property
    def whole(self) -> tuple[Line, ...]:
        return whole(self.lines)

    @property
    def by_class(self) -> tuple[Line, ...]:
        return by_class(self.lines)

    @property
    def broken(self) -> tuple[Line, ...]:
        """The comparisons of single classes that failed."""
        return tuple(line for line in self.by_class if line.fails)

    def meta(self) -> dict[str, Any]:
        """What an archive holds of it."""
        return asdict(self)


def gate_of(meta: Mapping[str, Any]) -> GateRecord | None:
    """The gate that an archive's account tells of; None where it tells of none.

    Raises:
        ValueError: it is none of xplore's: of other kinds, of shares that are no shares, or a decision that
            the comparisons contradict.

    >>> gate_of({}), gate_of({"gate": {"kind": "flips", "allow": 0.02, "trainings": 0}}).decision
    (None, None)
    >>> gate_of({"gate": {"kind": "flips", "allow": 7, "trainings": 0}})
    Traceback (most recent call last):
    ValueError: `gate` is not what it should be: its allow, 7
    """
    recorded = meta.get("gate")
    if recorded is None:
        return None
    held = _fields(recorded, "gate", ("kind", "allow", "trainings"))
    kind, allow, trainings = held["kind"], held["allow"], held["trainings"]
    _hold(type(kind) is str, "kind", kind)
    _hold(allow is None or _part(allow), "allow", allow)
    _hold(_count(trainings), "trainings", trainings)
    decision, lines, flipped = held.get("decision"), held.get("lines") or (), held.get("flipped") or ()
    _hold(decision is None or decision in DECISIONS, "decision", decision)
    _hold(isinstance(lines, (list, tuple)), "lines", lines)
    _hold(isinstance(flipped, (list, tuple)) and all(map(_count, flipped)), "flipped", flipped)
    read = tuple(map(_line, lines))
    versions = held.get("versions") or ()
    named = isinstance(versions, (list, tuple)) and all(type(name) is str for name in versions)
    _hold(named, "versions", versions)
    failed = any(line.fails for line in read)
    _hold(decision is None or (decision == "failed") == failed, "decision", decision)
    return GateRecord(kind, allow, trainings, decision, read, tuple(flipped), tuple(versions))


def _line(recorded: Any) -> Line:
    needed = ("where", "of", "name", "flips", "seeds", "share", "allowed", "fails")
    held = _fields(recorded, "line", needed)
    where, of, name, flips, seeds, share, allowed, fails = (held[key] for key in needed)
    void, limit, null = held.get("void", ""), held.get("limit", "allow"), held.get("null") or ()
    _hold(where in [*WHERE] and limit in LIMITS, "where", [where, limit])
    _hold(of is None or type(of) is int, "class", of)
    _hold(type(void) is str and (name is None or type(name) is str), "name", [name, void])
    _hold(_count(flips) and _count(seeds) and flips <= seeds, "flips", [flips, seeds])
    _hold(_part(allowed) and type(fails) is bool, "allowed", [allowed, fails])
    _hold(isinstance(null, (list, tuple)) and all(map(_part, null)), "null", null)
    if share is not None:
        share = _fields(share, "share", ("share", "low", "high"))
        share = {key: share[key] for key in ("share", "low", "high")}
        _hold(all(map(_part, share.values())), "share", share)
    _hold((share is None) == (seeds == 0), "share", share)
    return Line(where, of, name, flips, seeds, share, allowed, fails, void, limit, tuple(null))


def _fields(recorded: Any, what: str, needed: Sequence[str]) -> dict[str, Any]:
    _hold(isinstance(recorded, dict) and all(key in recorded for key in needed), what, recorded)
    return recorded


def _hold(fits: bool, what: str, came: Any) -> None:
    if not fits:
        raise ValueError(f"`gate` is not what it should be: its {what}, {str(came)[:80]}")


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _part(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 1
