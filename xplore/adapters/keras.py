"""Keras 3 models on the JAX backend as models under test; files of models, and weights of older files."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeGuard

import jax
import numpy as np

from xplore._util.errors import InputError, MissingExtraError, first, one_line
from xplore.model.capture.layers import scoped
from xplore.model.model import Holder, Model
from xplore.model.shape_errors import SIDE_BY_SIDE

HOW = "set KERAS_BACKEND=jax before keras is imported, or call xplore.adapters.keras.load, which does so"
DROPOUT = "seed_generator"
"""How the paths of random states start that are of no use in inference."""


@dataclass(frozen=True, eq=False)
class _Stateless(Holder):
    """`model.stateless_call`, with its weights as an argument."""

    model: Any
    _given: list[Any] = field(default_factory=list)

    def path(self, variable: Any) -> str:
        """A variable's path in its model: one that was built in code puts its own name before it."""
        return str(variable.path).removeprefix(f"{self.model.name}/")

    def _held(self) -> dict[str, Any]:
        return {self.path(v): v.value for v in self.model.variables if not self.path(v).startswith(DROPOUT)}

    def __call__(self, weights: Any, x: Any) -> Any:
        trained, other = (
            [weights.get(self.path(variable), variable.value) for variable in variables]
            for variables in (self.model.trainable_variables, self.model.non_trainable_variables)
        )
        parameters = inspect.signature(self.model.call).parameters  # one without layers in training has none
        kinds = {parameter.kind for parameter in parameters.values()}
        how = (
            {"training": False} if "training" in parameters or inspect.Parameter.VAR_KEYWORD in kinds else {}
        )
        with _scopes(self.model):
            return self.model.stateless_call(trained, other, x, **how)[0]


_tracing = RLock()


@contextmanager
def _scopes(model: Any) -> Iterator[None]:
    """Each layer's steps are traced in a scope with its path, by which a layer without weights is named."""
    inside = [model.name] if any(v.path.startswith(f"{model.name}/") for v in model.variables) else [""]

    def within(layer: Any) -> Any:
        call = layer.call

        def named(*args: Any, **how: Any) -> Any:
            path = layer.path or "/".join(filter(None, (inside[-1], layer.name)))  # Keras gives some none
            inside.append(path)
            path = path.removeprefix(f"{model.name}/")
            try:
                with jax.named_scope(scoped(path)):
                    return call(*args, **how)
            finally:
                inside.pop()

        return named

    with _tracing, ExitStack() as undo:
        for layer in getattr(model, "_flatten_layers", lambda **_: ())(include_self=False):
            if "call" not in vars(layer):
                object.__setattr__(layer, "call", within(layer))  # Keras would track what is set
                undo.callback(object.__delattr__, layer, "call")
        yield


