"""What an archive says of a campaign as a whole: of which kinds the values are that reports and replays read.

An archive may come from anyone, or be written by a later version: what is not named here is let through, and
what is not known may be missing or None.
"""

from __future__ import annotations

import platform
from typing import Any

import xplore
from xplore._util import moved
from xplore._util.errors import short
from xplore.archive.gate_record import gate_of

_TEXT, _NUMBER, _ANY, _PLAIN = (str,), (int, float), (object,), (str, int, float, bool)
_FIGURES = dict.fromkeys(("seeds", "queries", "found", "findings", "valid", "groups", "seconds"), _NUMBER)
_LAYER = {"name": _TEXT, "kind": _TEXT, "units!": (int,)}
_COLUMN = {"name!": (str, int), "kind!": _TEXT, "dtype!": _TEXT, "values!": [_ANY]}
_COLUMN |= dict.fromkeys(("missing", "unit", "origin"), _TEXT)
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("id", "name", "created", "command", "config_file", "device", "ended", "media"), _TEXT),
    **dict.fromkeys(("constraint", "bound", "search", "objective", "oracle", "lowering", "dtype"), _TEXT),
    **dict.fromkeys(("seeds_total", "seconds", "compile_seconds", "steps", "queries", "lanes"), _NUMBER),
    "main_criterion": (int, str),
    "models": [{"name!": _TEXT, "digest": _TEXT}],
    "layout": [{"name!": _TEXT, "layers!": [_LAYER]}],
    "criteria": [_TEXT],
    "cells": [(int,)],
    "classes": [_TEXT],
    "notes": [_TEXT],
    "evidence": [_TEXT],
    "versions": {},
    "decisions": {"kind": _TEXT, "apart": _NUMBER, "unit": _TEXT},
    "table": {"columns!": [_COLUMN]},
    "label": {"name": (str, int), "dtype": _TEXT, "classes": [_PLAIN], "categories": [_PLAIN]},
    "baselines": [{**_FIGURES, "search": _TEXT, "note": _TEXT}],
    "config": {"models": [{}]},
    "digests": {"criteria": [{}]},
    "parts": {"constraint": {}},
    "hidden": [(int,)],
    "runs": [_ANY],
    "merged": [{}],
}
"""Of which kinds values are; a key that ends in `!` is needed where its dict is."""


def checked(meta: dict[str, Any]) -> dict[str, Any]:
    """The same account.

    Raises:
        ValueError: one of its values is not of its kind.

    >>> checked({"classes": ["cat", "dog"], "new": 7})
    {'classes': ['cat', 'dog'], 'new': 7}
    >>> checked({"classes": "cat"})
    Traceback (most recent call last):
    ValueError: `classes` is not what it should be: "cat"
    """
    for key, kind in _KINDS.items():
        if not _fits(meta.get(key), kind):
            raise ValueError(f"`{key}` is not what it should be: {short(meta[key], 80)}")
    models, layout, decided = (meta.get(key) or () for key in ("models", "layout", "decisions"))
    if models and layout and [m["name"] for m in models] != [m["name"] for m in layout]:
        raise ValueError("`models` and `layout` name other models")
    needed = {"values": ("apart", "unit"), "angles": ("apart",)}
    if decided and any(decided.get(key) is None for key in needed.get(decided.get("kind"), ())):
        raise ValueError("`decisions` do not say how far apart values are")
    gate_of(meta)
    for part in meta.get("merged") or ():
        checked({key: value for key, value in part.items() if key != "merged"})
    return meta


def _fits(value: Any, kind: Any) -> bool:
    """Is a value None, or of a kind: types, a list of a kind, or a dict of which some keys have kinds?"""
    if value is None:
        return True
    if isinstance(kind, list):
        return type(value) is list and all(item is not None and _fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        if type(value) is not dict:
            return False
        parts = [(value.get(key.removesuffix("!")), key.endswith("!"), of) for key, of in kind.items()]
        return all(_fits(part, of) and not (needed and part is None) for part, needed, of in parts)
    return kind is _ANY or type(value) in kind


def current(meta: dict[str, Any]) -> dict[str, Any]:
    """The metadata with the names that parts have now; version 0.1 may have written others.

    >>> current({"search": "Sweep(32)", "baselines": [{"search": "Flips"}]})
    {'search': 'GridSearch(32)', 'baselines': [{'search': 'HillClimb'}]}
    """
    meta = dict(meta)
    if isinstance(meta.get("search"), str):
        meta["search"] = moved.part(meta["search"])
    for key in ("baselines", "merged"):
        if isinstance(meta.get(key), list):
            meta[key] = [current(one) if isinstance(one, dict) else one for one in meta[key]]
    return meta


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[str]]:
    """Of two accounts' parts those that differ in what they do, each with the fields in which they do.

    Nothing, where they cannot be compared: an archive of an older version has no digests, and what Python
    makes of a function, and xplore of a part, differs from version to version.

    >>> account = lambda limit: {"versions": {"python": "3.11.7"}, "digests": {"search": {"limit": limit}}}
    >>> differing(account("1a"), account("2b")), differing({}, account("2b"))
    ({'search': ['limit']}, {})
    """
    if not comparable(one, other):
        return {}
    was, now = one["digests"], other["digests"]
    parts: list[str] = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    names = {key: moved.ARGUMENTS.get(key) or key for key in parts}
    return {names[key]: _fields(was.get(key), now.get(key)) for key in parts}


def _fields(one: Any, other: Any) -> list[str]:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return []
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def here() -> dict[str, Any]:
    """The versions by which digests are made in this process, as an account tells them."""
    return {"xplore": xplore.__version__, "python": platform.python_version()}


def comparable(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Do two accounts have digests, of one version of Python and of xplore?"""
    versions: list[Any] = [metadata.get("versions") for metadata in (one, other)]
    digests = [metadata.get("digests") for metadata in (one, other)]
    if not all(isinstance(held, dict) for held in (*versions, *digests)):
        return False
    of = [(v.get("xplore"), str(v.get("python")).split(".")[:2]) for v in versions]
    return of[0] == of[1]
