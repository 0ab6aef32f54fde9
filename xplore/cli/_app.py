"""What the commands share: the application they belong to, and options that several have."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xplore._util.errors import InputError, visible

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


_ARGUMENT = re.compile(r"\b(out|resume|format|reviewer|sample|rng)=(?:True\b)?(?=(\w?))")


def in_options(error: InputError) -> str:
    """Return an error's message, its way out with options of the command line for Python's arguments.

    >>> fix = "choose one with out=, or go on with resume=True; use format=npz"
    >>> in_options(InputError("folder", expected="another", got="out=3", fix=fix))
    'folder: expected another, got out=3; choose one with --out, or go on with --resume; use --format npz'
    """
    way = _ARGUMENT.sub(lambda found: f"--{found[1]}{' ' * bool(found[2])}", error.fix)
    way = way.replace("the exception that it comes from says where", "--debug shows where")
    return str(error).removesuffix(error.fix) + way


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
