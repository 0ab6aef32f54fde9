"""JAX's and NumPy's settings that xplore itself computes by, whatever stricter ones a user's own code has.

A setting that decides the numbers of a model (`INHERITED`) is the user's, in every thread of xplore's. What
would end a campaign, or draw other random numbers from the same `rng`, is xplore's own (`OWN`), in its
calls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import numpy as np

from xplore._util.forks import check_process

OWN = {
    "numpy_dtype_promotion": "standard",
    "transfer_guard": "allow",
    "debug_nans": False,
    "debug_infs": False,
    "softmax_custom_jvp": False,
    "debug_key_reuse": False,  # a try's key is read again, so that it draws the same
    "disable_jit": False,
    "threefry_partitionable": True,
}
"""By the names that they have in `jax` and, after `jax_`, in `jax.config`."""
INHERITED = ("enable_x64", "default_matmul_precision", "default_device")
PRNG = "threefry2x32"
"""What keys of xplore's own are drawn with, whatever JAX's default is."""
NUMPY: Mapping[str, Any] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextmanager
def own_settings() -> Iterator[None]:
    """xplore's own settings hold, in this thread and in each `Thread` that is started in it.

    >>> with jax.numpy_dtype_promotion("strict"), own_settings():
    ...     print(jax.numpy.arange(2) + np.float32(0.5))
    [0.5 1.5]

    Raises:
        InputError: this process is a fork in which JAX would hang.
    """
    check_process()
    with _set(OWN), np.errstate(**NUMPY):
        yield


@contextmanager
def _set(settings: Mapping[str, Any]) -> Iterator[None]:
    """Change those of JAX that have other values: what is compiled is looked up by what was changed."""
    with ExitStack() as undo:
        for name, value in settings.items():
            if _value(name) != value:
                undo.enter_context(getattr(jax, name)(value))
        yield


def _value(name: str) -> Any:
    return getattr(jax.config, f"jax_{name}")


class Thread(ThreadPoolExecutor):
    """A thread of one's own that computes by the settings of whoever gives it a job."""

    def __init__(self, name: str) -> None:
        super().__init__(1, name)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **how: Any) -> Future[Any]:
        inherited = {name: _value(name) for name in INHERITED}

        def job() -> Any:
            with own_settings(), _set(inherited):
                return fn(*args, **how)

        return super().submit(job)
