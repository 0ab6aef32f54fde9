"""Lanes and refill: a fixed batch steps together, and a lane that is done takes the next try.

One compiled step: propose, look (forward, and back where the search climbs), judge, advance, refill from
a queue on the device. Nothing is evaluated twice and no lane waits for the slowest seed. What a try
aims at is drawn when it is queued, from its own key, so neither lanes nor order decide a seed's fate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from xplore.constraints import Constraint
from xplore.encoding import decode, encode
from xplore.model import Forward, Panel
from xplore.objectives import Objective
from xplore.oracles import Oracle
from xplore.search import Search
from xplore.search._base import Start, where_rows

CHUNK = 4
"""Steps between two looks at what is done: the host works while the next chunk runs."""


class Method(struct.PyTreeNode):
    """What is searched, how, and for what: all that a step needs beside its state."""

    panel: Panel
    objective: Objective
    constraint: Constraint
    oracle: Oracle
    search: Search


class Try(NamedTuple):
    """One try of one seed: `turn` counts the tries before."""

    seed: int
    turn: int
    x0: UInt8[np.ndarray, "h w c"]
    before: Float[np.ndarray, "m c"]


class Outcome(NamedTuple):
    """How a try ended: `codes` is the input last looked at, as it will be stored."""

    seed: int
    turn: int
    found: bool
    steps: int
    codes: UInt8[np.ndarray, "h w c"]


class Queue(struct.PyTreeNode):
    """Tries by slot; `order` lists the slots to be taken, as a ring between `head` and `tail`."""

    x0: UInt8[Array, "slots h w c"]
    key: Key[Array, " slots"]
    turn: Int[Array, " slots"]
    before: Float[Array, "slots m c"]
    aim: Any
    order: Int[Array, " slots"]
    head: Int[Array, ""]
    tail: Int[Array, ""]


class Lanes(struct.PyTreeNode):
    """What each lane is at; `slot` is -1 in an idle one."""

    slot: Int[Array, " b"]
    done: Int[Array, " b"]
    start: Start
    before: Float[Array, "b m c"]
    aim: Any
    point: Any


class Results(struct.PyTreeNode):
    """What came of each slot."""

    finished: Bool[Array, " slots"]
    found: Bool[Array, " slots"]
    steps: Int[Array, " slots"]
    codes: UInt8[Array, "slots h w c"]


class State(struct.PyTreeNode):
    queue: Queue
    lanes: Lanes
    results: Results


def look(
    method: Method, x: Float[Array, "b h w c"], aim: Any
) -> tuple[Float[Array, "m b c"], Float[Array, "b h w c"]]:
    """The models' outputs at x and, if the search climbs, the score's slope there."""
    if not method.search.climbs:
        return method.panel.plain(x), jnp.zeros_like(x)

    def total(x: Float[Array, "b h w c"]) -> tuple[Float[Array, ""], Forward]:
        now = method.panel(x)
        return method.objective.score(aim, now).sum(), now

    slope, now = jax.grad(total, has_aux=True)(x)
    return jax.lax.optimization_barrier((now.outputs, slope))  # fused with what follows, it runs slower


def step(method: Method, state: State) -> State:
    """Every live lane looks once and moves once; lanes that are done hand over and refill."""
    lanes, search, constraint = state.lanes, method.search, method.constraint
    live = lanes.slot >= 0
    x = search.propose(constraint, lanes.point, lanes.start)
    codes = encode(x)
    outputs, slope = look(method, decode(codes) if search.as_stored else x, lanes.aim)
    differ = method.oracle.judge(jnp.moveaxis(lanes.before, 1, 0), outputs)
    if search.as_stored:
        differ &= (codes != codes[:, :1, :1, :1]).any(axis=(1, 2, 3))
    found = live & differ & (x != lanes.start.x0).any(axis=(1, 2, 3))
    point = search.advance(constraint, lanes.point, lanes.start, (slope, lanes.done))
    done = lanes.done + 1
    ends = found | (live & (done >= search.steps))
    out = state.results
    slot = jnp.where(ends, lanes.slot, out.finished.size)
    results = Results(
        finished=out.finished.at[slot].set(True, mode="drop"),
        found=out.found.at[slot].set(found, mode="drop"),
        steps=out.steps.at[slot].set(done, mode="drop"),
        codes=out.codes.at[slot].set(codes, mode="drop"),
    )
    moved = lanes.replace(slot=jnp.where(ends, -1, lanes.slot), done=done, point=point)
    queue, lanes = refill(method, state.queue, moved)
    return State(queue, lanes, results)


def refill(method: Method, queue: Queue, lanes: Lanes) -> tuple[Queue, Lanes]:
    """Idle lanes take the tries at the head of the queue, in the lanes' order."""
    idle = lanes.slot < 0
    rank = queue.head + jnp.cumsum(idle, dtype=jnp.int32) - 1
    takes = idle & (rank < queue.tail)
    slot = jnp.where(takes, queue.order[rank % queue.order.size], 0)
    start = Start(decode(queue.x0[slot]), queue.key[slot], queue.turn[slot])
    fresh = Lanes(
        slot=slot,
        done=jnp.zeros_like(lanes.done),
        start=start,
        before=queue.before[slot],
        aim=jax.tree.map(lambda leaf: leaf[slot], queue.aim),
        point=method.search.init(method.constraint, start),
    )
    head = queue.head + takes.sum(dtype=jnp.int32)
    return queue.replace(head=head), where_rows(takes, fresh, lanes)


