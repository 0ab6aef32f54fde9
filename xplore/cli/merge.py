"""`xplore merge`: several campaigns as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import app


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="The campaigns' folders.")],
    out: Annotated[Path, typer.Option(help="A new folder for all of them.")],
) -> None:
    """Unite campaigns on the same models; they stay as they are."""
    from xplore.campaign.merge import merge as unite
    from xplore.report.wording import counted

    result = unite(folders, out)
    print(counted(result.summary))
    print(f"report: {out / 'report.html'}")
