"""A torch module as a function of JAX: called on the host, with torch's own derivatives.

Where layers are asked for, each is tagged with its kind and name (`model.capture.layers`). One forward pass
serves a look and its slope. torch is imported on use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from xplore._util.errors import InputError
from xplore.model import callbacks
from xplore.model.capture.jaxpr import batch_first
from xplore.model.capture.layers import Found, capturing, is_float
from xplore.model.capture.torch import watched
from xplore.model.output_detection import found_head_torch
from xplore.model.outputs import OutputKind


class _Seen(NamedTuple):
    """A value as torch has it: its shape for a batch of two, and the axis that follows the batch."""

    kind: str
    name: str
    shape: tuple[int, ...]
    batch: int
    channel: int | None

    def at(self, size: int) -> tuple[int, ...]:
        """The shape for a batch of that size."""
        return tuple(n * size // 2 if axis == self.batch else n for axis, n in enumerate(self.shape))


class _Plan(NamedTuple):
    """What a module does with inputs of one shape."""

    steps: list[str]  # every layer that was seen, in words
    held: list[int]  # those with a value an input
    seen: list[_Seen]  # the outputs, then these layers
    has_grad: bool  # do the outputs have a gradient?
    head: OutputKind | None  # what the outputs are, where that is seen
    unseen: dict[str, int]  # weights of modules none of whose layers were seen

    def outputs_alone(self) -> _Plan:
        """The same, without its layers."""
        return self._replace(held=[], seen=self.seen[:1])


@dataclass(eq=False)
class TorchFunction(callbacks.HostFunction):
    """A torch module as a function of JAX: outputs, with every layer's value tagged on the way.

    `fingerprint` tells the module from others by what it holds.
    """

    module: Any
    name: str
    fingerprint: Callable[[Any], str]
    plans: dict[tuple[int, ...], _Plan] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)  # JAX calls from threads of its own
    read: tuple[set[str], int] = field(default_factory=lambda: (set(), 0))  # weights that were seen last
    graph: tuple[Any, Any, list[Any]] | None = None  # of what was looked at, until its slope is asked

    def __call__(self, x: Any) -> Any:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        plan = self.plan(x.shape[1:])
        plan = plan if capturing.get() else plan.outputs_alone()
        outputs, *values = self.ask(plan, wide)
        for seen, value in zip(plan.seen[1:], values, strict=True):
            first = batch_first(Found(seen.kind, seen.name, value, seen.channel), seen.batch, len(x))
            checkpoint_name(first, f"{seen.kind}:{seen.name}")
        outputs = jnp.moveaxis(outputs, 1, -1) if outputs.ndim == 4 else outputs
        return (outputs if plan.has_grad else jax.lax.stop_gradient(outputs)).astype(x.dtype)

    def refresh(self) -> str:
        with self.lock:
            self.plans.clear()
            self.graph = None
        return self.fingerprint(self.module)

    def ask(self, plan: _Plan, x: Any) -> list[Any]:
        """The outputs and every layer's value, in torch's layout and with torch's derivatives."""
        shapes = [jax.ShapeDtypeStruct(seen.at(len(x)), x.dtype) for seen in plan.seen]

        def forward(x: Any, *, keep: bool) -> list[Any]:
            return callbacks.call(partial(self.forward, plan, keep), shapes, x)

        def grad(x: Any, grads: list[Any]) -> tuple[Any]:
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            return (callbacks.call(partial(self.grad, plan), shape, x, *grads),)

        values = jax.custom_vjp(partial(forward, keep=False))
        values.defvjp(lambda x: (forward(x, keep=True), x), grad)
        return values(x)

    def plan(self, shape: tuple[int, ...]) -> _Plan:
        """Found once a shape, by two small batches: the axis that has another size in each is the batch's."""
        with self.lock:
            if shape not in self.plans:
                _, outputs, two = self.run(np.zeros((2, *shape), np.float32))
                _, wider, three = self.run(np.zeros((3, *shape), np.float32))
                steps = _steps(two)
                self.same(steps, three)
                shape_of_two, shape_of_three = tuple(outputs.shape), tuple(wider.shape)
                if (*shape_of_two[:1], *shape_of_three[:1]) != (2, 3) or not is_float(outputs):
                    raise self.fault("floats, a row an input", f"{described(outputs)} for a batch of two")
                layers = [_seen(*pair) for pair in zip(two, three, strict=True)]
                held = [i for i, layer in enumerate(layers) if layer is not None]
                first = _Seen("output", "", shape_of_two, 0, None)
                seen = [first, *(layer for layer in layers if layer is not None)]
                has_grad, head = outputs.requires_grad, found_head_torch(outputs)
                unseen = unseen_weights(self.module, *self.read)
                self.plans[shape] = _Plan(steps, held, seen, has_grad, head, unseen)
            return self.plans[shape]

    def head(self, shape: tuple[int, ...]) -> OutputKind | None:
        """What it returns for inputs of a shape, where that is seen."""
        return self.plan(shape).head

    def unseen(self, shape: tuple[int, ...]) -> dict[str, int]:
        return self.plan(shape).unseen

    def run(self, x: np.ndarray, *, watch: bool = True, graph: bool = True) -> tuple[Any, Any, list[Found]]:
        """The module on a batch in evaluation mode: input, outputs and layers, in torch's graph."""
        import torch

        first = next(filter(is_float, self.module.parameters()), torch.zeros(()))
        leaf = torch.tensor(x, dtype=first.dtype, device=first.device).requires_grad_(graph)
        with evaluating(self.module), torch.inference_mode(False), torch.set_grad_enabled(graph):
            start = leaf.clone()  # a step may overwrite what it reads
            outputs, found, self.read = (
                watched(self.module, start) if watch else (self.module(start), [], self.read)
            )
        return leaf, self.outputs(outputs), found

    def outputs(self, outputs: Any) -> Any:
        """The tensor that a module returns, or returns as `logits`."""
        import torch

        held = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", outputs)
        if not isinstance(held, torch.Tensor):
            keys = f" of {', '.join(map(str, outputs))}" if isinstance(outputs, dict) else ""
            raise self.fault("a tensor, or something with `logits`", type(outputs).__name__ + keys)
        return held

    def forward(self, plan: _Plan, keep: bool, x: Any) -> list[np.ndarray]:
        """On the host: the values of one batch."""
        x = np.asarray(x)
        with self.lock:
            leaf, tensors = self.values(plan, x, graph=keep)
            self.graph = (x.copy(), leaf, tensors) if keep else None
        shapes = [seen.at(len(x)) for seen in plan.seen]
        return [_array(tensor, x).reshape(shape) for tensor, shape in zip(tensors, shapes, strict=True)]

    def grad(self, plan: _Plan, x: Any, *grads: Any) -> np.ndarray:
        """On the host: the slope at a batch, of all its values."""
        import torch

        x = np.asarray(x)
        with self.lock:
            graph, self.graph = self.graph, None
            if graph is None or not np.array_equal(graph[0], x) or len(graph[2]) != len(plan.seen):
                graph = (x, *self.values(plan, x))
            _, leaf, tensors = graph
            pairs = zip(tensors, grads, strict=True)
            climbed = [(tensor, _tensor(s, tensor)) for tensor, s in pairs if tensor.requires_grad]
            if not climbed:
                return np.zeros_like(x)
            tensors, weights = zip(*climbed, strict=True)
            (grad,) = torch.autograd.grad(tensors, leaf, weights, allow_unused=True)
            return np.zeros_like(x) if grad is None else _array(grad, x)

    def values(self, plan: _Plan, x: np.ndarray, *, graph: bool = True) -> tuple[Any, list[Any]]:
        """The input and all of a plan's values; layers always with a graph, so that they are the same."""
        watch = bool(plan.held)
        leaf, outputs, found = self.run(x, watch=watch, graph=graph or watch)
        if watch:
            self.same(plan.steps, found)
        return leaf, [outputs, *(found[i].value for i in plan.held)]

    def same(self, steps: list[str], found: list[Found]) -> None:
        """An InputError for layers that depend on what the input holds."""
        came = _steps(found)
        if came != steps:
            pairs = zip_longest(steps, came)
            first = next(f"{b or 'none'} instead of {a or 'none'}" for a, b in pairs if a != b)
            fix = "mend what depends on the numbers in the input (`if x.sum() > 0`), or give outputs alone"
            raise self.fault("the same layers for every input", first, fix)

    def fault(self, expected: str, got: str, fix: str = "wrap the module so that it does so") -> InputError:
        return InputError(f"torch module {self.name}", expected=expected, got=got, fix=fix)


