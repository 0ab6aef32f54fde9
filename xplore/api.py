"""`xplore.run`: a campaign from Python, and what it returns."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

import xplore
from xplore.archive import FILE, Archive, Finding
from xplore.campaign import Campaign, Plan, Tally
from xplore.config import Config, build
from xplore.constraints import Constraint, Occlusion
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.encoding import decode, from_png
from xplore.errors import InputError
from xplore.lanes import Method
from xplore.model import Model, Panel
from xplore.objectives import Joint, Objective
from xplore.oracles import LabelsDiffer, Oracle
from xplore.progress import Watch, display
from xplore.report import reporter
from xplore.report.summary import summary
from xplore.search import Gradient, Random, Search
from xplore.validity import Judge

THRESHOLDS = (0.0, 0.25, 0.5, 0.75)


class Result:
    """A finished campaign: what was found, what was reached, and the archive that holds both."""

    def __init__(self, folder: Path, keep_alive: Any = None) -> None:
        self.folder = folder
        self.archive = Archive.open(folder)
        self._keep_alive = keep_alive  # a temporary folder lives as long as the result
        self._only: set[str] | None = None

    @property
    def findings(self) -> list[Finding]:
        """Every input found on which models differ, as stored; valid or not."""
        every = self.archive.findings()
        return [finding for finding in every if self._only is None or finding.id in self._only]

    def only(self, ids: Iterable[str]) -> None:
        """Narrow `findings` to some: those that a replay reproduced."""
        self._only = set(ids)

    @property
    def valid(self) -> list[Finding]:
        """The findings that count."""
        return [finding for finding in self.findings if finding.valid]

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of `summary.json`."""
        return summary(self.archive)

    @property
    def coverage(self) -> dict[str, dict[str, float]]:
        """`{model: {criterion: share}}` over the inputs on which models differ."""
        return self.summary["coverage"]

    def save(self, folder: str | Path) -> Path:
        """Copy the archive into a folder without one, with `summary.json` and `report.html`.

        Raises:
            InputError: the folder already holds a campaign.
        """
        folder = Path(folder)
        if (folder / FILE).exists():
            raise InputError(
                f"output folder {folder}",
                expected="a folder without a campaign",
                got=f"one that holds {FILE}",
            )
        folder.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(self.archive.path) as source, sqlite3.connect(folder / FILE) as copy:
            source.backup(copy)
        copy.close()
        write_reports(folder)
        return folder

    def _repr_html_(self) -> str:
        from xplore.report.html import fragment

        return fragment(self.archive)

    def __repr__(self) -> str:
        told = self.summary
        return (
            f"<xplore.Result: {told['valid']} valid of {told['findings']} findings in "
            f"{len(told['groups'])} fault groups,"
            f" from {told['seeds']} seeds; {self.folder}>"
        )


