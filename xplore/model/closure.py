"""Arrays that a function closes over, as arguments of it.

A bound method, a function over a notebook's global or a lambda over a module reads arrays that are none of
its arguments. JAX makes constants of them when it traces the function, and looks the program up by the
function alone: once the arrays change, a program with the old ones is run. So the function is traced each
time that it is given; the arrays it closes over then become arguments, and what else it was traced to
(numbers, branches taken) becomes part of the key by which programs are looked up.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array

from xplore._util.errors import InputError

INLINE = ("jit", "pjit")
"""Calls that keep their constants to themselves; those of all others are operands."""


@dataclass(frozen=True)
class Trace:
    """What a function was when it was given: its program, and the arrays that it closed over.

    `key` is what compiled programs are looked up by; `program` is the same in every process.
    """

    key: str
    program: str = field(compare=False)
    arrays: tuple[Array, ...] = field(default=(), compare=False, repr=False)


def trace(f: Callable[..., Any], *args: Any) -> Trace:
    """What `f` makes of arguments of these shapes, whose last one is a batch.

    An array is closed over if another batch size meets it, too; what depends on the batch size alone
    (`np.arange(len(x))`) stays a constant.

    >>> weights = np.eye(2, dtype=np.float32)
    >>> f = lambda x: 2 * x @ weights
    >>> before = trace(f, jax.ShapeDtypeStruct((4, 2), np.float32))
    >>> weights *= 3
    >>> now = trace(f, jax.ShapeDtypeStruct((4, 2), np.float32))
    >>> before == now, before.arrays[0].tolist(), now.arrays[0].tolist()
    (True, [[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.0, 3.0]])
    """
    traced = jax.make_jaxpr(f)(*args)
    constants, arrays = list(_constants(traced)), []
    if constants:
        *rest, x = args
        wider = jax.ShapeDtypeStruct((x.shape[0] + 1, *x.shape[1:]), x.dtype)
        others = _constants(jax.make_jaxpr(f)(*rest, wider))
        arrays = [constants[i] for i in _found(constants, others)]
    met = _found(constants, arrays)
    left = [c for i, c in enumerate(constants) if i not in met] + list(_hidden(traced))
    content = b"".join(f"{c.dtype} {c.shape}".encode() + _bytes(c) for c in left)
    key, program = (
        hashlib.sha256(text.encode() + content).hexdigest() for text in (str(traced), _plain(traced))
    )
    return Trace(key, program, tuple(map(_snapshot, arrays)))


def call(name: str, f: Callable[..., Any], given: Trace, arrays: Sequence[Array], *args: Any) -> Any:
    """`f(*args)` with these arrays in place of those that it closed over when it was given.

    Raises:
        InputError: `f` closes over other arrays by now; `name` says whose function it is.
    """
    if not arrays:
        return f(*args)
    traced = jax.make_jaxpr(f)(*args)
    constants = list(_constants(traced))
    met = _found(constants, given.arrays)
    if len(met) < len(arrays):
        raise InputError(
            f"model {name}",
            expected="the weights that it was given with, until the call ends",
            got="others",
            fix="change a model between calls alone",
        )
    values = dict(zip(met, arrays, strict=True))
    chosen = iter([values.get(i, constant) for i, constant in enumerate(constants)])
    (out,) = _evaluate(traced, chosen, jax.tree.leaves(args))
    return out


def _evaluate(closed: Any, constants: Iterator[Any], args: Sequence[Any]) -> list[Any]:
    """A traced function on arguments, with other constants, in the order of `_constants`."""
    env = dict(zip(closed.jaxpr.constvars, [next(constants) for _ in closed.consts], strict=True))
    env.update(zip(closed.jaxpr.invars, args, strict=True))

    def value(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else env[v]

    for eqn in closed.jaxpr.eqns:
        given, inner = [value(v) for v in eqn.invars], _inner(eqn)
        count = 0 if inner is None else sum(1 for _ in _constants(inner))
        scope = str(eqn.source_info.name_stack)
        with jax.named_scope(scope) if scope else nullcontext():
            if count:
                outs = _apart(eqn, inner, [next(constants) for _ in range(count)], given)
            else:
                outs = bind(eqn, given)
        env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else [outs], strict=True))
    return [value(v) for v in closed.jaxpr.outvars]


def _apart(eqn: Any, inner: Any, constants: list[Any], given: list[Any]) -> list[Any]:
    """A call by itself, as it was, with its constants as arguments."""

    def body(constants: list[Any], given: list[Any]) -> list[Any]:
        return _evaluate(inner, iter(constants), given)

    body.__name__ = str(eqn.params.get("name", "call"))
    return jax.jit(body, inline=bool(eqn.params.get("inline")))(constants, given)


def bind(eqn: Any, args: Sequence[Any]) -> Any:
    """Evaluate one step; JAX 0.10 keeps the subfunctions among the parameters, earlier ones apart."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    subfuns, params = bound if isinstance(bound, tuple) else ([], bound)
    return eqn.primitive.bind(*subfuns, *args, **params)


def _inner(eqn: Any) -> Any:
    """What a call of its own holds; None of any other step."""
    inner = eqn.params.get("jaxpr") if eqn.primitive.name in INLINE else None
    return inner if isinstance(inner, core.ClosedJaxpr) else None


def _constants(closed: Any) -> Iterator[Any]:
    """The arrays that a traced function holds, and those of its calls, in their order."""
    yield from closed.consts
    for eqn in closed.jaxpr.eqns:
        if (inner := _inner(eqn)) is not None:
            yield from _constants(inner)


def _hidden(closed: Any) -> Iterator[Any]:
    """The arrays that other steps hold (a compiled function in a loop): they stay constants."""
    for eqn in closed.jaxpr.eqns:
        if (inner := _inner(eqn)) is not None:
            yield from _hidden(inner)
        else:
            yield from _within(eqn)


def _within(eqn: Any) -> Iterator[Any]:
    """All arrays inside a step."""
    for parameter in eqn.params.values():
        for sub in parameter if isinstance(parameter, (tuple, list)) else [parameter]:
            yield from sub.consts if isinstance(sub, core.ClosedJaxpr) else ()
            if isinstance(sub, (core.ClosedJaxpr, core.Jaxpr)):
                for step in getattr(sub, "jaxpr", sub).eqns:
                    yield from _within(step)


def _found(constants: Sequence[Any], wanted: Any) -> list[int]:
    """Where some arrays stand among others, in one order; those that do not are left out."""
    found, at = [], 0
    for array in wanted:
        where = next((i for i in range(at, len(constants)) if _equal(constants[i], array)), None)
        if where is not None:
            found.append(where)
            at = where + 1
    return found


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return _bytes(one) == _bytes(other)


def _bytes(array: Any) -> bytes:
    key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(array) if key else array).tobytes()


def _plain(traced: Any) -> str:
    """A traced function in words, without the addresses of what it calls."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(traced))


def _snapshot(constant: Any) -> Array:
    """An array that nobody writes to."""
    return constant if isinstance(constant, jax.Array) else jnp.array(np.asarray(constant))
