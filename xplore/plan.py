"""What a campaign does beside its method, and what it has come to so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What a campaign does beside its method; all of it is recorded."""

    lanes: int = 64
    rng: int = 0
    round_size: int = 256
    lag: int = 2
    main_criterion: int = 0
    query_limit: int | None = None


@dataclass
class Tally:
    """Sums over a campaign so far; `coverage` is each model's, by the criterion that guides the search."""

    seeds: int = 0
    closed: int = 0
    already_differ: int = 0
    found: int = 0
    rejudged_away: int = 0
    findings: int = 0
    valid: int = 0
    steps: int = 0
    queries: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    groups: set[Any] = field(default_factory=set)
    coverage: dict[str, float] = field(default_factory=dict)
    draining: bool = False  # no seed waits any more, and lanes stand idle
