"""What every coverage criterion is."""

from __future__ import annotations

import abc
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xplore._util.pytree import PyTreeNode
from xplore.model.neurons import Activations, Layout


class Criterion(PyTreeNode, abc.ABC):
    """A join-semilattice of what was reached: `merge` is commutative, associative and idempotent.

    >>> from xplore.coverage import NeuronCoverage
    >>> one, other = jnp.array([[True], [False]]), jnp.array([[False], [False]])
    >>> criterion = NeuronCoverage()
    >>> float(criterion.value(one)), bool((criterion.merge(one, other) == criterion.merge(one, one)).all())
    (0.5, True)
    """

    keyed = True

    @abc.abstractmethod
    def init(self, layout: Layout) -> Any:
        """Nothing reached."""

    @abc.abstractmethod
    def update(self, state: Any, activations: Activations) -> tuple[Any, Float[Array, " b"]]:
        """The state joined with a batch, and each row's gain over the state before."""

    @abc.abstractmethod
    def merge(self, one: Any, other: Any) -> Any:
        """What either reached."""

    @abc.abstractmethod
    def value(self, state: Any) -> Float[Array, ""]:
        """How much was reached, in [0, 1]; monotone under `merge`."""


class CellCriterion(Criterion):
    """A criterion whose units each have `n_cells` cells; its state is `bool[u k]`.

    `locate` is its hard face, `closeness` the differentiable one: positive exactly where `locate` agrees.

    >>> from xplore.coverage import NeuronCoverage
    >>> from xplore.model.neurons import Layer
    >>> layout = Layout((("m", (Layer("fc", "dense", (3,)),)),))
    >>> row = Activations(jnp.array([[0.0, 1.0, 4.0]]), jnp.array([[0.0]]), jnp.array([[4.0]]), layout)
    >>> criterion = NeuronCoverage(0.5)
    >>> criterion.locate(row).tolist(), criterion.closeness(row, jnp.array([2]), jnp.array([0])).tolist()
    ([[-1, -1, 0]], [0.5])
    """

    @property
    @abc.abstractmethod
    def n_cells(self) -> int:
        """Cells a unit."""

    @abc.abstractmethod
    def locate(self, activations: Activations) -> Int[Array, "b u"]:
        """The cell that each unit falls in, -1 for none."""

    @abc.abstractmethod
    def closeness(
        self, activations: Activations, unit: Int[Array, " b"], cell: Int[Array, " b"]
    ) -> Float[Array, " b"]:
        """How far each row's unit is inside its cell; differentiable, positive exactly when located there."""

    def init(self, layout: Layout) -> Bool[Array, "u k"]:
        return jnp.zeros((layout.n_units, self.n_cells), bool)

    def hits(self, activations: Activations) -> Bool[Array, "b u k"]:
        """The cells that each row reaches."""
        return self.locate(activations)[..., None] == jnp.arange(self.n_cells)[None, None]

    def update(
        self, state: Bool[Array, "u k"], activations: Activations
    ) -> tuple[Bool[Array, "u k"], Float[Array, " b"]]:
        hits = self.hits(activations)
        gain = (hits & ~state[None]).mean(axis=(1, 2), dtype=activations.values.dtype)
        return state | hits.any(axis=0), gain

    def merge(self, one: Bool[Array, "u k"], other: Bool[Array, "u k"]) -> Bool[Array, "u k"]:
        return one | other

    def value(self, state: Bool[Array, "u k"]) -> Float[Array, ""]:
        return state.mean(dtype=jnp.result_type(float))
