"""Weights that Keras published before version 3: one `.h5` file, a group a layer."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError, MissingExtraError, first, one_line

from . import hdf5

CAFFE: dict[str, Any] = {"columns": (2, 1, 0), "scale": 255.0, "mean": (103.939, 116.779, 123.68)}
"""How the models read that Keras converted from Caffe: BGR, less the mean of ImageNet."""

_ORDER = ("kernel", "scale", "bias", "mean", "var")  # of a layer's weights in a file


def load_variables(path: str | os.PathLike[str], module: Any, pixels: int) -> dict[str, Any]:
    """The variables of a linen module whose layers have the names of a file's; raises as `read_layers`."""
    import jax

    image = jax.ShapeDtypeStruct((1, pixels, pixels, 3), "float32")
    wanted = jax.eval_shape(module.init, jax.random.key(0), image)
    leaves = {
        layer: sorted(
            ((leaf, kind) for kind, tree in wanted.items() for leaf in tree.get(layer, ())),
            key=lambda pair: _ORDER.index(pair[0]),
        )
        for layer in wanted["params"]
    }
    like = {
        layer: {leaf: wanted[kind][layer][leaf] for leaf, kind in found} for layer, found in leaves.items()
    }
    read = read_layers(path, like)
    variables: dict[str, Any] = {kind: {} for kind in wanted}
    for layer, found in leaves.items():
        for leaf, kind in found:
            variables[kind].setdefault(layer, {})[leaf] = read[layer][leaf]
    return variables


def read_layers(
    path: str | os.PathLike[str], like: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, np.ndarray]]:
    """The weights of `path`, as `like` has them: by layer, then in the order in which a layer lists them.

    A file lists its layers under `layer_names`, and each its weights under `weight_names`; of a whole model
    saved, they lie in `model_weights`. Arrays alone are read, once their shapes fit. Raises `InputError`
    where it is missing or damaged, or its layers, shapes or numbers do not fit; `MissingExtraError` without
    h5py.
    """
    path = Path(path)
    if importlib.util.find_spec("h5py") is None:
        raise MissingExtraError("h5py", extra="keras", purpose="weights of Keras")
    wanted: hdf5.Wanted = {
        layer: [(str(np.dtype(leaf.dtype)), list(leaf.shape)) for leaf in leaves.values()]
        for layer, leaves in like.items()
    }
    try:
        if not path.is_file():
            raise InputError(
                str(path), expected="a file of weights", got="no such file", fix="check the path"
            )
        read, faults = hdf5.read(path, wanted)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            str(path),
            expected="weights as Keras 1 and 2 saved them (.h5)",
            got=one_line(error),
            fix="fetch the file again from where it came",
        ) from error
    faults += [
        f"{layer}: numbers that are not finite"
        for layer, arrays in read.items()
        if not all(np.isfinite(array).all() for array in arrays)
    ]
    if faults:
        raise InputError(
            str(path), expected="the weights of this architecture", got=first(faults), fix="use its own file"
        )
    return {layer: dict(zip(leaves, read[layer], strict=True)) for layer, leaves in like.items()}