@partial(jax.jit, donate_argnums=1)
def one_step(method: Method, state: State) -> tuple[State, Bool[Array, " slots"]]:
    """A step, and a copy of the flags that the host reads while the next one runs."""
    state = step(method, state)
    return state, jnp.copy(state.results.finished)


@partial(jax.jit, donate_argnums=1)
def steps_on_device(method: Method, state: State) -> tuple[State, Bool[Array, " slots"]]:
    """`CHUNK` steps without the host: for accelerators (XLA runs convolutions in CPU loops slowly)."""
    state = jax.lax.fori_loop(0, CHUNK, lambda _, s: step(method, s), state)
    return state, jnp.copy(state.results.finished)


@partial(jax.jit, donate_argnums=1)
def enqueue(method: Method, state: State, block: dict[str, Any], covered: Any, rng: Key[Array, ""]) -> State:
    """Aim a block of tries and put them in their slots; rows with slot -1 are padding."""
    keys = jax.vmap(lambda s, t: jax.random.fold_in(jax.random.fold_in(rng, s), t))(
        block["seed"], block["turn"]
    )
    parts = jax.vmap(jax.random.split)(keys)
    before = jnp.moveaxis(block["before"], 1, 0)
    aim = method.objective.aim(parts[:, 0], before, covered, block["turn"])
    queue, results = state.queue, state.results
    slot = jnp.where(block["slot"] < 0, queue.order.size, block["slot"])
    rank = queue.tail + jnp.arange(slot.size, dtype=jnp.int32)
    place = jnp.where(block["slot"] < 0, queue.order.size, rank % queue.order.size)

    def put(leaf: Any, rows: Any) -> Any:
        return leaf.at[slot].set(rows, mode="drop")

    return state.replace(
        queue=queue.replace(
            x0=put(queue.x0, block["x0"]),
            key=put(queue.key, parts[:, 1]),
            turn=put(queue.turn, block["turn"]),
            before=put(queue.before, block["before"]),
            aim=jax.tree.map(put, queue.aim, aim),
            order=queue.order.at[place].set(slot, mode="drop"),
            tail=queue.tail + (block["slot"] >= 0).sum(dtype=jnp.int32),
        ),
        results=results.replace(finished=results.finished.at[slot].set(False, mode="drop")),
    )


@jax.jit
def collect(results: Results, slots: Int[Array, " n"]) -> tuple[Array, Array, Array]:
    """Copies of some rows: a live view of a donated buffer would stop its reuse."""
    return results.found[slots], results.steps[slots], results.codes[slots]


