"""`xplore.models` and the configs of a checkout, where they stand beside the package; a wheel holds them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1]
MODELS = "xplore.models"


def folder(name: str) -> Path:
    """Where `models` or `configs` lie.

    >>> (folder("configs") / "mnist.toml").is_file()
    True
    """
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


class Finder(MetaPathFinder):
    """Finds `xplore.models` where it stands beside the package, and nothing else of a checkout."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODELS or not (file := folder("models") / "__init__.py").is_file():
            return None
        return spec_from_file_location(MODELS, file, submodule_search_locations=[str(file.parent)])


def install() -> None:
    """Let imports find `xplore.models`; once a process."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
