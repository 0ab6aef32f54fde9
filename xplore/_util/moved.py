"""Names that moved: until version 0.2 an old one still works, and says what to write instead."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
MODULES: dict[str, str] = {
    "xplore.account": "xplore.archive.metadata",
    "xplore.api": "xplore.campaign.run",
    "xplore.backends": "xplore.campaign.backends",
    "xplore.call_torch": "xplore.adapters._torch_function",
    "xplore.capture": "xplore.model.capture.jaxpr",
    "xplore.capture_torch": "xplore.model.capture.torch",
    "xplore.checks": "xplore.evaluation.checks",
    "xplore.claims": "xplore.campaign.claims",
    "xplore.closure": "xplore.model.closure",
    "xplore.columns": "xplore.inputs.columns",
    "xplore.config": "xplore.campaign.config.file",
    "xplore.configured": "xplore.campaign.config.run",
    "xplore.convolution": "xplore.model.lowering.convolution",
    "xplore.devices": "xplore.engine.devices",
    "xplore.doubt": "xplore.campaign.doubt",
    "xplore.durations": "xplore._util.durations",
    "xplore.encoding": "xplore.inputs.encoding",
    "xplore.ending": "xplore.model.output_detection",
    "xplore.entry": "xplore.regression.folders",
    "xplore.errors": "xplore._util.errors",
    "xplore.factories": "xplore.archive.trusted",
    "xplore.fates": "xplore.campaign.worker",
    "xplore.files": "xplore._util.files",
    "xplore.finding": "xplore.archive.records",
    "xplore.folders": "xplore._util.folders",
    "xplore.forks": "xplore._util.forks",
    "xplore.gate_record": "xplore.archive.gate_record",
    "xplore.gating": "xplore.regression.gate",
    "xplore.gradient": "xplore.model.differentiability",
    "xplore.groups": "xplore.archive.fault_groups",
    "xplore.heads": "xplore.model.outputs",
    "xplore.host": "xplore.model.callbacks",
    "xplore.identity": "xplore._util.identity",
    "xplore.inspection": "xplore.evaluation.inspection",
    "xplore.intervals": "xplore._util.intervals",
    "xplore.keeping": "xplore.campaign.findings",
    "xplore.labels": "xplore.archive.labels",
    "xplore.lanes": "xplore.engine.step",
    "xplore.layers": "xplore.model.capture.layers",
    "xplore.lazy": "xplore._util.lazy",
    "xplore.loops": "xplore.engine.loops",
    "xplore.lowering": "xplore.model.lowering.autotune",
    "xplore.measuring": "xplore.evaluation.coverage_report",
    "xplore.media": "xplore.inputs.media",
    "xplore.merging": "xplore.campaign.merge",
    "xplore.misread": "xplore.model.shape_errors",
    "xplore.modes": "xplore.model.inference_mode",
    "xplore.moments": "xplore.inputs.dates",
    "xplore.neighbours": "xplore.campaign.neighbours",
    "xplore.part_code": "xplore._util.code_key",
    "xplore.parts": "xplore.campaign.config.instantiate",
    "xplore.peers": "xplore.adapters.refit",
    "xplore.plan": "xplore.campaign.settings",
    "xplore.pooling": "xplore.model.lowering.pooling",
    "xplore.progress": "xplore.campaign.progress",
    "xplore.pytest_plugin": "xplore.regression.plugin",
    "xplore.ranges": "xplore.inputs.ranges",
    "xplore.recall": "xplore.campaign.resume",
    "xplore.recipe": "xplore._util.recipe",
    "xplore.record": "xplore.campaign.provenance",
    "xplore.regressions": "xplore.regression.committed",
    "xplore.rejudge": "xplore.campaign.replay",
    "xplore.result": "xplore.campaign.result",
    "xplore.review": "xplore.report.review",
    "xplore.rounds": "xplore.campaign.scheduling",
    "xplore.row": "xplore.inputs.row",
    "xplore.rules": "xplore.inputs.rules",
    "xplore.schema": "xplore.archive.tables",
    "xplore.seeds": "xplore.evaluation.sources",
    "xplore.settings": "xplore._util.jax_settings",
    "xplore.shares": "xplore._util.statistics",
    "xplore.shrink": "xplore.campaign.shrink",
    "xplore.stored": "xplore.archive.rows",
    "xplore.struct": "xplore._util.pytree",
    "xplore.table": "xplore.inputs.table",
    "xplore.tensor_program": "xplore.models._torch_tensors",
    "xplore.toml": "xplore.campaign.config.toml",
    "xplore.torch_file": "xplore.models._torch_file",
    "xplore.trial": "xplore.evaluation.trial",
    "xplore.united": "xplore.archive.merged_metadata",
    "xplore.units": "xplore.model.neurons",
    "xplore.upgrade": "xplore.archive.migrate",
    "xplore.validity": "xplore.campaign.judge",
    "xplore.weights": "xplore.model.weights",
    "xplore.work": "xplore.campaign.messages",
}
"""The module of now, by the name that one of version 0.1 had."""
NAMES: dict[str, str] = {
    "xplore.campaign.settings.Plan": "xplore.campaign.settings.RunOptions",
    "xplore.model.neurons.Number": "xplore.Number",
    "xplore.oracles.OfLabels": "xplore.oracles.ClassificationOracle",
    "xplore.oracles.OfValues": "xplore.oracles.RegressionOracle",
    "xplore.search.Blind": "xplore.search.GradientFree",
    "xplore.search.Flips": "xplore.search.HillClimb",
    "xplore.search.Sweep": "xplore.search.GridSearch",
}
"""The name of now, by an old name at the place where its module is now."""
PARTS: dict[str, str] = {"Flips": "HillClimb", "Sweep": "GridSearch"}
"""Classes of parts by the names that archives of version 0.1 hold."""
ARGUMENTS: dict[str, str] = {"referee": "reference_model"}
"""Arguments of functions, and keys of configs, by their old names."""
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "advance": ("update",),
    "aim": ("goal",),
    "as_stored": ("quantize_steps",),
    "ascent": ("default_optimizer",),
    "climbs": ("needs_grad",),
    "codes": ("encode_inputs",),
    "coordinates": ("embed",),
    "heads": ("output_kinds",),
    "near": ("mutate",),
    "pieces": ("shrink_groups",),
    "places_by_slope": ("init_uses_grad",),
    "reach": ("radius",),
    "settings": ("parameters",),
    "settled": ("repaired",),
    "slope": ("grad",),
    "told": ("metadata", "text"),
    "turn": ("attempt",),
    "words": ("description",),
}
"""What methods and fields are called now, by what version 0.1 called them: the first that a class has."""
OURS = (str(Path(__file__).parents[1]), str(Path(importlib.__file__).parent), "<frozen importlib")
"""Where code lies that imports on somebody's behalf."""