def unseen_weights(module: Any, read: set[str], packed: int) -> dict[str, int]:
    """How many weights the parts of a module hold that were not seen to be read.

    Of packed ones it is known only how many were: if they are fewer than there are, those that are no linear
    layers or convolutions.
    """
    left = {}
    for path, part in module.named_modules():
        own = sum(weight.numel() for weight in part.parameters(recurse=False))
        if own and path.replace(".", "/") not in read:
            left[path] = own
    holders = packed_parts(module)
    if len(holders) > packed:
        known = ("Linear", "Conv")
        others = {p: n for p, (kind, n) in holders.items() if not any(word in kind for word in known)}
        left |= others or {path: n for path, (_, n) in holders.items()}
    return left


def packed_parts(module: Any) -> dict[str, tuple[str, int]]:
    """The parts of a module with packed weights, as quantised layers have: their kind, and how many."""
    import torch

    found = {}
    for path, part in module.named_modules():
        packed = [v for v in vars(part).values() if isinstance(v, torch.ScriptObject)]
        if packed and not isinstance(part, torch.jit.ScriptModule):
            owner = path.rpartition("._packed_params")[0] or path
            kind = type(module.get_submodule(owner)).__name__
            found[owner] = kind, sum(tensor.numel() for tensor in _tensors(packed))
    return found


