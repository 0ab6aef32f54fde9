"""Recipes: functions with their arguments, where a closure would neither print, compare nor pickle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xplore._util.pytree import PyTreeNode, field


class Recipe(PyTreeNode):
    """A function and its keyword arguments, called when needed: `Recipe.of(optax.adam, learning_rate=0.1)`.

    It prints, compares and pickles; its floats are leaves, so that a new value never retraces; its other
    arguments are static.

    >>> import jax, optax
    >>> recipe = Recipe.of(optax.sgd, learning_rate=0.5, nesterov=True)
    >>> recipe == Recipe.of(optax.sgd, learning_rate=0.5, nesterov=True), jax.tree.leaves(recipe)
    (True, [0.5])
    >>> recipe
    sgd(nesterov=True, learning_rate=0.5)
    """

    function: Callable[..., Any] = field(pytree_node=False)
    static: tuple[tuple[str, Any], ...] = field(pytree_node=False, default=())
    numbers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, function: Callable[..., Any], **arguments: Any) -> Recipe:
        floats = {name: value for name, value in arguments.items() if isinstance(value, float)}
        return cls(function, tuple(sorted((k, v) for k, v in arguments.items() if k not in floats)), floats)

    def __repr__(self) -> str:
        arguments = {**dict(self.static), **self.numbers}
        name = getattr(self.function, "__name__", repr(self.function))
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def __call__(self) -> Any:
        return self.function(**dict(self.static), **self.numbers)
