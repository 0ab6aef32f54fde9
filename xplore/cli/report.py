"""`xplore report`: a campaign told anew, or in another format."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import Folder, app
from xplore.errors import InputError

_FILES = (".html", ".md", ".png", ".json", ".csv", ".xml", ".junit")
"""Names that end so are meant as files."""


@app.command()
def report(
    folder: Folder,
    format_: Annotated[str, typer.Option("--format", help="html, md, png, json, csv or junit.")] = "html",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write into; the campaign's by default.")
    ] = None,
) -> None:
    """Write a campaign's report anew, or in another format."""
    from xplore.archive import Archive
    from xplore.report import reporter

    chosen = reporter(format_)
    if out is not None and out.suffix in _FILES and not out.is_dir():
        fix = "name the folder that the report is to be written into"
        raise InputError("--out", expected="a folder", got=str(out), fix=fix)
    with closing(Archive.open(folder)) as archive:
        print(chosen.write(archive, out or folder))
