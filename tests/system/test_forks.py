"""A fork of a process that had used JAX is told to be started anew; it never hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HEAD = """
import os
import jax, numpy

def child(use):
    number = os.fork()
    if not number:
        code = 3
        try:
            code = use() or 0
        except ValueError as error:
            code = 1 if "spawn" in str(error) else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
"""
USES = """
import tiny, xplore
from xplore.constraints import Ball
from xplore.coverage import NeuronCoverage

models, images = [tiny.one(), tiny.two()], tiny.images(4)
panel = xplore.Panel.of(models)
how = {"constraint": Ball(0.2), "steps": 1, "tries": 1, "lanes": 8, "progress": False}
uses = {
    "run": lambda: xplore.run(models, images, **how) and 0,
    "gate": lambda: xplore.gate(*models, images, allow=0.5, **how) and 0,
    "inspect": lambda: xplore.inspect(models, images) and 0,
    "reach": lambda: xplore.reach(models[0], images, NeuronCoverage(0.5)) and 0,
    "coverage": lambda: xplore.coverage_of(models[0], images, NeuronCoverage(0.5)) and 0,
    "panel": lambda: panel(numpy.zeros((2, 6, 6, 3), "f4")) and 0,
}
before = child(uses["inspect"])
result = uses["run"]() or xplore.run(models, images, **how)
uses["replay"] = lambda: xplore.replay(result.folder, models) and 0
print(before, *(child(use) for use in uses.values()), child(lambda: child(uses["run"])))
"""
LATE = """
def late():
    import xplore
    return xplore.inspect([abs, abs], numpy.zeros((2, 3, 3, 1), "u1")) and 0

jax.numpy.zeros(3).block_until_ready()
print(child(late))
"""


def process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEAD + program],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout or done.stderr


def test_a_fork_is_refused_where_jax_was_used_before_and_only_there() -> None:
    assert process(USES).split() == ["0", *"1" * 8]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not list threads")
def test_also_where_xplore_is_imported_after_the_fork() -> None:
    assert process(LATE).split() == ["1"]