def _tensors(packed: Sequence[Any]) -> Iterator[Any]:
    """All tensors in packed weights; of those that are packed of others, those of the others alone."""
    import torch

    for one in packed:
        held = jax.tree.leaves(one.__getstate__(), is_leaf=lambda leaf: not isinstance(leaf, (tuple, list)))
        inner = [leaf for leaf in held if isinstance(leaf, torch.ScriptObject)]
        yield from _tensors(inner) if inner else (leaf for leaf in held if isinstance(leaf, torch.Tensor))


def _array(tensor: Any, like: np.ndarray) -> np.ndarray:
    """A tensor as an array of the type that is passed between the two."""
    held = tensor.detach().cpu()
    return held.to(_wide(held)).numpy(force=True).astype(like.dtype)


def _wide(tensor: Any) -> Any:
    """The type in which NumPy holds a tensor: it knows no bfloat16 and no floats of 8 bits."""
    import torch

    short = tensor.is_floating_point() and tensor.dtype.itemsize < 4
    return torch.float32 if short else tensor.dtype


def _tensor(array: Any, like: Any) -> Any:
    """An array as a tensor of another's type, place and shape."""
    return like.new_tensor(np.asarray(array)).reshape(like.shape)


def described(tensor: Any) -> str:
    """Type and shape."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _steps(found: Sequence[Found]) -> list[str]:
    """Every layer in words, to compare."""
    return [f"{layer.kind} {layer.name}".strip() for layer in found]


def _seen(two: Found, three: Found) -> _Seen | None:
    """A layer by its values for two and three inputs; None for one that has not a value an input."""
    shape, wider = tuple(two.value.shape), tuple(three.value.shape)
    axes = [axis for axis, pair in enumerate(zip(shape, wider, strict=False)) if len({*pair}) > 1]
    if len(shape) != len(wider) or len(axes) != 1 or not is_float(two.value):
        return None
    seen = _Seen(two.kind, two.name, shape, axes[0], two.channel)
    return seen if shape[axes[0]] % 2 == 0 and seen.at(3) == wider else None


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """In evaluation mode; each part goes back to its own afterwards."""
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    try:
        module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode
