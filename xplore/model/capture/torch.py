"""Activations of a torch module, by watching each of its steps and keeping the values that matter.

What a layer is stands in `layers.py`; this module shows it each operator that a module dispatches, also
those of functions (`F.relu`) and in place, and alone knows torch's operators. Weights are known by their
memory, through whatever view of them a step reads. A recurrent net (`LSTM`, `GRU`, `RNN`) is one step,
with time as a position. Values carry torch's graph, so that they can be differentiated. torch is imported
on use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from xplore.model.capture.layers import Found, Rule, Value, moved, weight_of

CONVOLUTIONS = {"convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution"}
PRODUCTS = {"mm", "bmm", "mv", "dot", "linear", "matmul"}
PACKED = {
    **dict.fromkeys(("linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16"), "dense"),
    **{f"conv{n}d_dynamic": "conv" for n in (1, 2, 3)},
}
"""Products with packed weights, of layers that quantise what they read; what they return is float."""
ADDED_PRODUCTS = {"addmm", "addmv", "baddbmm", "addbmm"}  # of their second and third operand
POOLS = {
    *("avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("avg_pool1d", "max_pool1d", "max_pool2d", "max_pool3d", "fractional_max_pool2d"),
}
REDUCTIONS = {
    *("mean", "sum", "amax", "amin", "max", "min", "prod", "var", "std", "var_mean", "std_mean", "norm"),
    *("logsumexp", "linalg_vector_norm", "argmax", "argmin", "median", "nansum"),
}
NORMALISATIONS = {
    *("_softmax", "_log_softmax", "native_layer_norm", "native_group_norm", "_fused_rms_norm"),
    *("_safe_softmax", "softmax", "log_softmax"),
}
BATCH_NORMS = {
    *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"),
    *("cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update"),
}
LAYOUTS = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "permute", "transpose", "t"),
    *("squeeze", "unsqueeze", "expand", "flip"),
}
SLICES = {
    *("slice", "split", "split_with_sizes", "select", "unbind", "narrow", "chunk", "unsafe_split"),
    *("unsafe_chunk", "unsafe_split_with_sizes"),
}
ELEMENTWISE = {  # what torch itself does not tag as pointwise
    *("hardswish", "prelu", "_prelu_kernel", "rrelu_with_noise", "log_sigmoid_forward", "native_dropout"),
    *("_to_copy", "lift_fresh", "contiguous", "floor_divide", "rsub"),
}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
WHOLE = RECURRENT | {"instance_norm"}  # functions that are one step, whatever they dispatch


def watched(module: Any, x: Any) -> tuple[Any, list[Found], tuple[set[str], int]]:
    """`module(x)`, and its layers; their values are torch's, as they stand after the whole call.

    Also the paths of the weights that were seen to be read; of packed ones their number alone is known.
    """
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    steps = _Steps(_paths(module))
    steps.values[_key(x)] = Value(x, True)

    class Operators(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if not steps.paused:
                steps.see(func, args, kwargs, out)
            return out

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            def call() -> Any:
                return func(*args, **(kwargs or {}))

            name = getattr(func, "__name__", "")
            if name.startswith("__i") or name.endswith("_"):
                steps.keep(args)
            return steps.whole(name, call, (args, kwargs)) if name in WHOLE else call()

    with Functions(), Operators():
        out = module(x)
    return out, steps.rule.found, (steps.read, steps.packed)


def _paths(module: Any) -> dict[int, str]:
    """The path of each weight by its memory: `features.0.weight` is of `features/0`."""
    paths: dict[int, str] = {}
    for name, weight in [*module.named_parameters(), *module.named_buffers()]:
        owner = name.partition(".parametrizations.")[0] if ".parametrizations." in name else ""
        path = owner or name.rpartition(".")[0]
        paths.setdefault(_memory(weight), path.replace(".", "/"))
    return paths


def _memory(tensor: Any) -> int:
    return tensor.untyped_storage()._cdata


def _key(tensor: Any) -> tuple[Any, ...]:
    """What a tensor shows of its memory: views of the same elements are the same value."""
    return _memory(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _tensors(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (tuple, list)):
        for item in tree:
            yield from _tensors(item)
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))
    elif hasattr(tree, "untyped_storage"):
        yield tree


def _wide(tensor: Any) -> list[int]:
    """Its sizes, without axes of one."""
    return [n for n in tensor.shape if n > 1]


@functools.cache
def _facts(func: Any) -> tuple[str, list[str], bool, bool]:
    """An operator's name, its arguments' names, is it elementwise, does it write into what it reads?"""
    import torch

    name = func.overloadpacket.__name__.rstrip("_")
    pointwise = name in ELEMENTWISE or torch.Tag.pointwise in func.tags
    return name, [a.name for a in func._schema.arguments], pointwise, func._schema.is_mutable


@dataclass
class _Steps:
    """Places each step's result by the rule."""

    paths: dict[int, str]
    rule: Rule = field(default_factory=Rule)
    values: dict[Any, Value] = field(default_factory=dict)  # holds on to the tensors: no memory is reused
    written: dict[int, Value] = field(default_factory=dict)  # memory into which a live value was written
    read: set[str] = field(default_factory=set)  # the paths of weights that were read
    packed: int = 0
    paused: bool = False

    def look_up(self, tensor: Any) -> Value:
        memory = _memory(tensor)
        value = self.values.get(_key(tensor), Value(tensor))
        if not value.from_input and memory in self.written:
            value = replace(self.written[memory], whole=False, channel=None)
        elif not value.from_input and memory in self.paths:
            value = Value(tensor, weight=True, path=self.paths[memory])
            self.read.add(self.paths[memory])
        return replace(value, data=tensor)

    def keep(self, given: Any) -> None:
        """Copy a layer's value that is to be overwritten by what may be another's (`out += identity`)."""
        tensors = list(_tensors(given))
        index = self.look_up(tensors[0]).layer if len(tensors) > 1 else None
        layer = None if index is None else self.rule.layers[index]
        if layer is not None and _key(layer.value) == _key(tensors[0]):
            self.paused = True
            layer.value = tensors[0].clone()
            self.paused = False

    def see(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Show the rule one operator."""
        name, words, pointwise, writes = _facts(func)
        given = {**dict(zip(words, args, strict=False)), **(kwargs or {})}
        read = [self.look_up(tensor) for tensor in _tensors((args, kwargs))]
        outs = list(_tensors(out))
        live = [v for v in read if v.from_input]
        if not outs or name in ("detach", "alias"):  # the same memory: the value stands
            return
        if not live:
            path = next((v.path for v in read if v.path), "")
            weight = any(v.weight for v in read)
            self.values.update({_key(o): Value(o, weight=weight, path=path) for o in outs})
            return
        placed = [self.step(name, given, read, o, pointwise) for o in (outs if name in SLICES else outs[:1])]
        placed += [replace(placed[0], data=o, whole=False, channel=None) for o in outs[len(placed) :]]
        for value in placed:
            self.values[_key(value.data)] = value
            if writes:
                self.written[_memory(value.data)] = value

    def step(self, name: str, given: dict[str, Any], read: list[Value], out: Any, pointwise: bool) -> Value:
        """Show the rule one result of an operator with these arguments."""
        rule = self.rule
        live = [v for v in read if v.from_input]
        operands = read[1:3] if name in ADDED_PRODUCTS else read[:2]
        weight = weight_of(operands)
        if name in PACKED:
            self.packed += 1
            return rule.start(PACKED[name], "", out, 1 if PACKED[name] == "conv" else out.ndim - 1)
        if weight is not None and name in CONVOLUTIONS:
            return rule.start("conv", weight.path, out, 1)
        if weight is not None and name in PRODUCTS | ADDED_PRODUCTS:
            axis = out.ndim - 1 if operands[0].from_input else max(out.ndim - 2, 0)
            return rule.start("dense", weight.path, out, axis)
        if weight is not None and name == "embedding":
            return rule.start("embedding", weight.path, out, out.ndim - 1)
        if name in POOLS:
            whole = "adaptive" in name and all(n == 1 for n in out.shape[2:])
            return rule.pool("global_pool" if whole else "pool", live[0], out, live[0].channel)
        if name in REDUCTIONS:
            return rule.pool("global_pool", live[0], out, _after_reduction(given, live[0]))
        if name in NORMALISATIONS or name in BATCH_NORMS:
            by_batch = name in BATCH_NORMS and given.get("training") is True
            return self.scaled(read, out, normalises=by_batch or name in NORMALISATIONS)
        if pointwise:
            return rule.elementwise(read, out)
        if name == "glu":  # two halves meet
            half = rule.slice(live[0], out)
            return rule.elementwise([half, half], out)
        if name in LAYOUTS:
            return self.layout(name, given, live[0], out)
        if name in SLICES:
            return replace(rule.slice(live[0], out), channel=_after_slice(name, given, live[0]))
        return rule.group(live, out)

    def layout(self, name: str, given: dict[str, Any], read: Value, out: Any) -> Value:
        """Another layout; the value's too, where it only undoes how a step wanted its operands."""
        value = self.rule.layout(read, out, _after_layout(name, given, read, out))
        layer = None if read.layer is None else self.rule.layers[read.layer]
        rows = read.data.ndim == 2 and out.ndim > 2 and out.shape[-1] == read.data.shape[-1]
        if layer is None or not value.whole or _key(layer.value) != _key(read.data):
            return value
        thinner = out.ndim < read.data.ndim and _wide(out) == _wide(read.data)
        if thinner or (rows and layer.kind == "dense"):
            layer.value, layer.channel = out, value.channel
        return value

    def scaled(self, read: list[Value], out: Any, *, normalises: bool = True) -> Value:
        """A normalisation, then what it does with weights of its own."""
        value = self.rule.elementwise([v for v in read if v.from_input], out, normalises=normalises)
        fixed = [v for v in read if not v.from_input]
        return self.rule.elementwise([value, *fixed], out) if fixed else value

    def whole(self, name: str, call: Callable[[], Any], given: Any) -> Any:
        """A function as one step; of a recurrent net, the last layer's states over time are the value."""
        read = [self.look_up(tensor) for tensor in _tensors(given)]
        self.paused = True
        try:
            outs = call()
        finally:
            self.paused = False
        if any(v.from_input for v in read):
            first, *rest = _tensors(outs)
            path = next((v.path for v in read if v.weight), "")
            if name in RECURRENT:
                value = self.rule.start("recurrent", path, first, first.ndim - 1)
            else:
                value = self.scaled(read, first)
            self.values[_key(first)] = value
            for out in rest:
                self.values[_key(out)] = replace(value, data=out, whole=False)
        return outs


def _after_reduction(given: dict[str, Any], read: Value) -> int | None:
    """Where the channels are, if they were not reduced."""
    channel, rank, axes = read.channel, read.data.ndim, given.get("dim")
    if channel is None or axes is None or axes == []:
        return None
    axes = {axis % rank for axis in ([axes] if isinstance(axes, int) else axes)}
    if given.get("keepdim", False) or channel in axes:
        return None if channel in axes else channel
    return channel - sum(axis < channel for axis in axes)


def _after_slice(name: str, given: dict[str, Any], read: Value) -> int | None:
    """Where the channels are in a part: taking one index drops its axis."""
    if read.channel is None or name not in ("select", "unbind"):
        return read.channel
    axis = given.get("dim", 0) % read.data.ndim
    return None if axis == read.channel else read.channel - (axis < read.channel)


def _after_layout(name: str, given: dict[str, Any], read: Value, out: Any) -> int | None:
    """Where the channels are after a step that only lays the elements out anew."""
    channel, rank = read.channel, read.data.ndim
    if channel is None or name == "flip":
        return channel
    if name == "t":
        return rank - 1 - channel
    if name == "transpose":
        first, second = given["dim0"] % rank, given["dim1"] % rank
        return {first: second, second: first}.get(channel, channel)
    if name == "permute":
        return [axis % rank for axis in given["dims"]].index(channel)
    if name == "expand":
        return channel + out.ndim - rank
    return moved(channel, read.data.shape, out.shape)
