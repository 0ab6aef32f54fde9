"""The step of all lanes as compiled programs, on one device or split over several; which loop drives it.

Split, each device has a share of the lanes and a queue of its own, and nothing passes between devices.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Int

from xplore.engine.devices import AXIS
from xplore.engine.step import Lanes, Method, Queue, Results, State, enqueue, step


def _split(function: Any, mesh: Mesh | None, whole: tuple[int, ...]) -> Any:
    """The function on each device's share of its arguments; those `whole` are the same on all."""
    if mesh is None:
        return function

    def over(*arguments: Any) -> Any:
        specs = tuple(PartitionSpec() if i in whole else PartitionSpec(AXIS) for i in range(len(arguments)))
        shared = jax.shard_map(
            function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False
        )
        return shared(*arguments)

    return over


@partial(jax.jit, static_argnums=0, donate_argnums=(2, 3))
def one_step(
    mesh: Mesh | None, method: Method, queue: Queue, results: Results, lanes: Lanes
) -> tuple[State, Bool[Array, " slots"]]:
    """A step, and a copy of the flags that the host reads while the next one runs.

    The lanes are not donated: on CPU, the models run slower on an input whose buffer is to be reused.
    """

    def stepped(method: Method, queue: Queue, results: Results, lanes: Lanes) -> Any:
        state = step(method, State(queue, lanes, results))
        return state, jnp.copy(state.results.finished)

    return _split(stepped, mesh, (0,))(method, queue, results, lanes)


@partial(jax.jit, static_argnums=0, donate_argnums=(2, 3, 4))
def steps_on_device(
    mesh: Mesh | None, method: Method, queue: Queue, results: Results, lanes: Lanes, most: Int[Array, ""]
) -> tuple[State, Bool[Array, " slots"], Int[Array, " devices"]]:
    """Steps without the host, until so many were made, or none waits and an eighth of the lanes is idle.

    Also how many were made, on each device.
    """

    def looped(method: Method, queue: Queue, results: Results, lanes: Lanes, most: Any) -> Any:
        def goes_on(carried: tuple[Int[Array, ""], State]) -> Bool[Array, ""]:
            made, state = carried
            idle = (state.lanes.slot < 0).mean()
            waits = (state.queue.tail > state.queue.head).any()
            return (made < most) & (waits | (idle < 0.125))

        def once(carried: tuple[Int[Array, ""], State]) -> tuple[Int[Array, ""], State]:
            return carried[0] + 1, step(method, carried[1])

        first = jnp.int32(1), step(method, State(queue, lanes, results))
        made, state = jax.lax.while_loop(goes_on, once, first)
        return state, jnp.copy(state.results.finished), made[None]

    return _split(looped, mesh, (0, 4))(method, queue, results, lanes, most)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def enqueued(mesh: Mesh | None, method: Method, state: State, block: dict[str, Any], covered: Any) -> State:
    """Tries aimed and put in their slots."""
    return _split(enqueue, mesh, (0, 3))(method, state, block, covered)


@jax.jit
def collect(results: Results, slots: Int[Array, " n"]) -> Results:
    """Copies of some rows: a live view of a donated buffer would stop its reuse."""
    return jax.tree.map(lambda leaf: leaf[slots], results)
