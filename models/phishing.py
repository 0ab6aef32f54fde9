"""Three networks and a random forest that tell phishing websites from others, on nine features of a page."""

import functools
from typing import TYPE_CHECKING

from . import mlp

if TYPE_CHECKING:
    from flax import linen as nn
    from sklearn.ensemble import RandomForestClassifier

    from xplore.model import Model

HIDDEN = {"phishing1": (64,), "phishing2": (64, 32), "phishing3": (32, 32, 32)}
WIDTH = 9


def phishing1() -> "Model":
    """One layer, trained: float32 [b 9], levels as `xplore.data.phishing` has them -> logits [b 2]."""
    return mlp.trained("phishing1", module("phishing1"), WIDTH)


def phishing2() -> "Model":
    """Two layers, trained: float32 [b 9], levels as `xplore.data.phishing` has them -> logits [b 2]."""
    return mlp.trained("phishing2", module("phishing2"), WIDTH)


def phishing3() -> "Model":
    """Three layers, trained: float32 [b 9], levels as `xplore.data.phishing` has them -> logits [b 2]."""
    return mlp.trained("phishing3", module("phishing3"), WIDTH)


def module(name: str) -> "nn.Module":
    """The untrained linen module of one of `HIDDEN`."""
    return mlp.module(HIDDEN[name])


@functools.cache
def forest() -> "RandomForestClassifier":
    """A random forest, fitted here to the training part: the same trees every time, and no file to trust.

    Raises:
        MissingExtraError: scikit-learn, pandas or river is not installed.
    """
    from xplore._util.errors import MissingExtraError
    from xplore.data import phishing

    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise MissingExtraError("scikit-learn", extra="tabular", purpose="the random forest") from error
    features, seen = phishing.realistic(), phishing.load("train")
    model = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    return model.fit(features.frame(features.encode_inputs(seen.images)), seen.labels)
