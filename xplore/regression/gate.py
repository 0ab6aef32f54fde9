"""A gate for a new version: does it break more than is allowed, on the data and near to it?

Two trained copies of one architecture differ on many inputs near the data: no finding at all is a gate that
nobody can pass. What is compared is the share of inputs with a valid negative flip, the old model right and
the new one wrong (Yan et al., 2021): with what is allowed, or with another training of the old model, over
all classes and class by class, since what breaks one of them is drowned by what trainings differ in anyway.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore._util import moved
from xplore._util.errors import InputError, visible
from xplore._util.jax_settings import own_settings
from xplore._util.statistics import prediction_interval, share
from xplore.adapters import adapt
from xplore.archive.gate_record import DISAGREEMENTS, FLIPS, WHERE, Decision, GateRecord, Line, decide
from xplore.archive.records import NO_ANSWER, SeedRecord
from xplore.campaign.result import Result
from xplore.campaign.run import run
from xplore.model import Model
from xplore.objectives import Joint
from xplore.oracles import NegativeFlips
from xplore.report import gate as words
from xplore.report.failure import failure
from xplore.report.reading import head
from xplore.report.wording import not_finite

NAMES = ("old", "new")
CHANCE = 0.025
"""Of a false alarm at one place over all classes; and of one by any class at either place."""
WIDE = 0.25
"""How far a limit on the data may lie above what each training came to: a gate is to see a quarter break."""
CERTAIN = 0.999
"""A limit from here on cannot be exceeded."""


@dataclass(frozen=True)
class Measured:
    """What one model does where the old one is right: for each seed that counts, does it flip?

    `data` are all seeds; `near` those that both answer rightly, searched around at the stated budget;
    `classes` each seed's label, or without labels what the old model decides.
    """

    data: dict[int, bool] = field(repr=False)
    near: dict[int, bool] = field(repr=False)
    classes: dict[int, int] = field(repr=False)

    @cached_property
    def _seen(self) -> Counter[tuple[str, int | None, bool]]:
        """How many seeds of all (None) and of each class flip, and how many do not."""
        return Counter(
            (where, of, flip)
            for where in WHERE
            for seed, flip in getattr(self, where).items()
            for of in {None, self.classes.get(seed)}
        )

    def counts(self, where: str, of: int | None = None) -> tuple[int, int]:
        """How many seeds flip, and of how many; of one class alone, if it is named."""
        flips = self._seen[where, of, True]
        return flips, flips + self._seen[where, of, False]

    def share(self, where: str, of: int | None = None) -> dict[str, float] | None:
        """The share of seeds that flip, with its 95 % interval; None, where none counts."""
        return share(*self.counts(where, of))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a gate came to: its `decision`, the comparisons (`lines`), and the campaign with what was found.

    It is true where the gate passed. It is undecided, and vouches for nothing, where a comparison over all
    classes, or each one of single classes at a place, could not have failed, and no other did.
    """

    kind: str
    lines: tuple[Line, ...]
    new: Measured = field(repr=False)
    null: tuple[Measured, ...] = field(repr=False)
    result: Result
    allow: float | None = None

    @property
    def decision(self) -> Decision:
        """Failed, where a comparison fails; undecided, where one that counts could not; else passed."""
        return decide(self.lines)

    @property
    def passed(self) -> bool:
        return self.decision == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join([self.text, *(failure(self.result) if self.result.valid else ())])

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return moved.attribute(self, name)

    @property
    def text(self) -> str:
        """The comparisons in words."""
        figures = self.result.summary
        lost = [f"  {line}" for line in not_finite(figures["not_finite"], figures["seeds"])]
        return "\n".join([*words.lines(self.record), *lost])

    @property
    def record(self) -> GateRecord:
        """What the campaign's archive holds of it, and every report says."""
        flipped = tuple(seed for seed, flip in self.new.data.items() if flip)
        versions = tuple((self.result.archive.meta.get("gate") or {}).get("versions") or ())
        return GateRecord(self.kind, self.allow, len(self.null), self.decision, self.lines, flipped, versions)

    @property
    def whole(self) -> tuple[Line, ...]:
        """The comparisons over all classes: on the data, near the data."""
        return self.record.whole

    @property
    def by_class(self) -> tuple[Line, ...]:
        """The comparisons class by class, where other trainings were given."""
        return self.record.by_class

    @property
    def figures(self) -> dict[str, Any]:
        """What a program may read of it, JSON-able."""
        values = {"passed": self.passed, "decision": self.decision, "kind": self.kind}
        values["findings"] = len(self.result.valid)
        whole = {line.where: asdict(line) for line in self.whole}
        return values | whole | {"classes": [asdict(line) for line in self.by_class]}

    def _repr_html_(self) -> str:
        return self.result._repr_html_()


