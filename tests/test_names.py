"""Every `xplore.…` that a page, a docstring or a message shows can be written after `import xplore`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xplore

ROOT = Path(xplore.__file__).parents[1]
NAME = re.compile(r"(?<![\w./-])xplore(?:\.[A-Za-z]\w*)+(?::[A-Za-z]\w*)?(?![\w/-])(?!\.\*)")
OTHERS = {
    "xplore.adapters.NAME.NAME": "what stands for a name",
    "xplore.campaigns": "a property in JUnit's file",
    "xplore.near.share": "a property in JUnit's file",
    "xplore.rng": "a property in JUnit's file",
    "xplore.valid": "a property in JUnit's file",
}
"""Names that are none of Python's."""
RESOLVE = """
import os, sys
import jax, flax.linen, numpy, optax  # of others, so that a fork imports what is xplore's alone
import xplore
for names in sys.argv[1:]:
    if not os.fork():
        for name in names.split():
            try:
                found = xplore
                for part in name.replace(":", ".").split(".")[1:]:
                    found = getattr(found, part)
            except Exception as error:
                print(name, type(error).__name__, error, flush=True)
        os._exit(0)
    os.wait()
"""


def shown() -> dict[str, str]:
    """Each name, and a file that shows it."""
    found: dict[str, str] = {}
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
    for path in [*pages, *ROOT.glob("docs/**/*.py"), *ROOT.glob("configs/*.toml")]:
        for name in NAME.findall(path.read_text("utf-8")):
            found.setdefault(name, path.relative_to(ROOT).as_posix())
    for path in [*ROOT.glob("xplore/**/*.py"), *ROOT.glob("models/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for name in NAME.findall(node.value):
                    found.setdefault(name, path.relative_to(ROOT).as_posix())
    return found


def module(name: str) -> str:
    """The longest part of a name that is a file's."""
    parts = name.replace(":", ".").split(".")
    root = ROOT if parts[1] == "models" else ROOT / "xplore"
    while parts[1:]:
        path = root.joinpath(*parts[1:])
        if path.is_dir() or path.with_suffix(".py").is_file():
            break
        parts.pop()
    return ".".join(parts)


def resolve(*names: str) -> str:
    """What cannot be resolved; those of a module in one process, in which nothing else of xplore was used."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(module(name), []).append(name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RESOLVE, *map(" ".join, groups.values())],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_names_are_found_and_an_unknown_one_is_told() -> None:
    names = shown()
    wanted = {
        "xplore.run",
        "xplore.oracles.ValuesDiffer",
        "xplore.adapters.torch.load",
        "xplore.models.lenet",
    }
    assert wanted <= set(names) and len(names) > 100
    assert (
        module("xplore.adapters.torch.load") == "xplore.adapters.torch" and module("xplore.run") == "xplore"
    )
    assert resolve("xplore.run", "xplore.oracles.Nothing", "xplore.tests").count("AttributeError") == 2


def test_all_that_is_shown_resolves_after_a_bare_import() -> None:
    names = shown()
    missing = resolve(*(name for name in names if name not in OTHERS))
    assert missing == "", {line: names[line.split()[0]] for line in missing.splitlines()}


@pytest.mark.parametrize(
    "package", ["xplore", "xplore.adapters", "xplore.data", "xplore.models", "xplore.report"]
)
def test_what_dir_lists_is_there(package: str) -> None:
    ask = f"import xplore; print(*[name for name in dir({package}) if not hasattr({package}, name)])"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
