"""The models' labels differ."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float

from xplore.oracles._base import ClassificationOracle


class LabelsDiffer(ClassificationOracle):
    """Any two models give different labels (Pei et al., 2017).

    >>> import numpy as np
    >>> import jax.numpy as jnp
    >>> LabelsDiffer().differ(jnp.array([[[1.0, 0.0]], [[0.4, 0.6]]])).tolist()
    [True]
    >>> LabelsDiffer().margin(np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.8, 0.2]]])).round(2).tolist()
    [0.2]
    """

    def differ(self, outputs: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        labels = self.decide(outputs)
        return (labels != labels[:1]).any(axis=0)
