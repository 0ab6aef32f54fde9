"""Flax NNX modules as models under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xplore.model.inference_mode import INFERENCE, in_inference
from xplore.model.model import Holder, Model


@dataclass(frozen=True)
class _Merge(Holder):
    """A module's graph without its weights: equal for one architecture, so that nothing retraces."""

    graph: Any
    random: Any = field(compare=False)  # of dropout, which is off
    kind: type
    module: Any = field(compare=False)
    _given: list[Any] = field(default_factory=list, compare=False)

    def _held(self) -> Any:
        return _split(self.module)[2]

    @property
    def inference(self) -> dict[str, bool]:
        """The arguments that it is called with."""
        return in_inference(self.kind.__call__)

    def __call__(self, state: Any, x: Any) -> Any:
        from flax import nnx

        return nnx.merge(self.graph, self.random, state)(x, **self.inference)


def nnx(module: Any, *, name: str = "", **reading: Any) -> Model:
    """A `flax.nnx.Module`, as in inference; `reading` is passed to `Model`.

    Attributes and arguments of its call that choose the mode (`deterministic`, `training`) are set to it.

    >>> from flax import nnx as flax_nnx
    >>> import jax.numpy as jnp
    >>> nnx(flax_nnx.Linear(2, 3, rngs=flax_nnx.Rngs(0)), name="dense")(jnp.ones((4, 2))).shape
    (4, 3)
    """
    graph, random, _ = _split(module)
    merge = _Merge(graph, random, type(module), module)
    return Model(merge, merge.give(), name=name or type(module).__name__.lower(), **reading)


def _split(module: Any) -> tuple[Any, Any, Any]:
    """The graph of a module in inference, its random states and its weights."""
    from flax import nnx as library

    module = library.clone(module)  # the user's own stays in the mode it is in
    module.eval()
    modes = {name: value for name, value in INFERENCE.items() if name != "train"}  # which is a method
    module.set_attributes(**modes, raise_if_not_found=False)
    graph, random, weights = library.split(module, library.RngState, ...)
    return graph, random, weights
