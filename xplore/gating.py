"""A gate for a new version: does it break more than is allowed, on the data and near to it?

Two trained copies of one architecture differ on many inputs near the data: no finding at all is a gate that
nobody can pass. What is compared is the share of inputs with a valid negative flip, the old model right and
the new one wrong (Yan et al., 2021): with what is allowed, or with another training of the old model.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xplore.adapters import adapt
from xplore.api import run
from xplore.errors import InputError
from xplore.finding import SeedRecord
from xplore.model import Model
from xplore.objectives import Joint
from xplore.oracles import NegativeFlips
from xplore.report.failure import failure
from xplore.result import Result
from xplore.shares import share

NAMES = ("old", "new")
MOST_SEEDS = 12
WHERE = {"data": "on the data", "near": "near the data"}


@dataclass(frozen=True)
class Measured:
    """What one model does where the old one is right: for each seed that counts, does it flip?

    `data` are all seeds; `near` those that both answer rightly, searched around at the stated budget.
    """

    data: dict[int, bool] = field(repr=False)
    near: dict[int, bool] = field(repr=False)

    def share(self, where: str) -> dict[str, float] | None:
        """The share of seeds that flip, with its 95 % interval; None, where none counts."""
        flips: dict[int, bool] = getattr(self, where)
        return share(sum(flips.values()), len(flips))


@dataclass(frozen=True)
class Line:
    """One comparison: a share, what it is held against, and whether it lies above, beyond chance."""

    where: str
    flips: int
    seeds: int
    share: dict[str, float] | None
    allowed: float
    fails: bool


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a gate came to: `passed`, the comparisons (`lines`), and the campaign with what was found."""

    passed: bool
    kind: str
    lines: tuple[Line, ...]
    new: Measured = field(repr=False)
    null: tuple[Measured, ...] = field(repr=False)
    result: Result

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join([self.told, *(failure(self.result) if self.result.valid else ())])

    @property
    def told(self) -> str:
        """The comparisons in words."""
        head = f"gate {'passed' if self.passed else 'FAILED'}: {self.kind}"
        flips = [str(seed) for seed, flip in self.new.data.items() if flip]
        more = f" and {len(flips) - MOST_SEEDS} more" if len(flips) > MOST_SEEDS else ""
        apart = [f"  seeds as they are: {', '.join(flips[:MOST_SEEDS])}{more}"] if flips else []
        return "\n".join([head, *map(self._told, self.lines), *apart])

    @property
    def figures(self) -> dict[str, Any]:
        """What a program may read of it, JSON-able."""
        told = {"passed": self.passed, "kind": self.kind, "findings": len(self.result.valid)}
        return told | {line.where: asdict(line) for line in self.lines}

    def _told(self, line: Line) -> str:
        if line.share is None:
            return f"  {WHERE[line.where]}: no seed that both models answer rightly was searched"
        told = f"{line.flips} of {line.seeds} seeds, {_percent(line.share)}"
        shares = [_percent(of, whole=False) for one in self.null if (of := one.share(line.where))]
        beside = f", of another training (these: {', '.join(shares)})" if shares else ""
        end = ": above" if line.fails else ""
        return f"  {WHERE[line.where]}: {told}; up to {line.allowed:.1%} is allowed{beside}{end}"


def gate(
    old: Any,
    new: Any,
    inputs: Any,
    labels: Any = None,
    *,
    allow: float | None = None,
    null: Sequence[Any] = (),
    out: str | Path | None = None,
    **how: Any,
) -> Verdict:
    """Compare the share of inputs on which the new model breaks what the old one does rightly.

    It fails where the 95 % interval of a share (Wilson) lies above `allow` (0, if it is not given), and, with
    `null`, the share lies above what another training would come to: two models or more, trained as the old
    one was but for the random state, give a 95 % prediction interval, at the same budget. Both are asked on
    the data, and of what the search finds around what both models answer rightly. Without labels, or of
    models that return values, disagreements are compared likewise. `how` is as for `xplore.run`. Seeds count
    by whole rounds, where a budget ended the search.

    Raises:
        InputError: what cannot be compared, before any compute is spent.
    """
    if allow is not None and not 0 <= allow < 1:
        raise InputError("allow", expected="a share from 0 to below 1", got=repr(allow), fix="use allow=0.02")
    if len(null) == 1:
        fix = "one says nothing of how much trainings differ; three or more say more than two"
        raise InputError("null", expected="two or more models", got="1", fix=fix)
    if "baseline" in how or "models" in how:
        raise InputError("gate", expected="no baseline and no other models", got=", ".join(sorted(how)))
    first = _named(old, 0)
    flips = labels is not None and first.output != "values"
    if flips:
        how = {"oracle": NegativeFlips(), "objective": Joint(deviate=1), **how}
    folder = None if out is None else Path(out)
    result = run([first, _named(new, 1)], inputs, labels, out=folder, **{"name": "gate: new", **how})
    found = measured(result, flips)
    others = []
    for number, model in enumerate(null, 1):
        named = {"name": f"gate: null {number}", **how, "shrink": False}
        others.append(measured(run([first, _named(model, 1)], inputs, labels, **named), flips))
    lines = tuple(_line(where, found, others, allow) for where in WHERE)
    kind = "negative flips (old right, new wrong)" if flips else "disagreements of old and new"
    return Verdict(not any(line.fails for line in lines), kind, lines, found, tuple(others), result)


