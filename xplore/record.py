"""What an archive records of how it came to be: models, method, versions, device."""

from __future__ import annotations

import datetime
import os
import platform
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jax

import xplore
from xplore.coverage import CellCriterion
from xplore.lanes import Method
from xplore.plan import Plan
from xplore.table import Table
from xplore.units import Layout


def record(
    method: Method, layout: Layout, criteria: Sequence[CellCriterion], plan: Plan, outputs: int
) -> dict[str, Any]:
    """The campaign as a whole, before its first step; models have so many outputs."""
    spans = layout.spans()
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
        "bound": method.constraint.words,
        "search": repr(method.search),
        "objective": repr(method.objective),
        "oracle": repr(method.oracle),
        "decisions": method.oracle.told(),
        "baselines": [],
        "finished": False,
    }


def versions() -> dict[str, str]:
    """Of xplore, Python and the libraries that compute."""
    libraries = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"xplore": xplore.__version__, "python": platform.python_version(), **libraries}


def device() -> str:
    """What computed it, in words."""
    first = jax.devices()[0]
    return f"{first.platform} ({os.cpu_count()} cores)" if first.platform == "cpu" else first.device_kind
