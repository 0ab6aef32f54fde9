"""`xplore review`: a person looks at a sample of the findings."""

from __future__ import annotations

import getpass
import os
import sys
import webbrowser
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from xplore.cli._app import Folder, app, show

if TYPE_CHECKING:
    from xplore.report.review import Session


@app.command()
def review(
    folder: Folder,
    reviewer: Annotated[
        str, typer.Option(help="Who answers; by default the name you are logged in by.")
    ] = "",
    port: Annotated[int, typer.Option(help="The page's port on this machine; 0 for any that is free.")] = 0,
    sample: Annotated[
        int | None,
        typer.Option(help="How many findings; by default as many as a 95 % interval of +- 10 points needs."),
    ] = None,
    rng: Annotated[int, typer.Option(help="Which findings of a group come first.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Ask a person what findings show, on a page of this machine; reports tell how many keep their label.

    Each answer is kept in the archive at once. Ctrl-C ends; the same reviewer goes on where this ended.
    """
    from xplore.report.review import Server, Session

    with closing(Session(folder, reviewer or _user(), sample=sample, rng=rng)) as session:
        with Server(session, port) as server:
            print(f"review: {server.url}")
            show(session.goal())
            print("each answer is kept at once; Ctrl-C ends", flush=True)
            if browser and _has_screen():
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()
        _ended(session)


def _ended(session: Session) -> None:
    """Say what was kept, and write anew the reports that lie beside the archive."""
    from xplore.report import reporter

    answers = [answer for _, answer in session.answers()]
    path, answered = session.archive.path, len(answers) - answers.count(None)
    show(f"kept: {answered} answers of {session.reviewer} in {path}, {answers.count(None)} left")
    for line in session.summary():
        show(line)
    for chosen in map(reporter, ("json", "html")) if answered else ():
        if (path.parent / chosen.file_name).is_file():
            print(f"written anew: {chosen.write(session.archive, path.parent)}")


def _user() -> str:
    """The name of who is logged in, if there is one."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"


def _has_screen() -> bool:
    """Is there a screen for a browser? One in the terminal would take it over."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