@jax.jit
def begin(
    method: Method, block: dict[str, Any], covered: Any, rng: Key[Array, ""], idle: Int[Array, " b"]
) -> State:
    """An empty queue with a slot for every row of the block, and idle lanes."""
    slots = block["slot"].size
    keys = jax.vmap(lambda s: jax.random.fold_in(rng, s))(block["seed"])
    aim = method.objective.aim(keys, jnp.moveaxis(block["before"], 1, 0), covered, block["turn"])
    zero = jnp.zeros((), jnp.int32)
    queue = Queue(block["x0"], keys, block["turn"], block["before"], aim, block["slot"], zero, zero + 0)
    start = Start(decode(queue.x0[idle]), keys[idle], queue.turn[idle])
    lanes = Lanes(
        slot=jnp.full_like(idle, -1),
        done=jnp.zeros_like(idle),
        start=start,
        before=queue.before[idle],
        aim=jax.tree.map(lambda leaf: leaf[idle], aim),
        point=method.search.init(method.constraint, start),
    )
    flags = jnp.zeros(slots, bool)
    results = Results(flags, jnp.zeros(slots, bool), jnp.zeros(slots, jnp.int32), queue.x0 + 0)
    return State(queue, lanes, results)


@dataclass
class Engine:
    """Runs tries in `lanes` lanes: `push` some, `advance`, take the outcomes; until `idle`."""

    method: Method
    rng: Key[Array, ""]
    lanes: int
    shape: tuple[int, ...]
    outputs: tuple[int, int]

    def __post_init__(self) -> None:
        self.block = max(32, min(self.lanes, 128))
        slots = 2 * self.lanes + 4 * self.block
        self._waiting: deque[Try] = deque()
        self._free = list(range(slots))[::-1]
        self._tries: dict[int, Try] = {}
        self._pushed_since: set[int] = set()
        self._covered: Any = None
        self._state: State | None = None
        self._pending: Any = None
        self._slots = slots
        on_cpu = jax.default_backend() == "cpu"
        self._chunk = self._from_host if on_cpu else steps_on_device

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
            if self._state is None:
                idle = np.zeros(self.lanes, np.int32)
                whole = self._pack([], [], self._slots)
                self._state = begin(self.method, whole, covered, self.rng, idle)
            block = self._pack(part, slots, self.block)
            self._state = enqueue(self.method, self._state, block, covered, self.rng)

    def _pack(self, tries: Sequence[Try], slots: Sequence[int], size: int) -> dict[str, Any]:
        dtype = np.dtype(jnp.zeros(()).dtype)
        block = {
            "slot": np.full(size, -1, np.int32),
            "seed": np.zeros(size, np.int32),
            "turn": np.zeros(size, np.int32),
            "x0": np.zeros((size, *self.shape), np.uint8),
            "before": np.zeros((size, *self.outputs), dtype),
        }
        for row, (slot, attempt) in enumerate(zip(slots, tries, strict=True)):
            block["slot"][row], block["seed"][row], block["turn"][row] = slot, attempt.seed, attempt.turn
            block["x0"][row], block["before"][row] = attempt.x0, attempt.before
        return block

    def _from_host(self, method: Method, state: State) -> tuple[State, Any]:
        for _ in range(CHUNK):
            state, flags = one_step(method, state)
        return state, flags

    def advance(self) -> list[Outcome]:
        """Return what the chunk that ran has finished, and start the next one.

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
            self._state, self._pending = self._chunk(self.method, self._state)
        return outcomes

    def _take(self, slots: list[int]) -> list[Outcome]:
        outcomes = []
        for first in range(0, len(slots), self.block):
            part = slots[first : first + self.block]
            index = np.zeros(self.block, np.int32)
            index[: len(part)] = part
            found, steps, codes = map(np.asarray, collect(self._state.results, index))
            for row, slot in enumerate(part):
                attempt = self._tries.pop(slot)
                ended = (bool(found[row]), int(steps[row]), codes[row])
                outcomes.append(Outcome(attempt.seed, attempt.turn, *ended))
                self._free.append(slot)
        return outcomes
