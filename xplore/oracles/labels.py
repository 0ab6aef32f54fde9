"""The models' labels differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from xplore.heads import EXCLUSIVE, Head
from xplore.oracles._base import Oracle


class LabelsDiffer(Oracle):
    """Any two models give different labels (Pei et al., 2017).

    >>> import jax.numpy as jnp
    >>> LabelsDiffer().differ(jnp.array([[[1.0, 0.0]], [[0.4, 0.6]]])).tolist()
    [True]
    """

    @property
    def heads(self) -> tuple[Head, ...]:
        return EXCLUSIVE

    def differ(self, outputs: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        labels = outputs.argmax(axis=-1)
        return (labels != labels[:1]).any(axis=0)

    def decide(self, outputs: Float[Array, "m b c"]) -> Int[Array, "m b"]:
        return outputs.argmax(axis=-1)

    def agreed(self, outputs: Float[Array, "m b c"]) -> Int[Array, " b"]:
        return outputs[0].argmax(axis=-1)

    def right(
        self, outputs: Float[np.ndarray, "m b c"], truth: Shaped[np.ndarray, " b"]
    ) -> Bool[np.ndarray, "m b"]:
        return outputs.argmax(axis=-1) == truth[None]

    def label(self, truth: Shaped[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        return truth

    def told(self) -> dict[str, Any]:
        return {"kind": "labels"}

    def margin(self, scores: Float[np.ndarray, "m b k"]) -> Float[np.ndarray, " b"]:
        """How sure two models are that disagree: the largest, over such pairs, of the less sure one's lead.

        A model's lead is its first class's probability minus its second's.

        >>> p = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.8, 0.2]]])
        >>> LabelsDiffer().margin(p).round(2).tolist()
        [0.2]
        """
        labels = scores.argmax(axis=-1)
        top = np.sort(scores, axis=-1)[..., -2:]
        lead = top[..., 1] - top[..., 0]
        apart = labels[:, None] != labels[None]
        pairs = np.where(apart, np.minimum(lead[:, None], lead[None]), 0)
        return pairs.max(axis=(0, 1))
