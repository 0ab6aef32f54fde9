"""An archive read once, front to back, with its pictures left where they are.

Campaigns may be unfinished or killed: whatever `meta` does not say yet is None or empty here.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from xplore._util.errors import InputError, shell
from xplore.archive import Archive
from xplore.archive.fault_groups import fault_groups
from xplore.archive.gate_record import GateRecord, gate_of
from xplore.archive.records import NO_ANSWER, Disagreement, Finding, SeedRecord, rows_of
from xplore.archive.trusted import from_zoo
from xplore.inputs.columns import Column, recorded
from xplore.inputs.media import SETS
from xplore.report.failure_modes import SHOWN, FailureMode, failure_modes
from xplore.report.rows import Row, finite, least_changed, row_of

SHORTEST_ID = 6
MOST_AGREED = 200
NOT_FINITE = "NaN or infinity"
"""What a decision is called that is none."""


@dataclass(frozen=True)
class Seeds:
    """What became of the seeds, counted while they are read: no archive is too long for that.

    `agree_wrongly` holds the first of those on which all models agree, but wrongly; `never_valid` counts, by
    why, those that were searched from though nothing valid could come of it.
    """

    count: int = 0
    labelled: bool = False
    answers: int = 0
    steps: int = 0
    queries: int = 0
    agree_wrongly_count: int = 0
    agree_wrongly: tuple[SeedRecord, ...] = ()
    fates: Counter[str] = field(default_factory=Counter)
    not_finite: Counter[int] = field(default_factory=Counter)
    never_valid: Counter[str] = field(default_factory=Counter)
    order: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    def processed(self, campaign: int, seed: int) -> int:
        """How many seeds had been processed when this one was, itself included."""
        return int(np.searchsorted(self.order, _place(campaign, seed), side="right"))


@dataclass(frozen=True)
class Group:
    """Valid findings with one expected label and the same decisions, near to each other; `part` of `parts`.

    The example changes least.
    """

    expected: int | None
    decisions: tuple[int, ...]
    part: int
    parts: int
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def example(self) -> Row:
        return least_changed(self.rows)


@dataclass(frozen=True, eq=False)
class Reading:
    """All of an archive but its pictures.

    `hits` counts, for each cell of each unit by the main criterion, the inputs on which models differ that
    reach it; `first` is how many seeds had been processed when it was first reached, 0 for never.
    """

    archive: Archive = field(repr=False)
    meta: dict[str, Any]
    seeds: Seeds
    rows: tuple[Row, ...] = field(repr=False)
    hits: Int[np.ndarray, "k u"] = field(repr=False)
    first: Int[np.ndarray, "k u"] = field(repr=False)

    @cached_property
    def layout(self) -> list[dict[str, Any]]:
        return self.meta.get("layout") or []

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models' names; where they are not recorded, as many as there are decisions."""
        named = self.meta.get("models") or self.layout
        if named:
            return tuple(str(model["name"]) for model in named)
        answers = self.seeds.answers or max((len(row.decisions) for row in self.rows[:1]), default=0)
        return tuple(f"model {i + 1}" for i in range(answers))

    @cached_property
    def criteria(self) -> tuple[str, ...]:
        return tuple(map(str, self.meta.get("criteria") or ()))

    @cached_property
    def covered_rows(self) -> dict[str, slice]:
        """Of each criterion the rows of `covered` that are its own: one for each cell of a unit."""
        return dict(zip(self.criteria, rows_of(self.archive.cells), strict=True))

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What the rows of a table hold; empty for images."""
        return recorded((self.meta.get("table") or {}).get("columns") or ())

    @cached_property
    def label(self) -> dict[str, Any]:
        """What is known of the labels: their name and dtype, and what each class is called in them."""
        return self.meta.get("label") or {}

    def label_of(self, finding: Finding) -> Any:
        """The label that is expected of a finding, as the user calls it, or its number."""
        if self.of_values:
            return finite(finding.measures.get("truth"))
        number, words = finding.expected, self.label.get("classes") or ()
        return words[number] if number is not None and 0 <= number < len(words) else number

    @cached_property
    def inputs(self) -> str:
        """What the inputs are: `images`, `rows` of a table, or `sets` of features."""
        return "rows" if self.columns else "sets" if self.meta.get("media") == SETS else "images"

    @cached_property
    def gate(self) -> GateRecord | None:
        """What the gate said whose campaign this is; None of other campaigns."""
        return gate_of(self.meta)

    @property
    def in_words(self) -> bool:
        """Are inputs told in words, by what changed? There are no pictures of rows and of sets."""
        return self.inputs != "images"

    @cached_property
    def main(self) -> int:
        """The number of the criterion that the curve and the map show."""
        return _main(self.meta)

    @cached_property
    def labelled(self) -> bool:
        return bool(self.meta.get("labelled", self.seeds.labelled))

    @property
    def label_stands(self) -> bool:
        """Is a model wrong that leaves the label of a valid finding?

        Nobody sees in a changed row whether its label still holds: there a reference model has to say so.
        """
        return self.labelled and (not self.in_words or "reference_model" in (self.evidence or ()))

    @cached_property
    def found(self) -> tuple[Row, ...]:
        """What the search found and the stored input confirmed, valid or not."""
        return tuple(row for row in self.rows if row.origin == "search")

    @cached_property
    def valid(self) -> tuple[Row, ...]:
        """The findings that count."""
        return tuple(row for row in self.rows if row.valid)

    @cached_property
    def in_doubt(self) -> tuple[Row, ...]:
        """Findings whose label outside evidence speaks against."""
        return tuple(row for row in self.rows if row.verdict == "in_doubt")

    @cached_property
    def queries_until_found(self) -> Int[np.ndarray, " n"]:
        """For each seed, in order, how many queries were spent until its valid finding was there; 0 is none.

        The seeds are taken one after the other, whatever ran beside. Several may lead to one finding.
        """
        names, places = {row.id for row in self.valid}, {(row.campaign, row.seed) for row in self.valid}
        spent, until = 0, array("q")
        for record in self.archive.seeds():
            spent += record.queries
            found = record.finding in names or (record.campaign, record.seed) in places
            until.append(spent if found else 0)
        return np.array(until, np.int64)

    @cached_property
    def evidence(self) -> tuple[str, ...] | None:
        """What could speak against a label: a reference model, training inputs; None is not recorded."""
        recorded = self.meta.get("evidence")
        return None if recorded is None else tuple(recorded)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Fault groups of valid findings (`xplore.archive.fault_groups`), largest first."""
        rows: dict[tuple[Disagreement, int], list[Row]] = defaultdict(list)
        part = fault_groups(self.archive)
        for row in self.valid:
            rows[(row.expected, row.decisions), part.get(row.id, 0)].append(row)
        parts = Counter(disagreement for disagreement, _ in rows)
        groups = [Group(*key[0], key[1], parts[key[0]], tuple(members)) for key, members in rows.items()]
        return tuple(sorted(groups, key=lambda g: (-len(g.rows), str(g.expected), g.decisions, g.part)))

    @cached_property
    def failure_modes(self) -> tuple[FailureMode, ...]:
        """The fault groups by expected answer, wrong answer and the model to blame, worst first."""
        return failure_modes(self.groups, str(self.decides.get("kind")))

    @cached_property
    def strata(self) -> list[list[str]]:
        """Valid findings' ids as reviews sample them: of each failure mode shown first, and of all others."""
        first, others = self.failure_modes[:SHOWN], self.failure_modes[SHOWN:]
        rest = [row.id for mode in others for row in mode.rows]
        return [*([row.id for row in mode.rows] for mode in first), *([rest] if rest else [])]

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """The columns of each model's units."""
        ends = np.cumsum([0] + [sum(layer["units"] for layer in model["layers"]) for model in self.layout])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @cached_property
    def decides(self) -> dict[str, Any]:
        """What the oracle tells of decisions: their `kind`, and of numbers the `unit`."""
        return self.meta.get("decisions") or {}

    @property
    def of_values(self) -> bool:
        """Do the models return numbers?"""
        return self.decides.get("kind") in ("angles", "values")

    @property
    def complete(self) -> bool:
        """Does the archive say its layout? Without it its findings cannot be read."""
        return bool(self.meta.get("layout") and self.meta.get("criteria"))

    def row(self, finding: Finding) -> Row:
        """A finding without its pictures.

        Raises:
            InputError: it has decisions of other models than those of the archive.
        """
        if len(finding.decisions) != len(self.models):
            answers = f"answers of {len(self.models)} models"
            raise InputError(f"finding {finding.id}", expected=answers, got=str(len(finding.decisions)))
        return row_of(finding, self.columns, self.of_values)

    @property
    def steers(self) -> bool:
        """Do the models return steering angles?"""
        return self.decides.get("kind") == "angles"

    @cached_property
    def in_whole_rounds(self) -> tuple[int, int]:
        """How many seeds are in rounds that ended, and how many of these led to a valid finding.

        All of them, where the archive tells of no rounds.
        """
        whole = self.archive.whole_rounds()
        has_rounds = next(self.archive.rounds(), None) is not None
        if not has_rounds or sum(whole.values()) == self.seeds.count:
            return self.seeds.count, self.archive.seeds_with_valid()
        valid = {row.id for row in self.valid}
        within = [one for one in self.archive.seeds() if (one.campaign, one.round) in whole]
        return len(within), sum(record.finding in valid for record in within)

    @cached_property
    def not_finite(self) -> dict[str, dict[str, int]]:
        """Of each model that returned NaN or infinity, on how many seeds and in how many findings."""
        lost = Counter(i for row in self.found for i, d in enumerate(row.decisions) if d == NO_ANSWER)
        each = {name: (self.seeds.not_finite[i], lost[i]) for i, name in enumerate(self.models)}
        return {name: {"seeds": s, "findings": f} for name, (s, f) in each.items() if s or f}

    def value_name(self, value: float | None) -> str:
        """A number that a model returns, with its unit."""
        if value is None:
            return NOT_FINITE
        return f"{value:+.2f} {self.decides.get('unit', '')}".rstrip().replace("-", "\N{MINUS SIGN}")

    def class_name(self, decision: int | None) -> str:
        """What a decision is called; its number where the classes have no names."""
        classes = self.meta.get("classes") or []
        if decision is None:
            return "?"
        if decision == NO_ANSWER:
            return NOT_FINITE
        if self.decides.get("kind") == "values":
            low = decision * float(self.decides["apart"])
            return f"{low:g} to {low + float(self.decides['apart']):g} {self.decides['unit']}".rstrip()
        return str(classes[decision]) if 0 <= decision < len(classes) else str(decision)

    @cached_property
    def campaigns(self) -> int:
        """How many there are: several, where the archive was merged."""
        return len(self.meta.get("merged") or [()])

    def seed_name(self, row: Row | SeedRecord) -> int | str:
        """A seed's number, with its campaign's where there are several, counted from 1."""
        return row.seed if self.campaigns == 1 else f"{row.seed} (campaign {row.campaign + 1})"

    @cached_property
    def short_ids(self) -> dict[str, str]:
        """The shortest start of each id that names one finding alone."""
        ids = sorted(row.id for row in self.rows)
        short = {}
        for i, name in enumerate(ids):
            shared = max(
                (_common(name, other) for other in ids[max(i - 1, 0) : i + 2] if other != name), default=0
            )
            short[name] = name[: max(SHORTEST_ID, shared + 1)]
        return short

    def replay(self, row: Row) -> str:
        """What shows a finding again: a command, or where the models came from Python, a call."""
        folder, name = str(self.archive.path.parent), self.short_ids[row.id]
        known = (self.meta.get("config") or {}).get("models")
        file = self.meta.get("config_file")
        if not known:
            return f"xplore.replay({folder!r}, models, prefix={name!r})"
        config = [] if from_zoo(self.meta) or not file else ["--config", Path(file)]
        return shell("xplore", "replay", Path(folder), *config, "--finding", name)


