"""What follows from the devices: which loop drives the step, how many lanes there are, and where they lie.

None of it decides what is found (in 64-bit numbers; in 32 bits last digits may differ between batch sizes).
"""

from __future__ import annotations

import glob
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from xplore._util.files import cache_folder
from xplore.model.neurons import Layout

AXIS = "lanes"
CHUNK, LOOK = 4, 0.15
"""The host starts at most so many steps at once, or those of so many seconds, and works while they run: what
waits for what they find waits so long."""
SELDOM, RARELY, SHARE_QUEUED = 32, 1.0, 0.25
"""Where tries wait for a lane it starts so many steps, or those of so many seconds, but no more than this
share of those tries lasts: for each look the device waits some milliseconds."""
LOOP = 64
"""Steps at most that a loop on the device runs before the host looks."""
FEWEST, MOST = 8, 512
ON_CPU, ON_A_THREAD, EACH_ON_CPU = 64, 16, 32
"""Lanes at most on a CPU, on a single thread of one, and on each of its devices where there are many: more
are not faster."""
ROWS = 64
"""Rows that a CPU takes at once where it computes in the fast ways."""
MEMORY_ON_CPU = 2**31
SHARE = 0.25
"""Of a device's memory that the activations of a step may take."""
COPIES = 4
"""A step holds each activation for the slope, and some of what is made of it."""

UNREADABLE = "Error reading persistent compilation cache entry for '(.+?)':"
"""What JAX says of a compiled program that it cannot read."""


def loops_on_device(platform: str) -> bool:
    """Does the device's own loop drive the steps, or Python's?

    On the CPU Python's: XLA runs convolutions inside a loop 1.7 times slower than the same step called anew,
    and a step takes far longer than a call. On an accelerator the device's: a step may take less than the
    call and the copy of flags that stand between two.

    >>> loops_on_device("cpu"), loops_on_device("gpu")
    (False, True)
    """
    return platform != "cpu"


def steps_at_once(loops: bool, seconds: float | None, lasts: float = 0.0) -> int:
    """How many steps the host starts at once, where one takes so many seconds; one, where that is not known.

    The tries that wait for a lane will last for so many steps.

    >>> steps_at_once(False, 0.002), steps_at_once(False, 0.06), steps_at_once(False, 1.0)
    (4, 2, 1)
    >>> steps_at_once(False, 0.06, lasts=28), steps_at_once(False, 0.06, lasts=1000)
    (7, 16)
    """
    if seconds is None:
        return 1
    soon = min(LOOK / seconds, CHUNK)
    seldom = min(RARELY / seconds, SELDOM, SHARE_QUEUED * lasts)
    return LOOP if loops else int(max(soon, seldom, 1))


def rows_at_once(lowering: str, platform: str | None = None) -> int | None:
    """How many rows a device searches at a time, one such piece after the other; None is all of its lanes.

    The fast ways are shifted products: on a CPU, 64 rows of them stay in its caches, and 512 take up to 1.8
    times as long a row. As written it is all at once, as XLA's convolutions are slower inside a loop.

    >>> rows_at_once("fast", "cpu"), rows_at_once("as_written", "cpu"), rows_at_once("fast", "gpu")
    (64, None, None)
    """
    on_cpu = (platform or jax.default_backend()) == "cpu"
    return ROWS if on_cpu and lowering == "fast" else None


