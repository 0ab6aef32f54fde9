"""Lanes and refill: a fixed batch steps together, and a lane that is done takes the next try.

No lane waits for the slowest seed. What a try aims at is drawn when it is queued, from its own key, so
neither lanes nor order decide a seed's fate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped

from xplore.lanes import CHUNK, Method, Results, State, begin, collect, enqueue, one_step, steps_on_device


class Try(NamedTuple):
    """One try of one seed: `turn` counts the tries before."""

    seed: int
    turn: int
    x0: Shaped[np.ndarray, "*x"]
    before: Float[np.ndarray, "m c"]


class Outcome(NamedTuple):
    """How a try ended: `codes` is the input last looked at, as it will be stored; `latents` made it,
    where the chart needs them."""

    seed: int
    turn: int
    found: bool
    steps: int
    codes: Shaped[np.ndarray, "*x"]
    latents: Any = ()


@dataclass
class Engine:
    """Runs tries in `lanes` lanes: `push` some, `advance`, take the outcomes; while `busy`."""

    method: Method
    rng: int
    lanes: int
    shape: tuple[int, ...]
    outputs: tuple[int, int]

    def __post_init__(self) -> None:
        self.block = max(32, min(self.lanes, 128))
        slots = 2 * self.lanes + 4 * self.block
        self._free = list(range(slots))[::-1]
        self._tries: dict[int, Try] = {}
        self._pushed_since: set[int] = set()
        self._state: State | None = None
        self._pending: Any = None
        self._slots = slots
        self.ran = 0
        self._on_cpu = jax.default_backend() == "cpu"

    @property
    def room(self) -> int:
        """How many tries can be pushed."""
        return len(self._free)

    @property
    def busy(self) -> int:
        """Tries pushed whose outcome was not returned yet."""
        return len(self._tries)

    def push(self, tries: Sequence[Try], covered: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """Queue tries that aim beside one and the same coverage, at most `room`."""
        for first in range(0, len(tries), self.block):
            part = tries[first : first + self.block]
            slots = [self._free.pop() for _ in part]
            self._tries.update(zip(slots, part, strict=True))
            self._pushed_since.update(slots)
            self._enqueue(self._pack(part, slots), covered)

    def warm_up(self, covered: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """Compile what `push` and `advance` run, by one step of idle lanes."""
        self._enqueue(self._pack([], []), covered)
        self._chunk(1)
        self._collect([])

    def _enqueue(self, block: dict[str, Any], covered: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        if self._state is None:
            self._state = begin(self.method, block, covered, self.lanes, self._slots)
        self._state = enqueue(self.method, self._state, block, covered)

    def _pack(self, tries: Sequence[Try], slots: Sequence[int]) -> dict[str, Any]:
        size, dtype = self.block, np.dtype(jnp.result_type(float))
        block = {
            "slot": np.full(size, -1, np.int32),
            "key": np.zeros((size, 2, 2), np.uint32),
            "turn": np.zeros(size, np.int32),
            "x0": np.zeros((size, *self.shape), self.method.constraint.encoding.dtype),
            "before": np.zeros((size, *self.outputs), dtype),
        }
        for row, (slot, attempt) in enumerate(zip(slots, tries, strict=True)):
            block["slot"][row], block["turn"][row] = slot, attempt.turn
            entropy = np.random.SeedSequence((self.rng, attempt.seed, attempt.turn))
            block["key"][row] = entropy.generate_state(4).reshape(2, 2)
            block["x0"][row], block["before"][row] = attempt.x0, attempt.before
        return block

    def _chunk(self, steps: int) -> Any:
        """Start some steps; what is finished after them."""
        assert self._state is not None
        held, flags = self._state, None
        if self._on_cpu:
            for _ in range(steps):
                held, flags = one_step(self.method, held.queue, held.results, held.lanes)
        else:
            held, flags = steps_on_device(self.method, held.queue, held.results, held.lanes, np.int32(steps))
        self._state, self.ran = held, self.ran + steps
        return flags

    def advance(self, steps: int = CHUNK) -> list[Outcome]:
        """Return what the chunk that ran has finished, and start the next one, of so many steps.

        Slots pushed since that chunk began show the flag of the try before: they are passed over.
        """
        if self._state is None:
            return []
        flags, self._pending = self._pending, None
        outcomes = []
        if flags is not None:
            ended = set(np.flatnonzero(np.asarray(flags)).tolist()) & self._tries.keys()
            outcomes = self._take(sorted(ended - self._pushed_since))
        self._pushed_since.clear()
        if self._tries:
            self._pending = self._chunk(steps)
        return outcomes

    def _take(self, slots: list[int]) -> list[Outcome]:
        outcomes = []
        for first in range(0, len(slots), self.block):
            part = slots[first : first + self.block]
            ended = self._collect(part)
            for row, slot in enumerate(part):
                attempt = self._tries.pop(slot)
                latents = jax.tree.map(lambda leaf, row=row: leaf[row], ended.latents)
                came = (bool(ended.found[row]), int(ended.steps[row]), np.asarray(ended.codes[row]), latents)
                outcomes.append(Outcome(attempt.seed, attempt.turn, *came))
                self._free.append(slot)
        return outcomes

    def _collect(self, slots: list[int]) -> Results:
        assert self._state is not None
        index = np.zeros(self.block, np.int32)
        index[: len(slots)] = slots
        return jax.tree.map(np.asarray, collect(self._state.results, index))
