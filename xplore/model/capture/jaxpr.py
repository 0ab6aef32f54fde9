"""Activations of any JAX function, by replaying its jaxpr and keeping the values that matter.

What a layer is stands in `layers.py`; this module shows it each step of a function of JAX, and alone
touches JAX's internals. Calls are followed (`jit`, `remat`); those with a derivative of their own
(`custom_jvp`, `custom_vjp`) are one step. A `scan` over stacked weights is a layer an iteration; one
that reads the same weights again and again (a recurrent net) is a layer with time as a position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend import core

from xplore.model.capture.layers import (
    Found,
    Rule,
    Value,
    after_reduction,
    capturing,
    is_float,
    moved,
    names,
    weight_of,
)
from xplore.model.closure import bind
from xplore.model.neurons import Layer

CALLS = {"closed_call": "call_jaxpr", "core_call": "call_jaxpr"} | dict.fromkeys(
    ["jit", "pjit", "checkpoint", "remat", "remat2"], "jaxpr"
)
OPAQUE = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
PRODUCTS = {"conv_general_dilated": "conv", "dot_general": "dense"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"}
LAYOUTS = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "rev", "copy_p"}
SLICES = {"slice", "split", "dynamic_slice"}
ELEMENTWISE = {
    *("abs", "add", "add_any", "atan", "atan2", "cbrt", "ceil", "clamp", "convert_element_type", "copy"),
    *("cos", "cosh", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "integer_pow"),
    *("log", "log1p", "logistic", "max", "min", "mul", "neg", "not", "pow", "reduce_precision", "rem"),
    *("round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub"),
    *("tan", "tanh"),
}

Lower: TypeAlias = Callable[[Any, Sequence[Any]], Any]
"""What a step (an equation of a jaxpr) makes of its arguments, or None, where it is bound as written."""


@dataclass
class _Replay:
    """Runs a jaxpr step by step, and places each result by the rule."""

    rule: Rule = field(default_factory=Rule)
    lower: Lower | None = None

    def run(self, jaxpr: Any, consts: Sequence[Value], args: Sequence[Value], stack: str = "") -> list[Value]:
        env: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))

        def look_up(v: Any) -> Value:
            return Value(v.val) if isinstance(v, core.Literal) else env[v]

        for eqn in jaxpr.eqns:
            scope = "/".join(filter(None, (stack, str(eqn.source_info.name_stack))))
            written = self.equation(eqn, [look_up(v) for v in eqn.invars], scope)
            env.update(zip(eqn.outvars, written, strict=True))
        return [look_up(v) for v in jaxpr.outvars]

    def equation(self, eqn: Any, read: list[Value], scope: str) -> list[Value]:
        kind = eqn.primitive.name
        if kind in CALLS:
            inner = eqn.params[CALLS[kind]]
            if isinstance(inner, core.ClosedJaxpr):
                return self.run(inner.jaxpr, [Value(c, weight=True) for c in inner.consts], read, scope)
            return self.run(inner, [], read, scope)
        if kind == "scan" and any(v.from_input for v in read):
            return self.scan(eqn, read, scope)
        given = [v.data for v in read]
        out = self.lower(eqn, given) if self.lower else None
        out = bind(eqn, given) if out is None else out
        outs = out if eqn.primitive.multiple_results else [out]
        return [self.step(eqn, read, out, scope) for out in outs]

    def step(self, eqn: Any, read: list[Value], out: Any, scope: str) -> Value:
        """Show the rule one result."""
        kind, rule = eqn.primitive.name, self.rule
        rule.scope = scope
        live = [v for v in read if v.from_input]
        if not live:
            path = next((v.path for v in read if v.path), "")
            return Value(out, weight=any(v.weight for v in read), path=path)
        weight = weight_of(read)
        if kind in PRODUCTS and weight is not None:
            return rule.start(PRODUCTS[kind], weight.path or scope, out, _channel(eqn, read, out))
        if kind == "gather" and weight is not None and weight is read[0]:
            return rule.start("embedding", weight.path or scope, out, out.ndim - 1)
        if kind.startswith("reduce_window"):
            return rule.pool("pool", live[0], out, live[0].channel)
        if kind in REDUCTIONS:
            channel = after_reduction(live[0].channel, tuple(map(int, eqn.params["axes"])))
            return rule.pool("global_pool", live[0], out, channel)
        if kind == "name":
            rule.tag(eqn.params["name"], out)
            return replace(live[0], data=out)
        if kind in OPAQUE:
            return self.opaque(eqn, read, out, scope)
        if kind in ELEMENTWISE:
            return rule.elementwise(read, out)
        if kind in LAYOUTS:
            return rule.layout(live[0], out, _after_layout(eqn, live[0], out))
        if kind in SLICES:
            return rule.slice(live[0], out)
        return rule.group(live, out)

    def opaque(self, eqn: Any, read: list[Value], out: Any, scope: str) -> Value:
        """A call with a derivative of its own: a layer if it holds a product with weights, else a step."""
        inner = set(primitives(eqn.params[OPAQUE[eqn.primitive.name]]))
        weight, live = weight_of(read), [v for v in read if v.from_input]
        if weight is not None and inner & PRODUCTS.keys():
            return self.rule.start("custom", weight.path or scope, out, out.ndim - 1)
        if any(v.data.shape == out.shape for v in live):
            return self.rule.elementwise(read, out, normalises=bool(inner & REDUCTIONS))
        return self.rule.group(live, out)

    def scan(self, eqn: Any, read: list[Value], scope: str) -> list[Value]:
        """A loop over stacked weights, iteration by iteration; any other with time as a position."""
        n_consts, n_carry = eqn.params["num_consts"], eqn.params["num_carry"]
        consts, carry, xs = read[:n_consts], read[n_consts : n_consts + n_carry], read[n_consts + n_carry :]
        body = eqn.params["jaxpr"]
        run = partial(self._body, body, consts, scope)
        if weight_of(xs) is None:
            return self.recurrent(eqn, body, (consts, carry, xs), scope)
        order = range(eqn.params["length"])
        rows: list[list[Value]] = []
        for i in reversed(order) if eqn.params["reverse"] else order:
            now = [replace(v, data=v.data[i], path=v.path and f"{v.path}/{i}") for v in xs]
            out = run(carry, now)
            carry = out[:n_carry]
            rows.append(out[n_carry:])
        if eqn.params["reverse"]:
            rows.reverse()
        stacked = [
            self.rule.group(column, jnp.stack([v.data for v in column])) for column in zip(*rows, strict=True)
        ]
        return [*carry, *stacked]

    def _body(self, body: Any, consts: list[Value], scope: str, *args: list[Value]) -> list[Value]:
        inner = [Value(c, weight=True) for c in body.consts]
        return self.run(body.jaxpr, inner, [*consts, *args[0], *args[1]], scope)

    def recurrent(
        self, eqn: Any, body: Any, read: tuple[list[Value], list[Value], list[Value]], scope: str
    ) -> list[Value]:
        """The layers of one iteration, with the iterations as their first axis."""
        consts, carry, xs = read
        found: list[Found] = []

        def one(carried: Sequence[Any], sliced: Sequence[Any]) -> tuple[Any, Any]:
            # Whatever the input may reach is taken as reached from the first iteration on.
            inside = _Replay(lower=self.lower)
            state = [Value(data, True) for data in carried]
            now = [Value(data, v.from_input, weight=v.weight) for data, v in zip(sliced, xs, strict=True)]
            outs = [v.data for v in inside._body(body, consts, scope, state, now)]
            found[:] = inside.rule.found
            tagged[:] = [bool(inside.rule.tags)]
            return outs[: len(carry)], (outs[len(carry) :], [layer.value for layer in found])

        tagged = [False]
        length, reverse = eqn.params["length"], eqn.params["reverse"]
        first, over = [v.data for v in carry], [v.data for v in xs]
        last, (ys, values) = jax.lax.scan(one, first, over, length=length, reverse=reverse)
        for layer, value in zip(found, values, strict=True):
            channel = None if layer.channel is None else layer.channel + 1
            if tagged[0]:
                self.rule.tags.append(replace(layer, value=value, channel=channel))
            else:
                self.rule.start(layer.kind, layer.name, value, channel)
        live = [v for group in read for v in group if v.from_input]
        if not tagged[0] and found:
            live.append(Value(None, True, len(self.rule.layers) - 1))
        return [self.rule.group(live, out) for out in [*last, *ys]]


def _channel(eqn: Any, read: Sequence[Value], out: Any) -> int:
    """The axis of the output that the weights, not the input, gave it."""
    if eqn.primitive.name == "conv_general_dilated":
        return eqn.params["dimension_numbers"].out_spec[1]
    (lhs_contracted, _), (lhs_batch, _) = eqn.params["dimension_numbers"]
    if read[0].from_input:
        return out.ndim - 1
    return len(lhs_batch) if read[0].data.ndim > len(lhs_contracted) + len(lhs_batch) else out.ndim - 1


def _after_layout(eqn: Any, read: Value, out: Any) -> int | None:
    """Where the channels are after a step that only lays the elements out anew."""
    kind, channel = eqn.primitive.name, read.channel
    if channel is None:
        return None
    if kind == "transpose":
        return list(eqn.params["permutation"]).index(channel)
    if kind == "broadcast_in_dim":
        return int(eqn.params["broadcast_dimensions"][channel])
    return moved(channel, read.data.shape, out.shape)


def primitives(jaxpr: Any) -> Iterator[str]:
    """The names of all steps, those of inner calls too."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn.primitive.name
        for sub in eqn.params.values():
            if isinstance(sub, (core.ClosedJaxpr, core.Jaxpr)):
                yield from primitives(sub)


