"""DeepXplore's joint objective: make one model differ, and wake a sleeping neuron."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from xplore._util.intervals import NOT_NEGATIVE, by_field
from xplore._util.pytree import Number, PyTreeNode, field
from xplore.objectives._base import Deviate, Objective, activation, deviating, uncovered
from xplore.panel.panel import Forward


class JointGoal(PyTreeNode):
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
    never flattens, and the others as log p, which does once they are sure. `"logits"` are what the softmax
    at a model's end reads, where that can be seen; a campaign says so, where it cannot.

    >>> before = jnp.array([[[2.0, 0.0]], [[1.0, 0.0]]])  # two models' logits on one seed
    >>> aim = Joint().goal(jax.random.split(jax.random.key(0), 1), before, (), jnp.array([0]))
    >>> aim.label.tolist(), aim.deviate.tolist()  # the class they agree on; the one that is less certain
    ([0], [1])
    """

    intervals = by_field(lambda1=NOT_NEGATIVE, lambda2=NOT_NEGATIVE)
    lambda1: Number = 1.0
    lambda2: Number = 0.1
    on: Literal["log_odds", "log_probabilities", "probabilities", "logits"] = field(
        pytree_node=False, default="log_odds"
    )
    deviate: Deviate = field(pytree_node=False, default="weakest")

    @property
    def reads_logits(self) -> bool:
        return self.on == "logits"

    def goal(
        self,
        key: Key[Array, " b"],
        before: Float[Array, "m b c"],
        covered: tuple[Bool[Array, " _"], ...],
        attempt: Int[Array, " b"],
    ) -> JointGoal:
        draws = jax.vmap(lambda k: jax.random.uniform(k, (len(before) + 1,)))(key)
        top = jax.lax.top_k(jax.nn.log_softmax(before), 2)[0]
        deviate = deviating(self.deviate, draws[:, 0], top[..., 0] - top[..., 1], attempt)
        return JointGoal(before[0].argmax(axis=-1), deviate, uncovered(draws[:, 1:], covered))

    def score(self, goal: JointGoal, now: Forward) -> Float[Array, " b"]:
        deviates = jnp.arange(len(now.logits))[:, None] == goal.deviate[None]
        agreed = self._read(now.logits, goal.label, deviates)
        differ = jnp.where(deviates, -self.lambda1 * agreed, agreed).sum(axis=0)
        return differ + self.lambda2 * activation(now, goal.neurons)

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
