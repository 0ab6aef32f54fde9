"""`xplore.run`: a campaign from Python, or as a config says."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xplore.adapters.predictor import reading
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.checks import (
    checked_chart,
    checked_inputs,
    checked_objective,
    checked_oracle,
    checked_part,
    checked_plan,
    checked_search,
    checked_training,
    checked_truth,
    climbable,
    default_search,
    fits,
)
from xplore.columns import is_frame
from xplore.config import Config, build, build_model
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.errors import InputError
from xplore.host import faults
from xplore.inspection import Inspection, inspect
from xplore.lanes import Method
from xplore.objectives import Objective
from xplore.oracles import Oracle
from xplore.panel import BATCH, Panel
from xplore.plan import Plan, Tally
from xplore.progress import Watch, display
from xplore.record import record
from xplore.result import Result, write_reports
from xplore.search import Random, Search
from xplore.validity import Judge

THRESHOLDS = (0.0, 0.25, 0.5, 0.75)


def run(
    models: Sequence[Any],
    inputs: Any,
    labels: Any = None,
    *,
    constraint: Constraint | None = None,
    objective: Objective | None = None,
    search: Search | None = None,
    oracle: Oracle | None = None,
    criteria: Sequence[CellCriterion] | None = None,
    steps: int | None = None,
    tries: int | None = None,
    baseline: Search | None = None,
    referee: Callable[..., Any] | None = None,
    training: Any = None,
    plan: Plan | None = None,
    rng: int | None = None,
    lanes: int | None = None,
    out: str | Path | None = None,
    name: str = "campaign",
    classes: Sequence[str] | None = None,
    progress: bool = True,
    recorded: dict[str, Any] | None = None,
) -> Result:
    """Search from every input for one on which the models differ; judge, measure and keep it.

    Inputs are images `[n h w c]`, uint8, or floats in [0, 1] that are stored (and so judged) as 8 bits; or
    a table, a DataFrame or numbers `[n d]`, which `Features` describe (inferred, without a constraint).
    Labels, class numbers or the models' classes, are optional: without them (or where one is -1) a seed
    counts as answered rightly where all models agree. `steps` and `tries` override the search's, by default
    `Gradient`, or `Flips` where a model has no gradient; `baseline` searches the same seeds at the same
    number of model queries. Without `out` the archive is temporary: `result.save(folder)` keeps it.

    Raises:
        InputError: models, inputs, labels or a folder that cannot be used, before any compute is spent.
    """
    chart, notes = checked_chart(constraint, inputs)
    codes = checked_inputs(inputs, chart)
    panel = Panel.of([reading(model, chart) for model in models])
    shape = chart.encoding.shape(codes.shape[1:])
    layout = panel.check(shape)
    judging = checked_oracle(oracle, panel, shape)
    n_classes = panel.shapes(shape).outputs.shape[2]
    names = tuple(panel.classes or classes or ())
    truth = None if labels is None else checked_truth(labels, len(codes), panel, n_classes, names)
    given = {"rng": rng, "lanes": lanes}
    criteria = tuple(criteria or (NeuronCoverage(t) for t in THRESHOLDS))
    plan = replace(plan or Plan(), **{key: value for key, value in given.items() if value is not None})
    checked_plan(plan, len(criteria))
    method = Method(
        panel,
        checked_objective(objective, panel),
        chart,
        judging,
        checked_search("search", search or default_search(panel, shape), steps, tries),
    )
    if search is not None:  # the default is chosen by the same question
        climbable(panel, method.search, shape)
    fits(method.constraint, shape, method.search)
    if baseline is not None:
        climbable(panel, checked_search("baseline", baseline), shape)
    for criterion in criteria:
        checked_part("criteria", criterion, CellCriterion)
    known = checked_training(training, codes, chart)
    judge = Judge(panel, method.oracle, method.constraint, criteria, referee, known, min(BATCH, plan.lanes))
    _keep_compilations()
    meta = record(method, layout, criteria, plan) | {
        "name": name,
        "classes": list(map(str, judging.told().get("names") or classes or names or range(n_classes))),
        "labelled": truth is not None,
        "seeds_total": len(codes),
        "notes": notes,
        **(recorded or {}),
    }
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="xplore-") if out is None else out)
        if out is None:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
        with closing(Archive.create(folder, meta)) as archive, faults():
            campaign = Campaign(method, judge, layout, codes, truth, plan)
            tally = _watched(campaign, archive, name, progress)
            archive.note(**_ending(tally), baselines=[])
            if baseline is not None:
                archive.note(baselines=[_baseline(baseline, campaign, tally, progress)])
            archive.note(finished=True)
        if out is not None:
            write_reports(folder)
        undo.pop_all()
    return Result(folder, temporary=out is None)


def run_config(
    config: Config, out: str | Path | None, *, command: str, file: str = "", progress: bool = True
) -> Result:
    """Run a campaign as a config says; `command` and the config's `file` are recorded."""
    settings = config.campaign
    models, images, labels, classes, seeds = _tested(config)
    return run(
        models,
        images,
        labels,
        constraint=checked_part("constraint", build(config.constraint), Constraint),
        objective=_built("objective", config.objective, Objective),
        search=checked_search("search", build(config.search)),
        oracle=_built("oracle", config.oracle, Oracle),
        criteria=[checked_part("criteria", build(part), CellCriterion) for part in config.criteria],
        baseline=None if config.baseline is None else checked_search("baseline", build(config.baseline)),
        referee=None if config.referee is None else build(config.referee),
        training=None if config.training is None else _inputs("training", config.training)[0].images,
        plan=Plan(settings.lanes, settings.rng, settings.round_size, settings.lag, settings.main_criterion),
        out=out,
        name=config.name,
        classes=classes,
        progress=progress,
        recorded={"config": config.model_dump(), "command": command, "config_file": file, "notes": seeds},
    )


