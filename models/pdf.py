"""Three networks that tell PDF malware from other PDF files: 2, 3 and 4 layers of 200 (Pei et al., 2017)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore.model import weights

from . import mlp

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.constraints import Features
    from xplore.model import Model

LAYERS = {"pdf2": 2, "pdf3": 3, "pdf4": 4}
WIDTH = 135


def pdf2() -> "Model":
    """Two layers of 200, trained: float32 [b 135] as `xplore.data.pdf` reads it -> logits [b 2]."""
    return mlp.trained("pdf2", module("pdf2"), WIDTH)


def pdf3() -> "Model":
    """Three layers of 200, trained: float32 [b 135] as `xplore.data.pdf` reads it -> logits [b 2]."""
    return mlp.trained("pdf3", module("pdf3"), WIDTH)


def pdf4() -> "Model":
    """Four layers of 200, trained: float32 [b 135] as `xplore.data.pdf` reads it -> logits [b 2]."""
    return mlp.trained("pdf4", module("pdf4"), WIDTH)


def module(name: str) -> "nn.Module":
    """The untrained linen module of one of `LAYERS`."""
    return mlp.module((200,) * LAYERS[name], squash=True)


def realistic(changes: int = 3) -> "Features":
    """What may happen to a PDF file's numbers, inside the ranges of the training part.

    At most `changes` of 68 change, what follows from them aside: see `xplore.data.pdf`. Raises `InputError`.
    """
    from xplore.data import pdf

    known = load_ranges()
    return pdf.features(known["low"], known["high"], known["example"], changes)


def load_ranges(path: Path | None = None) -> dict[str, Any]:
    """`low` and `high` of the training part, and a row of it; raises `InputError`."""
    import numpy as np

    one = np.zeros(WIDTH, np.float32)
    path = path or Path(__file__).with_name("pdf.safetensors")
    return weights.load(path, like={"low": one, "high": one, "example": one})
