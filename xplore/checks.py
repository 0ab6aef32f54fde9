"""Is what a campaign is given fit for use? Told before any compute is spent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, get_args

import jax
import numpy as np
from jaxtyping import Int, Shaped

from xplore._util.code_key import code_key
from xplore._util.errors import InputError, told
from xplore._util.intervals import check_numbers
from xplore._util.jax_settings import PRNG
from xplore._util.pytree import PyTreeNode
from xplore.backends import Ray
from xplore.constraints import Ball, Constraint, Features, Occlusion
from xplore.coverage import CellCriterion
from xplore.inputs.columns import is_frame
from xplore.inputs.encoding import Encoding, Rows, check_one_array
from xplore.inputs.media import MOST_IN_COLOUR, PNG
from xplore.model.lowering.autotune import Lowering
from xplore.model.neurons import Layout
from xplore.model.outputs import EXCLUSIVE
from xplore.model.shape_errors import channels_first
from xplore.objectives import Diverge, Joint, Objective
from xplore.oracles import LabelsDiffer, Oracle
from xplore.panel.panel import Panel, Precision
from xplore.plan import Budget, Plan
from xplore.search import Search
from xplore.search._base import Start
from xplore.seeds import Held, Seeds, lazy, opened, streams

Part = TypeVar("Part")
MOST_CELLS = 2**22
"""Of a criterion of several cells a unit: a bit each is kept with every finding."""
LARGEST = 2**31 - 1
"""Steps, tries, seeds and lanes are counted in 32 bits, on every device."""


def checked_chart(constraint: Constraint | None, inputs: Any) -> tuple[Constraint, list[str]]:
    """The constraint, or the one that suits the inputs, and what is to be said of the choice.

    Raises:
        InputError: it is no constraint, or inputs are several arrays.
    """
    check_one_array(inputs)
    if constraint is not None:
        constraint = checked_part("constraint", constraint, Constraint)
        constraint.check_moves()
        return constraint, []
    if lazy(inputs) or streams(inputs) or (not is_frame(inputs) and np.ndim(inputs) != 2):
        return Occlusion(), []
    return Features.infer(inputs), ["no constraint was given: Features.infer(X) says what may change"]


def opened_chart(
    constraint: Constraint | None, inputs: Any, labels: Any = None
) -> tuple[Constraint, Seeds, list[str]]:
    """The constraint, the inputs as seeds, and what is to be said of a constraint that was not given.

    It suits the inputs: `Features` of a table, and of images one rectangle whose size follows theirs.
    """
    chart, notes = checked_chart(constraint, inputs)
    if constraint is not None or not isinstance(chart, Occlusion):
        return chart, opened(inputs, labels, chart), notes
    seeds = opened(inputs, labels, Ball())  # of which images of any size can be seeds
    height, width, _ = seeds.first.shape[1:]
    chart = Occlusion.fitted(height, width)
    rectangle = f"Occlusion({chart.height}, {chart.width})"
    told = (
        f"no constraint was given: {rectangle}, {chart.words}, as suits images of {height} x {width} pixels"
    )
    return chart, seeds, [told]


def stored(encoding: Encoding, seeds: Shaped[np.ndarray, "n *x"]) -> list[str]:
    """What is to be said of how inputs like the first seed are stored.

    Raises:
        InputError: they cannot be stored and read again as they are.
    """
    code = np.asarray(seeds[0])
    try:
        same = np.array_equal(encoding.unpack(encoding.pack(code)), code, equal_nan=code.dtype.kind == "f")
        came = "" if same else f"shape {code.shape}, of which it makes others"
    except InputError as error:
        came = f"shape {code.shape} ({error})"
    if came:
        raise InputError("seeds", expected=f"inputs that {encoding.media} holds as they are", got=came)
    if encoding.media != PNG or code.shape[-1] <= MOST_IN_COLOUR:
        return []
    exact = f"images of {code.shape[-1]} channels are stored exactly"
    return [*channels_first(code.shape), f"{exact}; pictures show the channels side by side"]


def checked_labels(labels: Any, n: int, classes: int, names: Sequence[Any] = ()) -> Int[np.ndarray, " n"]:
    """Labels as integers, from names where they are named; an InputError for another length or class."""
    fix = "give one class number for each seed, or none at all"
    array = np.asarray(labels)
    if array.shape != (n,):
        raise InputError("labels", expected=f"one a seed, shape ({n},)", got=f"shape {array.shape}", fix=fix)
    index = {name: number for number, name in enumerate(names)}
    if names and all(label in index for label in array.tolist()):
        return np.array([index[label] for label in array.tolist()], np.int64)
    if array.dtype.kind in "OUST" and names:
        came = ", ".join(sorted({repr(label) for label in array.tolist() if label not in index})[:5])
        words = "give each seed's class as the models call it, or its number"
        raise InputError("labels", expected=f"one of {', '.join(map(str, names))}", got=came, fix=words)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError("labels", expected="class numbers (integers)", got=str(array.dtype), fix=fix)
    if array.min() < -1 or array.max() >= classes:
        came = f"{array.min()} to {array.max()}"
        raise InputError(
            "labels",
            expected=f"0 to {classes - 1}, as the models answer (or -1: not known)",
            got=came,
            fix=fix,
        )
    return array.astype(np.int64)


def checked_truth(
    labels: Any, n: int, panel: Panel, classes: int, names: Sequence[Any] = ()
) -> Shaped[np.ndarray, " n"]:
    """Labels as the models' outputs can be compared to them: classes, or values (NaN is not known)."""
    if panel.head in EXCLUSIVE:
        return checked_labels(labels, n, classes, names)
    array = np.asarray(labels)
    if array.shape != (n,) or array.dtype.kind not in "iuf" or np.isinf(array).any():
        came = f"{array.dtype} of shape {array.shape}"
        raise InputError("labels", expected=f"one finite number a seed, shape ({n},)", got=came)
    return array.astype(float)


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
        table = isinstance(constraint.encoding, Rows) and isinstance(seeds, Held)
        return (seeds.codes if table else None), None
    labels = None
    if hasattr(training, "images"):
        training, labels = training.images, getattr(training, "labels", None)
    elif isinstance(training, tuple) and len(training) == 2:
        training, labels = training
    array, shape = constraint.codes(training), seeds.first.shape[1:]
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
        "plan": ("an xplore.plan.Plan", lambda value: isinstance(value, Plan)),
        "budget": ("an xplore.Budget", lambda value: isinstance(value, Budget)),
        "criteria": ("criteria, in a list", lambda value: isinstance(value, Iterable)),
        "referee": ("a function of stored inputs", callable),
        "backend": ("a backend, as xplore.backends.Ray()", callable),
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


