"""How a function ends: what its outputs mean, followed from them back through its jaxpr.

Steps of layout (a reshape, a transpose, another type), limits that leave probabilities as they are, and
calls are seen through; what any library's softmax and sigmoid are traced to is known by its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend import core

from xplore.model.closure import INLINE, bind
from xplore.model.outputs import OutputKind

CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
LAYOUTS = {
    *("reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy"),
    *("copy_p", "reduce_precision", "stop_gradient", "optimization_barrier", "name", "device_put"),
    *("sharding_constraint", "mesh_cast"),
}
LOOPS = ("scan", "while", "cond")
POSITIVE = ("exp", "sigmoid")
"""What makes a share of everything, divided by its sum."""


@dataclass(eq=False)
class _Step:
    """A step and what it reads, without layout; a constant has a value.

    `arrays` are what it reads, with layout, where it is evaluated.
    """

    kind: str
    reads: tuple[_Step, ...] = ()
    value: Any = None
    arrays: tuple[Any, ...] = ()

    def is_number(self, low: float, high: float) -> bool:
        """Is it one number, the same everywhere, in these limits?"""
        return self.value is not None and np.size(self.value) == 1 and bool(low <= self.number <= high)

    @property
    def number(self) -> Any:
        return np.ravel(self.value)[0].item()


def found_head(traced: core.ClosedJaxpr, shape: tuple[int, ...]) -> OutputKind | None:
    """`probabilities`, if outputs `[b *shape]` are of a softmax, or of one sigmoid a row; else None.

    >>> import jax, jax.numpy as jnp
    >>> x = jax.ShapeDtypeStruct((4, 2), jnp.float32)
    >>> found_head(jax.make_jaxpr(lambda x: jax.nn.softmax(x).reshape(4, 2, 1))(x), (2, 1))
    'probabilities'
    >>> found_head(jax.make_jaxpr(lambda x: 3 * jax.nn.softmax(x))(x), (2,)) is None
    True
    """
    (last, *more) = _Trail().outputs(traced.jaxpr, {})
    if more:
        return None
    last = _unlimited(last)
    single = shape in ((), (1,))
    return "probabilities" if _is_softmax(last) or (single and last.kind == "sigmoid") else None


def with_logits(f: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """`f`, and with its outputs what the softmax or sigmoid at its end reads: the logits `[b c]`.

    They are None where `f` ends otherwise, or inside a step that is not taken apart.

    >>> import jax.numpy as jnp
    >>> both = with_logits(lambda w, x: jax.nn.softmax(x @ w))
    >>> [out.round(2).tolist() for out in both(jnp.eye(2), jnp.array([[3.0, 1.0]]))]
    [[[0.8799999952316284, 0.11999999731779099]], [[3.0, 1.0]]]
    """

    def both(*args: Any) -> tuple[Any, Any]:
        traced, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        given = [(_Step("given"), leaf) for leaf in jax.tree.leaves(args)]
        came = _Run().evaluate(traced.jaxpr, traced.consts, given)
        outputs = jax.tree.unflatten(jax.tree.structure(shape), [array for _, array in came])
        logits = _logits(_unlimited(came[0][0])) if len(came) == 1 else None
        return outputs, None if getattr(logits, "shape", None) != outputs.shape else logits

    return both


def _logits(step: _Step) -> Any:
    """What a softmax or a sigmoid reads, as an array; None, where that is not known."""
    match step.kind, step.reads:
        case "div", (part, _) if _is_softmax(step) and part.kind == "exp":
            return _unshifted(part)
        case "exp", (read,) if _is_softmax(step):
            return _unshifted(read)
        case "sigmoid", (_,):
            return step.arrays[0] if step.arrays else None
    return None


def _unshifted(step: _Step) -> Any:
    """What a step reads, before the largest of its row or the logarithm of its sum was taken away."""
    array = step.arrays[0] if step.arrays else None
    one = step.reads[0] if step.kind == "exp" else step
    while one.kind == "sub" and (_is_largest(one.reads[1], one.reads[0]) or one is step):
        array = one.arrays[0] if one.arrays else None
        one = one.reads[0]
    return array


def _is_largest(step: _Step, of: _Step) -> bool:
    """Is it the largest of a row, however it is guarded?"""
    free = [read for read in step.reads if not read.is_number(-np.inf, np.inf)]
    if step.kind == "max" and len(free) == 1:
        return _is_largest(free[0], of)
    return step.kind == "reduce_max" and step.reads[0] is of


@dataclass(eq=False)
class _Trail:
    """The steps of a jaxpr; what is computed twice is one step."""

    steps: dict[tuple[Any, ...], _Step] = field(default_factory=dict)

    def outputs(
        self, jaxpr: Any, given: Mapping[Any, _Step], arrays: Mapping[Any, Any] | None = None
    ) -> list[_Step]:
        """Where a jaxpr's outputs come from, of which some variables are known, and the arrays of some."""
        made, known = dict(given), arrays or {}

        def step(v: Any) -> _Step:
            if isinstance(v, core.Literal):
                return _Step("constant", value=v.val)
            return made.setdefault(v, _Step("given"))

        for eqn in jaxpr.eqns:
            reads = [step(v) for v in eqn.invars]
            if (body := _body(eqn)) is not None:
                outs = self.outputs(body, dict(zip(body.invars, reads, strict=True)))
            elif eqn.primitive.name in LAYOUTS:
                outs = reads
            else:
                read = [v.val if isinstance(v, core.Literal) else known.get(v) for v in eqn.invars]
                outs = [self.step(eqn, reads, read)] * len(eqn.outvars)
            made.update(zip(eqn.outvars, outs, strict=False))
        return [step(v) for v in jaxpr.outvars]

    def step(self, eqn: Any, reads: list[_Step], arrays: Sequence[Any]) -> _Step:
        """The step of an equation, or an equal one before it."""
        same = tuple((read.number,) if read.is_number(-np.inf, np.inf) else id(read) for read in reads)
        key = eqn.primitive.name, same, id(eqn) if eqn.primitive.name in LOOPS else str(eqn.params)
        made = _Step(eqn.primitive.name, tuple(reads), arrays=tuple(arrays))
        return self.steps.setdefault(key, _known(made))


