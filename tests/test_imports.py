"""Who may import whom, and what no module may do."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xplore
from scripts import architecture

PACKAGE = Path(xplore.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "models")


def contract(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contract of `pyproject.toml` on the package in a folder."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_imports_keep_the_contract() -> None:
    done = contract(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("coverage/neuron.py", "from xplore.campaign.run import run"),
        ("inputs/media.py", "from xplore.archive.records import Finding"),
        ("search/sweep.py", "from xplore.search.random import Random"),
        ("report/csv.py", "from xplore.report.npz import Npz"),
        ("archive/records.py", "import jax"),
        ("model/weights.py", "def late():\n    from xplore.panel import Panel"),
    ],
)
def test_the_contract_can_be_broken(file: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "xplore", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "xplore" / file).open("a", encoding="utf-8") as out:
        out.write(f"\n{line}\n")
    done = contract(tmp_path)
    assert done.returncode == 1 and "BROKEN" in done.stdout, done.stdout


def test_there_are_few_packages_and_few_ways_between_them() -> None:
    names = {name for row in architecture.layers() for name in row}
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
        *("__init__", "__pycache__", "py")
    } == names
    assert len(names) <= 20 and len(architecture.pairs()) <= 80


def test_the_picture_of_the_packages_is_that_of_the_code() -> None:
    assert architecture.PICTURE.read_text("utf-8") == architecture.picture(), "scripts/architecture.py --draw"


def test_nothing_that_is_read_can_run_code() -> None:
    """No pickle is read, nothing evaluated: archives, weights and idx files may come from anywhere."""
    found = []
    for path in [*FILES, *(ROOT / "models").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                allowed = [k for k in node.keywords if k.arg == "allow_pickle"]
                if name in ("eval", "exec") or name.startswith(("pickle.", "marshal.")) or allowed:
                    found.append((path.name, name))
            elif isinstance(node, (ast.Import, ast.ImportFrom)) and "pickle" in ast.unparse(node):
                found.append((path.name, ast.unparse(node)))
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "barred"),
    [
        ("import xplore; dir(xplore)", ("jax", "numpy", "flax", "optax")),
        ("import xplore.archive, xplore.report", ("jax", "flax", "optax")),
        (
            "from xplore.report import FORMATS, reporter; [reporter(name) for name in FORMATS]",
            ("jax", "flax", "optax"),
        ),
        ("import xplore.report.review", ("jax", "flax", "optax")),
        ("import xplore.cli", ("jax", "numpy")),
        ("import xplore.regression.plugin", ("jax", "numpy")),
    ],
)
def test_importing_costs_little(statement: str, barred: tuple[str, ...]) -> None:
    ask = f"import sys; {statement}; print(sorted({{*{barred!r}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
