"""Weights of a model on disk: a tree of arrays as one safetensors file, checked when it is read."""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as _parse
from safetensors.numpy import save as _serialise

from xplore._util.errors import InputError, first

_ROOM_FOR_HEADER = 2**20
_DIGEST = "sha256"


def save(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write nested dicts of arrays to one file; the key of `tree["conv1"]["kernel"]` is `conv1/kernel`.

    A digest of the content is kept with it, so that `load` notices a damaged file. The file is replaced whole
    or not at all. Raises `InputError` for values that are not finite and keys that hold a slash.
    """
    path = Path(path)
    flat = {}
    for name, value in leaves(tree):
        flat[name] = np.ascontiguousarray(value)
        _check_finite(path, name, flat[name])
    content = _serialise(flat, metadata={_DIGEST: _digest(flat)})
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def load(path: str | os.PathLike[str], like: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in `path`, as a tree with the keys, shapes and types of `like`.

    The leaves of `like` have a `shape` and a `dtype` (arrays, or what `jax.eval_shape` gives). Raises
    `InputError` where the file is missing, damaged or too large, where keys, shapes or types differ (it names
    the first mismatches), and where a weight is not finite.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> save(file, {"fc1": {"bias": np.ones(2, np.float32)}})
    >>> load(file, like={"fc1": {"bias": np.zeros(2, np.float32)}})
    {'fc1': {'bias': array([1., 1.], dtype=float32)}}
    """
    path = Path(path)
    expected = dict(leaves(like))
    flat = _read(path, sum(np.dtype(leaf.dtype).itemsize * _size(leaf.shape) for leaf in expected.values()))
    mismatches = list(_mismatches(expected, flat))
    if mismatches:
        raise InputError(
            str(path),
            expected=first([wanted for wanted, _ in mismatches]),
            got=first([came for _, came in mismatches]),
            fix="use the weights of this architecture, or train it again",
        )
    for name, value in flat.items():
        _check_finite(path, name, value)
    tree: dict[str, Any] = {}
    for name in expected:
        *branches, leaf = name.split("/")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf] = flat[name]
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every array of a tree with its key in a file."""
    for key, value in tree.items():
        if not isinstance(key, str) or not key or "/" in key:
            raise InputError("weights", expected="keys that are words without a slash", got=repr(key))
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _read(path: Path, n_bytes: int) -> dict[str, np.ndarray]:
    fix = "fetch the file again, or train the model again"
    try:
        if not path.is_file():
            raise InputError(str(path), expected="a file of weights", got="no such file", fix=fix)
        with path.open("rb") as file:
            content = file.read(n_bytes + _ROOM_FOR_HEADER + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(str(path), expected="a readable file of weights", got=str(error)) from error
    if len(content) > n_bytes + _ROOM_FOR_HEADER:
        raise InputError(
            str(path),
            expected=f"{n_bytes} bytes of weights and a header",
            got="a larger file",
            fix="use the weights of this architecture",
        )
    try:
        flat = _parse(content)
        (header,) = struct.unpack_from("<Q", content)
        metadata = json.loads(content[8 : 8 + header]).get("__metadata__") or {}
    # The library answers some damage with its own error and some (a type it does not know) with Python's.
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            str(path), expected="a whole safetensors file", got=f"a damaged one ({error})", fix=fix
        ) from error
    if metadata.get(_DIGEST, _digest(flat)) != _digest(flat):
        raise InputError(
            str(path),
            expected="the content that was saved",
            got="other numbers (the digest differs)",
            fix=fix,
        )
    return flat


def _digest(flat: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(flat):
        value = flat[name]
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _mismatches(expected: Mapping[str, Any], flat: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """Pairs of what was wanted and what came, missing and wrong ones first, then what is too much."""
    for name, leaf in expected.items():
        wanted = f"{name} {np.dtype(leaf.dtype).name} {list(leaf.shape)}"
        if name not in flat:
            yield wanted, f"no {name}"
        elif flat[name].shape != tuple(leaf.shape) or flat[name].dtype != leaf.dtype:
            yield wanted, f"{name} {flat[name].dtype.name} {list(flat[name].shape)}"
    for name in flat:
        if name not in expected:
            yield f"no {name}", f"{name} {flat[name].dtype.name} {list(flat[name].shape)}"


def _check_finite(path: Path, name: str, value: np.ndarray) -> None:
    if not np.isfinite(value).all():
        raise InputError(
            str(path),
            expected="finite weights",
            got=f"{int((~np.isfinite(value)).sum())} of {value.size} in {name} that are not",
            fix="train the model again",
        )