def home(name: str) -> str:
    """The dotted name of now: of a module, or of a name inside of one.

    >>> home("xplore.run"), home("numpy.zeros")
    ('xplore.run', 'numpy.zeros')
    """
    module, rest = name, ""
    while module and module not in MODULES:
        module, _, last = module.rpartition(".")
        rest = f".{last}{rest}"
    if module:
        name = f"{MODULES[module]}{rest}"
    return NAMES.get(name, name)


def tops() -> list[str]:
    """The old modules that were attributes of the package itself."""
    return [parts[1] for name in MODULES if len(parts := name.split(".")) == 2]


def attach(module: str) -> Callable[[str], Any]:
    """Return `__getattr__` of a module whose names moved."""

    def get(name: str) -> Any:
        new = NAMES.get(f"{module}.{name}")
        if new is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", new)
        place, _, last = new.rpartition(".")
        return getattr(importlib.import_module(place), last)

    return get


def arguments(function: Function) -> Function:
    """Let a function take arguments by their old names."""

    @wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        for old, new in ARGUMENTS.items():
            if old in named:
                warn(f"{old}=", f"{new}=")
                named[new] = named.pop(old)
        return function(*values, **named)

    return cast(Function, call)


def key(name: str) -> str:
    """A key of a config, or a setting that begins with one, by the key's name of now."""
    first = re.split("[.=]", name, maxsplit=1)[0]
    if first not in ARGUMENTS:
        return name
    warn(f"the config key {first}", ARGUMENTS[first])
    return ARGUMENTS[first] + name[len(first) :]


def part(text: str) -> str:
    """A part as it prints now, from how version 0.1 printed it.

    >>> part("Flips(steps=5)"), part("Gradient(steps=5)")
    ('HillClimb(steps=5)', 'Gradient(steps=5)')
    """
    name, bracket, rest = text.partition("(")
    return f"{PARTS.get(name, name)}{bracket}{rest}"


def former(name: str) -> str:
    """The name by which version 0.1 knew a class: digests go on with it.

    >>> former("HillClimb"), former("Gradient")
    ('Flips', 'Gradient')
    """
    return next((old for old, new in PARTS.items() if new == name), name)


def attribute(node: Any, name: str) -> Any:
    """What an object has under an old name; for its `__getattr__`."""
    new = next((new for new in ATTRIBUTES.get(name, ()) if hasattr(type(node), new)), None)
    if new is None:
        raise AttributeError(f"{type(node).__name__!r} object has no attribute {name!r}")
    warn(f"{type(node).__name__}.{name}", f"{type(node).__name__}.{new}")
    return getattr(node, new)


def methods(kind: type) -> None:
    """Let a class that overrides methods by their old names override those of now."""
    for old in ATTRIBUTES.keys() & vars(kind).keys():
        own = vars(kind)[old]
        for new in ATTRIBUTES[old] if isinstance(own, (FunctionType, property, cached_property)) else ():
            if new not in vars(kind) and any(new in vars(base) for base in kind.__mro__[1:]):
                warn(f"{kind.__name__}.{old}", f"{kind.__name__}.{new}")
                setattr(kind, new, own)


def warn(old: str, new: str) -> None:
    """Say what to write instead of an old name, at the line of whoever wrote it."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    message = f"{old} is {new} now; the old name goes with version 0.2"
    warnings.warn_explicit(message, FutureWarning, frame.f_code.co_filename, frame.f_lineno)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        warn(old, MODULES[old])
        sys.modules[old] = importlib.import_module(MODULES[old])


class Finder(MetaPathFinder):
    """Finds the modules of version 0.1, each as the module of now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _Loader()) if fullname in MODULES else None


def install() -> None:
    """Let imports find old modules; once a process."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())  # before folders that an older checkout has left
