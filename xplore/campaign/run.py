"""`xplore.run`: a campaign from Python, or as a config says."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from xplore._util import moved
from xplore._util.errors import InputError, visible
from xplore._util.folders import alone
from xplore._util.jax_settings import own_settings
from xplore.adapters.predictor import reading
from xplore.archive import Archive
from xplore.archive.labels import account
from xplore.archive.tables import FILE, holds
from xplore.campaign import Campaign
from xplore.campaign.backends import Backends, Ray
from xplore.campaign.config.file import THRESHOLDS
from xplore.campaign.defaults import prepared
from xplore.campaign.judge import Judge
from xplore.campaign.progress import Watch, counting, display, interruptible
from xplore.campaign.provenance import record
from xplore.campaign.result import Result, write_reports
from xplore.campaign.resume import resumed
from xplore.campaign.settings import Budget, RunOptions, Totals
from xplore.campaign.shrink import Shrinking
from xplore.campaign.validation import (
    checked_arguments,
    checked_criteria,
    checked_objective,
    checked_oracle,
    checked_plan,
    checked_search,
    checked_training,
    climbable,
    fits,
)
from xplore.campaign.worker import Worker
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.engine.devices import compilation_cache, most_lanes
from xplore.evaluation.checks import checked_truth, opened_chart, stored
from xplore.evaluation.sources import First, Held, labelled
from xplore.model.callbacks import faults
from xplore.model.lowering.autotune import chosen
from xplore.model.neurons import Layout
from xplore.model.outputs import CLASSIFICATION
from xplore.objectives import Objective
from xplore.oracles import Oracle
from xplore.panel.panel import BATCH, Panel
from xplore.search import Gradient, Random, Search

BASELINE_SEEDS = 10_000
"""What a baseline searches from at most: it goes breadth first, and holds them all."""
INTERRUPTED = "interrupted"


@moved.arguments
@own_settings()
@compilation_cache()
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
    seeds: int | None = None,
    steps: int | None = None,
    tries: int | None = None,
    baseline: Search | None = None,
    reference_model: Callable[..., Any] | None = None,
    training: Any = None,
    plan: RunOptions | None = None,
    rng: int | None = None,
    lanes: int | None = None,
    budget: Budget | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    shrink: bool = True,
    backend: Backends | None = None,
    name: str = "campaign",
    classes: Sequence[str] | None = None,
    progress: bool = True,
    recorded: dict[str, Any] | None = None,
) -> Result:
    """Search from every input for one on which the models differ; judge, measure and keep it.

    A campaign ends with its seeds, its budget, or an interrupt (Ctrl-C). What was found is in the archive
    from the first round on. Whether a finding keeps its label is assumed; a reference model and training
    data can put it in doubt (`in_doubt`, apart from `valid`).

    Args:
        models: two or more that should agree: functions of JAX, or whatever `xplore.adapt` takes.
        inputs: images `[n h w c]`, uint8, or floats in [0, 1] that are stored, and so judged, as 8 bits; or a
            table, a DataFrame or numbers `[n d]`. What is memory-mapped, has slices (a file, a folder), or
            is a generator, is read a round at a time.
        labels: class numbers or the models' classes, `[n]`; -1 where one is not known. Without labels a seed
            counts as answered rightly where all models agree.
        constraint: how an input may change. By default `Features` inferred from a table, or one rectangle
            that suits the images.
        objective: what the search climbs. By default DeepXplore's joint objective, for classes or values.
        search: how it moves. By default `Gradient`; `GridSearch` where a change is one number; `HillClimb`
            where no model has a gradient.
        oracle: what counts as a difference. By default that labels differ.
        criteria: coverage criteria. By default neuron coverage at 0, 0.25, 0.5 and 0.75.
        seeds: take the first so many inputs alone.
        steps: of the search, in place of its own.
        tries: how often the search begins from a seed, in place of its own number.
        baseline: another search on the same seeds, to compare with: `Random` at the same number of model
            queries, any other with its own steps and tries.
        reference_model: a function of stored inputs `[n ...]` that returns class numbers; it is no model
            under test.
        training: inputs with their labels, `(X, y)` or what `xplore.data` loads.
        plan: lanes, rounds, the random state and how the search computes, as `RunOptions`.
        rng: the random state, in place of the plan's.
        lanes: how many inputs are searched from at once, in place of the plan's; by default as many as fit.
        budget: when to stop before the seeds are done.
        out: the folder of the archive and the reports. Without it the archive is temporary, and
            `result.save(folder)` keeps it.
        resume: go on with the campaign that lies in `out`, also after a kill, also with more seeds.
        shrink: reduce each finding to the smallest change that shows it.
        backend: where it is computed, if not here: `xplore.campaign.backends.Ray()`.
        name: of the campaign, in reports.
        classes: the classes' names, in reports, where the models have none.
        progress: show a bar, or plain lines where nobody watches a terminal.
        recorded: what a command or a config adds to the archive's metadata.

    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> result = run([phishing1(), phishing2()], pages.images[:8], pages.labels[:8],
    ...              constraint=phishing.realistic(), **how)
    >>> result.summary["seeds"], [finding.decisions for finding in result.valid]
    (8, [(0, 1)])

    Raises:
        InputError: models, inputs, labels or a folder that cannot be used, before anything is searched; seeds
            that cannot be read when their round is due: what was found before is kept, and can be resumed.
    """
    checked_arguments(
        seeds=seeds, plan=plan, budget=budget, criteria=criteria, reference_model=reference_model,
        backend=backend, out=out, name=name, classes=classes,
    )  # fmt: skip
    chart, given_seeds, notes = opened_chart(constraint, inputs, labels)
    notes = notes + stored(chart.encoding, given_seeds.first)
    panel = Panel.of([reading(model, chart) for model in models])
    shape = chart.encoding.shape(given_seeds.first.shape[1:])
    panel = panel.bind(shape)
    layout = panel.check(shape)
    judging = checked_oracle(oracle, panel, shape)
    n_classes = panel.shapes(shape).outputs.shape[2]
    names = tuple(panel.classes or classes or ())

    def truth(given: Any, n: int) -> Any:
        return checked_truth(given, n, panel, n_classes, names)

    read = labelled(given_seeds, labels, truth)
    read = read if seeds is None else First(read, seeds)
    criteria = checked_criteria(criteria or [NeuronCoverage(t) for t in THRESHOLDS], layout)
    plan = _planned(plan, rng, lanes, backend, layout)
    checked_plan(plan, len(criteria), most_lanes(layout, shape) if backend is None else None)
    asked = checked_search("search", search or Gradient(), steps, tries)
    climbable(panel, asked if search is not None else Random(), shape)
    fits(chart, shape, asked)
    _check_baseline(baseline, panel, shape, inputs)
    known = checked_training(training, given_seeds, chart, truth)
    judge = Judge(panel, judging, chart, criteria, reference_model, *known, min(BATCH, plan.lanes))
    with faults():
        first = read.peek(min(BATCH, plan.round_size))
        judge, method, more = prepared(judge, checked_objective(objective, panel), search and asked, first)
    fast = method.panel.replace(lowering=plan.lowering, dtype=plan.dtype)
    method = method.replace(panel=fast, search=checked_search("search", method.search, steps, tries))
    if type(method.search) is not type(asked):
        fits(chart, shape, method.search)
    _say(name, notes + more if progress else [])
    layout = judge.panel.check(shape)
    meta = record(
        method,
        layout,
        criteria,
        plan,
        n_classes,
        {"referee": reference_model, "training": None if training is None else known},
    ) | {
        "evidence": judge.evidence,
        "name": name,
        "classes": list(map(str, judging.metadata().get("names") or classes or names or range(n_classes))),
        "labelled": read.labelled,
        "label": account(
            labels,
            names if labels is not None else panel.classes,
            n_classes if judge.panel.head in CLASSIFICATION else None,
        ),
        "seeds_total": read.total,
        **(recorded or {}),
        "notes": notes + more + list((recorded or {}).get("notes", ())),
    }
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="xplore-") if out is None else out)
        if out is None:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
        with alone(folder):
            again = resume and holds(folder / FILE)
            with _archive(folder, meta, again) as archive, faults():
                campaign = Campaign(method, judge, layout, read, plan, budget or Budget(), backend or Worker)
                _go(archive, campaign, baseline, name, shrink, progress)
            if out is not None:
                write_reports(folder)
        undo.pop_all()
    if campaign.fault is not None:
        note = f"what was found before is in {folder}; once that is mended, resume goes on there"
        campaign.fault.add_note(note)
        raise campaign.fault
    return Result(folder, temporary=out is None)


@contextmanager
def _archive(folder: Path, meta: dict[str, Any], again: bool) -> Iterator[Archive]:
    """The archive of a campaign; a new one goes again where an error comes before the fate of any seed."""
    empty = False
    try:
        with closing(resumed(folder, meta) if again else Archive.create(folder, meta)) as archive:
            try:
                yield archive
            except BaseException:
                empty = not again and next(iter(archive.seeds()), None) is None
                raise
    finally:
        if empty:
            (folder / FILE).unlink()


def _say(name: str, notes: Sequence[str]) -> None:
    for note in notes:
        print(visible(f"{name}: {note}"), file=sys.stderr)


def _planned(
    plan: RunOptions | None, rng: int | None, lanes: int | None, backend: Backends | None, layout: Layout
) -> RunOptions:
    """The plan with what is given beside it; without lanes as many as fit."""
    given = {key: value for key, value in {"rng": rng, "lanes": lanes}.items() if value is not None}
    plan = replace(plan or RunOptions(), **given)
    threads = backend.threads if isinstance(backend, Ray) and not backend.gpus else None
    return plan if lanes is not None else plan.fitted(layout, threads)


def _check_baseline(baseline: Search | None, panel: Panel, shape: tuple[int, ...], inputs: Any) -> None:
    """An InputError for a search that cannot be compared on these inputs."""
    if baseline is None:
        return
    climbable(panel, checked_search("baseline", baseline), shape)
    if hasattr(inputs, "__next__"):
        fix = "give a function that returns a new generator"
        raise InputError("seeds", expected="to be read again, as a baseline asks", got="a generator", fix=fix)


def _go(
    archive: Archive, campaign: Campaign, baseline: Search | None, name: str, shrink: bool, progress: bool
) -> None:
    """Run a campaign to its end; then shrink what was found, and run the baseline."""
    held = archive.meta
    if held.get("finished") and not held.get("ended") and held.get("seeds_total"):
        return  # resumed, and nothing was left
    tally = _watched(campaign, archive, name, progress)
    archive.note(**_ending(tally), ended=campaign.ended, seeds_total=campaign.seeds.total or tally.seeds)
    if campaign.plan.lowering == "fast":
        archive.note(lowered=chosen())  # on a cluster, those of this process: none
    if campaign.ended == INTERRUPTED:
        return
    if shrink and _interrupted_shrinking(archive, campaign, progress):
        archive.note(ended=INTERRUPTED)
        return
    if campaign.fault is not None:
        return
    if baseline is not None:
        compared = _baseline(baseline, campaign, tally, progress)
        archive.note(baselines=[compared] if compared else [])
    archive.note(finished=True)


def _interrupted_shrinking(archive: Archive, campaign: Campaign, progress: bool) -> bool:
    """Reduce each finding to its smallest change; was that interrupted?"""
    left, stop = len(archive.unshrunk()), threading.Event()
    if not left:
        return False
    shrinking = Shrinking(campaign.judge, campaign.seeds.first.shape[1:])
    with counting("shrinking findings", left, shown=progress) as done, interruptible(stop.set):
        for count in shrinking.run(archive, stop.is_set):
            done(count)
    return stop.is_set()


def _watched(campaign: Campaign, archive: Archive | None, title: str, progress: bool) -> Totals:
    def follow(watch: Watch | None) -> Totals:
        with interruptible(lambda: campaign.stop(INTERRUPTED)):
            for tally in campaign.run(archive):
                if watch is not None:
                    watch(tally)
        return campaign.tally

    if not progress:
        return follow(None)
    with display(title, campaign.seeds.total) as watch:
        return follow(watch)


def _ending(tally: Totals) -> dict[str, Any]:
    return {
        "seconds": tally.seconds,
        "compile_seconds": tally.compile_seconds,
        "steps": tally.steps,
        "queries": tally.queries,
    }


def _baseline(search: Search, campaign: Campaign, main: Totals, progress: bool) -> dict[str, Any] | None:
    """Another search on the same seeds: random search until it has asked the models as often in all.

    It goes breadth first, one query a seed and turn, so that no seed is favoured. Any other search keeps
    to its own budget a seed. Nothing, where it was interrupted.
    """
    limit, note = None, "its own budget a seed"
    if isinstance(search, Random):
        search = search.replace(steps=1, tries=sys.maxsize)
        limit, note = main.queries, "the same seeds, again and again, until as many model queries were spent"
    seeds = campaign.seeds.read(0, min(main.seeds, BASELINE_SEEDS))
    plan = replace(campaign.plan, round_size=len(seeds))
    if len(seeds) < main.seeds:
        limit = limit and limit * len(seeds) // main.seeds
        note += f"; the first {len(seeds)} seeds, with their share of the queries"
    method = campaign.method.replace(search=search)
    held = Held(seeds.codes, seeds.truth)
    other = Campaign(method, campaign.judge, campaign.layout, held, plan, Budget(queries=limit))
    tally = _watched(other, None, f"{type(search).__name__.lower()} search, to compare", progress)
    if other.ended == INTERRUPTED:
        return None
    return {
        "search": type(search).__name__,
        "seeds": tally.seeds,
        "queries": tally.queries,
        "found": tally.found,
        "findings": tally.findings,
        "valid": tally.valid,
        "groups": len(tally.disagreements),
        "seconds": tally.seconds,
        "note": note,
    }
