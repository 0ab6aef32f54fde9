"""Who may import whom, and what no module may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xplore

PACKAGE = Path(xplore.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "models")

# Each line imports only from lines below it; names on one line never see each other.
LAYERS = """
cli
regression
campaign
engine evaluation
search data
objectives
constraints coverage oracles
panel
adapters
model report
inputs
archive
_util
"""
LEVEL = {name: level for level, line in enumerate(LAYERS.split("\n")[::-1]) for name in line.split()}
SHARED_IN_REPORT = {
    "cards",
    "charts",
    "comparison",
    "coverage_map",
    "failure_modes",
    "flipped",
    "gallery",
    "gate",
    "lines",
    "names",
    "opening",
    "pictures",
    "precision",
    "reading",
    "rows",
    "steering",
    "summary",
    "wording",
    "words",
}
ALSO = {
    ("data", "mnist", "idx"),
    ("data", "photos", "pictures"),
    ("data", "udacity", "pictures"),
    ("data", "udacity", "motion"),
    ("report", "markdown", "png"),
    ("report", "failure", "png"),
    ("report", "images", "png"),
    ("report", "images", "csv"),
    ("report", "compare", "markdown"),
    ("adapters", "predictor", "refit"),
    ("adapters", "torch", "torch_function"),
}
PARTS = {
    "adapters",
    "cli",
    "constraints",
    "coverage",
    "data",
    "objectives",
    "oracles",
    "report",
    "search",
}
"""Packages whose files are parts, one a file: these never see each other."""
LONGEST = 500
LONGER: dict[str, int] = {}


def name_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of xplore that a file imports, wherever it does: ("report", "summary")."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "xplore" and rest:
                yield tuple(rest) if _is_module(rest) else tuple(rest[:-1])


def _is_module(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def faults(importer: tuple[str, ...], target: tuple[str, ...]) -> str:
    """Why a file may not import another; nothing if it may."""
    if not importer or not target:  # the package itself: its version, its public names
        return ""
    unknown = {importer[0], target[0]} - set(LEVEL)
    if unknown:
        return f"{unknown} is not in the table"
    if importer[0] != target[0]:
        return "" if LEVEL[importer[0]] > LEVEL[target[0]] else "not below"
    if importer[0] not in PARTS or len(importer) == 1 or len(target) == 1:  # __init__ gathers its files
        return ""
    if target[1].startswith("_") or target[1] == importer[1]:  # a package of its own inside
        return ""
    if (importer[0], importer[1], target[1]) in ALSO:
        return ""
    return "" if importer[0] == "report" and target[1] in SHARED_IN_REPORT else "a sibling"


@pytest.mark.parametrize("path", FILES, ids=lambda path: ".".join(name_of(path)) or "xplore")
def test_imports_go_down(path: Path) -> None:
    wrong = [(".".join(name), why) for name in imported(path) if (why := faults(name_of(path), name))]
    assert wrong == []


def test_table_is_whole_and_the_check_can_fail() -> None:
    assert {name_of(path)[0] for path in FILES if name_of(path)} == set(LEVEL)
    assert faults(("coverage", "neuron"), ("campaign", "run")) == "not below"
    assert faults(("model",), ("model",)) == "" and faults(("campaign",), ("cli",)) == "not below"
    assert faults(("search", "sweep"), ("search", "random")) == "a sibling"
    assert ("archive",) in set(imported(PACKAGE / "cli" / "report.py"))


def test_no_module_is_long() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONGER.get(name, LONGEST)} == {}


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
