"""Is what a campaign is given fit for use? Asked before any compute is spent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, get_args

import jax
import numpy as np
from jaxtyping import Int, Shaped

from xplore._util.errors import InputError, one_line
from xplore._util.jax_settings import PRNG
from xplore.campaign.backends import Ray
from xplore.campaign.settings import Budget, RunOptions
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion
from xplore.evaluation.checks import checked_part, whole
from xplore.evaluation.sources import Held, Seeds
from xplore.inputs.encoding import Rows
from xplore.model.lowering.autotune import Lowering
from xplore.model.neurons import Layout
from xplore.objectives import Diverge, Joint, Objective
from xplore.oracles import LabelsDiffer, Oracle
from xplore.panel.panel import Panel, Precision
from xplore.search import Search
from xplore.search._base import Start

MOST_CELLS = 2**22
"""Of a criterion of several cells a unit: a bit each is kept with every finding."""


def checked_oracle(oracle: Oracle | None, panel: Panel, shape: tuple[int, ...]) -> Oracle:
    """The oracle, by default that labels differ; an InputError if it cannot judge these models."""
    outputs = panel.shapes(shape).outputs.shape
    if oracle is None and panel.head == "values":
        fix = "give oracle=xplore.oracles.ValuesDiffer(apart=...), or AnglesDiffer() for steering"
        wanted = "to be given: how far apart do values differ?"
        raise InputError("oracle", expected=wanted, got="none", fix=fix)
    oracle = checked_part("oracle", LabelsDiffer() if oracle is None else oracle, Oracle)
    oracle.fits(panel.head, outputs)
    return oracle


def checked_objective(objective: Objective | None, panel: Panel) -> Objective:
    """The objective, by default the joint one of the models' head; an InputError if it does not fit them."""
    default = Diverge() if panel.head == "values" else Joint()
    objective = checked_part("objective", default if objective is None else objective, Objective)
    objective.fits(len(panel.models), panel.head)
    return objective


def checked_training(
    training: Any, seeds: Seeds, constraint: Constraint, check: Callable[[Any, int], Any]
) -> tuple[Shaped[np.ndarray, "..."] | None, Int[np.ndarray, " n"] | None]:
    """The training inputs, whose distance is measured, and their classes, where they are given.

    Of a table the seeds themselves, where none are given, without classes.

    Args:
        training: inputs; a pair of inputs and their labels; or what a module of `xplore.data` loads.
        seeds: what the campaign starts from.
        constraint: how inputs are stored.
        check: labels as users give them, and how many, to labels as they are compared.

    Raises:
        InputError: the seeds cannot be compared to them, or the labels are none of the models' classes.
    """
    if training is None:
        if isinstance(constraint.encoding, Rows) and isinstance(seeds, Held):
            return seeds.codes, None
        return None, None
    labels = None
    if hasattr(training, "images"):
        training, labels = training.images, getattr(training, "labels", None)
    elif isinstance(training, tuple) and len(training) == 2:
        training, labels = training
    array, shape = constraint.encode_inputs(training), seeds.first.shape[1:]
    if array.shape[1:] != shape:
        raise InputError(
            "training",
            expected=f"inputs of the seeds' shape {shape}",
            got=str(array.shape[1:]),
            fix="give the training inputs of this task, or none",
        )
    known = None if labels is None else np.asarray(check(labels, len(array)))
    return array, known if known is not None and known.dtype.kind == "i" else None


def checked_arguments(**given: Any) -> None:
    """An InputError for an argument of `xplore.run` that is given, and is not what its name says."""
    kinds: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "plan": ("an xplore.campaign.settings.Plan", lambda value: isinstance(value, RunOptions)),
        "budget": ("an xplore.Budget", lambda value: isinstance(value, Budget)),
        "criteria": ("criteria, in a list", lambda value: isinstance(value, Iterable)),
        "reference_model": ("a function of stored inputs", callable),
        "backend": ("a backend, as xplore.campaign.backends.Ray()", callable),
        "out": ("a path", lambda value: isinstance(value, (str, os.PathLike))),
        "name": ("text", lambda value: isinstance(value, str)),
        "classes": ("the classes' names, in a list", _names),
    }
    if (seeds := given.pop("seeds", None)) is not None:
        whole("seeds", seeds, 1)
    for name, value in given.items():
        expected, fits = kinds[name]
        if value is not None and not fits(value):
            raise InputError(name, expected=expected, got=repr(value), fix=f"leave {name} out, or give that")
    (given.get("budget") or Budget()).check()
    if isinstance(backend := given.get("backend"), Ray):
        backend.check()


