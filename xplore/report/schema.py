"""What `summary.json` holds, as a JSON schema: docs/summary.schema.json is written from here, and real
summaries are held to it in the tests, no key missing and none unknown.

    python -m xplore.report.schema > docs/summary.schema.json
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Field(ge=0)
Part = Field(ge=0, le=1)


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, populate_by_name=True)


class Share(_Exact):
    """A share with its 95 % interval (Wilson, 1927)."""

    share: float = Part
    low: float = Part
    high: float = Part


class Group(_Exact):
    """Valid findings with one expected label and the same decisions, near each other (`fault_groups`)."""

    expected: int | None
    decisions: list[int]
    """One a model, in the order of `models`."""
    part: int = Count
    """Which of the clusters that show this disagreement, from 0."""
    parts: int = Field(ge=1)
    count: int = Count
    example: str
    """The id of the finding with the smallest change."""


class FailureMode(_Exact):
    """Fault groups of one expected answer, one wrong answer and one model, which is to blame: of the models
    that are wrong the one that is surest or, of values, farthest off.
    """

    expected: int | None
    """Null, as `answered`, of models that return values."""
    answered: int | None
    expected_name: str
    answered_name: str
    """Of values, `too high` or `too low`; without labels, `rises` or `falls`."""
    model: str
    count: int = Count
    groups: list[int]
    """Which of `groups`, counted from 0."""
    example: str
    """The id of the finding with the smallest change."""


class Blame(_Exact):
    """In how many valid findings a model is wrong alone, wrong with others, right alone; without labels, a
    model is wrong that leaves the answer all gave on the seed.
    """

    alone: int = Count
    with_others: int = Count
    right_alone: int = Count


class Referee(_Exact):
    """How often an outside classifier, where one was asked, gives the expected label of a valid finding."""

    agree: int = Count
    judged: int = Count


class Quantiles(_Exact):
    """The spread of what was measured."""

    count: int = Count
    min: float
    q05: float
    q25: float
    median: float
    q75: float
    q95: float
    max: float


class Sizes(_Exact):
    """Sizes of changes; null where a size was not measured."""

    l2: Quantiles | None
    linf: Quantiles | None
    ssim: Quantiles | None
    changed: Quantiles | None


class ShrunkSizes(Sizes):
    """Sizes of changes before or after shrinking; null where a size was not measured."""

    l1: Quantiles | None


class Shrunk(_Exact):
    """Valid findings that were shrunk: the sizes of their changes as found, and of the smallest."""

    findings: int = Count
    queries: int = Count
    found: ShrunkSizes
    smallest: ShrunkSizes


class Agreement(_Exact):
    """How far reviewers agree on what at least two of them judged."""

    judged: int = Count
    agree: int = Count
    kappa: float | None


class Precision(_Exact):
    """Of reviewed findings, the share that keep their label, with its 95 % interval."""

    reviewed: int = Count
    valid: int = Count
    invalid: int = Count
    unsure: int = Count
    reviewers: int = Count
    groups: int = Count
    """Of how many groups findings were reviewed: the failure modes that are shown first, and all others."""
    of_findings: float
    """The part of all findings that lie in groups of which one was reviewed."""
    share: float
    low: float
    high: float
    agreement: Agreement | None


class NotFinite(_Exact):
    """How often a model returned NaN or infinity."""

    seeds: int = Count
    findings: int = Count


class GateLine(_Exact):
    """One comparison of a gate: of all seeds, or of those of one class (`of`, called `name`)."""

    where: Literal["data", "near"]
    """On the seeds as they are, or on what the search finds near those that both models answer rightly."""
    of: int | None
    name: str | None
    flips: int = Count
    seeds: int = Count
    share: Share | None
    allowed: float = Part
    fails: bool
    """Does the share lie above what is allowed, beyond chance?"""
    void: str
    """Why this comparison could not have failed; empty, where it could."""
    limit: Literal["allow", "null"]
    """Where `allowed` comes from: the number that was given, or other trainings' prediction interval."""
    null: list[float]
    """What the other trainings came to."""


