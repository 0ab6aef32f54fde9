"""Foreign objects as models under test; each library is imported by its own file, on use."""

from __future__ import annotations

import importlib
from typing import Any

from xplore.errors import InputError
from xplore.model import Model

ADAPTERS = {
    "flax.linen": "linen",
    "flax.nnx": "nnx",
    "equinox": "equinox",
    "haiku": "haiku",
    "keras": "keras",
    "torch.nn": "torch",
    "sklearn": "predictor",
    "xgboost": "predictor",
}
"""The adapter of each library, `xplore.adapters.NAME.NAME`, by where its classes are defined."""


def adapt(thing: Any, **reading: Any) -> Model:
    """A model under test, of whatever stands for one; `reading` is passed to `Model`.

    A `Model` as it is; a module of NNX or Equinox, a Keras or torch model, an estimator; a pair `(module,
    variables)` of linen, or `(transformed, params)` of Haiku; any function of JAX from a batch of inputs
    to outputs.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(thing, Model):
        return thing.replace(**reading) if reading else thing
    parts = thing if isinstance(thing, tuple) and len(thing) == 2 else (thing,)
    name = _adapter(type(parts[0]))
    if name:
        module = importlib.import_module(f"xplore.adapters.{name}")
        return getattr(module, name)(*parts, **reading)
    if not callable(thing):
        raise InputError(
            "model",
            expected="a Model, a function of JAX, or a model of a library that xplore knows",
            got=type(thing).__name__,
            fix="give a function from a batch of inputs to outputs",
        )
    return Model(thing, **{"name": getattr(thing, "__name__", "model"), **reading})


def _adapter(kind: type) -> str:
    """The adapter for a class, by the modules in which it and its bases are defined; empty for none."""
    for base in kind.__mro__:
        for where, name in ADAPTERS.items():
            if base.__module__ == where or base.__module__.startswith(where + "."):
                return name
    return ""
