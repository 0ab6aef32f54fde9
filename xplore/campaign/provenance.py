"""What an archive records of how it came to be: models, method, versions, device."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax

import xplore
from xplore._util.identity import fields
from xplore.archive.trusted import fault
from xplore.campaign.settings import RunOptions
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion
from xplore.engine.step import Method
from xplore.inputs.table import Table
from xplore.model.neurons import Layout

LATER, FUNCTIONS = ("frozen", "grows", "changes", "grains", "magnitudes"), ("rules", "follows")
MISSING = ("comes", "goes")
"""What may happen to a table's columns, as its fields are called."""


def record(
    method: Method,
    layout: Layout,
    criteria: Sequence[CellCriterion],
    plan: RunOptions,
    outputs: int,
    beside: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """The campaign as a whole, before its first step; models have so many outputs.

    Parts are told by what they print, by a digest of what they are, and the constraint, where it is one of
    xplore's own without functions, so that it can be made again. `beside` are a reference model and
    training inputs.
    """
    parts = {key: getattr(method, key) for key in ("constraint", "search", "objective", "oracle")}
    spans, cells = layout.spans(), [criterion.n_cells for criterion in criteria]
    return {
        "id": uuid.uuid4().hex,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": "xplore.run(...)",
        "config": {},
        "models": [
            {
                "name": model.name,
                "digest": model.digest(),
                "parameters": model.parameters,
                "unit": model.unit,
                "neurons": spans[model.name].stop - spans[model.name].start,
            }
            for model in method.panel.models
        ],
        "programs": [model.program for model in method.panel.models],
        "layout": [
            {
                "name": model,
                "layers": [{"name": la.name, "kind": la.kind, "units": la.units} for la in layers],
            }
            for model, layers in layout.models
        ],
        "hidden": [len(columns) for columns in layout.hidden(outputs)],
        "criteria": [repr(criterion) for criterion in criteria],
        **({"cells": cells} if any(count > 1 for count in cells) else {}),
        "main_criterion": plan.main_criterion,
        "round_size": plan.round_size,
        "lag": plan.lag,
        "versions": versions(),
        "device": device(),
        "lanes": plan.lanes,
        **({"lowering": plan.lowering} if plan.lowering != "as_written" else {}),
        **({"dtype": plan.dtype} if plan.dtype != "float32" else {}),
        "rng": plan.rng,
        "constraint": repr(method.constraint),
        "table": method.constraint.described() if isinstance(method.constraint, Table) else None,
        "media": method.constraint.encoding.media,
        "bound": method.constraint.description,
        "search": repr(method.search),
        "objective": repr(method.objective),
        "oracle": repr(method.oracle),
        "decisions": method.oracle.metadata(),
        "digests": {
            **{key: fields(part) for key, part in {**parts, **beside}.items() if part is not None},
            "criteria": [fields(criterion) for criterion in criteria],
        },
        "parts": {"constraint": named(method.constraint)},
        "baselines": [],
        "finished": False,
    }


def named(constraint: Any) -> dict[str, Any] | None:
    """A constraint as a part of a config, if that is one that an archive may name.

    >>> from xplore.constraints import Ball
    >>> named(Ball(0.1))
    {'use': 'xplore.constraints:Ball', 'bound': 0.1, 'norm': 'inf'}
    """
    part = _part(constraint)
    table = {"table": constraint.described()} if isinstance(constraint, Table) else {}
    return None if fault({**part, **table}, "constraint") else part


def _part(constraint: Any) -> dict[str, Any]:
    held = {field.name: getattr(constraint, field.name) for field in dataclasses.fields(constraint)}
    if isinstance(constraint, Table):  # its columns are told in `table`; functions it may not have
        texts = (*FUNCTIONS, *MISSING)
        held = {key: value for key, value in held.items() if key in LATER or (key in texts and value)}
    module, kind = type(constraint).__module__, type(constraint).__qualname__
    place = "xplore.constraints" if module.startswith("xplore.constraints.") else module
    return {"use": f"{place}:{kind}", **{key: _plain(value) for key, value in held.items()}}


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has not stays, and is found fault with."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Constraint):
        return _part(value)
    return value.item() if hasattr(value, "shape") and value.shape == () else value


def versions() -> dict[str, str]:
    """Of xplore, Python and the libraries that compute."""
    libraries = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"xplore": xplore.__version__, "python": platform.python_version(), **libraries}


def device() -> str:
    """What computed it, in words."""
    first = jax.devices()[0]
    return f"{first.platform} ({os.cpu_count()} cores)" if first.platform == "cpu" else first.device_kind
