"""Shape annotations are checked in the whole run; two CPU devices; no cache of compiled programs.

XLA compiles without its own optimisations: most of the tests' time was that.
"""

import os
from pathlib import Path

os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)

from jaxtyping import install_import_hook

install_import_hook(("xplore", "models"), "checked.functions")

import jax
import pytest

MAPPINGS = Path("/proc/self/maps")  # where the system tells them
ENOUGH = 20_000  # of the 65,530 that Linux gives a process; each compiled program takes some seven


@pytest.fixture(autouse=True)
def strict_ranks():
    """No silent broadcasting across ranks in our own functions."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Compiled programs are let go before their memory mappings run out: XLA would crash."""
    yield
    if MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > ENOUGH:
        jax.clear_caches()