def default_lanes(
    layout: Layout, round_size: int, devices: Sequence[Any] | None = None, threads: int | None = None
) -> int:
    """The largest power of two of lanes whose activations fit into a share of each device's memory.

    At least 8 and at most 512 an accelerator. The devices of a CPU share its memory and have 64 in all, or
    32 each; one of its `threads` alone (by default, it has all cores) 16. No more than two rounds have seeds,
    as many as are under way by default.

    >>> from xplore.model.neurons import Layer
    >>> small, large = (Layout((("m", (Layer("conv", "conv", (side, side, 16)),)),)) for side in (8, 2048))
    >>> cpu = jax.devices("cpu")[:1]
    >>> default_lanes(small, 256, cpu, 2), default_lanes(small, 256, cpu, 1), default_lanes(large, 256, cpu)
    (64, 16, 8)
    """
    devices = jax.local_devices() if devices is None else devices
    on_cpu = ON_A_THREAD if (threads or os.cpu_count()) == 1 else ON_CPU
    memory = MEMORY_ON_CPU
    most = on_cpu if len(devices) == 1 else max(ON_CPU, EACH_ON_CPU * len(devices))
    if devices[0].platform != "cpu":
        stats = devices[0].memory_stats() or {}
        memory, most = stats.get("bytes_limit", MEMORY_ON_CPU) * len(devices), MOST * len(devices)
    a_lane = COPIES * 4 * sum(math.prod(layer.shape) for layer in layout.layers)
    fit = max(memory * SHARE / max(a_lane, 1), len(devices))
    lanes = min(fit, most, 2 * round_size)
    return max(2 ** int(math.log2(lanes)), FEWEST)


def most_lanes(layout: Layout, shape: Sequence[int], devices: Sequence[Any] | None = None) -> int:
    """So many inputs of a shape fit into memory, with what a step holds of them and of their activations.

    >>> from xplore.model.neurons import Layer
    >>> layout = Layout((("m", (Layer("conv", "conv", (8, 8, 16)),)),))
    >>> most_lanes(layout, (8, 8, 1)) > 2**16 > 2**16 * most_lanes(layout, (2**20, 2**20, 3))
    True
    """
    devices = jax.local_devices() if devices is None else devices
    stats = {} if devices[0].platform == "cpu" else devices[0].memory_stats() or {}
    room = stats["bytes_limit"] * len(devices) if "bytes_limit" in stats else memory()
    a_lane = COPIES * 4 * (math.prod(shape) + sum(math.prod(layer.shape) for layer in layout.layers))
    return room // a_lane


def memory() -> int:
    """Bytes of this machine's memory, so far as it tells them."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**36


def placed(tree: Any, devices: Sequence[Any], *, split: bool = False) -> Any:
    """A tree on the devices: whole on each of them, or `split` along its leaves' first axes."""
    mesh = mesh_of(devices)
    if mesh is None:
        return jax.device_put(tree, devices[0])
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS) if split else PartitionSpec()))


def mesh_of(devices: Sequence[Any]) -> Mesh | None:
    """Several devices in a row; None of one."""
    return Mesh(np.asarray(devices), (AXIS,)) if len(devices) > 1 else None


@contextmanager
def compilation_cache() -> Iterator[None]:
    """Compiled programs are kept between runs, unless the user has said where or that they are not.

    A program that cannot be read, as where a process was killed while it wrote, is removed and compiled anew.
    JAX would leave it there, and warn of it in each run.
    """
    folder = cache_folder()
    chosen = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue] # set at run time
    if chosen is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ and _writable(folder):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with warnings.catch_warnings():
        if chosen in (None, str(folder)):
            warnings.filterwarnings("always", UNREADABLE)
            warnings.showwarning = _removing(folder, warnings.showwarning)
        yield


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def _removing(folder: Path, show: Callable[..., None]) -> Callable[..., None]:
    """What shows warnings, but for those of damaged programs: these are removed, and it is said once."""
    removed: list[str] = []

    def shown(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
        damaged = re.match(UNREADABLE, str(message))
        if damaged is None:
            show(message, category, filename, lineno, *rest)
            return
        for program in folder.glob(f"{glob.escape(damaged[1])}-*-cache"):
            program.unlink(missing_ok=True)
        if not removed:
            text = f"compiled programs in {folder} were damaged: they are removed and compiled anew"
            show(UserWarning(text), UserWarning, filename, lineno)
        removed.append(damaged[1])

    return shown
