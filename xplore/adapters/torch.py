"""PyTorch modules as models under test, and files of weights for them; torch is imported on use."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import jax
from jax._src import xla_bridge  # nothing public says whether JAX has started

from xplore._util.errors import InputError, MissingExtraError, first, one_line
from xplore._util.identity import digest
from xplore.adapters._torch_function import TorchFunction, evaluating, packed_parts
from xplore.model import Model

PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def _library() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", extra="torch", purpose="PyTorch modules") from error
    return torch


def torch(module: Any, *, name: str = "", **reading: Any) -> Model:
    """A `torch.nn.Module` in evaluation mode, as it is; `reading` is passed to `Model`.

    Its layers are found by the rule of `model.capture.layers`, and its slopes are torch's. It may return a
    tensor, or something with `logits`; outputs `[b c h w]` are taken with the classes last. The layout is
    NCHW if it has a `torch.nn.Conv2d`, unless you say another. Its weights are read where they are: as they
    are at each call of `run`, `gate` and their like, while which they must not change.

    >>> import pytest
    >>> library = pytest.importorskip("torch")
    >>> model = torch(library.nn.Conv2d(3, 2, 1), name="net")
    >>> model.layout, model.parameters
    ('NCHW', 8)

    Raises:
        InputError: no module, or a parameter that is not finite.
    """
    library = _library()
    name = name or type(module).__name__.lower()
    if not isinstance(module, library.nn.Module):
        raise InputError(
            f"model {name}",
            expected="a torch.nn.Module",
            got=type(module).__name__,
            fix="give the module itself, made and with its weights",
        )
    for path, parameter in module.named_parameters():
        if not library.isfinite(parameter).all():
            raise InputError(
                f"weights of {name}, {path}",
                expected="finite numbers",
                got=f"{int((~library.isfinite(parameter)).sum())} that are NaN or infinite",
                fix="train or load the model again",
            )
    _share_gpu(module)
    convolves = any(isinstance(part, library.nn.Conv2d) for part in module.modules())
    known: dict[str, Any] = {
        "layout": "NCHW" if convolves else "NHWC",
        "fingerprint": fingerprint(module),
        "weights_elsewhere": _weights(module),
    }
    return Model(TorchFunction(module, name, fingerprint), name=name, **{**known, **reading})


def _share_gpu(module: Any) -> None:
    """JAX must not take all of a GPU's memory beforehand, if the module is there."""
    if PREALLOCATE in os.environ or not any(weight.is_cuda for weight in module.parameters()):
        return
    if not xla_bridge.backends_are_initialized():
        os.environ[PREALLOCATE] = "false"
    elif jax.default_backend() == "gpu":
        warnings.warn(
            f"JAX may hold the GPU's memory that torch needs: set {PREALLOCATE}=false", stacklevel=3
        )


def fingerprint(module: Any) -> str:
    """sha256 over all that acts in evaluation: weights, buffers, packed ones, attributes, hooks, code.

    >>> import pytest
    >>> library = pytest.importorskip("torch")
    >>> fingerprint(library.nn.Flatten()) == fingerprint(library.nn.Flatten(2))
    False
    """
    with evaluating(module):
        return digest(module)


def _weights(module: Any) -> int:
    """How many weights it has, packed ones of quantised layers too."""
    packed = sum(count for _, count in packed_parts(module).values())
    return packed + sum(weight.numel() for weight in module.parameters())


def load(path: str | os.PathLike[str], architecture: Any, *, name: str = "", **reading: Any) -> Model:
    """An architecture in code with the weights of a file: a state dict by torch, or `.safetensors`.

    Nothing in the file is executed. The weights are loaded into the architecture itself.

    >>> import pytest, tempfile
    >>> library = pytest.importorskip("torch")
    >>> net, path = library.nn.Linear(2, 3), Path(tempfile.mkdtemp()) / "net.pt"
    >>> library.save(net.state_dict(), path)
    >>> load(path, net, name="net").parameters
    9

    Raises:
        InputError: no such file, a damaged one, one that holds more than weights, or weights that do not
            fit; the first mismatches are named.
    """
    path = Path(path)
    _library()
    held, wanted = _read(path), architecture.state_dict()
    faults = [f"no {key}" for key in wanted if key not in held]
    for key in held:
        came, want = (_shape(tensors.get(key)) for tensors in (held, wanted))
        if key not in wanted:
            faults.append(f"{key}, which the model has not")
        elif came != want:
            faults.append(f"{key} {came} instead of {want}")
    if not faults:
        try:
            architecture.load_state_dict(held)
        except Exception as error:  # types that do not go together, or a module's own checks
            faults = [one_line(error)]
    if faults:
        raise InputError(
            str(path),
            expected=f"the weights of {type(architecture).__name__}",
            got=first(faults),
            fix="use the weights of this architecture, saved as a state dict alone",
        )
    return torch(architecture, name=name or path.stem, **reading)


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if hasattr(value, "shape") else type(value).__name__


def _read(path: Path) -> dict[str, Any]:
    """The state dict in a file."""
    import torch
    from safetensors.torch import load_file

    fix = "save it again with torch.save(module.state_dict(), path)"
    try:
        if not path.is_file():
            raise InputError(str(path), expected="a file of weights", got="no such file", fix="mend the path")
        with warnings.catch_warnings(action="ignore"):
            if path.suffix == ".safetensors":
                return load_file(path)
            held = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # a file from anywhere may fail anywhere in torch
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        got = (
            f"one that holds {code[1]}, and code is not run" if code else f"{type(error).__name__} on reading"
        )
        raise InputError(str(path), expected="a whole file of weights alone", got=got, fix=fix) from error
    if not isinstance(held, dict):
        raise InputError(str(path), expected="a state dict", got=type(held).__name__, fix=fix)
    return held