def checked_plan(plan: Plan, criteria: int, most: int | None = None) -> None:
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


def checked_part(name: str, part: Any, kind: type[Part]) -> Part:
    """A part of the right kind with numbers that make sense, keyed by the functions that it calls now."""
    if isinstance(part, kind):
        if not isinstance(part, PyTreeNode):
            return part
        check_numbers(name, part)
        return part.with_code_key(code_key(part))
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    came = f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
    fix = f"see xplore.{kind.__module__.split('.')[1]} for those that come with xplore"
    raise InputError(name, expected=f"{article} {kind.__name__}", got=came, fix=fix)


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
        reason = told(error)
    else:
        reason = f"images of {came.shape[1:]}" if came.shape != x0.shape else ""
    if not reason:
        try:
            _, latents = jax.eval_shape(walked, keys, x0)
        except Exception as error:
            raise InputError(
                f"search {type(search).__name__}",
                expected=f"one that can walk from seeds of shape {shape} by {type(constraint).__name__}",
                got=told(error),
                fix="use xplore.search.Gradient, Flips or Random",
            ) from error
        if constraint.needs_latents and latents is None:
            raise InputError(
                f"search {type(search).__name__}",
                expected=f"one that moves latents, by which {type(constraint).__name__} tells its bound",
                got="one that moves pixels",
                fix="use xplore.search.Gradient, Flips or Random",
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
    if search.climbs:
        panel.check_gradient(x, "xplore.search.Flips, Random or Sweep")


def whole(name: str, value: Any, least: int) -> None:
    """An InputError for what is no whole number, too small, or too large to be counted in 32 bits."""
    if not isinstance(value, bool) and isinstance(value, (int, np.integer)) and value > LARGEST:
        wanted = f"a whole number from {least} to {LARGEST}"
        raise InputError(name, expected=wanted, got=repr(value), fix="give a smaller one")
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(
            name,
            expected=f"a whole number >= {least}",
            got=repr(value),
            fix=f"use {name.rsplit('.', 1)[-1]}={max(least, 1)} or more",
        )
