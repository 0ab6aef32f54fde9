"""Architectures that others wrote: two small ones here, all of them on the page that the script writes."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

os.environ["KERAS_BACKEND"] = "jax"

import jax
import pytest

import xplore

pytestmark = pytest.mark.slow

ROOT = Path(xplore.__file__).parents[1]
PAGE = (ROOT / "docs" / "results" / "models.md").read_text("utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "results_models.py"
    spec = importlib.util.spec_from_file_location("results_models", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["results_models"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["MLP of Equinox", "GRU", "MultiHeadAttention", "MobileNet"])
def test_an_architecture_is_captured_as_it_is(script: ModuleType, name: str) -> None:
    with jax.numpy_rank_promotion("allow"):
        assert script.look(name).holds


def test_the_page_has_all_of_them(script: ModuleType) -> None:
    rows = re.findall(r"^\| ([^|]+?) \| (Keras|Haiku|Equinox|Flax|torch)", PAGE, re.M)
    assert [name for name, _ in rows] == list(script.ARCHITECTURES) and len(rows) >= 25
    assert f"{len(rows)} of {len(rows)} hold" in PAGE and "Left out" not in PAGE
