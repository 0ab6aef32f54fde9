"""`xplore replay`: findings judged again by the visible models."""

from __future__ import annotations

from typing import Annotated

import typer

from xplore._util.errors import InputError, shell
from xplore.cli._app import Folder, app, part, show


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
            help="A model in place of the config's, as module:factory or module:factory@WEIGHTS; one by one."
        ),
    ] = None,
) -> None:
    """Judge each stored finding again, by the visible models, one at a time."""
    from xplore.campaign.config import file as configs
    from xplore.campaign.replay import rejudged

    loaded = None if config is None else configs.load(config)
    parts = [part(name) for name in model or ()]
    parts = loaded.models if loaded is not None and not parts else parts
    models = [configs.build_model(one) for one in parts] or None
    constraint = None if loaded is None else configs.build(loaded.constraint)
    oracle = configs.build(loaded.oracle) if loaded is not None and loaded.oracle is not None else None
    came = rejudged(folder, models, prefix=finding, constraint=constraint, oracle=oracle)
    if finding and not came.faults:
        raise InputError(
            f"--finding {finding}",
            expected="the start of a finding's id",
            got="no such finding",
            fix=f"{shell('xplore', 'report', folder, '--format', 'csv')} lists them",
        )
    wrong = {name: faults for name, faults in came.faults.items() if faults}
    print(f"{len(came.faults)} findings, {len(came.faults) - len(wrong)} reproduce")
    for name, faults in wrong.items():
        show(f"does not reproduce: {name}: {'; '.join(faults)}")
    for what in came.unchecked if came.faults else ():
        show(f"not checked: {what}")
    if wrong:
        raise typer.Exit(1)
