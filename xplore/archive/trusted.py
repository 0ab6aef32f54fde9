"""What an archive may name: the one way from its text to something that is called.

A name is looked up in `FACTORIES`, and its arguments are compared with what the factory takes. Only then is
imported what this file says, never what the archive says. No factory takes a path, and none writes; the user
names all others: models and constraints that are given to `replay`, a config, a model on the command line.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from xplore._util.errors import InputError, short

Kind = Callable[[Any], bool]
"""Is a value of JSON fit to be an argument?"""


class Factory(NamedTuple):
    """A function or class, where it is, and of which kinds its arguments are; `gives` says what it makes."""

    gives: str
    module: str
    name: str
    arguments: Mapping[str, Kind] = {}


def whole(low: int, high: int) -> Kind:
    """Whole numbers of a range.

    >>> whole(1, 3)(3), whole(1, 3)(True), whole(1, 3)(4)
    (True, False, False)
    """
    return lambda value: type(value) is int and low <= value <= high


def number(low: float = -1e6, high: float = 1e6) -> Kind:
    """Finite numbers of a range."""
    return lambda value: type(value) in (int, float) and math.isfinite(value) and low <= value <= high


def truth(value: Any) -> bool:
    return type(value) is bool


def word(*known: str) -> Kind:
    """One of some words; of none, any short one without control characters."""
    return lambda value: (
        type(value) is str and (value in known if known else len(value) <= 200 and value.isprintable())
    )


def rows(kind: Kind, least: int = 0, most: int = 10_000) -> Kind:
    """Lists of a kind."""
    return lambda value: (
        type(value) in (list, tuple) and least <= len(value) <= most and all(map(kind, value))
    )


def either(*kinds: Kind) -> Kind:
    return lambda value: any(kind(value) for kind in kinds)


def part(gives: str) -> Kind:
    """Parts of a config that an archive may name, and that make this."""
    return lambda value: not fault(value, gives)


def table(value: Any) -> bool:
    """A table as archives hold it; its values are checked where archives are read."""
    return type(value) is dict and {"columns", "groups", "low", "high", "example"} <= {*value}


SHARE, PIXELS = number(0, 1), whole(1, 16_384)
BOUND = either(number(0), lambda value: value is None or value == "none")
_PER_CHANNEL = either(number(), rows(number(), 1, 64))
READING: dict[str, Kind] = {
    "name": word(),
    "output": word("logits", "probabilities", "multilabel", "values"),
    "scale": _PER_CHANNEL,
    "mean": _PER_CHANNEL,
    "std": _PER_CHANNEL,
    "layout": word("NHWC", "NCHW"),
    "size": rows(whole(1, 1024), 2, 2),
    "columns": rows(either(whole(0, 2**24), word())),
    "classes": rows(either(whole(-(2**31), 2**31), word())),
    "include": rows(word(), most=100),
    "exclude": rows(word(), most=100),
    "unit": word("mean", "max", "position", "token"),
}
"""What may be said of any model; weights, which are a file, may not."""

_MODELS = {
    "lenet": ("lenet1", "lenet4", "lenet5"),
    "dave": ("dave_orig", "dave_norminit", "dave_dropout"),
    "efficientnet": ("lite0", "lite1", "lite2"),
    "drebin": ("drebin1", "drebin2", "drebin3"),
    "pdf": ("pdf2", "pdf3", "pdf4"),
    "phishing": ("phishing1", "phishing2", "phishing3", "forest"),
}
_CHANGES: dict[str, Kind] = {"changes": whole(1, 1000)}
_MADE = {
    "xplore.data.drebin:additions": _CHANGES,
    "xplore.data.phishing:realistic": _CHANGES,
    "xplore.models.pdf:realistic": _CHANGES,
}
_CONSTRAINTS: dict[str, dict[str, Kind]] = {
    "Affine": {
        **dict.fromkeys(("rotate", "shift", "scale", "shear"), number(0)),
        "border": word("reflect", "nearest"),
    },
    "Ball": {"bound": number(0), "norm": word("inf", "2")},
    "Blackout": {"count": whole(1, 1000), "size": PIXELS, "bound": BOUND},
    "Blur": {"sigma": number(0, 1000)},
    "Chain": {"parts": rows(part("constraint"), 1, 16)},
    "Fog": {"thickness": number(0), "light": SHARE, "waves": whole(1, 64)},
    "Latent": {"decode": part("function"), "encode": part("function"), "bound": number(0)},
    "Lighting": {"bound": number(0)},
    "Noise": {"low": SHARE, "high": SHARE, "bound": number(0)},
    "Occlusion": {"height": PIXELS, "width": PIXELS, "bound": BOUND, "background": SHARE},
    "Patches": {"boxes": rows(rows(whole(0, 16_384), 4, 4), 1, 1000), "bound": BOUND},
    "Photometric": dict.fromkeys(("brightness", "contrast", "gamma", "hue", "saturation"), number(0)),
    "Rain": {"strength": number(0), "slant": number(0, 90), "light": SHARE},
    "Snow": {"strength": number(0)},
}
_TABLE: dict[str, Kind] = {
    "table": table,
    "frozen": rows(truth),
    "grows": rows(truth),
    "changes": whole(1, 10_000),
    "grains": rows(rows(number(), 2, 2)),
    **dict.fromkeys(("magnitudes", "comes", "goes"), rows(whole(0, 2**24))),
}
FACTORIES: dict[str, Factory] = {
    **{
        f"xplore.models.{file}:{name}": Factory("model", f"xplore.models.{file}", name, READING)
        for file, names in _MODELS.items()
        for name in names
    },
    **{
        f"xplore.constraints:{name}": Factory("constraint", "xplore.constraints", name, arguments)
        for name, arguments in _CONSTRAINTS.items()
    },
    **{
        use: Factory("constraint", module, name, arguments)
        for use, arguments in _MADE.items()
        for module, name in [use.split(":")]
    },
    "xplore.constraints:Features": Factory("constraint", "xplore.constraints.features", "restored", _TABLE),
    **{
        f"xplore.models.pca:{name}": Factory(
            "function", "xplore.models.pca", name, {"components": whole(1, 784)}
        )
        for name in ("decoder", "encoder")
    },
}
"""All that an archive may name, and what it may be given: nothing else is imported, nothing else called."""


def fault(part: Any, gives: str) -> str:
    """Why a part that an archive names is not made; nothing, if it may be.

    >>> fault({"use": "xplore.models.lenet:lenet1", "name": "old"}, "model")
    ''
    >>> fault({"use": "xplore.models.hdf5:save_file", "filename": "x"}, "model")
    '"xplore.models.hdf5:save_file" is none that an archive may name'
    >>> fault({"use": "xplore.models.lenet:lenet1", "weights": "x"}, "model")
    '"weights" = "x" is nothing that an archive may give xplore.models.lenet:lenet1'
    """
    use = part.get("use") if type(part) is dict else None
    factory = FACTORIES.get(use) if type(use) is str else None
    if factory is None or factory.gives != gives:
        return f"{_shown(use)} is none that an archive may name"
    for key, value in part.items():
        if key != "use" and not (key in factory.arguments and factory.arguments[key](value)):
            return f"{short(key, 40)} = {_shown(value)} is nothing that an archive may give {use}"
    return ""


def _shown(value: Any) -> str:
    try:
        return short(value, 80)
    except TypeError:  # none of JSON: a part of Python's
        return type(value).__name__


def make(part: Any, gives: str) -> Any:
    """What a part makes, of its arguments.

    Raises:
        InputError: it is none that an archive may name, or is given what it may not be.
    """
    given = arguments(part, gives)
    factory = FACTORIES[part["use"]]
    return getattr(importlib.import_module(factory.module), factory.name)(**given)


def arguments(part: Any, gives: str) -> dict[str, Any]:
    """The arguments of a part, as Python has them; raises as `make` does."""
    if why := fault(part, gives):
        raise InputError(
            f"{gives} of an archive",
            expected="one of xplore's own",
            got=why,
            fix="name it yourself: nothing else that an archive names is run",
        )
    kinds = FACTORIES[part["use"]].arguments
    given = {key: _argument(value) for key, value in part.items() if key != "use"}
    return {key: None if value == "none" and kinds[key] is BOUND else value for key, value in given.items()}


def _argument(value: Any) -> Any:
    """Parts inside a part are made first; lists are tuples."""
    if isinstance(value, dict) and "use" in value:
        return make(value, FACTORIES[value["use"]].gives)
    if isinstance(value, (list, tuple)):
        return tuple(map(_argument, value))
    return value


def from_zoo(meta: dict[str, Any]) -> bool:
    """May the models of a campaign be built from what its archive says?

    >>> from_zoo({"config": {"models": [{"use": "xplore.models.lenet:lenet1"}]}}), from_zoo({})
    (True, False)
    """
    config = meta.get("config")
    parts = config.get("models") if isinstance(config, dict) else None
    return bool(parts) and isinstance(parts, list) and not any(fault(part, "model") for part in parts)