def _library() -> Any:
    """Keras, on the JAX backend."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        import keras
    except ImportError as error:
        raise MissingExtraError("keras", extra="keras", purpose="Keras models") from error
    if keras.backend.backend() != "jax":
        raise InputError("Keras", expected="the JAX backend", got=keras.backend.backend(), fix=HOW)
    return keras


def keras(model: Any, *, name: str = "", **reading: Any) -> Model:
    """A built `keras.Model`, in inference; `reading` is passed to `Model`.

    What it returns is followed from its outputs back: a softmax, or the sigmoid of a binary model, is
    probabilities.

    >>> library = _library()  # keras, on JAX
    >>> net = library.Sequential([library.Input((2,)), library.layers.Dense(3, activation="softmax")])
    >>> model = keras(net, name="net")
    >>> model.output, model.parameters
    ('probabilities', 9)

    Raises:
        InputError: Keras runs on another backend, or the model has no weights yet.
    """
    _library()
    if not model.built:
        raise InputError(
            f"Keras model {model.name}",
            expected="a built model",
            got="one without weights",
            fix="call it once on an input, or model.build(shape)",
        )
    shapes = _input_shapes(model)
    if len(shapes) > 1:
        raise InputError(
            f"Keras model {model.name}",
            expected="one input",
            got=f"{len(shapes)} of shapes {', '.join(map(str, shapes))}",
            fix=_side_by_side(shapes),
        )
    asked = _Stateless(model)
    paths = [path for path in map(asked.path, model.variables) if not path.startswith(DROPOUT)]
    weights = asked.give()
    if len(weights) < len(paths):
        raise InputError(
            f"Keras model {model.name}",
            expected="weights with a path each",
            got=f"several called {next(path for path in paths if paths.count(path) > 1)}",
            fix="give its layers names of their own",
        )
    adapted = Model(asked, weights, name=name or model.name, **reading)
    try:
        return adapted.followed(shapes[0]) if shapes and _known(shapes[0]) else adapted
    except TypeError:  # it takes more than an input: that is told when it is asked
        return adapted


def _input_shapes(model: Any) -> list[tuple[int | None, ...]]:
    """Of each input, where they are known: a subclassed model keeps what it was built with."""
    shapes = getattr(model, "input_shape", None)
    if shapes is None:
        built = list((getattr(model, "_build_shapes_dict", None) or {}).values())
        shapes = built[0] if len(built) == 1 else None
    each = shapes.values() if isinstance(shapes, dict) else shapes if isinstance(shapes, list) else [shapes]
    return [tuple(shape)[1:] for shape in each if isinstance(shape, tuple)]


def _known(shape: tuple[int | None, ...]) -> TypeGuard[tuple[int, ...]]:
    return all(isinstance(n, int) for n in shape)


def _side_by_side(shapes: list[tuple[int | None, ...]]) -> str:
    """What to do with a model of several inputs.

    >>> _side_by_side([(4,), (2, 3)]).removeprefix(SIDE_BY_SIDE)
    ' lambda x: model([x[:, 0:4], x[:, 4:10].reshape(-1, 2, 3)])'
    """
    parts, start = [], 0
    for shape in shapes:
        if None in shape:
            return f"{SIDE_BY_SIDE} lambda x: model([x[:, :3], x[:, 3:]])"
        end = start + math.prod(n or 1 for n in shape)
        shaped = f".reshape(-1, {', '.join(map(str, shape))})" if len(shape) != 1 else ""
        parts.append(f"x[:, {start}:{end}]{shaped}")
        start = end
    return f"{SIDE_BY_SIDE} lambda x: model([{', '.join(parts)}])"


def load(path: str | os.PathLike[str], *, name: str = "", **reading: Any) -> Model:
    """The model in a `.keras` or `.h5` file; nothing in the file is executed (Keras's safe mode).

    >>> import tempfile
    >>> library, path = _library(), Path(tempfile.mkdtemp()) / "net.keras"
    >>> library.Sequential([library.Input((2,)), library.layers.Dense(3)]).save(path)
    >>> load(path, name="net").parameters
    9

    Raises:
        InputError: no such file, a damaged one, or one that holds code (a Lambda layer).
    """
    library, path = _library(), _file(path)
    try:
        model = library.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a file from anywhere may fail anywhere in Keras
        raise InputError(
            str(path),
            expected="a whole model of Keras, without code of its own",
            got=one_line(error),
            fix="save it again with model.save; build what holds code in your own code and load its weights",
        ) from error
    return keras(model, name=name or path.stem, **reading)


def load_weights(path: str | os.PathLike[str], architecture: Any, *, name: str = "", **reading: Any) -> Model:
    """An architecture in code with the weights of a file: Keras 3's, or the `.h5` layout of Keras 1 and 2.

    >>> import tempfile
    >>> library, path = _library(), Path(tempfile.mkdtemp()) / "net.weights.h5"
    >>> net = library.Sequential([library.Input((2,)), library.layers.Dense(3)])
    >>> net.save_weights(path)
    >>> load_weights(path, net, name="net").parameters
    9

    Raises:
        InputError: no such file, a damaged one, or weights that do not fit; the first mismatches are named.
    """
    _library()
    path = _file(path)
    if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):
        _load_old(path, architecture)
    else:
        try:
            architecture.load_weights(path)
        except Exception as error:
            raise InputError(
                str(path),
                expected=f"weights of {architecture.name}",
                got=one_line(error, most=400),
                fix="use the weights of this architecture",
            ) from error
    return keras(architecture, name=name or path.stem, **reading)


def _file(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(
            str(path), expected="a file that Keras saved", got="no such file", fix="mend the path"
        )
    return path


def _load_old(path: Path, architecture: Any) -> None:
    """Weights by layer name, as Keras 1 and 2 laid them out: a group a layer, its arrays in order."""
    import h5py

    held: dict[str, list[np.ndarray]] = {}
    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            for layer in root.attrs["layer_names"]:
                group = root[_text(layer)]
                held[_text(layer)] = [np.asarray(group[_text(key)]) for key in group.attrs["weight_names"]]
    except Exception as error:  # h5py answers damage with whatever it meets
        raise InputError(
            str(path),
            expected="weights in the layout of Keras 1 or 2",
            got=one_line(error),
            fix="save them again with model.save_weights",
        ) from error
    wanted = {layer.name: layer for layer in architecture.layers if layer.weights}
    faults = [f"no {name}" for name in wanted if not held.get(name)]
    for name, layer in wanted.items():
        shapes = [tuple(w.shape) for w in layer.weights], [array.shape for array in held.get(name, [])]
        if held.get(name) and shapes[0] != shapes[1]:
            faults.append(f"{name} {shapes[1]} instead of {shapes[0]}")
    faults += [
        f"{name}, which the model has not" for name, arrays in held.items() if arrays and name not in wanted
    ]
    if faults:
        raise InputError(
            str(path),
            expected=f"the weights of {architecture.name}, layer by layer",
            got=first(faults),
            fix="use the weights of this architecture, with its layers' names",
        )
    for name, layer in wanted.items():
        layer.set_weights(held[name])


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
