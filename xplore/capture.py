"""Activations of any JAX function, by replaying its jaxpr and keeping the values that matter.

The rule, in the order in which it is applied to each step that depends on the input:

- a convolution or matrix product with weights, or a pooling window, starts a layer;
- a reduction over a layer starts a global pooling, unless its result comes back to that layer: then
  the step that combines them starts a normalisation (softmax, for one), and later ones stay in it;
- an elementwise step of equal shape extends the layer that started latest: a layer's value is the last
  such step, so after bias and nonlinearity;
- values tagged with `jax.ad_checkpoint.checkpoint_name`, where a model has any, replace all of this.

This module alone touches JAX's internals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from xplore.units import Layer

CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
OPAQUE = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"}
SHAPE_STEPS = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "rev", "copy_p"}
ELEMENTWISE = set(
    [
        "abs",
        "add",
        "add_any",
        "atan",
        "atan2",
        "cbrt",
        "ceil",
        "clamp",
        "convert_element_type",
        "copy",
        "cos",
        "cosh",
        "div",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "integer_pow",
        "log",
        "log1p",
        "logistic",
        "max",
        "min",
        "mul",
        "neg",
        "not",
        "pow",
        "reduce_precision",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
    ]
)


@dataclass
class _Layer:
    kind: str
    name: str
    value: Any
    channel: int | None
    source: int | None = None  # the layer that a reduction or a normalisation was computed from
    alive: bool = True


@dataclass(frozen=True)
class _Value:
    """A value on its way through the replay: does it depend on the input, and where does it belong?"""

    data: Any
    from_input: bool = False
    layer: int | None = None
    channel: int | None = None
    path: str = ""  # of the weight that it comes from


@dataclass
class _Replay:
    layers: list[_Layer] = field(default_factory=list)
    tags: list[_Layer] = field(default_factory=list)

    def start(self, kind: str, name: str, out: Any, channel: int | None, source: int | None = None) -> _Value:
        self.layers.append(_Layer(kind, name, out, channel, source))
        return _Value(out, True, len(self.layers) - 1, channel)

    def run(
        self, jaxpr: Any, consts: Sequence[_Value], args: Sequence[_Value], stack: str = ""
    ) -> list[_Value]:
        env: dict[Any, _Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            read = [_Value(v.val) if isinstance(v, core.Literal) else env[v] for v in eqn.invars]
            scope = "/".join(filter(None, (stack, str(eqn.source_info.name_stack))))
            if eqn.primitive.name in CALLS:
                inner = eqn.params[CALLS[eqn.primitive.name]]
                written = self.run(inner.jaxpr, [_Value(c) for c in inner.consts], read, scope)
            else:
                out = _bind(eqn, [v.data for v in read])
                outs = out if eqn.primitive.multiple_results else [out]
                written = [self.step(eqn, read, out, scope) for out in outs]
            env.update(zip(eqn.outvars, written, strict=True))
        return [_Value(v.val) if isinstance(v, core.Literal) else env[v] for v in jaxpr.outvars]

    def step(self, eqn: Any, read: Sequence[_Value], out: Any, scope: str) -> _Value:
        """Place one result: which layer does it start, extend or leave?"""
        kind = eqn.primitive.name
        live = [v for v in read if v.from_input]
        if not live:
            return _Value(out, path=next((v.path for v in read if v.path), ""))
        if kind in ("conv_general_dilated", "dot_general") and len(live) == 1:
            weight = read[1] if read[0].from_input else read[0]
            layer = "conv" if kind == "conv_general_dilated" else "dense"
            return self.start(layer, weight.path or scope, out, _channel(eqn, read, out))
        if kind.startswith("reduce_window") or kind.startswith("cumred"):
            return self.start("pool", "", out, live[0].channel, live[0].layer)
        if kind in REDUCTIONS and live[0].layer is not None:
            axes = eqn.params["axes"]
            return self.start("global_pool", "", out, _after_reduction(live[0].channel, axes), live[0].layer)
        if kind == "name":
            self.tags.append(_Layer("tag", eqn.params["name"], out, live[0].channel))
        if kind in ELEMENTWISE or (kind in OPAQUE and out.shape == live[0].data.shape):
            return self.elementwise(eqn, live, out)
        latest = max((v.layer for v in live if v.layer is not None), default=None)
        if kind in SHAPE_STEPS:
            same = out.shape == live[0].data.shape and kind != "transpose"
            return _Value(out, True, latest, live[0].channel if same else None)
        return _Value(out, True)

    def elementwise(self, eqn: Any, live: Sequence[_Value], out: Any) -> _Value:
        """A step of equal shape: it extends its latest layer, or closes a normalisation."""
        met = {v.layer for v in live if v.layer is not None}
        if not met:
            return _Value(out, True)
        channel = next((v.channel for v in live if v.channel is not None and v.data.ndim == out.ndim), None)
        for index in sorted(met):
            base = self.layers[index]
            if base.value.shape != out.shape:
                continue
            summaries = {
                i for i in met if self.layers[i].kind == "global_pool" and self.layers[i].source == index
            }
            if summaries:
                for i in summaries:
                    self.layers[i].alive = False
                if base.kind != "normalise":
                    return self.start("normalise", "", out, channel, index)
                base.value = out
                return _Value(out, True, index, channel)
        latest = max(met)
        layer = self.layers[latest]
        if eqn.primitive.name in OPAQUE and _reduces(eqn.params[OPAQUE[eqn.primitive.name]]):
            return self.start("normalise", "", out, channel, latest)
        if out.shape == layer.value.shape and jnp.issubdtype(out.dtype, jnp.floating):
            layer.value = out
        return _Value(out, True, latest, channel)


def _bind(eqn: Any, args: Sequence[Any]) -> Any:
    """Evaluate one step; JAX 0.10 keeps the subfunctions among the parameters, earlier ones apart."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    subfuns, params = bound if isinstance(bound, tuple) else ([], bound)
    return eqn.primitive.bind(*subfuns, *args, **params)


