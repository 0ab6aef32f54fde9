"""One compiled step of all lanes: look, judge, advance, refill from a queue on the device, propose.

Looking is one forward pass and, where the search climbs, one back: nothing is evaluated twice. What is
looked at is proposed a step ahead: an argument of the program, it is never fused into the models.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from xplore._util.jax_settings import PRNG
from xplore._util.pytree import PyTreeNode
from xplore.constraints import Constraint
from xplore.engine.devices import rows_at_once
from xplore.objectives import Objective
from xplore.oracles import Oracle
from xplore.panel.panel import Forward, Panel
from xplore.search import Search
from xplore.search._base import Feedback, Start, where_rows


class Method(PyTreeNode):
    """What is searched, how, and for what: all that a step needs beside its state."""

    panel: Panel
    objective: Objective
    constraint: Constraint
    oracle: Oracle
    search: Search


class Queue(PyTreeNode):
    """Tries by slot; `order` lists the slots to be taken, as a ring between `head` and `tail`.

    Lanes that lie on several devices have a queue on each, which shares nothing with the others.
    """

    x0: Shaped[Array, "slots *x"]
    key: Key[Array, " slots"]
    attempt: Int[Array, " slots"]
    before: Float[Array, "slots m c"]
    goal: Any
    order: Int[Array, " slots"]
    head: Int[Array, " devices"]
    tail: Int[Array, " devices"]


class Lanes(PyTreeNode):
    """What each lane is at, and the input `x` that it looks at next; `slot` is -1 in an idle one."""

    slot: Int[Array, " b"]
    done: Int[Array, " b"]
    start: Start
    before: Float[Array, "b m c"]
    goal: Any
    point: Any
    x: Float[Array, "b *x"]


class Results(PyTreeNode):
    """What came of each slot; `latents` only of a chart that needs them."""

    finished: Bool[Array, " slots"]
    found: Bool[Array, " slots"]
    steps: Int[Array, " slots"]
    codes: Shaped[Array, "slots *x"]
    latents: Any


class State(PyTreeNode):
    queue: Queue
    lanes: Lanes
    results: Results


def in_pieces(f: Callable[..., Any], most: int | None, *rows: Any) -> Any:
    """`f(*rows)` of at most so many rows at a time, of pieces of one size; all leaves have rows in front.

    >>> in_pieces(lambda x: x + x.shape[0], 4, jnp.zeros(8)).tolist()
    [4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    """
    size = len(jax.tree.leaves(rows)[0])
    pieces = 1 if most is None else -(-size // most)
    if pieces == 1 or size % pieces:
        return f(*rows)
    cut = jax.tree.map(lambda leaf: leaf.reshape(pieces, -1, *leaf.shape[1:]), rows)
    return jax.tree.map(
        lambda leaf: leaf.reshape(size, *leaf.shape[2:]), jax.lax.map(lambda part: f(*part), cut)
    )


def query(
    method: Method, x: Float[Array, "b *x"], goal: Any, done: Int[Array, " b"]
) -> tuple[Float[Array, "b m k"], Feedback]:
    """The models' outputs at x, and what the search is to see of it: the slope, the score, or neither."""
    search, nothing = method.search, Feedback(jnp.zeros_like(x), jnp.zeros(len(x), x.dtype), done)

    def total(x: Float[Array, "b *x"]) -> tuple[Float[Array, ""], tuple[Forward, Float[Array, " b"]]]:
        now = method.panel(x)
        score = method.objective.score(goal, now)
        return score.sum(), (now, score)

    if search.needs_grad:
        grad, (now, score) = jax.grad(total, has_aux=True)(x)
        # Fused with what follows, it runs slower.
        outputs, grad = jax.lax.optimization_barrier((now.outputs, grad))
        grad = jnp.where(jnp.isfinite(grad), grad, 0)  # or a walk would end in NaN
        return jnp.moveaxis(outputs, 0, 1), nothing.replace(grad=grad, score=_ranked(score))
    if search.scores:
        now, score = total(x)[1]
        return jnp.moveaxis(now.outputs, 0, 1), nothing.replace(score=_ranked(score))
    return jnp.moveaxis(method.panel.plain(x), 0, 1), nothing


def _ranked(score: Float[Array, " b"]) -> Float[Array, " b"]:
    """A score that can be compared: NaN is the lowest."""
    return jnp.where(jnp.isnan(score), jnp.finfo(score.dtype).min, score)


def step(method: Method, state: State) -> State:
    """Every live lane looks once and moves once; lanes that are done hand over and refill."""
    lanes, search, constraint = state.lanes, method.search, method.constraint
    live, encoding = lanes.slot >= 0, constraint.encoding
    codes = encoding.encode(lanes.x)
    at_once = rows_at_once(method.panel.lowering)
    outputs, feedback = in_pieces(partial(query, method), at_once, lanes.x, lanes.goal, lanes.done)
    differ = method.oracle.divides(*(jnp.moveaxis(rows, 1, 0) for rows in (lanes.before, outputs)))
    if search.quantize_steps:
        differ &= encoding.counts(codes)
    changed = encoding.differ(lanes.x, lanes.start.x0).any(axis=tuple(range(1, lanes.x.ndim)))
    found = live & differ & changed
    point = search.update(constraint, lanes.point, lanes.start, feedback)
    done = lanes.done + 1
    ends = found | (live & (done >= search.looks))
    out = state.results
    slot = jnp.where(ends, lanes.slot, out.finished.size)
    results = Results(
        finished=out.finished.at[slot].set(True, mode="drop"),
        found=out.found.at[slot].set(found, mode="drop"),
        steps=out.steps.at[slot].set(done, mode="drop"),
        codes=out.codes.at[slot].set(codes, mode="drop"),
        latents=jax.tree.map(
            lambda leaf, rows: leaf.at[slot].set(rows, mode="drop"),
            out.latents,
            _latents(method, lanes.point),
        ),
    )
    moved = lanes.replace(slot=jnp.where(ends, -1, lanes.slot), done=done, point=point)
    queue, lanes = refill(method, state.queue, moved)
    x = search.propose(constraint, lanes.point, lanes.start)
    lanes = lanes.replace(x=encoding.decode(encoding.encode(x)) if search.quantize_steps else x)
    return State(queue, lanes, results)


def _latents(method: Method, point: Any) -> Any:
    """What is kept of what a lane looked at, beside its codes."""
    return method.search.latents(point) if method.constraint.needs_latents else ()


def refill(method: Method, queue: Queue, lanes: Lanes) -> tuple[Queue, Lanes]:
    """Idle lanes take the tries at the head of the queue, in the lanes' order."""
    idle = lanes.slot < 0
    rank = queue.head + jnp.cumsum(idle, dtype=jnp.int32) - 1
    takes = idle & (rank < queue.tail)
    slot = jnp.where(takes, queue.order[rank % queue.order.size], 0)
    start = Start(method.constraint.encoding.decode(queue.x0[slot]), queue.key[slot], queue.attempt[slot])
    fresh = Lanes(
        slot=slot,
        done=jnp.zeros_like(lanes.done),
        start=start,
        before=queue.before[slot],
        goal=jax.tree.map(lambda leaf: leaf[slot], queue.goal),
        point=method.search.init(method.constraint, start),
        x=lanes.x,
    )
    head = queue.head + takes.sum(dtype=jnp.int32, keepdims=True)
    return queue.replace(head=head), where_rows(takes, fresh, lanes)


def enqueue(method: Method, state: State, block: dict[str, Any], covered: Any) -> State:
    """Aim a block of tries and put them in their slots; rows with slot -1 are padding."""
    goal_key, walking = (jax.random.wrap_key_data(block["key"][:, part], impl=PRNG) for part in (0, 1))
    before = method.panel.logits(jnp.moveaxis(block["before"], 1, 0))
    goal = method.objective.goal(goal_key, before, covered, block["attempt"])
    queue, results = state.queue, state.results
    slot = jnp.where(block["slot"] < 0, queue.order.size, block["slot"])
    rank = queue.tail + jnp.arange(slot.size, dtype=jnp.int32)
    place = jnp.where(block["slot"] < 0, queue.order.size, rank % queue.order.size)

    def put(leaf: Any, rows: Any) -> Any:
        return leaf.at[slot].set(rows, mode="drop")

    return state.replace(
        queue=queue.replace(
            x0=put(queue.x0, block["x0"]),
            key=put(queue.key, walking),
            attempt=put(queue.attempt, block["attempt"]),
            before=put(queue.before, block["before"]),
            goal=jax.tree.map(put, queue.goal, goal),
            order=queue.order.at[place].set(slot, mode="drop"),
            tail=queue.tail + (block["slot"] >= 0).sum(dtype=jnp.int32, keepdims=True),
        ),
        results=results.replace(finished=results.finished.at[slot].set(False, mode="drop")),
    )


def begin(method: Method, block: dict[str, Any], covered: Any, lanes: int, slots: int) -> State:
    """An empty queue and idle lanes; of a block of tries only the shapes matter."""

    def one_try(block: dict[str, Any], covered: Any) -> tuple[Start, Any, Any]:
        x0 = method.constraint.encoding.decode(block["x0"])
        start = Start(x0, jax.random.wrap_key_data(block["key"][:, 0], impl=PRNG), block["attempt"])
        goal = method.objective.goal(start.key, jnp.moveaxis(block["before"], 1, 0), covered, start.attempt)
        return start, goal, method.search.init(method.constraint, start)

    start, goal, point = jax.eval_shape(one_try, block, covered)
    outputs, inputs, flag = block["before"], block["x0"], block["slot"] > 0
    latents = jax.eval_shape(lambda point: _latents(method, point), point)

    def zeros(leaf: Any, rows: int) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.array(np.zeros((rows, 2), np.uint32)), impl=PRNG)
        return jnp.array(np.zeros((rows, *leaf.shape[1:]), leaf.dtype))

    def rows(tree: Any, rows: int) -> Any:
        return jax.tree.map(lambda leaf: zeros(leaf, rows), tree)

    queued = rows((inputs, start.key, start.attempt, outputs, goal, start.attempt), slots)
    idle = jnp.array(np.full(lanes, -1, np.int32))
    return State(
        Queue(*queued, head=jnp.array(np.zeros(1, np.int32)), tail=jnp.array(np.zeros(1, np.int32))),
        Lanes(idle, *rows((start.attempt, start, outputs, goal, point, start.x0), lanes)),
        Results(*rows((flag, flag, start.attempt, inputs, latents), slots)),
    )
