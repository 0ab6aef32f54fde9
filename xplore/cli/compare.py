"""`xplore compare`: two campaigns side by side."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import app


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A campaign's folder.")],
    b: Annotated[Path, typer.Argument(help="Another one's.")],
    format_: Annotated[str, typer.Option("--format", help="html, md or json.")] = "html",
    out: Annotated[
        Path, typer.Option(help="Where to write: a folder or a file; comparison.html here by default.")
    ] = Path(),
) -> None:
    """Compare two campaigns: shares, fault groups, coverage, sizes of change."""
    from xplore.archive import Archive
    from xplore.report.compare import write

    with closing(Archive.open(a)) as first, closing(Archive.open(b)) as second:
        print(write(first, second, out, format_))