def _names(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def checked_criteria(criteria: Iterable[Any], layout: Layout) -> tuple[CellCriterion, ...]:
    """The criteria; an InputError for what is none, or has more cells than a finding can keep."""
    criteria = tuple(criteria)
    for criterion in criteria:
        name = type(checked_part("criteria", criterion, CellCriterion)).__name__
        whole(f"{name}.n_cells", criterion.n_cells, 1)
        if criterion.n_cells > 1 and criterion.n_cells * layout.n_units > MOST_CELLS:
            raise InputError(
                f"criterion {name}",
                expected=f"at most {MOST_CELLS:,} cells in all: each finding keeps which ones it reaches",
                got=f"{criterion.n_cells:,} cells for each of {layout.n_units:,} units",
                fix="use fewer cells a unit, or include= only some layers",
            )
    return criteria


def checked_plan(plan: RunOptions, criteria: int, most: int | None = None) -> None:
    """An InputError for a number that no campaign can have, and for more lanes than memory has room for."""
    for name, least in {"lanes": 1, "rng": 0, "round_size": 1, "lag": 1, "main_criterion": 0}.items():
        whole(name, getattr(plan, name), least)
    for name, known in (("lowering", get_args(Lowering)), ("dtype", get_args(Precision))):
        if getattr(plan, name) not in known:
            raise InputError(name, expected=" or ".join(known), got=repr(getattr(plan, name)))
    if most is not None and plan.lanes > most:
        fix = "leave lanes out: as many as are fast are chosen"
        raise InputError(
            "lanes", expected=f"as many as fit into memory, {most}", got=str(plan.lanes), fix=fix
        )
    if plan.main_criterion >= criteria:
        raise InputError(
            "main_criterion",
            expected=f"the index of one of {criteria} criteria, from 0",
            got=str(plan.main_criterion),
            fix="count the criteria from 0",
        )


def checked_search(name: str, search: Search, steps: int | None = None, tries: int | None = None) -> Search:
    """The search with its limits, which are at least 1."""
    given = {key: value for key, value in (("steps", steps), ("tries", tries)) if value is not None}
    for key, value in given.items():
        whole(key, value, 1)
    search = checked_part(name, search, Search)
    search = search.replace(**given) if given else search
    for key in ("steps", "tries"):
        whole(f"{name}.{key}", getattr(search, key), 1)
    return search


def fits(constraint: Constraint, shape: tuple[int, ...], search: Search) -> None:
    """Can the constraint be drawn on seeds of this shape, and the search walk there? By tracing."""

    def drawn(key: Any, x0: Any) -> Any:
        z, fixed = constraint.sample(key, x0)
        return constraint.render(z, fixed, x0)

    def walked(key: Any, x0: Any) -> Any:
        start = Start(x0, key, jax.numpy.zeros(len(x0), int))
        point = search.init(constraint, start)
        return search.propose(constraint, point, start), search.latents(point)

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl=PRNG), 2))
    x0 = jax.ShapeDtypeStruct((2, *shape), np.float32)
    try:
        came = jax.eval_shape(drawn, keys, x0)
    except Exception as error:
        reason = one_line(error)
    else:
        reason = f"images of {came.shape[1:]}" if came.shape != x0.shape else ""
    if not reason:
        try:
            _, latents = jax.eval_shape(walked, keys, x0)
        except Exception as error:
            raise InputError(
                f"search {type(search).__name__}",
                expected=f"one that can walk from seeds of shape {shape} by {type(constraint).__name__}",
                got=one_line(error),
                fix="use xplore.search.Gradient, HillClimb or Random",
            ) from error
        if constraint.needs_latents and latents is None:
            raise InputError(
                f"search {type(search).__name__}",
                expected=f"one that moves latents, by which {type(constraint).__name__} tells its bound",
                got="one that moves pixels",
                fix="use xplore.search.Gradient, HillClimb or Random",
            )
    if reason:
        raise InputError(
            f"constraint {constraint!r}",
            expected=f"one that can be drawn on seeds of shape {shape}",
            got=reason,
            fix="choose a size that fits into the seeds",
        )


def climbable(panel: Panel, search: Search, x: Any) -> None:
    """An InputError if a search climbs where a model has no gradient."""
    if search.needs_grad:
        panel.check_gradient(x, "xplore.search.HillClimb, Random or GridSearch")
