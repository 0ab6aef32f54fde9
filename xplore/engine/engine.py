"""Lanes and refill: a fixed batch steps together, and a lane that is done takes the next try.

No lane waits for the slowest seed. What a try aims at is drawn when it is queued, from its own key, so
neither lanes nor order decide a seed's fate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped

from xplore.engine.devices import loops_on_device, mesh_of, placed, steps_at_once
from xplore.engine.loops import collect, enqueued, one_step, steps_on_device
from xplore.engine.step import Method, Results, State, begin


class Try(NamedTuple):
    """One try of one seed: `turn` counts the tries before."""

    seed: int
    attempt: int
    x0: Shaped[np.ndarray, "*x"]
    before: Float[np.ndarray, "m c"]


class Outcome(NamedTuple):
    """How a try ended: `codes` is the input last looked at, as it will be stored; `latents` made it,
    where the chart needs them."""

    seed: int
    attempt: int
    found: bool
    steps: int
    codes: Shaped[np.ndarray, "*x"]
    latents: Any = ()


@dataclass
class Engine:
    """Runs tries in `lanes` lanes: `push` some, `advance`, take the outcomes; while `busy`.

    The lanes are split over the `devices`, by default all of this process; `loops` says whether a device's
    own loop drives the steps (`xplore.engine.devices.loops_on_device`, by default).
    """

    method: Method
    rng: int
    lanes: int
    shape: tuple[int, ...]
    outputs: tuple[int, int]
    devices: Sequence[Any] = field(default_factory=jax.local_devices)
    loops: bool | None = None

    def __post_init__(self) -> None:
        self._split = len(self.devices)
        self.lanes = -(-self.lanes // self._split) * self._split
        each = self.lanes // self._split
        self.block = max(32, min(each, 128))
        self._slots = 2 * each + 4 * self.block
        self._free = [list(range(self._slots))[::-1] for _ in self.devices]
        self._tries: dict[int, Try] = {}
        self._pushed_since: set[int] = set()
        self._state: State | None = None
        self._pending: Any = None
        self._mesh = mesh_of(self.devices)
        self.method = placed(self.method, self.devices)
        if self.loops is None:
            self.loops = loops_on_device(self.devices[0].platform)
        self._began = time.perf_counter()
        self._seconds: float | None = None
        self._ended = float(self.lanes)  # tries in a step; taken to halve at most from look to look
        self.lane_steps = 0

    @property
    def room(self) -> int:
        """How many tries can be pushed."""
        return sum(map(len, self._free))

    @property
    def busy(self) -> int:
        """Tries pushed whose outcome was not returned yet."""
        return len(self._tries)

    def push(self, tries: Sequence[Try], covered: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """Queue tries that aim beside one and the same coverage, at most `room`."""
        part: dict[int, Try] = {}
        for one in tries:
            at = max(range(self._split), key=lambda device: len(self._free[device]))
            part[at * self._slots + self._free[at].pop()] = one
            if len(part) == self.block:
                self._enqueue(part, covered)
                part = {}
        if part:
            self._enqueue(part, covered)

    def warm_up(self, covered: tuple[Bool[np.ndarray, " _"], ...]) -> Any:
        """Compile what `push` and `advance` run, by a step of idle lanes; latents as outcomes have them."""
        self._enqueue({}, covered)
        self._chunk(1)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:1], self._collect([]).latents)

    def _enqueue(self, part: dict[int, Try], covered: tuple[Bool[np.ndarray, " _"], ...]) -> None:
        """Tries by their slots, a block of them at most."""
        self._tries |= part
        self._pushed_since |= part.keys()
        block = self._pack(part)
        if self._state is None:
            self._state = self._begin(block, covered)
        block = placed(block, self.devices, split=True) if self._mesh else block
        self._state = enqueued(self._mesh, self.method, self._state, block, covered)

    def _begin(self, block: dict[str, Any], covered: Any) -> State:
        """An empty queue and idle lanes on each device."""
        of_one = {key: rows[: self.block] for key, rows in block.items()}
        state = begin(self.method, of_one, covered, self.lanes // self._split, self._slots)
        if self._mesh is None:
            return placed(state, self.devices)
        alike = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * self._split), state)
        return placed(alike, self.devices, split=True)

    def _pack(self, part: dict[int, Try]) -> dict[str, Any]:
        size, dtype = self.block * self._split, np.dtype(jnp.result_type(float))
        block = {
            "slot": np.full(size, -1, np.int32),
            "key": np.zeros((size, 2, 2), np.uint32),
            "attempt": np.zeros(size, np.int32),
            "x0": np.zeros((size, *self.shape), self.method.constraint.encoding.dtype),
            "before": np.zeros((size, *self.outputs), dtype),
        }
        ends = [device * self.block for device in range(self._split)]
        for place, one in part.items():
            device, slot = divmod(place, self._slots)
            row = ends[device]
            ends[device] += 1
            block["slot"][row], block["attempt"][row] = slot, one.attempt
            entropy = np.random.SeedSequence((self.rng, one.seed, one.attempt))
            block["key"][row] = entropy.generate_state(4).reshape(2, 2)
            block["x0"][row], block["before"][row] = one.x0, one.before
        return block

    def _chunk(self, steps: int) -> Any:
        """Start some steps; what is finished after them, and how many each device makes."""
        assert self._state is not None
        held, flags, made = self._state, None, np.full(self._split, steps)
        if self.loops:
            held, flags, made = steps_on_device(
                self._mesh, self.method, held.queue, held.results, held.lanes, np.int32(steps)
            )
        else:
            for _ in range(steps):
                held, flags = one_step(self._mesh, self.method, held.queue, held.results, held.lanes)
        self._state = held
        return flags, made

    def advance(self) -> list[Outcome]:
        """Return what the chunk of steps that ran has finished, once the next one runs.

        Slots pushed since that chunk began show the flag of the try before: they are passed over.
        """
        if self._state is None:
            return []
        pending, self._pending = self._pending, None
        taken = []
        if pending is not None:
            flags, made = map(np.asarray, pending)
            self._seconds = (time.perf_counter() - self._began) / max(made.max(), 1)
            lane_steps = self._of_lanes(made)
            self.lane_steps += lane_steps
            flagged = set(np.flatnonzero(flags).tolist()) & self._tries.keys()
            places = sorted(flagged - self._pushed_since)
            self._ended = max(len(places) * self.lanes / lane_steps, self._ended / 2)
            taken = self._take(places)
        self._pushed_since.clear()
        if self._tries:
            self._began = time.perf_counter()
            lasts = max(self.busy - self.lanes, 0) / max(self._ended, 1e-6)
            self._pending = self._chunk(steps_at_once(bool(self.loops), self._seconds, lasts))
        return [outcome for block in taken for outcome in _outcomes(*block)]

    def untold(self) -> tuple[int, int]:
        """Steps made in tries whose outcome was not returned, and those of all lanes in the chunk that ran.

        Waits for the device.
        """
        if self._state is None:
            return 0, 0
        lanes, results = self._state.lanes, self._state.results
        mine = np.isin(np.arange(results.finished.size), list(self._tries))
        steps = np.asarray(results.steps)[np.asarray(results.finished) & mine].sum()
        steps += np.asarray(lanes.done)[np.asarray(lanes.slot) >= 0].sum()
        return int(steps), 0 if self._pending is None else self._of_lanes(self._pending[1])

    def _of_lanes(self, made: Any) -> int:
        """How many steps of lanes so many of each device are."""
        return int(np.sum(made)) * (self.lanes // self._split)

    def leave(self) -> None:
        """Give up the tries that wait or are under way."""
        self._tries.clear()
        self._pushed_since.clear()
        self._free = [list(range(self._slots))[::-1] for _ in self.devices]
        self._pending = None
        if self._state is not None:
            queue, lanes = self._state.queue, self._state.lanes
            idle = lanes.replace(slot=lanes.slot * 0 - 1)
            self._state = self._state.replace(queue=queue.replace(head=queue.tail + 0), lanes=idle)

    def _take(self, places: list[int]) -> list[tuple[list[Try], Results]]:
        """Free the slots of tries that ended, and have their results copied; a block at a time."""
        taken = []
        for first in range(0, len(places), self.block):
            part = places[first : first + self.block]
            taken.append(([self._tries.pop(place) for place in part], self._collect(part)))
            for place in part:
                device, slot = divmod(place, self._slots)
                self._free[device].append(slot)
        return taken

    def _collect(self, places: Sequence[int]) -> Results:
        assert self._state is not None
        index = np.zeros(self.block, np.int32)
        index[: len(places)] = places
        return collect(self._state.results, index)


def _outcomes(tries: Sequence[Try], results: Results) -> list[Outcome]:
    """How tries ended, from the first rows of a block of results; waits for the copy."""
    results, outcomes = jax.tree.map(np.asarray, results), []
    for row, one in enumerate(tries):
        latents = jax.tree.map(lambda leaf, row=row: leaf[row], results.latents)
        came = bool(results.found[row]), int(results.steps[row]), np.asarray(results.codes[row])
        outcomes.append(Outcome(one.seed, one.attempt, *came, latents))
    return outcomes
