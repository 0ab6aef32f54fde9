"""What every backend is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Shaped

from xplore.campaign.judge import Judge
from xplore.campaign.messages import WorkItem, WorkResult
from xplore.campaign.settings import RunOptions
from xplore.engine.step import Method


@runtime_checkable
class Backend(Protocol):
    """Where seeds are searched from: takes tasks, and tells what came of each seed, once.

    It calls `keep` with what came before it tells it, from one thread. Which task runs when, where, and how
    often decides nothing. `xplore.campaign.worker.Worker` is the one that computes here.

    >>> from xplore.campaign.worker import Worker
    >>> all(hasattr(Worker, name) for name in ("warm_up", "open", "set_coverage", "news", "finish", "close"))
    True
    """

    @property
    def load(self) -> int:
        """How many seeds wait or are searched from."""
        ...

    @property
    def lanes(self) -> int:
        """How many seeds are searched from at once: more are wanted while `load` is below four times that."""
        ...

    def warm_up(
        self, first: Shaped[np.ndarray, "1 *x"], coverage: tuple[Bool[np.ndarray, " _"], ...]
    ) -> None:
        """Compile what will run, or find out that it cannot."""
        ...

    def open(self, task: WorkItem) -> None:
        """Take a task: its seeds are read, and searched from once their round aims."""
        ...

    def set_coverage(self, index: int, coverage: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """What the seeds of a round that is open aim beside."""
        ...

    def news(self) -> WorkResult:
        """Wait for news, for some seconds at most."""
        ...

    def finish(self) -> WorkResult:
        """Start nothing any more; what else came."""
        ...

    def close(self) -> None:
        """Let go of all that it holds; open seeds stay so."""
        ...


Backends = Callable[[Method, Judge, RunOptions, Callable[[WorkResult], None]], Backend]
"""Makes a backend for a campaign."""
