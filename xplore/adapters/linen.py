"""Flax linen modules as models under test."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from xplore.model import Model
from xplore.model.inference_mode import INFERENCE, in_inference


@dataclass(frozen=True)
class _Apply:
    """`module.apply`, hashed by the module's own fields, so that a module built again never retraces."""

    module: Any

    @property
    def inference(self) -> dict[str, bool]:
        """The arguments that it is called with; a field of the same name that is set goes before one."""
        arguments = in_inference(type(self.module).__call__)
        return {name: value for name, value in arguments.items() if getattr(self.module, name, None) is None}

    def __call__(self, variables: Any, x: Any) -> Any:
        return self.module.apply(variables, x, **self.inference)


def linen(module: Any, variables: Any, *, name: str = "", **reading: Any) -> Model:
    """A `flax.linen.Module` in inference; `reading` is passed to `Model`.

    What chooses the mode is set to inference: arguments of its call and fields, of the modules in its fields
    too, that are called `train`, `training`, `deterministic`, `use_running_average` and the like.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> module = nn.Dense(3)
    >>> linen(module, module.init(jax.random.key(0), jnp.ones((1, 2))), name="dense")(jnp.ones((4, 2))).shape
    (4, 3)
    """
    return Model(
        _Apply(_evaluating(module)), variables, name=name or type(module).__name__.lower(), **reading
    )


def _evaluating(part: Any) -> Any:
    """A module whose fields choose inference, and what holds such modules; the same object where they do."""
    import flax.linen as nn

    if isinstance(part, (list, tuple)) and not hasattr(part, "_fields"):
        parts = [_evaluating(each) for each in part]
        same = all(one is other for one, other in zip(parts, part, strict=True))
        return part if same else type(part)(parts)
    if isinstance(part, dict):
        held = {key: _evaluating(value) for key, value in part.items()}
        return part if all(held[key] is part[key] for key in part) else held
    if not isinstance(part, nn.Module):
        return part
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        if field.name in ("parent", "name"):
            continue
        value = getattr(part, field.name, None)
        mode = INFERENCE.get(field.name, value) if isinstance(value, bool) else _evaluating(value)
        if mode is not value:
            changes[field.name] = mode
    return part.clone(**changes) if changes else part