def head(archive: Archive) -> Reading:
    """What an archive tells of itself, without its seeds and findings."""
    nothing = np.zeros((1, 0), int)
    return Reading(archive, archive.meta, Seeds(), (), nothing, nothing)


def read(archive: Archive) -> Reading:
    """Read an archive.

    An archive that does not say its layout yet has no findings that can be read: its seeds are told.
    """
    with archive.snapshot():
        return _read(archive)


def _read(archive: Archive) -> Reading:
    opening = head(archive)
    seeds = _seeds(archive.seeds())
    if not opening.complete:
        return replace(opening, seeds=seeds)
    meta = opening.meta
    main, rows = rows_of(archive.cells)[_main(meta)], []
    units, _ = archive.size
    hits = np.zeros((main.stop - main.start, units), int)
    first = np.full_like(hits, np.iinfo(int).max)
    for finding in archive.findings(origin=None):
        rows.append(opening.row(finding))
        covered: Bool[np.ndarray, "k u"] = finding.covered[main]
        hits += covered
        at = seeds.processed(finding.campaign, finding.seed)
        first[covered & (first > at)] = at
    return Reading(archive, meta, seeds, tuple(rows), hits, np.where(hits > 0, first, 0))


def _seeds(records: Iterable[SeedRecord]) -> Seeds:
    fates: Counter[str] = Counter()
    lost: Counter[int] = Counter()
    never: Counter[str] = Counter()
    order, wrong = array("q"), []
    answers = steps = queries = agree = 0
    labelled = False
    for record in records:
        order.append(_place(record.campaign, record.seed))
        fates[record.fate] += 1
        lost.update(i for i, decision in enumerate(record.decisions) if decision == NO_ANSWER)
        steps, queries = steps + record.steps, queries + record.queries
        answers, labelled = answers or len(record.decisions), labelled or record.label is not None
        never.update([record.never_valid] if record.never_valid else [])
        if record.agree_wrongly:
            agree += 1
            wrong += [record] if agree <= MOST_AGREED else []
    chosen = np.sort(np.array(order, np.int64))
    return Seeds(
        len(order), labelled, answers, steps, queries, agree, tuple(wrong), fates, lost, never, chosen
    )


def _place(campaign: int, seed: int) -> int:
    """Seeds of a later campaign come after those of an earlier one."""
    return (campaign << 40) + seed


def _main(meta: dict[str, Any]) -> int:
    main, criteria = meta.get("main_criterion", 0), meta.get("criteria") or [""]
    if main in criteria:
        return criteria.index(main)
    return min(max(main, 0), len(criteria) - 1) if isinstance(main, int) else 0


def _common(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
