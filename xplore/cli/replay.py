"""`xplore replay`: findings judged again by the plain models."""

from __future__ import annotations

from typing import Annotated

import typer

from xplore.cli._app import Folder, app, part
from xplore.errors import InputError


@app.command()
def replay(
    folder: Folder,
    finding: Annotated[str, typer.Option(help="Only findings whose id starts so.")] = "",
    config: Annotated[
        str | None, typer.Option(help="The config that names the models, if they are your own.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Or a model, as module:factory or module:factory@WEIGHTS; once for each, in order."
        ),
    ] = None,
) -> None:
    """Judge each stored finding again, by the plain models, one at a time."""
    from xplore import config as configs
    from xplore.rejudge import replay as judge_again

    if config is not None and model:
        fix = "name the models once"
        raise InputError("--config and --model", expected="one of them", got="both", fix=fix)
    parts = [part(name) for name in model or ()] if config is None else configs.load(config).models
    models = [configs.build_model(one) for one in parts] or None
    reproduced = judge_again(folder, models, prefix=finding)
    if finding and not reproduced:
        raise InputError(
            f"--finding {finding}",
            expected="the start of a finding's id",
            got="no such finding",
            fix=f"xplore report {folder} --format csv lists them",
        )
    print(f"{len(reproduced)} findings, {sum(reproduced.values())} reproduce")
    if not all(reproduced.values()):
        for name in (name for name, again in reproduced.items() if not again):
            print(f"does not reproduce: {name}")
        raise typer.Exit(1)
