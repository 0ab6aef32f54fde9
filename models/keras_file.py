"""Weights that Keras published before version 3: one `.h5` file, a group a layer."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xplore.errors import InputError, MissingExtraError, first, told

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
    saved, they lie in `model_weights`. Arrays alone are read. Raises `InputError` where it is missing or
    damaged, or its layers, shapes or numbers do not fit; `MissingExtraError` without h5py.
    """
    path = Path(path)
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", extra="keras", purpose="weights of Keras") from error
    try:
        if not path.is_file():
            raise InputError(
                str(path), expected="a file of weights", got="no such file", fix="check the path"
            )
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            found = {layer: _weights(h5py, root[layer]) for layer in _listed(root, "layer_names")}
    except InputError:
        raise
    except Exception as error:  # a file from anywhere may fail anywhere in HDF5
        raise InputError(
            str(path),
            expected="weights as Keras 1 and 2 saved them (.h5)",
            got=told(error),
            fix="fetch the file again from where it came",
        ) from error
    found = {layer: weights for layer, weights in found.items() if weights}
    faults = list(_mismatches(found, like))
    if faults:
        raise InputError(
            str(path), expected="the weights of this architecture", got=first(faults), fix="use its own file"
        )
    return {layer: dict(zip(leaves, found[layer], strict=True)) for layer, leaves in like.items()}


def _listed(group: Any, key: str) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[key]]


def _weights(h5py: Any, group: Any) -> list[np.ndarray]:
    weights = []
    for name in _listed(group, "weight_names"):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} lies in another file")
        if not isinstance(group[name], h5py.Dataset) or group[name].external or group[name].is_virtual:
            raise ValueError(f"{name} is no array of this file")
        weights.append(np.asarray(group[name][()]))
    return weights


def _mismatches(found: Mapping[str, list[np.ndarray]], like: Mapping[str, Mapping[str, Any]]) -> list[str]:
    faults = [f"no layer {layer}" for layer in like if layer not in found]
    faults += [f"a layer {layer}" for layer in found if layer not in like]
    for layer in [layer for layer in like if layer in found]:
        came = [f"{weight.dtype} {list(weight.shape)}" for weight in found[layer]]
        wanted = [f"{np.dtype(leaf.dtype)} {list(leaf.shape)}" for leaf in like[layer].values()]
        if came != wanted:
            faults.append(f"{layer}: {', '.join(came)} for {', '.join(wanted)}")
        elif not all(np.isfinite(weight).all() for weight in found[layer]):
            faults.append(f"{layer}: numbers that are not finite")
    return faults
