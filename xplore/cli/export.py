"""`xplore export`: findings for retraining, and for other programs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from xplore.cli._app import Folder, app


@app.command()
def export(
    folder: Folder,
    format_: Annotated[str, typer.Option("--format", help="png, npz, parquet, csv or jsonl.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; export/ in the campaign's folder by default.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what does not count, and seeds that differ as they are.")
    ] = False,
    shrunk: Annotated[
        bool, typer.Option("--shrunk/--as-found", help="The smallest change that shows it, or as found.")
    ] = True,
) -> None:
    """Write valid findings for retraining, with the labels that are expected of them."""
    from xplore.archive import Archive
    from xplore.report import exporter

    chosen = exporter(format_, every=every, shrunk=shrunk)
    with closing(Archive.open(folder)) as archive:
        print(chosen.write(archive, out or (folder if folder.is_dir() else folder.parent) / "export"))