def run(
    models: Sequence[Model | Callable[..., Any]],
    images: Float[np.ndarray, "n h w c"] | UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"] | Sequence[int] | None = None,
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
    training: UInt8[np.ndarray, "t h w c"] | None = None,
    plan: Plan | None = None,
    rng: int | None = None,
    lanes: int | None = None,
    out: str | Path | None = None,
    name: str = "campaign",
    classes: Sequence[str] | None = None,
    progress: bool = True,
    recorded: dict[str, Any] | None = None,
) -> Result:
    """Search from every image for an input on which the models differ; judge, measure and keep it.

    Images are uint8, or floats in [0, 1] that are stored (and so judged) as 8 bits. Labels are optional:
    without them a seed counts as answered rightly where all models agree. `steps` and `tries` override
    the search's; `baseline` searches the same seeds at the same number of model queries. Without `out`
    the archive is temporary: `result.save(folder)` keeps it.

    Raises:
        InputError: models, images, labels or a folder that cannot be used, before any compute is spent.
    """
    panel = Panel.of(models)
    codes = checked_images(images)
    layout = panel.check(codes.shape[1:])
    n_classes = jax.eval_shape(panel.plain, jax.ShapeDtypeStruct((1, *codes.shape[1:]), np.float32)).shape[2]
    truth = None if labels is None else checked_labels(labels, len(codes), n_classes)
    plan = _planned(plan or Plan(), rng, lanes)
    criteria = tuple(criteria or (NeuronCoverage(t) for t in THRESHOLDS))
    search = _limited(search or Gradient(), steps, tries)
    method = Method(panel, objective or Joint(), constraint or Occlusion(), oracle or LabelsDiffer(), search)
    judge = Judge(panel, method.oracle, method.constraint, criteria, referee, training)
    temporary = None if out is not None else tempfile.TemporaryDirectory(prefix="xplore-")
    folder = Path(out if temporary is None else temporary.name)
    _keep_compilations()
    meta = {
        "name": name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": "xplore.run(...)",
        "config": {},
        "models": [
            {
                "name": model.name,
                "digest": model.digest(),
                "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(model.params)),
                "neurons": layout.spans()[model.name].stop - layout.spans()[model.name].start,
            }
            for model in panel.models
        ],
        "classes": list(classes or map(str, range(n_classes))),
        "layout": [
            {
                "name": model,
                "layers": [{"name": la.name, "kind": la.kind, "units": la.units} for la in layers],
            }
            for model, layers in layout.models
        ],
        "criteria": [repr(criterion) for criterion in criteria],
        "main_criterion": plan.main_criterion,
        "versions": versions(),
        "device": device(),
        "lanes": plan.lanes,
        "rng": plan.rng,
        "constraint": repr(method.constraint),
        "bound": method.constraint.words,
        "search": repr(search),
        "objective": repr(method.objective),
        "labelled": truth is not None,
        "seeds_total": len(codes),
        "finished": False,
        **(recorded or {}),
    }
    archive = Archive.create(folder, meta)
    campaign = Campaign(method, judge, layout, codes, truth, plan)
    tally = _watched(campaign, archive, name, progress)
    archive.note(**_ending(tally), baselines=[])
    if baseline is not None:
        archive.note(baselines=[_baseline(baseline, campaign, tally, progress)])
    archive.note(finished=True)
    archive.close()
    if out is not None:
        write_reports(folder)
    return Result(folder, temporary)


def run_config(config: Config, out: str | Path | None, *, command: str, progress: bool = True) -> Result:
    """Run a campaign as a config says."""
    settings = config.campaign
    inputs = build(config.seeds)
    count = len(inputs.images) if settings.seeds is None else settings.seeds
    rows = np.arange(count) % len(
        inputs.images
    )  # more seeds than inputs: they repeat, each with a key of its own
    return run(
        [build(part) for part in config.models],
        inputs.images[rows],
        None if inputs.labels is None else inputs.labels[rows],
        constraint=build(config.constraint),
        objective=build(config.objective),
        search=build(config.search),
        oracle=build(config.oracle),
        criteria=[build(part) for part in config.criteria],
        baseline=None if config.baseline is None else build(config.baseline),
        referee=None if config.referee is None else build(config.referee),
        training=None if config.training is None else build(config.training).images,
        plan=Plan(settings.lanes, settings.rng, settings.round_size, settings.lag, settings.main_criterion),
        out=out,
        name=config.name,
        classes=inputs.classes or None,
        progress=progress,
        recorded={"config": config.model_dump(), "command": command},
    )


def replay(
    folder: str | Path, models: Sequence[Model | Callable[..., Any]] | None = None, *, prefix: str = ""
) -> dict[str, bool]:
    """Judge each stored finding again, by the plain models, one at a time: `{id: does it reproduce?}`.

    It reproduces if every model decides as recorded. Without `models` they are built from the config
    that the archive records, if all of them come with xplore: no other code that an archive names is
    imported.

    Raises:
        InputError: no archive, no models to be had, or models with other weights than those recorded.
    """
    archive = Archive.open(Path(folder))
    meta = archive.meta
    if models is None:
        recorded = meta["config"].get("models", [])
        if not recorded or not all(str(part["use"]).startswith("xplore.") for part in recorded):
            raise InputError(
                f"models of {folder}",
                expected="a campaign whose models all come with xplore",
                got="models of your own",
                fix="give the config they came from (--config), or call xplore.replay(folder, models)",
            )
        models = [build(part) for part in recorded]
    panel = Panel.of(models)
    for model, known in zip(panel.models, meta["models"], strict=False):
        if model.digest() != known["digest"]:
            raise InputError(
                f"model {model.name}",
                expected=f"the weights that were tested (sha256 {known['digest'][:12]})",
                got=model.digest()[:12],
                fix="load the weights of that campaign",
            )
    plain = jax.jit(lambda panel, codes: panel.plain(decode(codes)))
    reproduced = {}
    for finding in archive.findings(prefix=prefix):
        decisions = np.asarray(plain(panel, from_png(finding.png)[None])).argmax(axis=-1)[:, 0]
        reproduced[finding.id] = (
            tuple(decisions.tolist()) == finding.decisions and len(set(decisions.tolist())) > 1
        )
    return reproduced


