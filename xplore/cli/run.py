"""`xplore run`: a campaign as a config says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from xplore._util.durations import duration
from xplore._util.errors import InputError, shell
from xplore.cli._app import INTERRUPTED, Out, Set, app, show

Backend = Literal["local", "ray"]


@app.command()
def run(
    config: Annotated[
        str, typer.Argument(help="A TOML file, or the name of one that comes with xplore: mnist.")
    ],
    seeds: Annotated[int | None, typer.Option(help="How many seeds.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps a try.")] = None,
    tries: Annotated[int | None, typer.Option(help="Tries a seed.")] = None,
    lanes: Annotated[
        int | None, typer.Option(help="How many inputs step together; by default what fits the device.")
    ] = None,
    rng: Annotated[int | None, typer.Option(help="The random state.")] = None,
    time: Annotated[str | None, typer.Option(help="End after so long: 90s, 10m, 2h.")] = None,
    findings: Annotated[int | None, typer.Option(help="End with so many valid findings.")] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            help="Begin no other seed after so many queries of the models; seeds under way end first."
        ),
    ] = None,
    until_coverage: Annotated[
        float | None, typer.Option(help="End when every model has this coverage, above 0, at most 1.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the campaign in the folder, if it holds one.")
    ] = False,
    shrink: Annotated[
        bool | None, typer.Option(help="Reduce each finding to the smallest change that shows it.")
    ] = None,
    backend: Annotated[
        Backend | None, typer.Option(help="Where it is computed: here, or on a Ray cluster.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster: auto, or HOST:PORT.")] = None,
    out: Out = None,
    set_: Set = None,
) -> None:
    """Run a campaign, and write its archive, summary and report.

    Ctrl-C ends it after the running step, with a report of what is there; --resume goes on from there.
    """
    from xplore.campaign.config import file as configs

    given: dict[str, Any] = {
        "campaign.seeds": seeds,
        "search.steps": steps,
        "search.tries": tries,
        "campaign.lanes": lanes,
        "campaign.rng": rng,
    }
    for key, value in given.items():
        least = 0 if key == "campaign.rng" else 1
        if value is not None and value < least:
            name = f"--{key.split('.')[1]}"
            raise InputError(
                name, expected=f"a whole number >= {least}", got=str(value), fix=f"use {name} 64"
            )
    limits = {"findings": findings, "queries": queries, "until_coverage": until_coverage}
    given |= {f"campaign.{key}": value for key, value in limits.items()}
    given["campaign.shrink"] = None if shrink is None else str(shrink).lower()
    given["campaign.seconds"] = None if time is None else duration(time)
    if address is not None and backend != "ray":
        raise InputError(
            "--address", expected="--backend ray beside it", got=str(backend), fix="add --backend ray"
        )
    if backend is not None:
        given |= {"backend.use": "xplore.campaign.backends:Ray"} if backend == "ray" else {"backend": "none"}
        given["backend.address"] = address
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    loaded = configs.load(config, [*(set_ or []), *settings])
    folder = out or Path("runs") / loaded.name
    from xplore.campaign.config.run import run_config
    from xplore.report.wording import counted, never_valid, not_finite, worst_modes

    command = shell("xplore", *sys.argv[1:])
    result = run_config(loaded, folder, command=command, file=str(configs.find(config)), resume=resume)
    figures = result.summary
    beside, seconds = f"{figures['already_differ']} differ as they are", f"{figures['seconds']:.1f} s"
    print(f"{counted(figures)} ({beside}) in {seconds}")
    for line in [
        *worst_modes(figures),
        *not_finite(figures["not_finite"], figures["seeds"]),
        *never_valid(figures["never_valid"], figures["seeds"]),
    ]:
        show(line)
    print(f"report: {folder / 'report.html'}")
    if figures["ended"]:
        why = (
            figures["ended"]
            if figures["ended"] == "interrupted"
            else f"ended by its {figures['ended']} budget"
        )
        print(f"{why}; {shell('xplore', 'run', Path(config), '--out', folder, '--resume')} goes on")
    if figures["ended"] == "interrupted":
        raise typer.Exit(INTERRUPTED)
