"""What every oracle is."""

from __future__ import annotations

import abc

from flax import struct
from jaxtyping import Array, Bool, Float


class Oracle(struct.PyTreeNode, abc.ABC):
    """Judges a changed input beside its seed: `judge(f, f)` is false."""

    @abc.abstractmethod
    def differ(self, outputs: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Do the models' decisions on one input differ?"""

    def judge(self, before: Float[Array, "m b *o"], after: Float[Array, "m b *o"]) -> Bool[Array, " b"]:
        """Did the change divide models that agreed?"""
        return self.differ(after) & ~self.differ(before)
