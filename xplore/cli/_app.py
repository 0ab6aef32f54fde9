"""What the commands share: the application they belong to, and options that several have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xplore.errors import InputError, visible

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Commands(TyperGroup):
    """The commands; what they call cannot end the program without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from error
        except SystemExit as error:
            raise RuntimeError(f"what was called ended the program ({error.code!r})") from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[Path | None, typer.Option(help="Folder for the campaign; runs/NAME by default.")]
Folder = Annotated[Path, typer.Argument(help="A campaign's folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")]


def show(text: object) -> None:
    """Print a text; whatever names it holds, a terminal obeys none of them."""
    print("\n".join(map(visible, str(text).split("\n"))))


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
