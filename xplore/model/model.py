"""A model under test: a function, and how it reads the one canonical input of its panel."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xplore._util.errors import InputError
from xplore._util.pytree import Number, PyTreeNode, field
from xplore.model.callbacks import HostFunction
from xplore.model.capture.jaxpr import capture
from xplore.model.closure import Trace, call, trace
from xplore.model.inference_mode import in_inference
from xplore.model.lowering.autotune import Lowering, lower
from xplore.model.neurons import Layer, Unit
from xplore.model.output_detection import found_head, with_logits
from xplore.model.outputs import OutputKind, head_layer, log_scores, spread


class Holder(abc.ABC):
    """A function of JAX whose parameters an object of the user's holds, and changes when it is trained.

    Of that object's own arrays copies are kept: training may delete them.
    """

    _given: list[Any]

    def give(self) -> Any:
        """Its parameters, for the model that is made of it."""
        params = self.current()
        self._given[:] = jax.tree.leaves(params)
        return params

    def gave(self, params: Any) -> bool:
        """Are these the parameters that it gave, and not others that were loaded since?"""
        leaves = jax.tree.leaves(params)
        return len(leaves) == len(self._given) and all(map(lambda a, b: a is b, leaves, self._given))

    def current(self) -> Any:
        """Its parameters as they are now."""
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), self._held())

    @abc.abstractmethod
    def _held(self) -> Any:
        """The parameters of the user's object."""


_SHOWN = ("output", "scale", "mean", "std", "layout", "size", "columns", "include", "exclude", "unit")
"""The fields that tell how a model is read, in the order of its `repr`."""


