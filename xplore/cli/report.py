"""`xplore report`: a campaign told anew, or in another format."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import Folder, app


@app.command()
def report(
    folder: Folder,
    format_: Annotated[str, typer.Option("--format", help="html, md, png, json, csv or junit.")] = "html",
    out: Annotated[
        Path | None, typer.Option(help="A folder, or a file's path; the campaign's folder by default.")
    ] = None,
) -> None:
    """Write a campaign's report anew, or in another format."""
    from xplore.archive import Archive
    from xplore.report import reporter

    chosen = reporter(format_)
    with closing(Archive.open(folder)) as archive:
        print(chosen.write(archive, out or folder))
