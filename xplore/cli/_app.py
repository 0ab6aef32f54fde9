"""What the commands share: the application they belong to, and options that several have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xplore.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path | None, typer.Option(help="Folder for the campaign; runs/NAME by default.")]
Folder = Annotated[Path, typer.Argument(help="A campaign's folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")]


def part(name: str) -> dict[str, Any]:
    """A model's part of a config, as the command line names it.

    >>> part("zoo:net@new.safetensors")
    {'use': 'zoo:net', 'weights': 'new.safetensors'}
    """
    use, _, weights = name.partition("@")
    if ":" not in use:
        wanted = "module:factory, or module:factory@WEIGHTS"
        raise InputError(f"model {name}", expected=wanted, got=repr(name), fix="as in models.lenet:lenet1")
    return {"use": use, "weights": weights} if weights else {"use": use}
