"""Accounts of an archive, without JAX, one format a file; imports `inputs`, `archive`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xplore._util import lazy
from xplore._util.errors import InputError

if TYPE_CHECKING:
    from xplore.report._base import Reporter

FORMATS = {
    "html": "xplore.report.html:Html",
    "md": "xplore.report.markdown:Markdown",
    "png": "xplore.report.png:Png",
    "json": "xplore.report.json:Json",
    "csv": "xplore.report.csv:Csv",
    "junit": "xplore.report.junit:Junit",
}
EXPORTS = {
    "png": "xplore.report.images:Images",
    "npz": "xplore.report.npz:Npz",
    "parquet": "xplore.report.parquet:Parquet",
    "csv": "xplore.report.csv:Csv",
    "jsonl": "xplore.report.jsonl:Jsonl",
}
"""Findings for retraining, and for other programs."""


def reporter(format: str) -> Reporter:
    """The reporter of a format, imported on use.

    >>> reporter("md").file_name
    'report.md'

    Raises:
        InputError: there is no such format.
    """
    return _made(FORMATS, "report format", format)()


def exporter(format: str, *, every: bool = False, shrunk: bool = False) -> Reporter:
    """What writes findings in a format: valid ones, or `every` one; as found, or `shrunk`.

    >>> exporter("npz", shrunk=True)
    Npz(every=False, shrunk=True)

    Raises:
        InputError: there is no such format.
    """
    made: Any = _made(EXPORTS, "export format", format)
    return made(every=every, shrunk=shrunk, **({"retraining": True} if format == "csv" else {}))


def _made(known: dict[str, str], what: str, format: str) -> type[Reporter]:
    if format not in known:
        raise InputError(what, expected=f"one of {', '.join(known)}", got=repr(format))
    module, name = known[format].split(":")
    return getattr(import_module(module), name)


__getattr__, __dir__ = lazy.attach(__name__, __path__)
