"""Shape annotations are checked in the whole run; two CPU devices; no cache of compiled programs.

XLA compiles without its own optimisations: most of the tests' time was that. A test that starts a process is
marked `slow`, or fails. With `-m "not slow"` a file that is slow as a whole is not even imported.
"""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
)

import checked
from jaxtyping import install_import_hook

checked.only_where_there_are_shapes()
install_import_hook(("xplore", "models"), "checked.functions")

import jax
import profiles  # noqa: F401
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


SLOW = re.compile(r"^pytestmark = .*\bslow\b", re.M)
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
now = SimpleNamespace(pure=False)
"""Whether a test runs that is not slow."""


def pytest_ignore_collect(collection_path, config):
    """A file that says it is slow as a whole, where none such is asked for."""
    if config.option.markexpr == "not slow" and collection_path.name.startswith("test_"):
        return True if SLOW.search(collection_path.read_text("utf-8")) else None
    return None


def pytest_collection_modifyitems(items):
    """Files that are slow as a whole come first: else a worker has one left when the other has none."""
    items.sort(key=lambda item: item.parent.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Only tests that are marked `slow` start processes."""
    before, now.pure = now.pure, item.get_closest_marker("slow") is None
    try:
        return (yield)
    finally:
        now.pure = before


def refuse(event, _):
    if now.pure and event in STARTS:
        raise RuntimeError(f"{event}: a test that starts a process is marked slow")


sys.addaudithook(refuse)
