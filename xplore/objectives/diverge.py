"""DeepXplore's joint objective for values: pull one model's number away from the others', wake a neuron."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from xplore._util.intervals import NOT_NEGATIVE, by_field
from xplore._util.pytree import Number, PyTreeNode, field
from xplore.model.outputs import OutputKind
from xplore.objectives._base import Deviate, Objective, activation, deviating, uncovered
from xplore.panel.panel import Forward


class DivergeGoal(PyTreeNode):
    """The model that is to deviate, which way (1: below the others), and a sleeping neuron of each model."""

    deviate: Int[Array, " b"]
    way: Float[Array, " b"]
    neurons: Int[Array, "b m"]


class Diverge(Objective):
    """`way (sum_{k != j} F_k(x) - lambda1 F_j(x)) + lambda2 sum_k f_{n_k}(x)`, eq. 3 of Pei et al. (2017) for
    models with one value.

    `F` is the value, or with `on="before_atan"` that before a head `2 atan(u)`, as published for steering.
    `j` is the model that is to deviate: by its index, drawn per try (`"random"`), or each in turn, the one
    farthest from the others' mean first (`"weakest"`). It goes on the way on which it is; once all models had
    their turn, the other way. As published `way` is always 1: `both_ways=False`.

    >>> before = jnp.array([[[0.1]], [[0.2]], [[0.9]]])  # three models' values on one seed
    >>> aim = Diverge().goal(jax.random.split(jax.random.key(0), 1), before, (), jnp.array([0]))
    >>> aim.deviate.tolist(), aim.way.tolist()  # the one farthest from the others, further up
    ([2], [-1.0])
    """

    intervals = by_field(lambda1=NOT_NEGATIVE, lambda2=NOT_NEGATIVE)
    lambda1: Number = 1.0
    lambda2: Number = 0.1
    on: Literal["value", "before_atan"] = field(pytree_node=False, default="value")
    deviate: Deviate = field(pytree_node=False, default="weakest")
    both_ways: bool = field(pytree_node=False, default=True)

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        return ("values",)

    def goal(
        self,
        key: Key[Array, " b"],
        before: Float[Array, "m b 1"],
        covered: tuple[Bool[Array, " _"], ...],
        attempt: Int[Array, " b"],
    ) -> DivergeGoal:
        models = len(before)
        draws = jax.vmap(lambda k: jax.random.uniform(k, (models + 1,)))(key)
        value = before[..., 0]
        above = value - (value.sum(axis=0, keepdims=True) - value) / max(
            models - 1, 1
        )  # each beside the others' mean
        deviate = deviating(self.deviate, draws[:, 0], -jnp.abs(above), attempt)
        is_above = jnp.take_along_axis(above, deviate[None], axis=0)[0] > 0
        down = is_above ^ (attempt // models % 2 == 0) if self.both_ways else jnp.ones(attempt.shape, bool)
        return DivergeGoal(deviate, jnp.where(down, 1.0, -1.0), uncovered(draws[:, 1:], covered))

    def score(self, goal: DivergeGoal, now: Forward) -> Float[Array, " b"]:
        value = now.outputs[..., 0]
        if self.on == "before_atan":
            value = jnp.tan(jnp.clip(value, -3.1, 3.1) / 2)
        deviates = jnp.arange(len(value))[:, None] == goal.deviate[None]
        apart = jnp.where(deviates, -self.lambda1 * value, value).sum(axis=0)
        return goal.way * apart + self.lambda2 * activation(now, goal.neurons)
