"""The dotted names of xplore that documents, configs and archives show."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

DOTTED = re.compile(
    r"(?<![\w./-])xplore(?:\.[A-Za-z_]\w*)+"
    r"(?!\w|:[A-Za-z]|/| import|\.(?:toml|json))"  # parts and imports are read below; files are no names
)
PART = re.compile(r"\bxplore((?:\.\w+)*):(\w+)")
IMPORT = re.compile(r"from (xplore[\w.]*) import (\([^)]*\)|[^\n`]*)")
FILES = (".py", ".toml", ".sqlite", ".json", ".html", ".md", ".png", ".yml", ".txt")


def names(text: str) -> Iterator[str]:
    """The names of a text: `xplore.run`, `xplore.search:Gradient`, `from xplore.data import mnist`.

    >>> sorted(names('use = "xplore.search:Gradient"; from xplore.data import mnist, npz as n; xplore.run()'))
    ['xplore.data.mnist', 'xplore.data.npz', 'xplore.run', 'xplore.search.Gradient']
    """
    yield from DOTTED.findall(text)
    for found in PART.finditer(text):
        yield f"xplore{found[1]}.{found[2]}"
    for module, listed in IMPORT.findall(text):
        for item in listed.strip("()").replace("\n", " ").split(","):
            name = item.split("#")[0].split(" as ")[0].strip()
            if name.isidentifier():
                yield f"{module}.{name}"


def resolved(name: str) -> Any:
    """The object of a dotted name; modules are imported as far as they go."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise ModuleNotFoundError(name)
