"""DeepXplore's joint objective: make one model differ, and wake a sleeping neuron."""

from __future__ import annotations

import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from xplore.errors import InputError
from xplore.objectives._base import Objective
from xplore.panel import Forward
from xplore.units import Number


class JointAim(struct.PyTreeNode):
    """The agreed class, the model that is to deviate from it, and a sleeping neuron of each model."""

    label: Int[Array, " b"]
    deviate: Int[Array, " b"]
    neurons: Int[Array, "b m"]


class Joint(Objective):
    """`sum_{k != j} F_k(x)[c] - lambda1 F_j(x)[c] + lambda2 sum_k f_{n_k}(x)` (Pei et al., 2017, eq. 3).

    `j` is the model that is to deviate: one fixed by its index, one drawn per try (`"random"`), or each in
    turn, the least certain on the seed first (`"weakest"`). `n_k` is a neuron of model k that no finding
    has covered yet (any, once all are), its activation the unscaled mean over space. `F` is read as
    `on` says: on probabilities, and on log-probabilities of a model that is sure of c, there is almost no
    gradient to leave c; on `"log_odds"` the model that is to deviate is read as log p / (1 - p), which
    never flattens, and the others as log p, which does once they are sure.
    """

    lambda1: Number = 1.0
    lambda2: Number = 0.1
    on: Literal["log_odds", "log_probabilities", "probabilities", "logits"] = struct.field(
        pytree_node=False, default="log_odds"
    )
    deviate: int | Literal["random", "weakest"] = struct.field(pytree_node=False, default="weakest")

    def fits(self, models: int) -> None:
        if isinstance(self.deviate, int) and not 0 <= self.deviate < models:
            raise InputError(
                "objective.deviate",
                expected=f"the index of one of {models} models, from 0",
                got=str(self.deviate),
                fix='count the models from 0, or use "weakest"',
            )

    def aim(
        self,
        key: Key[Array, " b"],
        before: Float[Array, "m b c"],
        covered: tuple[Bool[Array, " _"], ...],
        turn: Int[Array, " b"],
    ) -> JointAim:
        models, _, _ = before.shape
        label = before[0].argmax(axis=-1)
        draws = jax.vmap(lambda k: jax.random.uniform(k, (models + 1,)))(key)
        if self.deviate == "random":
            deviate = (draws[:, 0] * models).astype(label.dtype)
        elif self.deviate == "weakest":
            top = jax.lax.top_k(jax.nn.log_softmax(before), 2)[0]
            order = jnp.argsort(top[..., 0] - top[..., 1], axis=0)
            deviate = jnp.take_along_axis(order, (turn % models)[None], axis=0)[0]
        else:
            deviate = jnp.full_like(label, self.deviate)
        starts = itertools.accumulate((units.size for units in covered), initial=0)
        neurons = [
            start + _sleeping(draws[:, k + 1], units)
            for k, (start, units) in enumerate(zip(starts, covered, strict=False))
            if units.size  # a black box has none
        ]
        none = jnp.zeros((len(label), 0), label.dtype)
        return JointAim(label, deviate, jnp.stack(neurons, axis=1) if neurons else none)

    def score(self, aim: JointAim, now: Forward) -> Float[Array, " b"]:
        deviates = jnp.arange(len(now.logits))[:, None] == aim.deviate[None]
        agreed = self._read(now.logits, aim.label, deviates)
        differ = jnp.where(deviates, -self.lambda1 * agreed, agreed).sum(axis=0)
        awake = jnp.take_along_axis(now.activations.values, aim.neurons, axis=1).sum(axis=1)
        return differ + self.lambda2 * awake

    def _read(
        self, logits: Float[Array, "m b c"], label: Int[Array, " b"], deviates: Bool[Array, "m b"]
    ) -> Float[Array, "m b"]:
        """Each model's `F` of the agreed class."""
        if self.on == "logits":
            return jnp.take_along_axis(logits, label[None, :, None], axis=2)[..., 0]
        is_label = jax.nn.one_hot(label, logits.shape[-1], dtype=bool)
        others = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits), axis=-1)
        odds = jnp.take_along_axis(logits, label[None, :, None], axis=2)[..., 0] - others
        if self.on == "probabilities":
            return jax.nn.sigmoid(odds)
        certain = jax.nn.log_sigmoid(odds)
        return jnp.where(deviates, odds, certain) if self.on == "log_odds" else certain


def _sleeping(draw: Float[Array, " b"], covered: Bool[Array, " n"]) -> Int[Array, " b"]:
    """For each draw in [0, 1) a neuron of those not covered; of all, where none is left.

    >>> _sleeping(jnp.array([0.0, 0.4, 0.9]), jnp.array([True, False, True, False])).tolist()
    [1, 1, 3]
    """
    asleep = ~covered | covered.all()
    rank = jnp.cumsum(asleep)
    return jnp.searchsorted(rank, jnp.floor(draw * rank[-1]).astype(rank.dtype) + 1)
