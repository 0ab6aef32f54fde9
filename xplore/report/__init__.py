"""Accounts of an archive, one format a file; none of them imports JAX."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from xplore.errors import InputError

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


def reporter(format: str) -> Reporter:
    """The reporter of a format, imported on use.

    Raises:
        InputError: there is no such format.
    """
    try:
        module, name = FORMATS[format].split(":")
    except KeyError:
        allowed = ", ".join(FORMATS)
        raise InputError("report format", expected=f"one of {allowed}", got=repr(format)) from None
    return getattr(import_module(module), name)()
