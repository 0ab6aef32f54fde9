"""The steps of a model computed in the way that is fastest on this device: an opt-in of the search.

While a model is replayed (`capture`), each convolution and max-pooling may be computed otherwise than as
it is written (`convolution.py`, `pooling.py`), forwards and back to the input apart. Which way is fastest is
measured once for each step, shape and kind of device, and remembered in the user's cache folder. Outputs and
slopes are equal but for rounding; where a model has no slope (a kink, equal inputs of a pooling window),
rounding may choose another of its sides. Judging always asks the models as written.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

from xplore._util.files import cache_folder
from xplore.model.lowering.convolution import AS_WRITTEN, Convolution, convolve
from xplore.model.lowering.pooling import MaxPool, as_written, parted, pooled_grad

Lowering: TypeAlias = Literal["as_written", "fast"]
"""How the search computes the models: as they are written, or in the ways measured to be fastest."""
Step: TypeAlias = Convolution | MaxPool

WORTH = 0.9
"""Another way is taken if it needs at most this share of the time as written."""
ROUNDS, SECONDS = 30, 0.1
"""Each way of a step is run so often, in turns, but no longer than so long each."""

_chosen: dict[str, str] = {}
_lock = threading.RLock()


def lower(eqn: Any, args: Sequence[Any]) -> Any:
    """What a step of a jaxpr makes of its arguments, in the fastest way; None where that is as written."""
    step = _step(eqn, args)
    if step is None:
        return None
    back = step.transposed() if isinstance(step, Convolution) else step
    if fastest(step, args[0].dtype) == fastest(back, args[0].dtype) == AS_WRITTEN:
        return None
    return (_convolve if isinstance(step, Convolution) else _pool)(step, *args)


def chosen() -> dict[str, str]:
    """The ways taken by this process so far, by step."""
    with _lock:
        return dict(_chosen)


def remembered() -> Path:
    """The file that remembers what was measured; it may be deleted at any time."""
    return cache_folder() / "lowering.json"


def fastest(step: Step, dtype: Any) -> str:
    """The way to compute a step that is fastest on the default device; measured where it is not known yet."""
    ways = step.ways()
    if len(ways) == 1:
        return ways[0]
    device = jax.local_devices()[0]
    name = f"{type(step).__name__}{tuple(step)} {np.dtype(dtype)}"
    place = (
        f"{device.platform} {device.device_kind} {platform.machine()} {os.cpu_count()} jax {jax.__version__}"
    )
    with _lock:
        if _chosen.get(name) not in ways:
            known = _recall().get(f"{place}: {name}")
            _chosen[name] = known if known in ways else _measure(step, dtype)
            if known not in ways:
                _remember(f"{place}: {name}", _chosen[name])
        return _chosen[name]


def _step(eqn: Any, args: Sequence[Any]) -> Step | None:
    """The shapes and settings of a step that has several ways; None of any other."""
    p, kind = eqn.params, eqn.primitive.name
    shapes = [tuple(map(int, np.shape(arg))) for arg in args]
    if kind == "conv_general_dilated":
        plain = p["preferred_element_type"] in (None, args[0].dtype) and args[0].dtype == args[1].dtype
        if p["batch_group_count"] > 1 or p["precision"] is not None or not plain or 0 in shapes[0]:
            return None
        settings = p["window_strides"], p["padding"], p["lhs_dilation"], p["rhs_dilation"]
        lhs, rhs = shapes
        return Convolution(lhs, rhs, *settings, p["feature_group_count"], p["dimension_numbers"])
    if kind == "reduce_window_max" and set(p["base_dilation"]) | set(p["window_dilation"]) == {1}:
        return MaxPool(shapes[0], p["window_dimensions"], p["window_strides"], p["padding"])
    return None


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolve(conv: Convolution, lhs: Any, rhs: Any) -> Any:
    return alone(convolve, conv, fastest(conv, lhs.dtype), lhs, rhs)


def _convolve_forward(conv: Convolution, lhs: Any, rhs: Any) -> tuple[Any, Any]:
    return _convolve(conv, lhs, rhs), (lhs, rhs)


def _convolve_back(conv: Convolution, residuals: Any, grad: Any) -> tuple[Any, Any]:
    lhs, rhs = residuals
    back = conv.transposed()
    (of_weights,) = jax.vjp(lambda rhs: convolve(conv, AS_WRITTEN, lhs, rhs), rhs)[1](grad)
    return alone(convolve, back, fastest(back, lhs.dtype), grad, conv.turned(rhs)), of_weights


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(pool: MaxPool, x: Any) -> Any:
    return alone(parted, pool, x)


def _pool_forward(pool: MaxPool, x: Any) -> tuple[Any, Any]:
    y = _pool(pool, x)
    return y, (x, y)


def _pool_back(pool: MaxPool, residuals: Any, grad: Any) -> tuple[Any]:
    return (alone(pooled_grad, pool, *residuals, grad),)


_convolve.defvjp(_convolve_forward, _convolve_back)
_pool.defvjp(_pool_forward, _pool_back)


def alone(f: Callable[..., Any], *args: Any) -> Any:
    """`f(*args)` compiled by itself, whatever stands around it.

    XLA fuses cheap steps into each step that reads them and computes them there again; of a sum of shifted
    products that is most of the time. So a step costs in a model what it cost when it was measured.
    """
    still = tuple(i for i, arg in enumerate(args) if not isinstance(arg, jax.Array | np.ndarray))

    def inside(*args: Any) -> Any:
        with set_xla_metadata(inlineable=None):  # of the calls in there
            return f(*args)

    with set_xla_metadata(inlineable="false"):
        return jax.jit(inside, static_argnums=still)(*args)


def _measure(step: Step, dtype: Any) -> str:
    """The fastest of a step's ways by the clock: the least of some runs each, in turns."""
    rng = np.random.default_rng(0)
    with jax.ensure_compile_time_eval():  # the models are being traced
        shapes = [step.lhs, step.rhs] if isinstance(step, Convolution) else [step.shape, step.out]
        args = [jax.numpy.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
        runs = {way: jax.jit(_trial(step, way)).lower(*args).compile() for way in step.ways()}
        taken = least({way: functools.partial(run, *args) for way, run in runs.items()})
    best = min(step.ways()[1:], key=lambda way: taken[way])
    return best if taken[best] <= WORTH * taken[AS_WRITTEN] else AS_WRITTEN


def _trial(step: Step, way: str) -> Callable[..., Any]:
    """A convolution, or a pooling and its slope."""
    if isinstance(step, Convolution):
        return functools.partial(convolve, step, way)

    def pooled(x: Any, grad: Any) -> Any:
        if way != AS_WRITTEN:
            y = parted(step, x)
            return y, pooled_grad(step, x, y, grad)
        y, back = jax.vjp(functools.partial(as_written, step), x)
        return y, back(grad)

    return pooled


def least(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The seconds of each call: the least of some runs, in turns, so that all see the same machine."""
    taken = {name: float("inf") for name in calls}
    for call in calls.values():
        jax.block_until_ready(call())
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            taken[name] = min(taken[name], time.perf_counter() - start)
        if time.perf_counter() - begun > SECONDS * len(calls):
            break
    return taken


def _recall() -> dict[str, Any]:
    """What was measured before; nothing, where the file is not there or damaged."""
    try:
        known = json.loads(remembered().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(name: str, way: str) -> None:
    """Keep one more way for later runs; a folder that cannot be written is no fault."""
    path = remembered()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            json.dump(_recall() | {name: way}, file, indent=1)
        os.replace(file.name, path)
    except OSError:
        return