def replayed(result: Result, allow: float | None, null: bool, asked: bool) -> Verdict | None:
    """The verdict on what an earlier run found and still shows (`result.findings`), where that is clear.

    It fails where these alone lie above what is allowed, of the seeds that were searched then; where that was
    `asked`, with any that still shows. Else all is to be searched anew: None.
    """
    archive, still = result.archive, {finding.seed for finding in result.valid}
    searched = [
        record for record in archive.seeds() if record.fate != "already_differ" and not _wrong(record)
    ]
    near = {record.seed: record.seed in still for record in searched}
    line = _line("near", Measured({}, near), (), allow)
    if not asked and (null or not line.fails):
        return None
    line = replace(line, fails=bool(still)) if asked else line
    kind = "findings of an earlier run that still show; nothing was searched"
    return Verdict(not line.fails, kind, (line,), Measured({}, near), (), result)


def _named(model: Any, place: int) -> Model:
    """A model under the name of its place: campaigns of other models run the same programs."""
    return adapt(model).replace(name=NAMES[place])


def measured(result: Result, flips: bool) -> Measured:
    """What a campaign of the old model and another says, by seed."""
    archive = result.archive
    valid = {
        finding.id
        for finding in archive.findings()
        if finding.valid and (not flips or _flips(finding.decisions, finding.expected))
    }
    result.only(valid)
    records = list(archive.seeds())
    closed = Counter(record.round for record in records)
    whole = {index for index, seeds, _ in archive.rounds() if closed[index] == seeds}
    data, near = {}, {}
    for record in records:
        if record.round not in whole:
            continue
        apart = record.fate == "already_differ"
        data[record.seed] = _flips(record.decisions, record.label) if flips else apart
        if not apart and not _wrong(record):
            near[record.seed] = record.finding in valid
    return Measured(data, near)


def _flips(decisions: Sequence[int], expected: int | None) -> bool:
    return expected is not None and decisions[0] == expected != decisions[1]


def _wrong(record: SeedRecord) -> bool:
    return record.label is not None and any(decision != record.label for decision in record.decisions)


def _line(where: str, new: Measured, null: Sequence[Measured], allow: float | None) -> Line:
    flips: dict[int, bool] = getattr(new, where)
    came, allowed = new.share(where), allow or 0.0
    shares = [of["share"] for one in null if (of := one.share(where)) is not None]
    fails = came is not None and came["low"] > allowed
    if len(shares) > 1 and came is not None:
        allowed = max(allowed, foreseen(shares, len(flips)))  # with chance over the seeds in it
        fails &= came["share"] > allowed
    return Line(where, sum(flips.values()), len(flips), came, allowed, fails)


def foreseen(shares: Sequence[float], seeds: int) -> float:
    """The largest share that one more training would have: the upper end of a 95 % prediction interval.

    Student's t on the scale of `asin sqrt`, where chance over seeds alone deviates by `1 / (2 sqrt seeds)`.

    >>> round(foreseen([0.30, 0.36, 0.40, 0.33], 1000), 2)
    0.5
    """
    from scipy.stats import t

    angles, k = [math.asin(math.sqrt(share)) for share in shares], len(shares)
    spread = max(statistics.stdev(angles), 0.5 / math.sqrt(max(seeds, 1)))
    upper = statistics.fmean(angles) + t.ppf(0.975, k - 1) * spread * math.sqrt(1 + 1 / k)
    return math.sin(min(upper, math.pi / 2)) ** 2


def _percent(value: dict[str, float], whole: bool = True) -> str:
    return f"{value['share']:.1%}" + (f" ({value['low']:.1%} to {value['high']:.1%})" if whole else "")