class Gate(_Exact):
    """What a gate said: of campaigns that `xplore gate` ran."""

    kind: str
    """What is counted."""
    allow: float | None
    """The number that was given."""
    trainings: int = Count
    """How many other trainings were given."""
    decision: Literal["passed", "failed", "undecided"] | None
    """Null, where the gate did not finish."""
    lines: list[GateLine]
    flipped: list[int]
    """The seeds that flip as they are."""


Coverage = dict[str, dict[str, float]]


class Summary(_Exact):
    """The figures of a campaign, as `xplore report --format json` writes them; null is what is not known."""

    model_config = ConfigDict(title="summary.json of xplore")

    name: str | None
    created: str | None
    command: str | None
    search: str | None
    objective: str | None
    constraint: str | None
    bound: str | None
    baselines: list[dict[str, Any]] | None
    """Other searches from the same seeds."""
    lanes: int | None
    rng: int | None
    device: str | None
    versions: dict[str, str] | None
    config: dict[str, Any] | None
    notes: list[str] | None
    gate: Gate | None
    finished: bool
    ended: str
    """Which budget ended the campaign, or what else did; empty, where all seeds were judged."""
    inputs: Literal["images", "rows", "sets"]
    labelled: bool
    label_stands: bool
    """Is a model wrong that leaves the label of a valid finding? Nobody sees in a changed row whether its
    label still holds: there a reference model has to say so."""
    models: list[str]
    criteria: list[str]
    main_criterion: str | None
    seeds: int = Count
    seeds_total: int | None
    fates: dict[str, int]
    """How many seeds ended how: `already_differ`, `found`, `rejudged_away`, `not_found`."""
    already_differ: int = Count
    agree_wrongly: int = Count
    never_valid: dict[str, int]
    """Seeds that were searched from though no valid finding could come of them, by why: all models agree, and
    wrongly (`agree_wrongly`), or none gives an answer (`no_answer`)."""
    not_found: int = Count
    found: int = Count
    rejudged_away: int = Count
    findings: int = Count
    valid: int = Count
    """Findings that count: neither invalid nor in doubt."""
    valid_as_found: int = Count
    """The same, before any is shrunk: what other searches' findings are compared with."""
    in_doubt: int = Count
    """Findings that nothing makes invalid, whose label outside evidence speaks against."""
    in_doubt_by_reason: dict[str, int]
    evidence: list[str] | None
    """What could speak against a label, `reference_model` or `training`; empty, where there was nothing."""
    invalid_by_reason: dict[str, int]
    seeds_with_valid_finding: int = Count
    valid_share: Share | None
    """Of the seeds; of a campaign that did not judge all of its seeds, of those in whole rounds alone, since
    seeds that are divided end first. None, where no round is whole."""
    share_of_seeds: int = Count
    """How many seeds `valid_share` is of."""
    """Seeds that have a valid finding."""
    groups: list[Group]
    """Fault groups, largest first."""
    failure_modes: list[FailureMode]
    """Each of the groups is in one of them; the one with the most findings comes first."""
    wrong: dict[str, Blame]
    disagree: list[list[int]]
    """In how many valid findings each model's decision differs from each other's."""
    referee: Referee
    sizes: Sizes
    """Of valid findings, as found."""
    shrunk: Shrunk | None
    precision: Precision | None
    """Of valid findings."""
    precision_in_doubt: Precision | None
    """Of those in doubt."""
    not_finite: dict[str, NotFinite]
    """Models that returned NaN or infinity: on how many seeds, and in how many findings."""
    coverage: Coverage
    """`{model: {criterion: share}}` over the inputs on which models differ."""
    coverage_valid: Coverage
    """The same over valid findings alone."""
    coverage_seeds: Coverage
    """The same over the seeds as they are."""
    steps: int = Count
    queries: int = Count
    seconds: float | None
    compile_seconds: float | None
    seeds_per_second: float | None


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a summary.

    >>> schema()["required"][:3], schema()["additionalProperties"]
    (['name', 'created', 'command'], False)
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Summary.model_json_schema()}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2, ensure_ascii=False))
