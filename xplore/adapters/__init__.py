"""Foreign objects as models under test, one library a file; imports `model`, `inputs`."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import jax

from xplore._util import lazy
from xplore._util.errors import InputError
from xplore.adapters.refit import is_regressor
from xplore.model import Model, weights

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


MODULES = ("torch", "nnx", "equinox", "linen")
"""Libraries whose modules have no names of their own."""


def adapt(thing: Any, **reading: Any) -> Model:
    """A model under test, of whatever stands for one; `reading` is passed to `Model`.

    A module of torch, NNX, Equinox or linen is called by the caller's variable that holds it, where there is
    one, else by its class.

    A `Model` as it is; a module of NNX or Equinox, a Keras or torch model, an estimator; a pair `(module,
    variables)` of linen, or `(transformed, params)` of Haiku; any function of JAX from a batch of inputs
    to outputs.

    >>> model = adapt(lambda x: x.reshape(len(x), -1), name="flat", scale=255.0)
    >>> model.name, model(jax.numpy.ones((2, 1, 3, 1))).tolist()
    ('flat', [[255.0, 255.0, 255.0], [255.0, 255.0, 255.0]])

    Raises:
        InputError: it is none of these.
    """
    if isinstance(thing, Model):
        return thing.replace(**reading) if reading else thing
    parts = thing if isinstance(thing, tuple) and len(thing) == 2 else (thing,)
    name = _adapter(type(parts[0]))
    if not name and (hasattr(thing, "predict_proba") or is_regressor(thing)):  # of another library
        name = "predictor"
    if name:
        module = importlib.import_module(f"xplore.adapters.{name}")
        if name in MODULES and (called := _variable(parts[0]) or _variable(thing)):
            reading = {"name": called, **reading}
        return getattr(module, name)(*parts, **reading)
    if not callable(thing):
        raise InputError(
            "model",
            expected="a Model, a function of JAX, or a model of a library that xplore knows",
            got=type(thing).__name__,
            fix="give a function from a batch of inputs to outputs",
        )
    return Model(thing, **{"name": getattr(thing, "__name__", "model"), **reading})


def with_weights(model: Model, path: str | os.PathLike[str]) -> Model:
    """A model with the weights of a safetensors file, whose keys are the paths of its parameters.

    >>> import tempfile
    >>> import numpy as np
    >>> model = Model(lambda w, x: x @ w["out"], {"out": np.zeros((2, 2), np.float32)})
    >>> path = os.path.join(tempfile.mkdtemp(), "new.safetensors")
    >>> weights.save(path, {"out": np.eye(2, dtype=np.float32)})
    >>> with_weights(model, path).params["out"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Raises:
        InputError: the file is missing or damaged, or does not fit; the first mismatches are named.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(model.params)
    paths = [_path(keys) for keys, _ in leaves]
    nested: dict[str, Any] = {}
    for name, (_, leaf) in zip(paths, leaves, strict=True):
        *branches, last = name.split("/")
        node = nested
        for branch in branches:
            node = node.setdefault(branch, {})
        node[last] = leaf
    held = dict(weights.leaves(weights.load(path, like=nested)))
    return model.replace(params=jax.tree.unflatten(tree, [held[name] for name in paths]))


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/").replace("//", "/")


def _adapter(kind: type) -> str:
    """The adapter for a class, by the modules in which it and its bases are defined; empty for none."""
    for base in kind.__mro__:
        for where, name in ADAPTERS.items():
            if base.__module__ == where or base.__module__.startswith(where + "."):
                return name
    return ""


def _variable(thing: Any) -> str:
    """What the code that called xplore calls this object: the nearest variable that holds it; or nothing."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != "xplore":
            for held in (frame.f_locals, frame.f_globals):
                names = [name for name, value in held.items() if value is thing and name.isidentifier()]
                if public := [name for name in names if not name.startswith("_")]:
                    return public[0]
        frame = frame.f_back
    return ""


__getattr__, __dir__ = lazy.attach(__name__, __path__)
