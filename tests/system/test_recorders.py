"""Whatever an archive says, nothing that it names is imported or called, and nothing is written elsewhere."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = 3
"""And five that are given; each is used in sixteen ways. By hand: `python -m recorders FOLDER 100`."""
BY_NAME = {
    "archive/trusted.py": "what its dictionary says",
    "campaign/config/instantiate.py": "what a user's config names",
    "_util/lazy.py": "the modules of a package of its own",
    "_util/moved.py": "its own table",
    "_util/checkout.py": "the folder of models of a checkout",
    "adapters/__init__.py": "its own adapters",
    "report/__init__.py": "its own formats",
}
"""The files that import a module by a name that is no literal, and whose names these are."""
OF_ARCHIVES = ("campaign/replay", "campaign/claims", "campaign/resume", "campaign/merge", "archive", "report")


def test_no_name_of_an_archive_is_imported_or_called(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}"
    done = subprocess.run(
        [sys.executable, "-m", "recorders", str(tmp_path), str(EXAMPLES)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    kinds = ["called", "import_module", "looked", "open", "os.system"]
    assert told["seen"] == kinds, "of a dictionary that knows any name, each recorder sees a fault"
    for use in (
        "open",
        "report html",
        "export csv",
        "merge",
        "migrate",
        "review",
        "resume",
        "replay of models",
    ):
        assert told["came"].get(use, 0) > 1, use


def test_names_that_are_no_literals_are_imported_in_seven_places() -> None:
    """And what reads archives builds no part of a config."""
    package, found = ROOT / "xplore", set()
    for path in package.rglob("*.py"):
        if "models" in path.parts or "configs" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
                *(
                    "import_module",
                    "__import__",
                    "run_module",
                    "run_path",
                    "exec_module",
                    "spec_from_file_location",
                ),
            ):
                found.add(path.relative_to(package).as_posix())
    assert found == {*BY_NAME}
    for name in OF_ARCHIVES:
        place = package / name
        paths = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
        assert paths and not [path for path in paths if "campaign.config" in path.read_text("utf-8")], name
