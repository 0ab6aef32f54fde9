"""Flax linen modules as models under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xplore.model import Model


@dataclass(frozen=True)
class _Apply:
    """`module.apply`, hashed by the module's own fields, so that a module built again never retraces."""

    module: Any

    def __call__(self, variables: Any, x: Any) -> Any:
        return self.module.apply(variables, x)


def linen(module: Any, variables: Any, *, name: str = "", **reading: Any) -> Model:
    """A `flax.linen.Module` in inference; `reading` is passed to `Model`.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> module = nn.Dense(3)
    >>> linen(module, module.init(jax.random.key(0), jnp.ones((1, 2))), name="dense")(jnp.ones((4, 2))).shape
    (4, 3)
    """
    return Model(_Apply(module), variables, name=name or type(module).__name__.lower(), **reading)