class Model(PyTreeNode):
    """`f(params, x)` or `f(x)` as a model under test: `x [b *x] -> outputs [b *o]`.

    The panel's canonical input (images: float NHWC in [0, 1]) is read as `(x * scale - mean) / std`, with
    numbers or one a channel, resized to `size` and laid out as `layout` says; of rows, `columns` are
    read, by index or name. `output` says what comes back (`model.outputs.Head`), `classes` in which order;
    `order` is the panel's, in these outputs. An `output` that is not `declared` is read off how `f` ends,
    when the model is bound: a softmax, or one sigmoid, is probabilities, all else logits. Layers are
    captured if a glob of `include` (all, if none) and none of `exclude` fits their name or kind; `unit` says
    what a unit is. `fingerprint` tells models apart whose weights are not in `params`, and
    `weights_elsewhere` counts those. Weights are leaves, so they are arguments of every compiled program and
    never baked into one; `bind` makes leaves of the arrays that `f` closes over, too: they are `closed`, and
    `given` is what `f` was traced to. A model that is `alone` is asked an input at a time, whatever the
    batch; one that does not climb (`climbs`) is taken to have no gradient.

    >>> f = lambda p, x: x.reshape(len(x), -1) @ p["w"]
    >>> model = Model(f, {"w": jnp.ones((12, 2))}, scale=255.0, layout="NCHW", name="sums")
    >>> model(jnp.full((1, 2, 2, 3), 0.2)).tolist(), model
    ([[612.0, 612.0]], Model('sums', 24 parameters, output='logits', scale=255.0, layout='NCHW'))
    """

    f: Callable[..., Any] = field(pytree_node=False)
    params: Any = None
    name: str = field(pytree_node=False, default="model", kw_only=True)
    output: OutputKind = field(pytree_node=False, default=None, kw_only=True)
    scale: Number = field(default=None, kw_only=True)
    mean: Number = field(default=None, kw_only=True)
    std: Number = field(default=None, kw_only=True)
    layout: Literal["NHWC", "NCHW"] = field(pytree_node=False, default="NHWC", kw_only=True)
    size: tuple[int, int] | None = field(pytree_node=False, default=None, kw_only=True)
    columns: tuple[int | str, ...] = field(pytree_node=False, default=(), kw_only=True)
    classes: tuple[str | int, ...] = field(pytree_node=False, default=(), kw_only=True)
    order: tuple[int, ...] = field(pytree_node=False, default=(), kw_only=True)
    closed: tuple[Array, ...] = field(default=(), kw_only=True)
    given: Trace | None = field(pytree_node=False, default=None, kw_only=True)
    include: tuple[str, ...] = field(pytree_node=False, default=(), kw_only=True)
    exclude: tuple[str, ...] = field(pytree_node=False, default=(), kw_only=True)
    unit: Unit = field(pytree_node=False, default="mean", kw_only=True)
    fingerprint: str = field(pytree_node=False, default="", kw_only=True)
    weights_elsewhere: int = field(pytree_node=False, default=0, kw_only=True)
    alone: bool = field(pytree_node=False, default=False, kw_only=True)
    needs_grad: bool = field(pytree_node=False, default=True, kw_only=True)
    before_head: bool = field(pytree_node=False, default=False, kw_only=True)
    declared: bool | None = field(pytree_node=False, default=None, kw_only=True)

    def __post_init__(self) -> None:
        """What is not declared is taken for logits, until the outputs are followed."""
        if self.declared is None:
            object.__setattr__(self, "declared", self.output is not None)
        if self.output is None:
            object.__setattr__(self, "output", "logits")

    def replace(self, **changes: Any) -> Model:
        """The same with other values of some fields; an `output` that is given is declared."""
        return super().replace(**({"declared": True} if "output" in changes else {}) | changes)

    def followed(self, shape: tuple[int, ...], batch: int = 2) -> Model:
        """With what its outputs mean, unless declared, by how `f` ends on what it reads, `[batch *shape]`.

        It is traced, and nothing is computed.
        """
        if self.declared:
            return self
        found: Any = None
        if isinstance(self.f, HostFunction):
            found = self.f.head(shape)
        else:
            x = jax.ShapeDtypeStruct((batch, *shape), jnp.result_type(float))
            traced, out = jax.make_jaxpr(self._ask, return_shape=True)(self.params, x)
            found = found_head(traced, out.shape[1:]) if isinstance(out, jax.ShapeDtypeStruct) else None
        return self.replace(output=found or "logits", declared=False)

    def __repr__(self) -> str:
        """Its name, its size, and what is not as it would be by default; weights are not printed."""
        shown = {
            of.name: repr(getattr(self, of.name)) for of in dataclasses.fields(self) if of.name in _SHOWN
        }
        usual = {of.name: repr(of.default) for of in dataclasses.fields(self)}
        changed = [
            f"{name}={shown[name]}" for name in _SHOWN if name == "output" or shown[name] != usual[name]
        ]
        return f"Model({', '.join([repr(self.name), f'{self.parameters:,} parameters', *changed])})"

    @property
    def parameters(self) -> int:
        """How many weights it has, those that are not in `params` too."""
        held = [*jax.tree.leaves(self.params), *self.closed]
        return self.weights_elsewhere + sum(int(np.size(leaf)) for leaf in held)

    def bind(self, shape: tuple[int, ...], batch: int) -> Model:
        """The model as it is now: the arrays that `f` closes over are leaves, too, for inputs `[b *shape]`.

        It is traced, and nothing is computed. A function that cannot be traced is left as it is.
        """
        if self.given is not None:
            return self
        known = self
        if isinstance(self.f, HostFunction):
            known = self.replace(fingerprint=self.f.refresh())
        if isinstance(self.f, Holder) and self.f.gave(self.params):
            known = self.replace(params=self.f.current())
        x = jax.ShapeDtypeStruct((batch, *shape), jnp.result_type(float))
        try:
            reads = jax.eval_shape(self.read, x)
            found = trace(self._ask, known.params, reads)
        except Exception:  # a function of the user's own; `Panel.check` says what is wrong
            return known
        return known.followed(reads.shape[1:], batch).replace(given=found, closed=found.arrays)

    def unseen(self, shape: tuple[int, ...]) -> dict[str, int]:
        """The parts whose layers cannot be seen, and how many weights each holds, for inputs `[b *shape]`."""
        if not isinstance(self.f, HostFunction):
            return {}
        x = jax.ShapeDtypeStruct((2, *shape), jnp.result_type(float))
        return self.f.unseen(jax.eval_shape(self.read, x).shape[1:])

    @property
    def inference(self) -> dict[str, bool]:
        """The arguments that choose inference, with which it is called."""
        known = getattr(self.f, "inference", None)
        return known if isinstance(known, dict) else in_inference(self.f)

    @property
    def program(self) -> str:
        """sha256 over what `f` does, as this version of JAX has it; empty, where it was not bound."""
        return "" if self.given is None else self.given.program

    def _ask(self, params: Any, x: Any) -> Any:
        x = x if self.needs_grad else jax.lax.stop_gradient(x)

        how = in_inference(self.f)

        def ask(x: Any) -> Any:
            return self.f(x, **how) if params is None else self.f(params, x, **how)

        return jax.vmap(lambda row: ask(row[None])[0])(x) if self.alone else ask(x)

    def read(self, x: Float[Array, "b *x"]) -> Float[Array, "b *y"]:
        """What the model itself reads, differentiably."""
        if any(isinstance(column, str) for column in self.columns):
            raise InputError(
                f"columns of model {self.name}",
                expected="indices of an input's last axis",
                got=", ".join(map(str, self.columns)),
                fix="give a table with these names, or indices",
            )
        if self.columns:
            x = x[..., np.asarray(self.columns)]
        x = x if self.scale is None else x * self._a_channel(self.scale, x)
        x = x if self.mean is None else x - self._a_channel(self.mean, x)
        x = x if self.std is None else x / self._a_channel(self.std, x)
        if self.size is not None and x.shape[1:3] != self.size:
            x = jax.image.resize(x, (len(x), *self.size, x.shape[3]), "linear")
        return x if self.layout == "NHWC" else jnp.moveaxis(x, -1, 1)

    def _a_channel(self, number: Any, x: Float[Array, "b *x"]) -> Any:
        """A number for all channels, or one for each."""
        number = jnp.asarray(number, x.dtype)
        return number.reshape((1,) * (x.ndim - number.ndim) + number.shape) if number.ndim else number

    def _outputs(self, params: Any, x: Float[Array, "b *x"]) -> Any:
        if self.given is not None and self.closed:
            return call(self.name, self._ask, self.given, self.closed, params, self.read(x))
        return self._ask(params, self.read(x))

    def _call(self, params: Any, x: Float[Array, "b *x"]) -> Any:
        outputs = self._outputs(params, x)
        if not isinstance(outputs, jax.Array):
            raise InputError(
                f"model {self.name}",
                expected="one array of outputs [batch ...]",
                got=type(outputs).__name__,
                fix="return the logits alone, by a function around the model",
            )
        return self._by_class(outputs, self.output)

    def _by_class(self, outputs: Any, head: OutputKind) -> Any:
        """A column a class, in the panel's order."""
        outputs = spread(outputs, head)
        return outputs[..., np.asarray(self.order)] if self.order else outputs

    def _with_logits(self, params: Any, x: Float[Array, "b *x"]) -> tuple[Any, Any]:
        outputs, logits = with_logits(self._outputs)(params, x)
        return self._by_class(outputs, self.output), self._by_class(logits, "logits")

    def shows_logits(self, shape: tuple[int, ...]) -> bool:
        """Can what its softmax or sigmoid reads be seen, for inputs `[b *shape]`? It is traced alone.

        Of two batch sizes: what lies across (classes first) has the outputs' shape in one at most.
        """
        if isinstance(self.f, HostFunction) or self.output != "probabilities":
            return False
        inputs = [jax.ShapeDtypeStruct((size, *shape), jnp.result_type(float)) for size in (2, 3)]
        both = with_logits(self._outputs)
        return all(jax.eval_shape(both, self.params, x)[1] is not None for x in inputs)

    def __call__(self, x: Float[Array, "b *x"]) -> Float[Array, "b *o"]:
        """The model as written, without capture."""
        return self._call(self.params, x)

    def captured(
        self, x: Float[Array, "b *x"], lowering: Lowering = "as_written"
    ) -> tuple[Any, list[Layer], list[Array]]:
        """Outputs, layers, and each layer's value (batch first, channels last)."""
        return self.scored(x, lowering)[:3]

    def scored(
        self, x: Float[Array, "b *x"], lowering: Lowering = "as_written"
    ) -> tuple[Any, list[Layer], list[Array], Any]:
        """What is `captured`, and the outputs' logits.

        Logits are log-probabilities up to a constant a row, or what the softmax reads, if `before_head`.
        """
        how = lower if lowering == "fast" else None
        if self.before_head:
            (outputs, logits), layers, values = capture(self._with_logits, self.params, x, how)
        else:
            outputs, layers, values = capture(self._call, self.params, x, how)
            logits = log_scores(outputs, self.output)
        head = head_layer(outputs, self.output)
        if head is not None and layers:  # a black box has no neurons, of the head neither
            layers, values = [*layers, Layer(head[0], "head", head[1].shape[1:])], [*values, head[1]]
        seen = [i for i, layer in enumerate(layers) if self._chosen(layer)]
        chosen = [layers[i]._replace(unit=self.unit) for i in seen]
        return outputs, chosen, [values[i] for i in seen], logits

    def _chosen(self, layer: Layer) -> bool:
        def fits(patterns: tuple[str, ...]) -> bool:
            return any(fnmatchcase(word, p) for p in patterns for word in (layer.name, layer.kind))

        return (not self.include or fits(self.include)) and not fits(self.exclude)

    def digest(self) -> str:
        """sha256 over how it reads and the weights' paths, shapes and bytes: which model was tested."""
        reading = (self.scale, self.mean, self.std, self.layout, self.size, self.columns, self.order)
        sha = hashlib.sha256(f"{self.output} {reading} {self.fingerprint}".encode())
        named = [(jax.tree_util.keystr(p), leaf) for p, leaf in jax.tree.leaves_with_path(self.params)]
        for name, leaf in [*named, *((f"closed {i}", leaf) for i, leaf in enumerate(self.closed))]:
            array = np.ascontiguousarray(leaf)
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(array.tobytes())
        return sha.hexdigest()