def write_reports(folder: Path) -> None:
    """`summary.json` and `report.html` beside the archive."""
    archive = Archive.open(folder)
    for kind in ("json", "html"):
        reporter(kind).write(archive, folder)
    archive.close()


def checked_images(images: Any) -> UInt8[np.ndarray, "n h w c"]:
    """Images as 8 bits; an InputError for a wrong shape, type, domain, or none at all."""
    fix = "give images [n h w c] as uint8, or as floats in [0, 1]"
    array = np.asarray(images)
    if array.ndim != 4 or 0 in array.shape:
        raise InputError(
            "seeds", expected="images [n h w c], at least one", got=f"shape {array.shape}", fix=fix
        )
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError("seeds", expected="uint8 or floats", got=str(array.dtype), fix=fix)
    if not np.isfinite(array).all():
        raise InputError(
            "seeds", expected="finite pixels", got=f"{int((~np.isfinite(array)).sum())} NaN or infinite"
        )
    if array.min() < 0 or array.max() > 1:
        raise InputError(
            "seeds", expected="floats in [0, 1]", got=f"{array.min():g} to {array.max():g}", fix=fix
        )
    return np.round(array * 255).astype(np.uint8)


def checked_labels(labels: Any, n: int, classes: int) -> Int[np.ndarray, " n"]:
    """Labels as integers; an InputError for another length, type or class."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InputError("labels", expected=f"one a seed, shape ({n},)", got=f"shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError("labels", expected="class numbers (integers)", got=str(array.dtype))
    if array.min() < 0 or array.max() >= classes:
        raise InputError("labels", expected=f"0 to {classes - 1}", got=f"{array.min()} to {array.max()}")
    return array.astype(np.int64)


def versions() -> dict[str, str]:
    """Of xplore, Python and the libraries that compute."""
    libraries = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"xplore": xplore.__version__, "python": platform.python_version(), **libraries}


def device() -> str:
    """What computed it, in words."""
    first = jax.devices()[0]
    return f"{first.platform} ({os.cpu_count()} cores)" if first.platform == "cpu" else first.device_kind


def _keep_compilations() -> None:
    """Compiled programs are kept between runs, unless the user has said where or that they are not."""
    if jax.config.jax_compilation_cache_dir is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "xplore"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _planned(plan: Plan, rng: int | None, lanes: int | None) -> Plan:
    plan = replace(plan, rng=plan.rng if rng is None else rng, lanes=plan.lanes if lanes is None else lanes)
    if plan.lanes < 1:
        raise InputError("lanes", expected="a whole number >= 1", got=str(plan.lanes), fix="use lanes=64")
    return plan


def _limited(search: Search, steps: int | None, tries: int | None) -> Search:
    given = {key: value for key, value in (("steps", steps), ("tries", tries)) if value is not None}
    for key, value in given.items():
        if value < 1:
            raise InputError(key, expected="a whole number >= 1", got=str(value))
    return search.replace(**given) if given else search


def _watched(campaign: Campaign, archive: Archive | None, title: str, progress: bool) -> Tally:
    def follow(watch: Watch | None) -> Tally:
        for tally in campaign.run(archive):
            if watch is not None:
                watch(tally)
        return campaign.tally

    if not progress:
        return follow(None)
    with display(title, len(campaign.images)) as watch:
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
    plan = replace(campaign.plan, round_size=len(campaign.images), query_limit=limit)
    judge = replace(campaign.judge, referee=None, training=None)
    method = campaign.method.replace(search=search)
    other = Campaign(method, judge, campaign.layout, campaign.images, campaign.labels, plan)
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
