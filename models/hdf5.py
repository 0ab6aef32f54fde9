"""The arrays of a Keras weight file, read by a process of its own: on damaged files HDF5's library may crash.

Run as a script, it reads a request from its input as JSON: `path`, `out` and, for each layer that is wanted,
its name with a type and a shape an array. It writes the arrays to `out` (safetensors, by layer and number),
and what does not fit as JSON to its output.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Wanted = dict[str, list[tuple[str, Sequence[int]]]]
"""A type and a shape for each array of each layer."""

SECONDS = 600
"""The longest that one file may take."""


def read(path: Path, wanted: Wanted) -> tuple[dict[str, list[np.ndarray]], list[str]]:
    """The arrays of each layer, or what does not fit.

    Raises:
        ValueError: a file that cannot be read, or that the library does not survive.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "arrays.safetensors")
        request = json.dumps({"path": str(path.absolute()), "out": str(out), "wanted": wanted})
        command = [sys.executable, "-P", __file__]
        try:
            done = subprocess.run(
                command, input=request, capture_output=True, text=True, timeout=SECONDS, check=True
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"not read within {SECONDS} seconds") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()[-1:] if error.returncode > 0 else ["HDF5 crashed on it"]
            raise ValueError(*said) from error
        faults = json.loads(done.stdout)
        if faults:
            return {}, faults
        stored = load_file(out)
        return {layer: [stored[f"{layer}/{at}"] for at in range(len(of))] for layer, of in wanted.items()}, []


def main() -> None:
    """Read what is asked for; anything that goes wrong ends with an error."""
    import h5py

    request = json.load(sys.stdin)
    with h5py.File(request["path"], "r") as file:
        root = _held(h5py, file, "model_weights") if "model_weights" in file else file
        found = {layer: _arrays(h5py, root, layer) for layer in _listed(root, "layer_names")}
        found = {layer: arrays for layer, arrays in found.items() if arrays}
        faults = _mismatches(found, request["wanted"])
        if not faults:
            arrays = {f"{layer}/{at}": one[()] for layer, of in found.items() for at, one in enumerate(of)}
            save_file(arrays, request["out"])
    json.dump(faults, sys.stdout)


def _listed(group: Any, key: str) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[key]]


def _held(h5py: Any, group: Any, path: str) -> Any:
    """What a path leads to, by no link out of the file."""
    for name in path.split("/"):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} lies in another file, or nowhere")
        group = group[name]
    return group


def _arrays(h5py: Any, root: Any, layer: str) -> list[Any]:
    """A layer's arrays, not read yet."""
    group = _held(h5py, root, layer)
    arrays = [_held(h5py, group, name) for name in _listed(group, "weight_names")]
    if any(not isinstance(array, h5py.Dataset) or array.external or array.is_virtual for array in arrays):
        raise ValueError(f"{layer} holds what is no array of this file")
    return arrays


def _mismatches(found: dict[str, list[Any]], wanted: Wanted) -> list[str]:
    faults = [f"no layer {layer}" for layer in wanted if layer not in found]
    faults += [f"a layer {layer}" for layer in found if layer not in wanted]
    for layer in [layer for layer in wanted if layer in found]:
        came = [f"{array.dtype} {list(array.shape)}" for array in found[layer]]
        expected = [f"{dtype} {list(shape)}" for dtype, shape in wanted[layer]]
        if came != expected:
            faults.append(f"{layer}: {', '.join(came)} for {', '.join(expected)}")
    return faults


if __name__ == "__main__":
    main()
