"""`xplore gate`: does a new version break more than is allowed?"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from xplore._util.durations import duration
from xplore._util.errors import shell
from xplore.cli._app import Set, app, part, show

Model = Annotated[
    str, typer.Argument(help="module:factory, or module:factory@WEIGHTS, a file that is read into it.")
]


@app.command()
def gate(
    old: Model,
    new: Model,
    config: Annotated[
        str, typer.Option(help="The config that names seeds, constraint and search; its models are left out.")
    ],
    allow: Annotated[
        float | None, typer.Option(help="The share of seeds that may flip, from 0 to below 1.")
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option(help="OLD trained again with another random state; may be repeated.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="The first so many seeds.")] = None,
    time: Annotated[str | None, typer.Option(help="End each search after so long: 90s, 10m.")] = None,
    rng: Annotated[int, typer.Option(help="The random state.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the campaign; runs/gate-TIME by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the gate in the folder, if it holds one.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print figures for a program.")] = False,
    set_: Set = None,
) -> None:
    """Compare how much NEW breaks of what OLD answers rightly with what is allowed.

    On the seeds, and on what a search finds around them. The folder's reports say what the gate said. Exit
    code 0: passed, 1: failed, 2: undecided, or bad input. One that was killed goes on with --resume; OLD
    trained again is searched anew.
    """
    from xplore.campaign.config import file as configs

    given = {"campaign.seeds": seeds, "campaign.rng": rng}
    limits = [f"{key}={value}" for key, value in given.items() if value is not None]
    limits += [] if time is None else [f"campaign.seconds={duration(time)}"]
    loaded = configs.load(config, [*(set_ or []), *limits])
    models = [configs.build_model(part(name)) for name in (old, new, *(null or ()))]
    from xplore.regression.gate_config import gate_config

    folder = out or Path("runs") / datetime.now(UTC).strftime("gate-%Y%m%d-%H%M%S")
    command = shell("xplore", *sys.argv[1:])
    verdict = gate_config(
        loaded,
        models[0],
        models[1],
        allow=allow,
        null=models[2:],
        out=folder,
        command=command,
        resume=resume,
    )
    show(json.dumps(verdict.figures) if json_ else verdict)
    if not json_:
        show(f"report: {folder / 'report.html'}")
    if verdict.result.valid and not json_:
        command = shell("xplore", "replay", folder, "--config", config, "--model", old, "--model", new)
        print(f"judge them again:  {command}")
    if not verdict:
        raise typer.Exit(1 if verdict.decision == "failed" else 2)
