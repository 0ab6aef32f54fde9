"""Arguments by which models switch between training and inference, and their values in inference."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

INFERENCE = {
    "train": False,
    "training": False,
    "is_train": False,
    "is_training": False,
    "deterministic": True,
    "inference": True,
    "use_running_average": True,
}
"""As the modules of Flax, Haiku and Equinox call them."""


def in_inference(function: Callable[..., Any]) -> dict[str, bool]:
    """Return those arguments of a function that choose the mode, as they are in inference.

    Required arguments count, defaulted and keyword-only ones, too; what `functools.partial` holds is left.

    >>> in_inference(lambda x, train, deterministic=False: x), in_inference(lambda x: x)
    ({'train': False, 'deterministic': True}, {})
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin, say
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    bound = function.keywords if isinstance(function, partial) else {}
    found = (p.name for p in parameters if p.kind in named and p.name not in bound)
    return {name: INFERENCE[name] for name in found if name in INFERENCE}
