"""Models under test as functions of one canonical input, and panels of models that should agree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int

from xplore.capture import capture
from xplore.errors import InputError, told
from xplore.units import Activations, Layer, Layout, Number, gather

Head = Literal["logits", "probabilities"]

BATCH = 64
"""Inputs that are checked and judged together: a constant, so that lanes and rounds change no judgement."""


class Model(struct.PyTreeNode):
    """`f(params, x)` or `f(x)` as a model under test: `x [b *x] -> outputs [b classes]`.

    The panel's canonical input (images: float NHWC in [0, 1]) is read as `(x * scale - mean) / std`.
    Weights are leaves, so they are arguments of every compiled program and never baked into one.
    """

    f: Callable[..., Any] = struct.field(pytree_node=False)
    params: Any = None
    name: str = struct.field(pytree_node=False, default="model", kw_only=True)
    output: Head = struct.field(pytree_node=False, default="logits", kw_only=True)
    scale: Number = struct.field(default=None, kw_only=True)
    mean: Number = struct.field(default=None, kw_only=True)
    std: Number = struct.field(default=None, kw_only=True)

    def read(self, x: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
        """What the model itself reads, differentiably."""
        x = x if self.scale is None else x * self.scale
        x = x if self.mean is None else x - self.mean
        return x if self.std is None else x / self.std

    def _call(self, params: Any, x: Float[Array, "b *x"]) -> Any:
        return self.f(self.read(x)) if params is None else self.f(params, self.read(x))

    def __call__(self, x: Float[Array, "b *x"]) -> Float[Array, "b *o"]:
        """The model as written, without capture."""
        return self._call(self.params, x)

    def captured(self, x: Float[Array, "b *x"]) -> tuple[Any, list[Layer], list[Array]]:
        """Outputs, layers, and each layer's value (batch first, channels last)."""
        outputs, layers, values = capture(self._call, self.params, x)
        if self.output == "logits":
            layers = [*layers, Layer("softmax", "head", outputs.shape[1:])]
            values = [*values, jax.nn.softmax(outputs)]
        return outputs, layers, values

    def digest(self) -> str:
        """sha256 over the weights' paths, shapes and bytes: which model was tested."""
        sha = hashlib.sha256(f"{self.output} {self.scale} {self.mean} {self.std}".encode())
        for path, leaf in jax.tree_util.tree_flatten_with_path(self.params)[0]:
            array = np.ascontiguousarray(leaf)
            sha.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
            sha.update(array.tobytes())
        return sha.hexdigest()


class Forward(struct.PyTreeNode):
    """What a panel says of a batch: scores a model and class, and every unit's activation.

    `logits` are log-probabilities up to a constant a row: a model that returns probabilities is read
    through its logarithm.
    """

    outputs: Float[Array, "m b c"]
    logits: Float[Array, "m b c"]
    activations: Activations

    @property
    def labels(self) -> Int[Array, "m b"]:
        """Each model's decision."""
        return self.outputs.argmax(axis=-1)


