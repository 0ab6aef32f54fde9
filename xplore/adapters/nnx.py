"""Flax NNX modules as models under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xplore.model import Model
from xplore.modes import INFERENCE, in_inference


@dataclass(frozen=True)
class _Merge:
    """A module's graph without its weights: equal for one architecture, so that nothing retraces."""

    graph: Any
    random: Any = field(compare=False)  # of dropout, which is off
    kind: type

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
    from flax import nnx as library

    module = library.clone(module)  # the user's own stays in the mode it is in
    module.eval()
    modes = {name: value for name, value in INFERENCE.items() if name != "train"}  # which is a method
    module.set_attributes(**modes, raise_if_not_found=False)
    graph, random, state = library.split(module, library.RngState, ...)
    return Model(
        _Merge(graph, random, type(module)), state, name=name or type(module).__name__.lower(), **reading
    )