class _Run(_Trail):
    """The steps of a jaxpr, evaluated."""

    def evaluate(
        self, jaxpr: Any, consts: Sequence[Any], args: Sequence[tuple[_Step, Any]]
    ) -> list[tuple[_Step, Any]]:
        """The outputs, each with the step that made it."""
        env: dict[Any, tuple[_Step, Any]] = {
            v: (_Step("constant", value=c), c) for v, c in zip(jaxpr.constvars, consts, strict=True)
        }
        env.update(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> tuple[_Step, Any]:
            return (_Step("constant", value=v.val), v.val) if isinstance(v, core.Literal) else env[v]

        for eqn in jaxpr.eqns:
            scope = str(eqn.source_info.name_stack)
            with jax.named_scope(scope) if scope else nullcontext():
                outs = self.equation(eqn, [read(v) for v in eqn.invars])
            env.update(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(self, eqn: Any, given: list[tuple[_Step, Any]]) -> list[tuple[_Step, Any]]:
        kind = eqn.primitive.name
        if kind in INLINE:
            return self.evaluate(eqn.params["jaxpr"].jaxpr, eqn.params["jaxpr"].consts, given)
        reads, arrays = [step for step, _ in given], [array for _, array in given]
        out = bind(eqn, arrays)
        outs = list(out) if eqn.primitive.multiple_results else [out]
        if (body := _body(eqn)) is not None:  # evaluated as one: of its own arrays, what it reads is known
            steps = self.outputs(
                body,
                dict(zip(body.invars, reads, strict=True)),
                dict(zip(body.invars, arrays, strict=True)),
            )
        elif kind in LAYOUTS:
            steps = reads
        else:
            steps = [self.step(eqn, reads, arrays)] * len(outs)
        return list(zip(steps, outs, strict=True))


def _body(eqn: Any) -> Any:
    """The jaxpr of a call that is seen through; None of any other step."""
    inner = next((eqn.params[key] for key in CALLS if key in eqn.params), None)
    body = getattr(inner, "jaxpr", inner)
    follows = isinstance(body, core.Jaxpr) and len(body.invars) == len(eqn.invars)
    return body if follows and eqn.primitive.name not in LOOPS else None


def _known(step: _Step) -> _Step:
    """A sigmoid, however it is written, by that name."""
    if step.kind == "logistic":
        return _Step("sigmoid", step.reads, arrays=step.arrays)
    one, below = step.reads if step.kind == "div" else (step, step)
    if one.is_number(1, 1) and below.kind == "add":
        kinds = {"one" if read.is_number(1, 1) else read.kind for read in below.reads}
        return _Step("sigmoid", below.reads) if kinds == {"one", "exp"} else step
    return step


def _unlimited(step: _Step) -> _Step:
    """What lies below limits in [0, 1]: `clip(p, 1e-7, 1 - 1e-7)`."""
    while step.kind in ("max", "min", "clamp"):
        free = [read for read in step.reads if not read.is_number(0, 1)]
        if len(free) != 1:
            break
        step = free[0]
    return step


def _is_softmax(step: _Step) -> bool:
    """Does it sum to one: a softmax, the exponential of its logarithm, or `p` beside `1 - p`?"""
    match step.kind, step.reads:
        case "div", (part, whole):
            return part.kind in POSITIVE and whole.kind == "reduce_sum" and whole.reads[0] is part
        case "exp", (read,):
            return read.kind == "sub" and any(_is_log_sum(one, read.reads[0]) for one in read.reads[1:])
        case "concatenate" | "stack", (one, other):
            return _is_rest(one, other) or _is_rest(other, one)
    return False


def _is_log_sum(step: _Step, of: _Step) -> bool:
    """Is it the logarithm of the sum of `exp(of)`?"""
    below = list(_reads(step, "log", "reduce_sum", "exp"))
    return any(read is of for read in below)


def _reads(step: _Step, *kinds: str) -> Iterator[_Step]:
    """What is read at the end of a chain of steps of these kinds."""
    if not kinds:
        yield step
    elif step.kind == kinds[0] and step.reads:
        yield from _reads(step.reads[0], *kinds[1:])


def _is_rest(one: _Step, other: _Step) -> bool:
    """Is one `1 - other`, and the other a sigmoid?"""
    rest = one.kind == "sub" and one.reads[0].is_number(1, 1) and one.reads[1] is other
    return rest and other.kind == "sigmoid"


VIEWS = {
    *("View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute"),
    *("Clone", "ToCopy", "Alias", "Expand", "Contiguous"),
}
"""What torch calls steps of layout, in the graph of its derivatives."""


def found_head_torch(outputs: Any) -> OutputKind | None:
    """The same of a tensor `[b *shape]`, by torch's graph of derivatives, where it has one."""
    step, names = outputs.grad_fn, []
    while step is not None:
        name = step.name().rstrip("0123456789").removesuffix("Backward")
        names += [] if name in VIEWS else [name]
        known = names[-1:] != ["Exp"] if names else False
        if known or len(names) > 1:
            break
        step = step.next_functions[0][0] if step.next_functions else None
    single = tuple(outputs.shape[1:]) in ((), (1,))
    softmax = names in (["Softmax"], ["Exp", "LogSoftmax"])
    return "probabilities" if softmax or (single and names == ["Sigmoid"]) else None
