"""`xplore migrate`: an up-to-date copy of an older archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import Folder, app


@app.command()
def migrate(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="A new folder for the copy.")],
) -> None:
    """Copy an archive of an older version into one that this version reads."""
    from xplore.archive.migrate import migrate as copied

    print(copied(folder, out))