def _weight_path(path: tuple[Any, ...]) -> str:
    """`params/conv1/kernel` is the weight of layer `conv1`."""
    keys = [key for key in jax.tree_util.keystr(path, simple=True, separator="/").split("/") if key]
    while keys and keys[-1] in ("value", "raw_value"):
        keys.pop()
    if keys and keys[0] in ("params", "_variables"):
        keys.pop(0)
    return "/".join(keys[:-1])


def _replay(f: Callable[..., Any], params: Any, x: Any, lower: Any = None) -> tuple[Any, list[Found]]:
    token = capturing.set(True)
    try:
        closed, out_shape = jax.make_jaxpr(f, return_shape=True)(params, x)
    finally:
        capturing.reset(token)
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    weights = [Value(leaf, weight=True, path=_weight_path(path)) for path, leaf in paths]
    replay = _Replay(lower=lower)
    inputs = [Value(leaf, True) for leaf in jax.tree.leaves(x)]
    consts = [Value(c, weight=True) for c in closed.consts]
    out = replay.run(closed.jaxpr, consts, [*weights, *inputs])
    output = jax.tree.unflatten(jax.tree.structure(out_shape), [value.data for value in out])
    return output, replay.rule.found


def capture(
    f: Callable[[Any, jax.Array], Any], params: Any, x: jax.Array, lower: Lower | None = None
) -> tuple[Any, list[Layer], list[jax.Array]]:
    """`f(params, x)`, its layers, and each layer's value with the batch first and the channels last.

    The batch axis of a value is the one that follows the batch size of `x`; a value without one, or in
    which it is not told apart, is no layer. Where it was merged with another axis (windows of an image),
    it is taken apart again. `lower` may compute a step otherwise than as written (`lowering/autotune.py`).

    >>> w = {"fc": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}}
    >>> f = lambda p, x: jax.nn.relu(x @ p["fc"]["kernel"] + p["fc"]["bias"])
    >>> out, layers, values = capture(f, w, jnp.ones((5, 3)))
    >>> layers, values[0].shape
    ([Layer(name='fc', kind='dense', shape=(2,), unit='mean')], (5, 2))
    """
    output, found = _replay(f, params, x, lower)
    layers, values = [], []
    for name, layer, axes in zip(names(found), found, _batch_axes(f, params, x, found), strict=True):
        if len(axes) != 1 or not is_float(layer.value):
            continue
        value = batch_first(layer, axes[0], x.shape[0])
        if value is not None:
            layers.append(Layer(name, layer.kind, value.shape[1:]))
            values.append(value)
    return output, layers, values


