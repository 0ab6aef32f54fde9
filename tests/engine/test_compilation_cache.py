"""Compiled programs that were kept and are damaged: said once, removed, and compiled anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USES = """
import pathlib, sys, warnings
import jax
from xplore.engine.devices import compilation_cache
from xplore._util.files import cache_folder

def use():
    jax.clear_caches()
    with compilation_cache():
        for times in range(3):
            jax.jit(lambda x: x * times + 1)(3.0)
    return sorted(path.name for path in cache_folder().glob("*-cache"))

first = use()
for name in first:
    path = cache_folder() / name
    path.write_bytes(eval(sys.argv[1])(path.read_bytes()))
print("damaged", file=sys.stderr, flush=True)
second = use()
print("again", file=sys.stderr, flush=True)
assert first and first == second == use()
"""


def told(cache: Path, *how: str) -> list[str]:
    """What a process says that compiles, damages what was kept, and compiles twice again."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    done = subprocess.run(
        [sys.executable, *how[:-1], "-c", USES, how[-1]],
        env={**env, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return [line for line in done.stderr.splitlines() if line in ("damaged", "again") or "ompil" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "how"),
    [
        ("lambda data: data[:len(data) // 2]", ()),
        ("lambda data: b''", ("-W", "error")),
        ("lambda data: b'x' * 99", ()),
    ],
    ids=["cut off", "empty, and warnings are errors", "others"],
)
def test_damaged_programs_are_said_once_and_compiled_anew(
    damage: str, how: tuple[str, ...], tmp_path: Path
) -> None:
    first, said, *rest = told(tmp_path, *how, damage)
    assert first == "damaged" and f"{tmp_path / 'xplore'} were damaged: they are removed" in said
    assert [line for line in rest if "ompil" in line] == [] and rest[-1] == "again"


@pytest.mark.slow
def test_a_folder_that_cannot_be_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "xplore").write_text("a file")
    program = (
        "import jax; from xplore.engine.devices import compilation_cache as c\nwith c(): jax.jit(abs)(1.0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
