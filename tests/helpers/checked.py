"""What checks annotations in the test run: beartype, on functions and methods.

A pytree's generated `__init__` is left alone: JAX rebuilds pytrees of tracers, shapes and axis numbers.
Functions without a shape in their annotations are checked by beartype alone: jaxtyping asks twice, and each
call took so much time that a fifth of the tests' was that.
"""

from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is a float, as type checkers have it.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
_with_shapes = jaxtyping.jaxtyped


def functions(checked: Any) -> Any:
    return checked if checked.__qualname__.endswith("__init__") else _check(checked)


def only_where_there_are_shapes() -> None:
    """jaxtyping's import hook decorates each function by this name; what it is asked for classes stays."""

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        return lambda made: functions(made) if _plain(made) else _with_shapes(made, typechecker=typechecker)

    jaxtyping.jaxtyped = jaxtyped


def _plain(made: Any) -> bool:
    """Is it a function whose annotations can be read, none of which is of jaxtyping?"""
    if isinstance(made, type):
        return False
    try:
        hints = get_type_hints(made, include_extras=True)
    except Exception:
        return False
    parts = [part for hint in hints.values() for part in _within(hint)]
    return not any(getattr(part, "__module__", "").startswith("jaxtyping") for part in parts)


def _within(hint: Any) -> Iterator[Any]:
    """A hint, and all that it is made of."""
    yield hint
    for part in get_args(hint):
        yield from _within(part)
