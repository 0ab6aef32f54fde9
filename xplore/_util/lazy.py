"""Names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attach(
    package: str, path: Iterable[str], names: Mapping[str, str] | None = None, elsewhere: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose modules are attributes without an import.

    Args:
        package: the package's name.
        path: the folders in which its modules lie.
        names: in which module each other public name is defined.
        elsewhere: modules of the package that lie in none of these folders.

    >>> import xplore.data
    >>> get, known = attach("xplore.data", xplore.data.__path__, {"Inputs": "xplore.data._base"})
    >>> get("npz").__name__, get("Inputs").__name__, "photos" in known()
    ('xplore.data.npz', 'Inputs', True)
    """
    names, path, elsewhere = dict(names or {}), list(path), list(elsewhere)

    def modules() -> list[str]:
        here = (found.name for found in pkgutil.iter_modules(path))
        return [*elsewhere, *(name for name in here if not name.startswith("_"))]

    def get(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module(names[name]), name)
        if not name.startswith("_") and name in modules():
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def known() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *modules()})

    return get, known
