"""The models' labels differ."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float

from xplore.oracles._base import Oracle


class LabelsDiffer(Oracle):
    """Any two models give different labels (Pei et al., 2017).

    >>> import jax.numpy as jnp
    >>> LabelsDiffer().differ(jnp.array([[[1.0, 0.0]], [[0.4, 0.6]]])).tolist()
    [True]
    """

    def differ(self, outputs: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        labels = outputs.argmax(axis=-1)
        return (labels != labels[:1]).any(axis=0)
