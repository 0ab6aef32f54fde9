"""Shape annotations are checked in the whole run; two CPU devices; no cache of compiled programs.

XLA compiles without its own optimisations: most of the tests' time was that.
"""

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)

from jaxtyping import install_import_hook

install_import_hook(("xplore", "models"), "checked.functions")

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_ranks():
    """No silent broadcasting across ranks in our own functions."""
    with jax.numpy_rank_promotion("raise"):
        yield