def _built(name: str, part: dict[str, Any] | None, kind: type[Any]) -> Any:
    """A part of the right kind, if the config has one."""
    return None if part is None else checked_part(name, build(part), kind)


def inspect_config(config: Config) -> Inspection:
    """What a config's models are, and how right they are on its seeds."""
    models, inputs, labels, classes, _ = _tested(config)
    constraint = checked_part("constraint", build(config.constraint), Constraint)
    return inspect(models, inputs, labels, constraint=constraint, classes=classes)


def _tested(config: Config) -> tuple[list[Any], Any, np.ndarray | None, Sequence[str] | None, list[str]]:
    """A config's models, as many inputs, labels and names of classes as it asks for, and what these are."""
    inputs, n = _inputs("seeds", config.seeds)
    # More seeds than inputs: they repeat, each with a key of its own.
    rows = np.arange(n if config.campaign.seeds is None else config.campaign.seeds) % n
    labels = getattr(inputs, "labels", None)
    if labels is not None and len(labels) != n:
        raise InputError(
            "labels",
            expected=f"one a seed, {n}",
            got=str(len(labels)),
            fix=f"mend what {config.seeds['use']} gives",
        )
    return (
        [build_model(part) for part in config.models],
        inputs.images.iloc[rows] if is_frame(inputs.images) else np.asarray(inputs.images)[rows],
        None if labels is None else np.asarray(labels)[rows],
        getattr(inputs, "classes", None) or None,
        [f"seeds: {inputs.name}"] if getattr(inputs, "name", "") else [],
    )


def _inputs(key: str, part: dict[str, Any]) -> tuple[Any, int]:
    """Inputs with `images`, maybe `labels`, as a config's part gives them, and how many there are."""
    inputs = build(part)
    n = len(inputs.images) if hasattr(inputs, "images") else 0
    if not n:
        raise InputError(
            f"{key}, {part['use']}",
            expected="inputs with `images`, one at least",
            got=f"{type(inputs).__name__} with none",
            fix="name a function like xplore.data.mnist:load",
        )
    return inputs, n


def _keep_compilations() -> None:
    """Compiled programs are kept between runs, unless the user has said where or that they are not."""
    chosen = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue] # set at run time
    if chosen is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "xplore"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _watched(campaign: Campaign, archive: Archive | None, title: str, progress: bool) -> Tally:
    def follow(watch: Watch | None) -> Tally:
        for tally in campaign.run(archive):
            if watch is not None:
                watch(tally)
        return campaign.tally

    if not progress:
        return follow(None)
    with display(title, len(campaign.inputs)) as watch:
        return follow(watch)


def _ending(tally: Tally) -> dict[str, Any]:
    return {
        "seconds": tally.seconds,
        "compile_seconds": tally.compile_seconds,
        "steps": tally.steps,
        "queries": tally.queries,
    }


def _baseline(search: Search, campaign: Campaign, main: Tally, progress: bool) -> dict[str, Any]:
    """Another search on the same seeds: random search until it has asked the models as often in all.

    It goes breadth first, one query a seed and turn, so that no seed is favoured. Any other search keeps
    to its own budget a seed.
    """
    limit, note = None, "its own budget a seed"
    if isinstance(search, Random):
        search = search.replace(steps=1, tries=sys.maxsize)
        limit, note = main.queries, "the same seeds, again and again, until as many model queries were spent"
    plan = replace(campaign.plan, round_size=len(campaign.inputs), query_limit=limit)
    judge = replace(campaign.judge, referee=None, training=None)
    method = campaign.method.replace(search=search)
    other = Campaign(method, judge, campaign.layout, campaign.inputs, campaign.truth, plan)
    tally = _watched(other, None, f"{type(search).__name__.lower()} search, to compare", progress)
    return {
        "search": type(search).__name__,
        "seeds": tally.seeds,
        "queries": tally.queries,
        "found": tally.found,
        "findings": tally.findings,
        "valid": tally.valid,
        "groups": len(tally.groups),
        "seconds": tally.seconds,
        "note": note,
    }
