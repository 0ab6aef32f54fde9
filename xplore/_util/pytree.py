"""Frozen dataclasses that JAX takes for trees: those of `flax.struct`, but never mistaken for one another.

JAX (0.10.2) holds the structures of two registered dataclasses for equal if they have as many leaves and
equal other fields, whatever their classes. It looks compiled functions up by structure, so that now and then
(the hashes differ) a search would run with another constraint's program: of 150 classes with one leaf, 21
did. Of nodes registered otherwise it compares the classes, too.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, dataclass_transform

from flax.struct import field
from jax.tree_util import GetAttrKey, register_pytree_with_keys

from xplore._util import moved

__all__ = ["Number", "PyTreeNode", "field"]

Number: TypeAlias = Any
"""A float that may be traced: hyperparameters are float32 leaves, so new values never retrace."""

Own = TypeVar("Own", bound="PyTreeNode")


def getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What reads the attributes of these names.

    >>> getter(["real", "imag"])(1 + 2j), getter(["real"])(1), getter([])(1)
    ((1.0, 2.0), (1,), ())
    """
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda node: tuple(getattr(node, name) for name in names)


@dataclass_transform(field_specifiers=(field,), frozen_default=True)
class PyTreeNode:
    """A frozen dataclass whose fields are subtrees, but those of `field(pytree_node=False)`.

    >>> class Point(PyTreeNode):
    ...     x: float
    ...     name: str = field(pytree_node=False, default="")
    >>> import jax
    >>> jax.tree.map(lambda leaf: leaf + 1, Point(1.0, "a"))
    Point(x=2.0, name='a')
    >>> Point(1.0).replace(x=3.0)
    Point(x=3.0, name='')

    `intervals` are those of a class's numbers (`xplore._util.intervals`), by field.
    A node of a class with `keyed = True` may hold a key of the functions that it calls: compiled programs
    are looked up by it, too.
    """

    keyed: ClassVar[bool] = False
    intervals: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__()
        moved.methods(cls)
        made: Any = dataclasses.dataclass(frozen=True, **options)(cls)
        trees: list[str] = []
        still: list[str] = []
        for found in dataclasses.fields(made):
            (trees if found.metadata.get("pytree_node", True) else still).append(found.name)

        keyed = cls.keyed
        of_trees, of_still = getter(trees), getter([*still, "code_key"] if keyed else still)

        def flatten(node: PyTreeNode) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            return of_trees(node), of_still(node)

        def with_keys(node: PyTreeNode) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
            values, rest = flatten(node)
            return list(zip(map(GetAttrKey, trees), values, strict=True)), rest

        def unflatten(rest: tuple[Any, ...], values: Iterable[Any]) -> PyTreeNode:
            node = cls(**dict(zip(trees, values, strict=True)), **dict(zip(still, rest, strict=not keyed)))
            return node.with_code_key(rest[-1]) if keyed and rest[-1] else node

        register_pytree_with_keys(cls, with_keys, unflatten, flatten)  # the last is called in each step

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return moved.attribute(self, name)

    def replace(self: Own, **changes: Any) -> Own:
        """The same with other values of some fields."""
        node: Any = self
        made = dataclasses.replace(node, **changes)
        return made.with_code_key(self.code_key) if self.code_key else made

    @property
    def code_key(self) -> str:
        """The key of the functions that it calls; empty, where nobody said."""
        return self.__dict__.get("_code_key", "")

    def with_code_key(self: Own, key: str) -> Own:
        """A copy with a key, which is no field: it neither prints nor compares."""
        node: Any = self
        made = dataclasses.replace(node)
        object.__setattr__(made, "_code_key", key)
        return made
