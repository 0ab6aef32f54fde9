"""Haiku's transformed functions as models under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xplore.model import Model


@dataclass(frozen=True)
class _Apply:
    """`transformed.apply` without randomness, with a state that stays as it is where there is one."""

    transformed: Any
    stateful: bool

    def __call__(self, variables: Any, x: Any) -> Any:
        if self.stateful:
            return self.transformed.apply(variables["params"], variables["state"], None, x)[0]
        return self.transformed.apply(variables["params"], None, x)


def haiku(transformed: Any, params: Any, state: Any = None, *, name: str = "haiku", **reading: Any) -> Model:
    """`hk.transform(f)` with its parameters, or `hk.transform_with_state(f)` with its state, too.

    `f` takes a batch and is written for inference (`is_training=False`); `reading` is passed to `Model`.

    >>> import haiku as hk, jax, jax.numpy as jnp
    >>> f = hk.transform(lambda x: hk.Linear(3)(x))
    >>> haiku(f, f.init(jax.random.key(0), jnp.ones((1, 2))))(jnp.ones((4, 2))).shape
    (4, 3)
    """
    stateful = type(transformed).__name__ == "TransformedWithState"
    variables = {"params": params, "state": state} if stateful else {"params": params}
    return Model(_Apply(transformed, stateful), variables, name=name, **reading)
