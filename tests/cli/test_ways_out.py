"""Errors name arguments of Python; on the command line the same errors name its options."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

import xplore
from xplore._util.errors import InputError

PACKAGE = Path(xplore.__file__).parent
COMMANDS = {
    "campaign/backends/ray.py": "ray start --head",
    "campaign/replay.py": "(--config)",
    "report/review/_server.py": "--port",
    "campaign/config/toml.py": "--set",
}
"""Ways out that are of a command alone."""


def ways_out() -> Iterator[tuple[str, str]]:
    """Each file, and a text that it gives as `fix`."""
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE).as_posix()
        if file.startswith(("cli/", "models/")):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = isinstance(node, ast.keyword) and node.arg == "fix"
            named |= isinstance(node, ast.Assign) and "fix" in ast.unparse(node.targets[0])
            for part in ast.walk(node.value) if named else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield file, part.value


def test_no_way_out_names_an_option() -> None:
    told = list(ways_out())
    assert len(told) > 150
    wrong = [(file, text) for file, text in told if re.search(r"(?<!\w)--[a-z]", text)]
    assert [(file, text) for file, text in wrong if COMMANDS.get(file, "no command") not in text] == []


@pytest.mark.slow
def test_the_same_error_in_python_and_on_the_command_line(tmp_path: Path) -> None:
    how = {"steps": 1, "tries": 1, "progress": False, "out": tmp_path / "run"}
    models = [tiny.one(), tiny.two()]
    xplore.run(models, tiny.images(4), **how)
    with pytest.raises(InputError, match="choose a new folder with out=, or go on with resume=True"):
        xplore.run(models, tiny.images(4), **how)
    words = ["run", "mnist", "--seeds", "2", "--steps", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "xplore.cli", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "a new folder with --out, or go on with --resume" in done.stderr
