"""The command line: `xplore run | inspect | report | replay`."""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from xplore.errors import InputError, told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UNITS = {"s": 1, "m": 60, "h": 3600}
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
UNEXPECTED = 70
"""Exit code of a fault that is not known to be the input's: neither bad input (2) nor a failed replay (1)."""

Out = Annotated[Path | None, typer.Option(help="Folder for the campaign; runs/NAME by default.")]
Folder = Annotated[Path, typer.Argument(help="A campaign's folder.")]


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; anywhere on the line.")
    ] = False,
) -> None:
    """Find inputs on which models that should agree do not."""


@app.command()
def run(
    config: Annotated[
        str, typer.Argument(help="A TOML file, or the name of one that comes with xplore: mnist.")
    ],
    seeds: Annotated[int | None, typer.Option(help="How many seeds.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps a try.")] = None,
    lanes: Annotated[int | None, typer.Option(help="How many inputs step together.")] = None,
    rng: Annotated[int | None, typer.Option(help="The random state.")] = None,
    time: Annotated[str | None, typer.Option(help="End after so long: 90s, 10m, 2h.")] = None,
    findings: Annotated[int | None, typer.Option(help="End with so many valid findings.")] = None,
    queries: Annotated[int | None, typer.Option(help="End after so many queries of the models.")] = None,
    until_coverage: Annotated[
        float | None, typer.Option(help="End when every model has this coverage, above 0, at most 1.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the campaign in the folder, if it holds one.")
    ] = False,
    out: Out = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")] = None,
) -> None:
    """Run a campaign, and write its archive, summary and report.

    Ctrl-C ends it after the running step, with a report of what is there; --resume goes on from there.
    """
    from xplore import config as configs

    given: dict[str, Any] = {
        "campaign.seeds": seeds,
        "search.steps": steps,
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
    given["campaign.seconds"] = None if time is None else duration(time)
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    loaded = configs.load(config, [*(set_ or []), *settings])
    folder = out or Path("runs") / loaded.name
    from xplore.configured import run_config
    from xplore.report.wording import counted

    command = shlex.join(["xplore", *sys.argv[1:]])
    result = run_config(loaded, folder, command=command, file=str(configs.find(config)), resume=resume)
    figures = result.summary
    beside, seconds = f"{figures['already_differ']} differ as they are", f"{figures['seconds']:.1f} s"
    print(f"{counted(figures)} ({beside}) in {seconds}")
    print(f"report: {folder / 'report.html'}")
    if figures["ended"]:
        why = (
            figures["ended"]
            if figures["ended"] == "interrupted"
            else f"ended by its {figures['ended']} budget"
        )
        print(f"{why}; xplore run {config} --out {folder} --resume goes on")
    if figures["ended"] == "interrupted":
        raise typer.Exit(INTERRUPTED)


def duration(time: str) -> float:
    """A length of time in seconds.

    >>> duration("90s"), duration("10m"), duration("1.5h"), duration("20")
    (90.0, 600.0, 5400.0, 20.0)
    """
    number, unit = (time[:-1], time[-1]) if time[-1:] in UNITS else (time, "s")
    try:
        came = float(number) * UNITS[unit]
    except ValueError:
        came = 0.0
    if not 0 < came < float("inf"):
        raise InputError("--time", expected="a length of time above 0", got=repr(time), fix="use --time 10m")
    return came


@app.command()
def inspect(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of one that comes with xplore.")],
    seeds: Annotated[int | None, typer.Option(help="How many seeds; all of the config's by default.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key.path=value over the config's.")] = None,
) -> None:
    """List the models' layers, neurons and accuracy before anything is searched."""
    from xplore import config as configs

    given = [] if seeds is None else [f"campaign.seeds={seeds}"]
    loaded = configs.load(config, [*(set_ or []), *given])
    from xplore.configured import inspect_config

    print(inspect_config(loaded))


@app.command()
def report(
    folder: Folder,
    format_: Annotated[str, typer.Option("--format", help="html, md, png, json or csv.")] = "html",
    out: Annotated[
        Path | None, typer.Option(help="Where to write; the campaign's folder by default.")
    ] = None,
) -> None:
    """Write a campaign's report anew, or in another format."""
    from xplore.archive import Archive
    from xplore.report import reporter

    chosen = reporter(format_)
    with closing(Archive.open(folder)) as archive:
        print(chosen.write(archive, out or folder))


@app.command()
def replay(
    folder: Folder,
    finding: Annotated[str, typer.Option(help="Only findings whose id starts so.")] = "",
    config: Annotated[
        str | None, typer.Option(help="The config that names the models, if they are your own.")
    ] = None,
) -> None:
    """Judge each stored finding again, by the plain models, one at a time."""
    from xplore import config as configs
    from xplore.rejudge import replay as judge_again

    models = None if config is None else [configs.build_model(part) for part in configs.load(config).models]
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


def main() -> None:
    """Entry point: bad input ends in one clear message and exit code 2."""
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="xplore")
    except InputError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        print(f"unexpected error: {told(error, most=400)}; --debug shows where", file=sys.stderr)
        sys.exit(UNEXPECTED)


if __name__ == "__main__":
    main()