def _channel(eqn: Any, read: Sequence[_Value], out: Any) -> int:
    """The axis of the output that the weights, not the input, gave it."""
    if eqn.primitive.name == "conv_general_dilated":
        return eqn.params["dimension_numbers"].out_spec[1]
    (lhs_contracted, _), (lhs_batch, _) = eqn.params["dimension_numbers"]
    if read[0].from_input:
        return out.ndim - 1
    return len(lhs_batch) if read[0].data.ndim > len(lhs_contracted) + len(lhs_batch) else out.ndim - 1


def _after_reduction(channel: int | None, axes: tuple[int, ...]) -> int | None:
    return None if channel is None or channel in axes else channel - sum(axis < channel for axis in axes)


def _reduces(jaxpr: Any) -> bool:
    """Does an opaque call hold a reduction, so is a normalisation rather than an activation function?"""
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    return any(
        eqn.primitive.name in REDUCTIONS
        or any(
            _reduces(sub) for sub in eqn.params.values() if isinstance(sub, (core.ClosedJaxpr, core.Jaxpr))
        )
        for eqn in inner.eqns
    )


def _weight_path(path: tuple[Any, ...]) -> str:
    """`params/conv1/kernel` is the weight of layer `conv1`."""
    keys = [key for key in jax.tree_util.keystr(path, simple=True, separator="/").split("/") if key]
    while keys and keys[-1] in ("value", "raw_value"):
        keys.pop()
    if keys and keys[0] in ("params", "_variables"):
        keys.pop(0)
    return "/".join(keys[:-1])


def _names(layers: Sequence[_Layer]) -> list[str]:
    """A unique name each: the weight's path or name stack, else the kind and its number."""
    root = {layer.name.split("/")[0] for layer in layers if "/" in layer.name}
    shared = (
        next(iter(root)) + "/" if len(root) == 1 and all("/" in la.name for la in layers if la.name) else ""
    )
    counts: dict[str, int] = {}
    names = []
    for layer in layers:
        stem = layer.name.removeprefix(shared) or layer.kind
        counts[stem] = counts.get(stem, 0) + 1
        numbered = f"{stem}{counts[stem]}" if not layer.name else f"{stem}_{counts[stem]}"
        names.append(stem if counts[stem] == 1 and layer.name else numbered)
    return names


def _replay(f: Callable[..., Any], params: Any, x: Any) -> tuple[Any, list[_Layer]]:
    closed, out_shape = jax.make_jaxpr(f, return_shape=True)(params, x)
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    weights = [_Value(leaf, path=_weight_path(path)) for path, leaf in paths]
    replay = _Replay()
    inputs = [_Value(leaf, True) for leaf in jax.tree.leaves(x)]
    out = replay.run(closed.jaxpr, [_Value(c) for c in closed.consts], [*weights, *inputs])
    output = jax.tree.unflatten(jax.tree.structure(out_shape), [value.data for value in out])
    return output, replay.tags or [layer for layer in replay.layers if layer.alive]


def capture(
    f: Callable[[Any, jax.Array], Any], params: Any, x: jax.Array
) -> tuple[Any, list[Layer], list[jax.Array]]:
    """`f(params, x)`, its layers, and each layer's value with the batch first and the channels last.

    The batch axis of a value is the one that follows the batch size of `x`; a value without one, or in
    which it is not told apart, is no layer.

    >>> w = {"fc": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}}
    >>> f = lambda p, x: jax.nn.relu(x @ p["fc"]["kernel"] + p["fc"]["bias"])
    >>> out, layers, values = capture(f, w, jnp.ones((5, 3)))
    >>> layers, values[0].shape
    ([Layer(name='fc', kind='dense', shape=(2,))], (5, 2))
    """
    output, found = _replay(f, params, x)
    layers, values = [], []
    for name, layer, axes in zip(_names(found), found, _batch_axes(f, params, x, found), strict=True):
        if len(axes) != 1 or not jnp.issubdtype(layer.value.dtype, jnp.floating):
            continue
        value = layer.value if layer.value.ndim > 1 else layer.value[:, None]
        channel = value.ndim - 1 if layer.channel in (None, axes[0]) else layer.channel
        if channel == axes[0]:
            channel = 0 if axes[0] else 1
        value = jnp.moveaxis(value, (axes[0], channel), (0, -1))
        layers.append(Layer(name, layer.kind, value.shape[1:]))
        values.append(value)
    return output, layers, values


def _batch_axes(f: Callable[..., Any], params: Any, x: jax.Array, found: Sequence[_Layer]) -> list[list[int]]:
    """The axes of each layer's value that follow the batch: those of its size, if that leaves no doubt.

    Where an axis of that size is the channels', or there are several or none, the function is traced at
    another batch size and the axes that changed are taken.
    """
    sizes = [[i for i, n in enumerate(la.value.shape) if n == x.shape[0]] for la in found]
    if all(len(axes) == 1 and axes[0] != la.channel for axes, la in zip(sizes, found, strict=True)):
        return sizes
    wider: list[_Layer] = []

    def trace(params: Any, x: jax.Array) -> None:
        wider.extend(_replay(f, params, x)[1])

    jax.eval_shape(trace, params, jax.ShapeDtypeStruct((x.shape[0] + 1, *x.shape[1:]), x.dtype))
    shapes = [(la.value.shape, other.value.shape) for la, other in zip(found, wider, strict=True)]
    return [[i for i, (n, m) in enumerate(zip(*pair, strict=True)) if n != m] for pair in shapes]
