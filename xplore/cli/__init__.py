"""The command line, one command a file; imports `regression`, `campaign`."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from xplore import __version__
from xplore._util.errors import InputError, one_line
from xplore.cli import compare, export, gate, inspect, merge, migrate, new, replay, report, review, run
from xplore.cli._app import app, in_options
from xplore.cli._streams import lasting

__all__ = [
    "compare",
    "export",
    "gate",
    "inspect",
    "merge",
    "migrate",
    "new",
    "replay",
    "report",
    "review",
    "run",
]

UNEXPECTED = 70
"""Exit code of a fault that is not known to be the input's: neither bad input (2) nor a failed replay (1)."""


def _version(asked: bool) -> bool:
    if asked:
        print(f"xplore {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere on the line.")
    ] = False,
) -> None:
    """Find inputs on which models that should agree do not."""


def main() -> None:
    """Entry point: bad input ends in one clear message and exit code 2."""
    with lasting():
        _main()


def _main() -> None:
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="xplore")
    except InputError as error:
        if debug:
            raise
        _end(f"error: {in_options(error)}", error, 2)
    except Exception as error:
        if debug:
            raise
        _end(f"unexpected error: {one_line(error, most=400)}; --debug shows where", error, UNEXPECTED)


def _end(message: str, error: Exception, code: int) -> NoReturn:
    """Tell an error and what was noted with it, and leave."""
    print(message, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
    sys.exit(code)
