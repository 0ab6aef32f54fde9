"""What was covered, and from which round on seeds may aim beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from xplore.archive.records import rows_of
from xplore.model.neurons import Layout


class Rounds:
    """Coverage by rounds: what is known `lag` rounds after it was due guides a round's aims.

    A try of a round's seed is due in that round, a restart one later: no round waits for the hardest seeds
    of the one before. What is known depends on seeds alone, never on lanes or timing. Rounds come in order.
    """

    def __init__(self, layout: Layout, cells: Sequence[int], main: int, lag: int) -> None:
        self._spans, self._main, self._lag = layout.spans(), rows_of(cells)[main], lag
        self._covered = np.zeros((cells[main], layout.n_units), bool)
        self._known = np.zeros_like(self._covered)
        self._due: dict[int, Bool[np.ndarray, "k u"]] = {}
        self._open: Counter[int] = Counter()

    @property
    def coverage(self) -> dict[str, float]:
        """The share of each model's cells that was covered, by the main criterion."""
        shares = {name: self._covered[:, span] for name, span in self._spans.items()}
        return {name: float(cells.mean()) for name, cells in shares.items() if cells.size}

    def reach(self, due: int, covered: Bool[np.ndarray, "rows u"]) -> None:
        """This is covered, and guides rounds from `due + lag` on."""
        cells = covered[self._main]
        self._covered |= cells
        self._due[due] = self._due[due] | cells if due in self._due else cells.copy()

    def opened(self, due: int, count: int = 1) -> None:
        """Tries are open that are due in a round; of a negative count, they ended."""
        self._open[due] += count

    def waits(self, index: int) -> bool:
        """Is coverage that guides this round still to come?"""
        return any(count and due <= index - self._lag for due, count in self._open.items())

    def known(self, index: int) -> tuple[Bool[np.ndarray, " _"], ...]:
        """What the seeds of a round take as covered, model by model: units none of whose cells is left."""
        for due in [due for due in self._due if due <= index - self._lag]:
            self._known = self._known | self._due.pop(due)
        for due in [due for due, count in self._open.items() if not count]:
            del self._open[due]
        known = np.all(self._known, axis=0)
        return tuple(known[span] for span in self._spans.values())