def batch_first(layer: Found, batch: int, size: int) -> jax.Array | None:
    """A layer's value with the batch first and the channels last; None where batches are not whole."""
    value, channel = layer.value, layer.channel
    if value.shape[batch] % size:
        return None
    if value.shape[batch] > size:  # rows of one input lie together
        if channel is not None and channel > batch:
            channel += 1
        value = value.reshape(*value.shape[:batch], size, -1, *value.shape[batch + 1 :])
    value = value if value.ndim > 1 else value[:, None]
    channel = value.ndim - 1 if channel in (None, batch) else channel
    if channel == batch:
        channel = 0 if batch else 1
    return jnp.moveaxis(value, (batch, channel), (0, -1))


def _batch_axes(f: Callable[..., Any], params: Any, x: jax.Array, found: Sequence[Found]) -> list[list[int]]:
    """The axes of each layer's value that follow the batch: the first, if that leaves no doubt.

    Where another axis has that size, too, or is the channels', or the first has another size, the function
    is traced at another batch size and the axes that changed are taken.
    """
    sizes = [[i for i, n in enumerate(la.value.shape) if n == x.shape[0]] for la in found]
    if all(axes == [0] and la.channel != 0 for axes, la in zip(sizes, found, strict=True)):
        return sizes
    wider: list[Found] = []

    def trace(params: Any, x: jax.Array) -> None:
        wider.extend(_replay(f, params, x)[1])

    jax.eval_shape(trace, params, jax.ShapeDtypeStruct((x.shape[0] + 1, *x.shape[1:]), x.dtype))
    shapes = [(la.value.shape, other.value.shape) for la, other in zip(found, wider, strict=True)]
    return [[i for i, (n, m) in enumerate(zip(*pair, strict=True)) if n != m] for pair in shapes]
