"""Why a model cannot be asked on inputs of a shape, and what would mend it."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp

from xplore._util.errors import InputError, one_line
from xplore.model import Model

_SHAPE = re.compile(
    r"shape|dimension|\bsizes?\b|\brank\b|channel|broadcast|\bax[ie]s\b|\bndim\b|features|contract"
    r"|mat1 and mat2|out of bounds|elements",
    re.IGNORECASE,
)
_OTHER = (
    AttributeError,
    ImportError,
    NameError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    OSError,
    jax.errors.JAXTypeError,
)
"""Exceptions that are not about shapes, whatever words they hold."""
_MISSING = re.compile(r"missing \d+ required|expects? [2-9] inputs?\b|takes? [2-9] inputs?\b", re.IGNORECASE)
_BY_NAME = re.compile(r"string ind|type 'str'|indices must be", re.IGNORECASE)
"""What is raised where an array is indexed with a name."""
SIDE_BY_SIDE = "hold them side by side in one array of rows, and give a function that takes it apart, as"
"""What to do with several inputs."""
_MODES = ("InvalidRngError", "ModifyScopeVariableError")
"""What Flax raises of a module that is in training."""
FEW = 4
"""Channels of an image in colour, with transparency, at most."""


def is_of_shape(error: Exception) -> bool:
    """Return whether an exception tells that shapes do not go together.

    >>> is_of_shape(TypeError("dot_general requires contracting dimensions")), is_of_shape(KeyError("shape"))
    (True, False)
    """
    return not isinstance(error, _OTHER) and bool(_SHAPE.search(str(error)))


def fault(model: Model, shape: tuple[int, ...], batch: int, error: Exception) -> InputError:
    """Return what to tell of a model that raised an exception on inputs `[batch *shape]`."""
    expected, fix = f"outputs for inputs of shape {shape}", "mend the model: the exception is its own"
    if type(error).__name__ in _MODES:
        fix = "build it in inference: deterministic=True, use_running_average=True"
    elif _MISSING.search(str(error)):
        apart = f"{SIDE_BY_SIDE} lambda x: model(x[:, :3], x[:, 3:])"
        fix = f"of several inputs, {apart}; give what else it takes by functools.partial"
    elif _BY_NAME.search(str(error)):
        fix = f'of inputs by name, {SIDE_BY_SIDE} lambda x: model({{"a": x[:, :3], "b": x[:, 3:]}})'
    elif isinstance(error, jax.errors.JAXTypeError):
        fix = "write it with jax.numpy: numbers are not known while it is traced"
    elif is_of_shape(error):
        expected = f"a function of JAX that reads inputs of shape {shape}"
        other = "give seeds of the shape that it reads, say layout= and size=, or mend the model"
        fix = _layout(model, shape, batch) or other
    return InputError(f"model {model.name}", expected=expected, got=one_line(error), fix=fix)


def _layout(model: Model, shape: tuple[int, ...], batch: int) -> str:
    """What to do where another order of the axes is what the model reads; empty, where none is."""
    if len(shape) != 3:
        return ""
    first, height, width = shape
    if first <= FEW < min(height, width) and _reads(model, (height, width, first), batch):
        turned = f"x.transpose(0, 2, 3, 1), [n {height} {width} {first}]"
        return f"the channels of these inputs come first: give {turned}, which it reads"
    other = "NHWC" if model.layout == "NCHW" else "NCHW"
    if _reads(model.replace(layout=other), shape, batch):
        return f'it reads these inputs as {other}: say so, by xplore.adapt(model, layout="{other}")'
    return ""


def _reads(model: Model, shape: tuple[int, ...], batch: int) -> bool:
    x: Any = jax.ShapeDtypeStruct((batch, *shape), jnp.result_type(float))
    try:
        jax.eval_shape(model, x)
    except Exception:  # a function of the user's own may raise anything
        return False
    return True


def channels_first(shape: tuple[int, ...]) -> list[str]:
    """Return what is to be said of images `[h w c]` whose channels seem to come first.

    >>> channels_first((28, 28, 1)), len(channels_first((3, 32, 32)))
    ([], 1)
    """
    if len(shape) != 3 or not shape[0] <= FEW < min(shape[1:]):
        return []
    read = f"{shape[0]} x {shape[1]} pixels and {shape[2]} channels"
    return [
        f"seeds [n {' '.join(map(str, shape))}] are read as images of {read}; if their channels come first,"
        ' give x.transpose(0, 2, 3, 1), and say layout="NCHW" of models that read the channels first'
    ]
