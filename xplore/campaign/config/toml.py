"""TOML files of campaigns: plain values alone, paths that start where the file lies, settings over them."""

from __future__ import annotations

import math
import reprlib
import tomllib
from pathlib import Path
from typing import Any

from xplore._util.errors import InputError, one_line

PATHS = ("path", "folder", "file", "weights")
"""Arguments of parts that name a file or a folder."""
DEEPEST, LARGEST = 20, 2**63


def read(path: Path) -> dict[str, Any]:
    """What a file says.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, too many digits
        raise InputError(
            str(path), expected="a TOML file", got=one_line(error), fix="mend what it names"
        ) from error


def rooted(data: Any, folder: Path) -> Any:
    """The same with paths that start at a folder, where parts have relative ones.

    >>> part = {"use": "xplore.data.idx:load", "path": "digits", "part": "test"}
    >>> rooted({"name": "digits", "seeds": part}, Path("mine"))["seeds"]["path"]
    'mine/digits'
    """
    if isinstance(data, list):
        return [rooted(item, folder) for item in data]
    if not isinstance(data, dict):
        return data
    inner = {key: rooted(value, folder) for key, value in data.items()}
    named = [key for key in PATHS if "use" in inner and isinstance(inner.get(key), str)]
    return inner | {key: str(folder / inner[key]) for key in named if inner[key] != "none"}


def put(data: dict[str, Any], setting: str) -> None:
    """Apply one `key.path=value`; a value that is no TOML is a string.

    >>> data = {"criteria": [{"t": 0.5}]}
    >>> put(data, "criteria.0.t=0.1"), put(data, "name=digits"), data
    (None, None, {'criteria': [{'t': 0.1}], 'name': 'digits'})

    Raises:
        InputError: it has no value, or there is no such place.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise InputError(
            f"--set {setting}", expected="key.path=value", got="no '='", fix="write --set search.steps=20"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--set {path}", expected="a plain value", got=one_line(error), fix="mend it"
        ) from error
    *parents, last = path.strip().split(".")
    place: Any = data
    try:
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"--set {path}",
            expected="a path of tables, and of indices from 0 into lists",
            got=one_line(error),
            fix="write --set search.steps=20 or --set criteria.0.t=0.1",
        ) from error


def check_plain(value: Any, key: str = "", depth: int = 0) -> None:
    """An InputError for what an archive could not record: NaN, a date, a huge number, a null byte."""
    fault = _fault(value, depth)
    if fault:
        came = str(value) if isinstance(value, float) else reprlib.repr(value)  # one of any depth has a repr
        name = key.removeprefix(".")
        last = name.rsplit(".", 1)[-1]
        raise InputError(
            f"config key {name[:80]}", expected=fault, got=came[:80], fix=f"set {last[:80]} to that"
        )
    if isinstance(value, dict):
        for name, inner in value.items():
            check_plain(inner, f"{key}.{name}", depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            check_plain(inner, f"{key}[{index}]", depth + 1)


def _fault(value: Any, depth: int) -> str:
    """What a value should be that is none; empty for one that is."""
    if depth > DEEPEST:
        return f"at most {DEEPEST} tables and lists inside each other"
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        return "a number of at most 18 digits"
    if isinstance(value, str) and "\0" in value:
        return "text without null bytes"
    if isinstance(value, (str, int, float, dict, list)):
        return ""
    return "text, a number, true, false, a list or a table"
