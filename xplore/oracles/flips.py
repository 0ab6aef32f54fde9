"""The new model is wrong where the old one is right: what a new version breaks."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float

from xplore.oracles._base import ClassificationOracle


class NegativeFlips(ClassificationOracle):
    """Of two models, old and new, the old one decides as it did on the seed, and the new one otherwise.

    Where the seed was answered rightly that is a negative flip (Yan et al., 2021).

    >>> import jax.numpy as jnp
    >>> before = jnp.array([[[2.0, 0.0]], [[1.0, 0.0]]])
    >>> broken, mended = before.at[1].set(before[1, :, ::-1]), before.at[0].set(before[0, :, ::-1])
    >>> NegativeFlips().judge(before, broken).tolist(), NegativeFlips().judge(before, mended).tolist()
    ([True], [False])
    """

    def differ(self, outputs: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        labels = self.decide(outputs)
        return (labels != labels[:1]).any(axis=0)

    def judge(self, before: Float[Array, "m b c"], after: Float[Array, "m b c"]) -> Bool[Array, " b"]:
        same = self.decide(after)[0] == self.decide(before)[0]
        return self.differ(after) & ~self.differ(before) & same
