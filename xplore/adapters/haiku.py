"""Haiku's transformed functions as models under test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xplore.model import Model
from xplore.model.inference_mode import in_inference


@dataclass(frozen=True)
class _Apply:
    """`transformed.apply` without randomness, with a state that stays as it is where there is one."""

    transformed: Any
    stateful: bool

    @property
    def inference(self) -> dict[str, bool]:
        """The arguments that it is called with."""
        return in_inference(self.transformed.apply)

    def __call__(self, variables: Any, x: Any) -> Any:
        how = self.inference
        if self.stateful:
            return self.transformed.apply(variables["params"], variables["state"], None, x, **how)[0]
        return self.transformed.apply(variables["params"], None, x, **how)


def haiku(transformed: Any, params: Any, state: Any = None, *, name: str = "haiku", **reading: Any) -> Model:
    """`hk.transform(f)` with its parameters, or `hk.transform_with_state(f)` with its state, too.

    `f` takes a batch; where it takes `is_training` or the like, it is called in inference. `reading` is
    passed to `Model`.

    >>> import haiku as hk, jax, jax.numpy as jnp
    >>> f = hk.transform(lambda x: hk.Linear(3)(x))
    >>> haiku(f, f.init(jax.random.key(0), jnp.ones((1, 2))))(jnp.ones((4, 2))).shape
    (4, 3)
    """
    stateful = type(transformed).__name__ == "TransformedWithState"
    variables = {"params": params, "state": state} if stateful else {"params": params}
    return Model(_Apply(transformed, stateful), variables, name=name, **reading)