@own_settings()
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
    `null`, the share lies above what another training would come to: three models or more, trained as the old
    one was but for the random state, give a 95 % prediction interval, at the same budget, over all classes
    and for each one. Both are asked on the data, and of what the search finds around what both models answer
    rightly. It is undecided, and false, where a limit is so wide that it could not have failed, as two
    trainings often make it, or where nothing was compared. Without labels, or of models that return values,
    disagreements are compared likewise. The archive of the campaign holds the
    verdict, so that its reports tell it. `how` is as for `xplore.run`. Seeds count
    by whole rounds, where a budget ended the search.

    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> seeds = pages.images[:8], pages.labels[:8]
    >>> verdict = gate(phishing1(), phishing2(), *seeds, allow=0.5, constraint=phishing.realistic(), **how)
    >>> bool(verdict), verdict.lines[0].seeds
    (True, 8)

    Raises:
        InputError: what cannot be compared, before any compute is spent.
    """
    if allow is not None and not 0 <= allow < 1:
        raise InputError("allow", expected="a share from 0 to below 1", got=repr(allow), fix="use allow=0.02")
    if len(null) == 1:
        fix = "one says nothing of how much trainings differ; give three or more"
        raise InputError("null", expected="two or more models", got="1", fix=fix)
    if "baseline" in how or "models" in how:
        raise InputError("gate", expected="no baseline and no other models", got=", ".join(sorted(how)))
    allow = None if allow is None else float(allow)
    first = _named(old, 0)
    flips = labels is not None and first.output != "values"
    if flips:
        how = {"oracle": NegativeFlips(), "objective": Joint(deviate=1), **how}
    folder = None if out is None else Path(out)
    kind = FLIPS if flips else DISAGREEMENTS
    recorded = {"command": "xplore.gate(...)", **how.pop("recorded", {})}
    versions = tuple(adapt(model).name for model in (old, new))
    recorded |= {"gate": GateRecord(kind, allow, len(null), versions=versions).meta()}
    models = [first, _named(new, 1)]
    named = {"name": f"gate: {versions[1]}", **how}
    result = run(models, inputs, labels, out=folder, **named, recorded=recorded)
    found = measured(result, flips)
    others, given = [], how.get("reference_model") is not None or how.get("training") is not None
    same = how if given else {**how, "shrink": False}  # evidence is held against the smallest change
    for number, model in enumerate(null, 1):
        named = {"name": f"gate: null {number}", **same}
        others.append(measured(run([first, _named(model, 1)], inputs, labels, **named), flips))
    called = head(result.archive).class_name
    lines = tuple(line for where in WHERE for line in compared(where, found, others, allow or 0.0, called))
    verdict = Verdict(kind, lines, found, tuple(others), result, allow)
    _store(verdict)
    return verdict


def _store(verdict: Verdict) -> None:
    """What a gate came to is noted in its campaign's archive, and its reports say so; where that cannot be,
    it is told: the verdict is none the less what it is.
    """
    result = verdict.result
    try:
        result.note(gate=verdict.record.meta())
    except (InputError, OSError, sqlite3.Error) as error:
        print(visible(f"gate: {result.folder} does not tell the verdict: {error}"), file=sys.stderr)


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
    (line,) = compared("near", Measured({}, near, {}), (), allow or 0.0)
    if not asked and (null or not line.fails):
        return None
    line = replace(line, fails=bool(still)) if asked else line
    kind = "findings of an earlier run that still show; nothing was searched"
    return Verdict(kind, (line,), Measured({}, near, {}), (), result)


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
    whole = archive.whole_rounds()
    data, near, classes = {}, {}, {}
    for record in archive.seeds():
        if (record.campaign, record.round) not in whole:
            continue
        if record.decisions[0] == NO_ANSWER:  # the old one has no answer to break
            continue
        apart = record.fate == "already_differ"
        classes[record.seed] = record.decisions[0] if record.label is None else record.label
        data[record.seed] = _flips(record.decisions, record.label) if flips else apart
        if not apart and not _wrong(record):
            near[record.seed] = record.finding in valid
    return Measured(data, near, classes)


def _flips(decisions: Sequence[int], expected: int | None) -> bool:
    return expected is not None and decisions[0] == expected != decisions[1]


def _wrong(record: SeedRecord) -> bool:
    return record.label is not None and any(decision != record.label for decision in record.decisions)


def compared(
    where: str,
    new: Measured,
    null: Sequence[Measured],
    allow: float,
    called: Callable[[int], str] = str,
) -> list[Line]:
    """The comparisons at one place: over all classes and, beside other trainings, class by class."""
    null = [one for one in null if one.share(where)]
    kinds = sorted(
        of for of in {*new.classes.values()} if all(one.counts(where, of)[1] for one in (new, *null))
    )
    groups: list[tuple[Sequence[int | None], float]] = [([None], CHANCE)]
    if len(null) > 1 and len(kinds) > 1:
        groups.append((kinds, CHANCE / len(WHERE)))
    lines = []
    for group, chance in groups:
        allowed, counts = [allow] * len(group), [new.counts(where, of) for of in group]
        limits = ["allow"] * len(group)
        shares = [[flips / n for flips, n in (one.counts(where, of) for of in group)] for one in null]
        largest = [max([allow, *(row[at] for row in shares)]) for at in range(len(group))]
        if len(null) > 1:
            upper = prediction_interval(shares, [n for _, n in counts], chance)
            allowed = [max(allow, one) for one in upper]  # with chance over the seeds in it
            limits = ["null" if one > allow else "allow" for one in upper]
        for at, (of, (flips, n), most) in enumerate(zip(group, counts, allowed, strict=True)):
            came, name = share(flips, n), None if of is None else called(of)
            fails = came is not None and came["low"] > allow and came["share"] > most
            void = _void(where, of, came, most, largest[at])
            trainings = tuple(row[at] for row in shares)
            fields = (where, of, name, flips, n, came, most, fails, void, limits[at], trainings)
            lines.append(Line(*fields))
    return lines


def _void(where: str, of: int | None, came: Any, allowed: float, largest: float) -> str:
    """Why a comparison could not have failed; `largest` is what a training came to, or what is allowed."""
    mend = "more trainings to compare with (null), or more seeds, narrow it"
    if came is None:
        if where == "data":
            return "there is no seed that the old model answers rightly: nothing was compared"
        return "no seed that both models answer rightly was searched: nothing was compared"
    if allowed >= CERTAIN:
        return f"such a limit cannot be exceeded; {mend}"
    if of is None and where == "data" and allowed > largest + WIDE:
        points = f"the limit lies {100 * (allowed - largest):.0f} points above what each training came to"
        return f"{points}; a quarter could break unseen; {mend}"
    return ""
