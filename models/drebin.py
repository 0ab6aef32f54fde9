"""Three networks that tell Android malware from other apps, of the sizes of DeepXplore's (Pei et al., 2017).

Those that are stored here were trained on the synthetic apps of `xplore.data.drebin`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from . import mlp

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model

HIDDEN = {"drebin1": (200, 200), "drebin2": (50, 50), "drebin3": (200, 10)}


def drebin1(path: str | None = None, folder: str | None = None) -> "Model":
    """200 and 200, trained: zeros and ones float32 [b d] -> logits [b 2]; see `trained`."""
    return trained("drebin1", path, folder)


def drebin2(path: str | None = None, folder: str | None = None) -> "Model":
    """50 and 50, trained: zeros and ones float32 [b d] -> logits [b 2]; see `trained`."""
    return trained("drebin2", path, folder)


def drebin3(path: str | None = None, folder: str | None = None) -> "Model":
    """200 and 10, trained: zeros and ones float32 [b d] -> logits [b 2]; see `trained`."""
    return trained("drebin3", path, folder)


def module(name: str) -> "nn.Module":
    """The untrained linen module of one of `HIDDEN`."""
    return mlp.module(HIDDEN[name], standard=False)


def trained(name: str, path: str | None = None, folder: str | None = None) -> "Model":
    """A network on the features of the apps in `path`, with the weights in `folder`; raises `InputError`.

    Without them: the synthetic apps, and the weights beside this file. For others,
    `scripts/train_models.py drebin --data PATH --out FOLDER` writes weights.
    """
    from xplore.adapters.linen import linen
    from xplore.data import drebin

    width = len(drebin.load("train", path).names)
    weights = None if folder is None else Path(folder) / f"{name}.safetensors"
    params = mlp.load_parameters(name, module(name), width, weights)
    return linen(module(name), {"params": params}, name=name)
