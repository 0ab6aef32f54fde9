"""Equinox modules as models under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from xplore.model import Model
from xplore.model.inference_mode import in_inference


@dataclass(frozen=True)
class _Combine:
    """A module without its arrays; `mapped`, where it is written for one input and no batch."""

    static: Any
    mapped: bool

    @property
    def inference(self) -> dict[str, bool]:
        """The arguments that it is called with."""
        return in_inference(type(self.static).__call__)

    def __call__(self, arrays: Any, x: Any) -> Any:
        import equinox

        module = equinox.combine(arrays, self.static)
        how = self.inference
        return jax.vmap(lambda row: module(row, **how))(x) if self.mapped else module(x, **how)


def equinox(module: Any, *, mapped: bool = True, name: str = "", **reading: Any) -> Model:
    """An `equinox.Module` in inference, called on each input by `vmap`, as they are written.

    `mapped=False` where it takes a batch. Layers with a state (batch norm) are given as
    `functools.partial(module, state=state)` would be: by a function of your own. `reading` is passed to
    `Model`; Equinox's convolutions want `layout="NCHW"`.

    >>> import equinox as eqx, jax.numpy as jnp
    >>> equinox(eqx.nn.Linear(2, 3, key=jax.random.key(0)), name="dense")(jnp.ones((4, 2))).shape
    (4, 3)
    """
    import equinox as library

    module = library.nn.inference_mode(module)
    arrays, static = library.partition(module, library.is_array)
    return Model(_Combine(static, mapped), arrays, name=name or type(module).__name__.lower(), **reading)
