"""Fixtures for the reporters' tests."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import archives as builder
import pytest

from xplore.archive import Archive


@pytest.fixture(scope="session")
def archives() -> ModuleType:
    """The builder of synthetic campaigns."""
    return builder


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
