"""Fixtures for the reporters' tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from xplore.archive import Archive


def _archives() -> ModuleType:
    """The builder of synthetic campaigns, which lies beside this file and in no package."""
    name = "report_archives"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("archives.py"))
        assert spec and spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def archives() -> ModuleType:
    return _archives()


@pytest.fixture(scope="session")
def build(archives: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Archive]:
    """A synthetic campaign by its traits; the same traits give the same archive, built once."""
    built: dict[str, Archive] = {}

    def make(**traits: Any) -> Archive:
        key = repr(sorted(traits.items()))
        if key not in built:
            built[key] = archives.build(tmp_path_factory.mktemp("runs") / "mnist", **traits)
        return built[key]

    return make
