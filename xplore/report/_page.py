"""What pages share: templates, their filters, and data that is safe inside of them."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from xplore.report import names, words


def script_data(value: Any) -> Markup:
    """JSON that is safe inside a script element: nothing in it can close the element.

    >>> str(script_data({"name": "</script>"}))
    '{"name":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def script_hash(script: str) -> str:
    """What a content security policy calls a script, or a style, that may be used."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def text(name: str, package: str = "xplore.report") -> str:
    """A file that lies in a package."""
    return files(package).joinpath(name).read_text("utf-8")


@cache
def environment(package: str = "xplore.report") -> Environment:
    """Templates of a package, escaped, with the words that all pages use."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(partial(text, package=package)),
    )
    environment.filters.update(
        {
            name: getattr(words, name)
            for name in ("count", "percent", "interval", "number", "duration", "listing")
        }
    )
    environment.filters.update(command=names.command, criterion=names.criterion, spoken=names.spoken)
    environment.globals.update(plural=words.plural)
    return environment
