"""What a page's shell lines say, checked by the programs that they call."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import jax
import pytest
import typer.main
from pages.reader import ROOT

from xplore import cli
from xplore.campaign.config import file as config
from xplore.cli._app import part

CHEAP = ("report", "compare", "merge", "export", "inspect")
"""Commands of xplore that are run where what they read is there; the others search or serve. These are parsed
by the command line itself, and their configs are read with all their settings."""
PYTEST = ("--junitxml", "--maxfail", "-q", "-n", "-x")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
TARGETS = re.findall(r"(?m)^([\w/.]+):", (ROOT / "Makefile").read_text("utf-8"))


def lines(code: str) -> list[list[str]]:
    """A block's commands, as words; what a shell does with their output is left out."""
    told = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    return [line[: line.index(">>")] if ">>" in line else line for line in told if line]


def check(words: list[str]) -> dict[str, Any] | None:
    """Does the program know these words? Of a command of xplore, what it was given."""
    program = Path(words[0]).name
    known = {
        "xplore": _xplore,
        "pytest": _pytest,
        "make": _make,
        "pip": _pip,
        "python": _python,
        "ruff": _ruff,
        "cat": lambda _: None,
    }
    assert program in known, f"{program}: a program that the pages' tests do not know"
    return known[program](words[1:])


def _xplore(words: list[str]) -> dict[str, Any]:
    command: Any = typer.main.get_command(cli.app)
    name, *arguments = words
    assert name in command.commands, f"xplore has no command {name}"
    given = command.commands[name].make_context(name, arguments).params
    if "config" in given and given["config"] is not None:
        settings = list(given.get("set_") or [])
        settings += [f"campaign.seeds={given['seeds']}"] if given.get("seeds") else []
        config.load(given["config"], settings)
    for model in (given.get("old"), given.get("new"), *(given.get("null") or ())):
        if model is not None:
            part(model)
    return given


def _pytest(words: list[str]) -> None:
    from xplore.regression.plugin import OPTIONS

    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in (*OPTIONS, *PYTEST), f"pytest has no option {word}"


def _make(words: list[str]) -> None:
    assert words and set(words) <= set(TARGETS), f"make has no target {words}"


def _pip(words: list[str]) -> None:
    assert words[0] == "install"
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(EXTRAS), f"xplore has no extra {extras}"


def _python(words: list[str]) -> None:
    if words[:2] == ["-m", "pytest"]:
        _pytest(words[2:])
        words = words[2:3]
    (script, *_) = words
    assert (ROOT / script).exists(), f"there is no {script}"


def _ruff(words: list[str]) -> None:
    assert words[0] in ("check", "format") and all((ROOT / word).exists() for word in words[1:])


def cheap(words: list[str], given: dict[str, Any]) -> bool:
    """Is this command of xplore run, where it stands?"""
    folders = [given.get("folder"), given.get("a"), given.get("b"), *(given.get("folders") or ())]
    return words[1] in CHEAP and all((folder / "archive.sqlite").is_file() for folder in folders if folder)


def run(words: list[str]) -> str:
    """What a command of xplore prints, which ends well."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(sys, "argv", ["xplore", *words[1:]])
        with pytest.raises(SystemExit) as ended, jax.numpy_rank_promotion("allow"):
            cli.main()
    assert not ended.value.code, words
    return printed.getvalue()
