"""What a campaign does beside its method, when it stops, and what it has come to so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from xplore._util import moved
from xplore._util.intervals import COUNT, PART, POSITIVE, check_number
from xplore.archive.records import Finding
from xplore.engine.devices import default_lanes
from xplore.model.lowering.autotune import Lowering
from xplore.model.neurons import Layout
from xplore.panel.panel import Precision

__getattr__ = moved.attach(__name__)


@dataclass(frozen=True)
class RunOptions:
    """What a campaign does beside its method; all of it is recorded.

    No `lanes` are as many as fit the device (`engine.devices.default_lanes`). `lowering` and `dtype` say how
    the search computes the models: judging always asks them as they are written.
    """

    lanes: int = 0
    rng: int = 0
    round_size: int = 256
    lag: int = 2
    main_criterion: int = 0
    lowering: Lowering = "as_written"
    dtype: Precision = "float32"

    def fitted(self, layout: Layout, threads: int | None = None) -> RunOptions:
        """The same, with as many lanes as fit where it names none; `threads` as in `default_lanes`."""
        lanes = self.lanes or default_lanes(layout, self.round_size, threads=threads)
        return replace(self, lanes=lanes)


@dataclass
class Totals:
    """Sums over a campaign so far; `coverage` is each model's, by the criterion that guides the search."""

    seeds: int = 0
    closed: int = 0
    already_differ: int = 0
    found: int = 0
    rejudged_away: int = 0
    findings: int = 0
    valid: int = 0
    steps: int = 0  # of live lanes
    lane_steps: int = 0  # of all lanes, idle ones too
    queries: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    disagreements: set[Any] = field(default_factory=set)
    coverage: dict[str, float] = field(default_factory=dict)
    draining: bool = False  # no seed waits any more, and lanes stand idle

    def count(self, findings: Sequence[Finding]) -> None:
        """More findings came."""
        self.findings += len(findings)
        self.valid += sum(finding.valid for finding in findings)
        self.disagreements |= {finding.disagreement for finding in findings if finding.valid}


_LIMITS = {"seconds": POSITIVE, "findings": COUNT, "queries": COUNT, "coverage": PART}


@dataclass(frozen=True)
class Budget:
    """When a campaign stops though seeds are left: the first limit that is reached; None is no limit.

    No other seed is begun then; those under way, one a lane, go on to their end. What is said of seeds is of
    whole rounds alone (`round_size`): seeds that are divided end first.

    `seconds` are those of this run, without compilation; `findings` are valid ones; `coverage` is the share
    of cells, by the criterion that guides the search, that every model is to reach.

    >>> Budget(findings=2).reached(Totals(valid=2), 0.0), Budget(seconds=60).reached(Totals(), 59.0)
    ('findings', None)
    """

    seconds: float | None = None
    findings: int | None = None
    queries: int | None = None
    coverage: float | None = None

    def check(self) -> None:
        """An InputError for a limit that makes no sense."""
        for name, interval in _LIMITS.items():
            check_number(f"budget.{name}", getattr(self, name), interval)

    def reached(self, tally: Totals, seconds: float) -> str | None:
        """The name of a limit that is reached."""
        least = min(tally.coverage.values(), default=0.0)
        now = {"seconds": seconds, "findings": tally.valid, "queries": tally.queries, "coverage": least}
        limits = {name: limit for name in now if (limit := getattr(self, name)) is not None}
        return next((name for name, limit in limits.items() if now[name] >= limit), None)
