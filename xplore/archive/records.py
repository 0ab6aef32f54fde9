"""What a campaign keeps of each seed, and of each input on which models differ."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float16

Verdict = Literal["valid", "in_doubt", "invalid"]
Disagreement: TypeAlias = tuple[int | None, tuple[int, ...]]
"""What should have been answered, and what each model decided."""


NO_ANSWER = -(2**31)
"""The decision of a model that returned NaN or infinity: no answer, and never a right one."""


@dataclass(frozen=True)
class SeedRecord:
    """What became of one seed: `fate` is `already_differ`, `found`, `rejudged_away` or `not_found`.

    `finding` is the id of what it led to, which another seed may have led to first; `campaign` counts the
    campaigns of an archive that was merged.
    """

    seed: int
    round: int
    label: int | None
    decisions: tuple[int, ...]
    fate: str
    tries: int = 0
    steps: int = 0
    queries: int = 0
    finding: str | None = None
    campaign: int = 0

    @property
    def agree_wrongly(self) -> bool:
        """All models give one answer, and it is not the label."""
        return (
            self.label is not None
            and set(self.decisions) == {d for d in self.decisions if d != self.label}
            and (len(set(self.decisions)) == 1)
        )

    @property
    def never_valid(self) -> str:
        """Why no search from it finds what is valid: `agree_wrongly`, `no_answer`; empty, where one may."""
        if self.fate == "already_differ":
            return ""
        if NO_ANSWER in self.decisions:
            return "no_answer"
        return "" if self.label is None or self.label in self.decisions else "agree_wrongly"


@dataclass(frozen=True, eq=False)
class Shrunk:
    """The smallest change that was found to show a finding: the same decisions, as stored.

    `queries` were spent on finding it.
    """

    after: bytes = field(repr=False)
    probabilities: Float[np.ndarray, "m c"] = field(repr=False)
    measures: dict[str, Any]
    queries: int


@dataclass(frozen=True, eq=False)
class Finding:
    """An input on which models differ, as stored: what is judged is what is read back from here.

    `before` and `after` are the seed and the finding, as bytes of the type `media`; `origin` is `search`,
    or `seed` for a seed on which models differ as it is; `reasons` tell why a finding is invalid;
    `covered` has a column a unit and a row for each cell of each criterion (`rows_of`); `hidden` is what the
    models make of it, their last hidden layers end to end; `latents` made it, where its chart tells its
    bound by them; `shrunk` is the smallest change that shows the same.
    """

    id: str
    origin: str
    seed: int
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    media: str
    label: int | None
    decisions: tuple[int, ...]
    probabilities: Float[np.ndarray, "m c"] = field(repr=False)
    reasons: tuple[str, ...]
    measures: dict[str, Any]
    steps: int
    covered: Bool[np.ndarray, "rows u"] = field(repr=False)
    hidden: Float16[np.ndarray, " h"] = field(default_factory=lambda: np.zeros(0, np.float16), repr=False)
    latents: bytes = field(default=b"", repr=False)
    shrunk: Shrunk | None = None
    campaign: int = 0

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the label of what is shown may not hold: of the smallest change, where there is one."""
        return tuple((self.shrunk or self).measures.get("doubts") or ())

    @property
    def verdict(self) -> Verdict:
        """`invalid`, for its reasons; `in_doubt`, where evidence speaks against its label; else `valid`."""
        return verdict(self.reasons, self.doubts)

    @property
    def valid(self) -> bool:
        return self.verdict == "valid"

    @property
    def disagreement(self) -> Disagreement:
        """What fault groups are made of: the label (the agreed one, without labels) and the decisions."""
        return self.expected, self.decisions

    @property
    def expected(self) -> int | None:
        """The label, or what all models answered on the seed."""
        return self.label if self.label is not None else self.measures.get("agreed")


def verdict(reasons: Sequence[str], doubts: Sequence[str]) -> Verdict:
    """
    >>> verdict((), ()), verdict((), ("reference_model",)), verdict(("seed_wrong",), ("reference_model",))
    ('valid', 'in_doubt', 'invalid')
    """
    return "invalid" if reasons else "in_doubt" if doubts else "valid"


def rows_of(cells: Sequence[int]) -> tuple[slice, ...]:
    """Which rows of `covered` are each criterion's, of criteria of so many cells a unit.

    >>> rows_of([1, 2])
    (slice(0, 1, None), slice(1, 3, None))
    """
    return tuple(slice(end - count, end) for count, end in zip(cells, accumulate(cells), strict=True))


def content_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
