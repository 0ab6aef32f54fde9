"""Is this process a fork of one that had used JAX? It has none of JAX's threads, and would wait for them."""

from __future__ import annotations

import os
import sys
import threading

from xplore._util.errors import InputError

_threads_lost = threading.Event()


def check_process() -> None:
    """Can JAX compute in this process?

    Raises:
        InputError: it is a fork of a process that had used JAX.
    """
    if _threads_lost.is_set():
        raise InputError(
            "process",
            expected="one that was started anew",
            got="a fork of a process that had used JAX, in which JAX would hang",
            fix='use multiprocessing.get_context("spawn"), or mp_context= of a ProcessPoolExecutor',
        )


def _used_jax() -> bool:
    """Has JAX started its threads, here or in the process that this one was forked from?"""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(getattr(bridge, "backends_are_initialized", lambda: False)())


def _after_fork() -> None:
    if _used_jax():
        _threads_lost.set()


def _without_threads() -> bool:
    """Are Python's threads the only ones, as they are in a fork? Not known where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task")) <= threading.active_count()
    except OSError:
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
    if _without_threads():  # xplore is imported for the first time in the fork
        _after_fork()