class Panel(struct.PyTreeNode):
    """Models of one task that should agree, called together on one input.

    >>> f = lambda p, x: x @ p["fc"]["w"]
    >>> weights = {"fc": {"w": jnp.eye(3)}}
    >>> negated = jax.tree.map(jnp.negative, weights)
    >>> panel = Panel.of([Model(f, weights, name="a"), Model(f, negated, name="b")])
    >>> now = panel(jnp.eye(3)[:1])
    >>> now.labels.tolist(), now.activations.layout.names
    ([[0], [1]], ('a/fc', 'a/softmax', 'b/fc', 'b/softmax'))
    """

    models: tuple[Model, ...]

    @classmethod
    def of(cls, models: Sequence[Model | Callable[..., Any]]) -> Panel:
        """A panel of two or more models; plain functions are taken as they are.

        Raises:
            InputError: fewer than two models, or non-finite weights.
        """
        if len(models) < 2:
            raise InputError(
                "models",
                expected="two or more that should agree",
                got=str(len(models)),
                fix="name another model of the same task",
            )
        given = [
            m if isinstance(m, Model) else Model(m, name=getattr(m, "__name__", "model")) for m in models
        ]
        names: list[str] = []
        for model in given:
            same = sum(name == model.name or name.startswith(model.name + "#") for name in names)
            names.append(model.name if not same else f"{model.name}#{same + 1}")
            for path, leaf in jax.tree_util.tree_flatten_with_path(model.params)[0]:
                if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) and not np.isfinite(leaf).all():
                    key = jax.tree_util.keystr(path, simple=True, separator="/")
                    raise InputError(
                        f"weights of {names[-1]}, {key}",
                        expected="finite numbers",
                        got=f"{int((~np.isfinite(leaf)).sum())} that are NaN or infinite",
                        fix="train or load the model again",
                    )
        return cls(tuple(model.replace(name=name) for model, name in zip(given, names, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models)

    def check(self, shape: tuple[int, ...]) -> Layout:
        """The layout for inputs `[b *shape]`, by abstract evaluation: no compute is spent.

        Raises:
            InputError: a model that cannot read the shape, or models with different numbers of classes.
        """
        failed: Exception | None = None
        try:
            now = self.shapes(shape)
        except Exception as error:  # a function of the user's own may raise anything
            failed = error
        else:
            _, *rest = now.outputs.shape
            if len(rest) == 2 and rest[0] == BATCH and rest[1] > 1:
                return now.activations.layout
        raise self._fault(shape, failed) from failed

    def shapes(self, shape: tuple[int, ...]) -> Forward:
        """What the panel says of `BATCH` inputs `[b *shape]`, as shapes and types alone."""
        return jax.eval_shape(_forward, self, jax.ShapeDtypeStruct((BATCH, *shape), jnp.result_type(float)))

    def _fault(self, shape: tuple[int, ...], failed: Exception | None) -> InputError:
        """Why the models cannot be asked together."""
        x = jax.ShapeDtypeStruct((BATCH, *shape), jnp.result_type(float))
        shapes: dict[str, Any] = {}
        for model in self.models:
            try:
                shapes[model.name] = getattr(jax.eval_shape(model, x), "shape", None)
            except Exception as error:
                return InputError(
                    f"model {model.name}",
                    expected=f"a function of JAX that reads inputs of shape {shape}",
                    got=told(error),
                    fix="give seeds of the shape that the models read, or mend the model",
                )
        if any(s is None or len(s) != 2 or s[0] != BATCH or s[1] < 2 for s in shapes.values()):
            return InputError(
                "models",
                expected="an output [batch classes] each, of two classes or more",
                got=f"for a batch of {BATCH}: {shapes}",
                fix="return one array of logits or probabilities",
            )
        if len(set(shapes.values())) > 1:
            return InputError(
                "models",
                expected="the same number of classes each",
                got=", ".join(f"{name}: {s[1]}" for name, s in shapes.items()),
                fix="test only models of one task together",
            )
        return InputError(
            "models",
            expected="functions of JAX whose activations can be captured",
            got=told(failed) if failed else "none",
            fix="look at --debug for where it fails",
        )

    def __call__(self, x: Float[Array, "b *x"]) -> Forward:
        """Every model's outputs, and every unit of every model; traced once a shape."""
        return _forward(self, x)

    def _replay(self, x: Float[Array, "b *x"]) -> Forward:
        outputs, layers, values = [], [], []
        for model in self.models:
            out, model_layers, model_values = model.captured(x)
            outputs.append(out)
            layers.append((model.name, tuple(model_layers)))
            values.extend(model_values)
        layout = Layout(tuple(layers))
        return Forward(jnp.stack(outputs), self.logits(outputs), gather(values, layout))

    def plain(self, x: Float[Array, "b *x"]) -> Float[Array, "m b c"]:
        """Every model's outputs as written, without capture: what judges a stored finding."""
        return jnp.stack([model(x) for model in self.models])

    def logits(self, outputs: Sequence[Float[Array, "b c"]] | Float[Array, "m b c"]) -> Float[Array, "m b c"]:
        """Outputs as log-probabilities up to a constant a row, whatever each model returns."""
        pairs = zip(self.models, outputs, strict=True)
        tiny = jnp.finfo(outputs[0].dtype).tiny
        return jnp.stack(
            [out if model.output == "logits" else jnp.log(jnp.maximum(out, tiny)) for model, out in pairs]
        )

    def probabilities(self, outputs: Float[Array, "m b c"]) -> Float[Array, "m b c"]:
        """Outputs as probabilities, whatever each model returns."""
        pairs = zip(self.models, outputs, strict=True)
        return jnp.stack([jax.nn.softmax(out) if model.output == "logits" else out for model, out in pairs])


_forward = jax.jit(Panel._replay)
