"""What a campaign keeps of each seed, and of each input on which models differ."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class SeedRecord:
    """What became of one seed: `fate` is `already_differ`, `found`, `rejudged_away` or `not_found`."""

    seed: int
    round: int
    label: int | None
    decisions: tuple[int, ...]
    fate: str
    tries: int = 0
    steps: int = 0
    queries: int = 0

    @property
    def agree_wrongly(self) -> bool:
        """All models give one answer, and it is not the label."""
        return (
            self.label is not None
            and set(self.decisions) == {d for d in self.decisions if d != self.label}
            and (len(set(self.decisions)) == 1)
        )


@dataclass(frozen=True, eq=False)
class Finding:
    """An input on which models differ, as stored: what is judged is what is read back from here.

    `before` and `after` are the seed and the finding, as bytes of the type `media`; `origin` is `search`,
    or `seed` for a seed on which models differ as it is; `reasons` tell why a finding is not valid;
    `covered` has a row a criterion and a column a unit.
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
    covered: Bool[np.ndarray, "criteria u"] = field(repr=False)

    @property
    def valid(self) -> bool:
        return not self.reasons

    @property
    def group(self) -> tuple[int | None, tuple[int, ...]]:
        """The fault group: the same label (the agreed one, without labels) and the same decisions."""
        return self.expected, self.decisions

    @property
    def expected(self) -> int | None:
        """The label, or what all models answered on the seed."""
        return self.label if self.label is not None else self.measures.get("agreed")


def content_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
