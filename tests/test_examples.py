"""Every public name has an example in its docstring; the suite runs them all."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import xplore
from xplore.report import EXPORTS, FORMATS

PARTS = ("constraints", "coverage", "objectives", "oracles", "search")
"""Packages that offer what stands in their `__init__`."""
FILES = ("data", "adapters")
"""Packages that offer what stands in their files, too."""


def public() -> Iterator[tuple[str, Any]]:
    for name in xplore.__all__:
        found = getattr(xplore, name)
        if str(getattr(found, "__module__", "")).startswith("xplore"):  # `field` is flax's, `Number` typing's
            yield f"xplore.{name}", found
    for package in map(importlib.import_module, (f"xplore.{name}" for name in (*PARTS, *FILES, "report"))):
        yield from offered(package, package.__name__)
    for package in (importlib.import_module(f"xplore.{name}") for name in FILES):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not found.name.rsplit(".", 1)[-1].startswith("_"):
                yield from offered(importlib.import_module(found.name), found.name)
    for use in dict.fromkeys([*FORMATS.values(), *EXPORTS.values()]):
        module, name = use.split(":")
        yield use, getattr(importlib.import_module(module), name)


def offered(module: ModuleType, where: str) -> Iterator[tuple[str, Any]]:
    """Classes and functions that are made there, or below it."""
    for name, found in vars(module).items():
        made = inspect.unwrap(found) if callable(found) else found
        own = getattr(made, "__module__", None) or ""
        is_part = inspect.isclass(made) or inspect.isfunction(made)
        if is_part and not name.startswith("_") and (own == where or own.startswith(f"{where}.")):
            yield f"{where}.{name}", made


NAMES = dict(public())


@pytest.mark.parametrize("name", NAMES)
def test_it_has_an_example(name: str) -> None:
    own = vars(NAMES[name]).get("__doc__") if inspect.isclass(NAMES[name]) else NAMES[name].__doc__
    assert own and ">>> " in own, f"write one into the docstring of {name}"


def test_all_kinds_of_names_are_asked() -> None:
    wanted = (
        "xplore.run",
        "xplore.constraints.Chain",
        "xplore.oracles.ClassificationOracle",
        "xplore.data.mnist.load",
    )
    assert {*wanted, "xplore.adapters.keras.load", "xplore.report.npz:Npz"} <= set(NAMES)
    assert len(NAMES) > 80
