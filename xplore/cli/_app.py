"""What the commands share: the application they belong to, and options that several have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path | None, typer.Option(help="Folder for the campaign; runs/NAME by default.")]
Folder = Annotated[Path, typer.Argument(help="A campaign's folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")]
