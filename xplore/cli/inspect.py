"""`xplore inspect`: what a config's models are, before anything is searched."""

from __future__ import annotations

from typing import Annotated

import typer

from xplore.cli._app import Set, app, show


@app.command()
def inspect(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of one that comes with xplore.")],
    seeds: Annotated[int | None, typer.Option(help="How many seeds; all of the config's by default.")] = None,
    set_: Set = None,
) -> None:
    """List the models' layers, neurons and accuracy before anything is searched."""
    from xplore.campaign.config import file as configs

    given = [] if seeds is None else [f"campaign.seeds={seeds}"]
    loaded = configs.load(config, [*(set_ or []), *given])
    from xplore.campaign.config.run import inspect_config

    show(inspect_config(loaded))
