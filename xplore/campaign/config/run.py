"""Campaigns and inspections as a config says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError
from xplore._util.files import let_go
from xplore.campaign.config.file import Config, build, build_model
from xplore.campaign.result import Result
from xplore.campaign.run import run
from xplore.campaign.settings import Budget, RunOptions
from xplore.campaign.validation import checked_search
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion
from xplore.engine.devices import memory
from xplore.evaluation.checks import checked_part
from xplore.evaluation.inspection import Inspection, inspect
from xplore.evaluation.sources import lazy
from xplore.inputs.columns import is_frame
from xplore.objectives import Objective
from xplore.oracles import Oracle


def run_config(
    config: Config,
    out: str | Path | None,
    *,
    command: str,
    file: str = "",
    progress: bool = True,
    resume: bool = False,
) -> Result:
    """Run a campaign as a config says; `command` and the config's `file` are recorded."""
    images, labels, classes, notes = seeds(config)
    return run(
        [build_model(part) for part in config.models],
        images,
        labels,
        **method(config),
        **evidence(config),
        baseline=None if config.baseline is None else checked_search("baseline", build(config.baseline)),
        out=out,
        resume=resume,
        backend=None if config.backend is None else build(config.backend),
        name=config.name,
        classes=classes,
        progress=progress,
        recorded={"config": config.model_dump(), "command": command, "config_file": file, "notes": notes},
    )


def judging(config: Config) -> tuple[list[Any], dict[str, Any]]:
    """A config's models, and its constraint and its oracle, if it names one: what judges stored inputs."""
    how: dict[str, Any] = {"constraint": checked_part("constraint", build(config.constraint), Constraint)}
    if config.oracle is not None:
        how["oracle"] = checked_part("oracle", build(config.oracle), Oracle)
    return [build_model(part) for part in config.models], how


def evidence(config: Config) -> dict[str, Any]:
    """What a config holds findings against, and whether they are reduced to the smallest change before."""
    return {
        "reference_model": None if config.reference_model is None else build(config.reference_model),
        "training": None if config.training is None else _inputs("training", config.training)[0],
        "shrink": config.campaign.shrink,
    }


def method(config: Config) -> dict[str, Any]:
    """How a config searches and for what, as `xplore.run` takes it; what it leaves out is left out."""
    settings = config.campaign
    optional = {"objective": (config.objective, Objective), "oracle": (config.oracle, Oracle)}
    given = {key: checked_part(key, build(part), kind) for key, (part, kind) in optional.items() if part}
    return {
        "constraint": checked_part("constraint", build(config.constraint), Constraint),
        **given,
        **(_search(config.search or {})),
        "criteria": [checked_part("criteria", build(part), CellCriterion) for part in config.criteria],
        "plan": RunOptions(
            settings.lanes or 0,
            settings.rng,
            settings.round_size,
            settings.lag,
            settings.main_criterion,
            settings.lowering,
            settings.dtype,
        ),
        "budget": Budget(settings.seconds, settings.findings, settings.queries, settings.until_coverage),
    }


def _search(part: dict[str, Any]) -> dict[str, Any]:
    """The search that is named; or its limits alone, where the models are to choose it."""
    return {"search": checked_search("search", build(part))} if "use" in part else part


def inspect_config(config: Config) -> Inspection:
    """What a config's models are, and how right they are on its seeds."""
    models = [build_model(part) for part in config.models]
    inputs, labels, classes, _ = seeds(config)
    constraint = checked_part("constraint", build(config.constraint), Constraint)
    return inspect(models, inputs, labels, constraint=constraint, classes=classes)


def seeds(config: Config) -> tuple[Any, np.ndarray | None, Sequence[str] | None, list[str]]:
    """As many inputs and labels as a config asks for, the names of the classes, and what these are."""
    inputs, n = _inputs("seeds", config.seeds)
    labels = getattr(inputs, "labels", None)
    if labels is not None and len(labels) != n:
        raise InputError(
            "labels",
            expected=f"one a seed, {n}",
            got=str(len(labels)),
            fix=f"mend what {config.seeds['use']} gives",
        )
    return (
        *repeated(inputs.images, labels, n, config.campaign.seeds),
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


def repeated(inputs: Any, labels: Any, n: int, total: int | None) -> tuple[Any, Any]:
    """The first `total` of `n` inputs, and their labels; from the first on again, where there are fewer."""
    if total is not None and total * _bytes(inputs, n) > (room := memory()):
        raise InputError(
            "campaign.seeds",
            expected=f"as many as fit into memory, {room // _bytes(inputs, n)} of these",
            got=str(total),
            fix="set fewer, and a search with more tries",
        )
    rows = np.arange(n if total is None else total) % n
    labels = None if labels is None else np.asarray(labels)[rows]
    if lazy(inputs):
        return (inputs if len(rows) == n else _Repeated(inputs, len(rows))), labels
    return (inputs.iloc[rows] if is_frame(inputs) else np.asarray(inputs)[rows]), labels


def _bytes(inputs: Any, n: int) -> int:
    """What a seed takes: its number and its label, and itself where it is not read from disk."""
    return 32 + (0 if lazy(inputs) or is_frame(inputs) else np.asarray(inputs).nbytes // n)


class _Repeated(Sequence[Any]):
    """Slices of what is on disk, from its first on again after its last."""

    def __init__(self, images: Any, total: int) -> None:
        self._images, self._total = images, total

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, at: Any) -> Any:
        n, (start, stop, _) = len(self._images), at.indices(self._total)
        parts = []
        while start < stop:
            at = slice(start % n, min(start % n + stop - start, n))
            parts.append(np.array(self._images[at]))
            start += len(parts[-1])
        let_go(self._images)
        return np.concatenate(parts)
