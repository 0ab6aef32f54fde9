"""What the commands share: the application they belong to, and options that several have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xplore.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UNITS = {"s": 1, "m": 60, "h": 3600}

Out = Annotated[Path | None, typer.Option(help="Folder for the campaign; runs/NAME by default.")]
Folder = Annotated[Path, typer.Argument(help="A campaign's folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")]


def duration(time: str) -> float:
    """A length of time in seconds.

    >>> duration("90s"), duration("10m"), duration("1.5h"), duration("20")
    (90.0, 600.0, 5400.0, 20.0)
    """
    number, unit = (time[:-1], time[-1]) if time[-1:] in UNITS else (time, "s")
    try:
        came = float(number) * UNITS[unit]
    except ValueError:
        came = 0.0
    if not 0 < came < float("inf"):
        raise InputError("--time", expected="a length of time above 0", got=repr(time), fix="use --time 10m")
    return came
