"""Panels of models that should agree, asked together on one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from xplore._util.errors import InputError, one_line
from xplore._util.jax_settings import own_settings
from xplore._util.pytree import PyTreeNode, field
from xplore.adapters import adapt
from xplore.model import Model
from xplore.model.callbacks import faults
from xplore.model.capture.jaxpr import primitives
from xplore.model.differentiability import no_gradient
from xplore.model.lowering.autotune import Lowering
from xplore.model.neurons import Activations, Layout, gather
from xplore.model.outputs import CLASSIFICATION, OutputKind, log_scores, probabilities
from xplore.model.shape_errors import fault

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""The numbers that the search computes models with: those of the inputs, or 16 bits."""
BATCH = 64
"""Inputs that are checked and judged together: a constant, so that lanes and rounds change no judgement."""


class Forward(PyTreeNode):
    """What a panel says of a batch: scores a model and class, and every unit's activation.

    `logits` are log-probabilities up to a constant a row: of a model that returns probabilities, their
    logarithm, or what its softmax reads, where that is asked for (`Model.before_head`).
    """

    outputs: Float[Array, "m b *c"]
    logits: Float[Array, "m b *c"]
    activations: Activations

    @property
    def labels(self) -> Int[Array, "m b *o"]:
        """Each model's decision."""
        return self.outputs.argmax(axis=-1)


class Panel(PyTreeNode):
    """Models of one task that should agree, called together on one input.

    `lowering` and `dtype` say how they are computed where they are looked at with their activations; what
    they return has the numbers of the input. `plain` is always the models as written.

    >>> f = lambda p, x: x @ p["fc"]["w"]
    >>> weights = {"fc": {"w": jnp.eye(3)}}
    >>> negated = jax.tree.map(jnp.negative, weights)
    >>> panel = Panel.of([Model(f, weights, name="a"), Model(f, negated, name="b")])
    >>> now = panel(jnp.eye(3)[:1])
    >>> now.labels.tolist(), now.activations.layout.names
    ([[0], [1]], ('a/fc', 'a/softmax', 'b/fc', 'b/softmax'))
    """

    models: tuple[Model, ...]
    lowering: Lowering = field(pytree_node=False, default="as_written", kw_only=True)
    dtype: Precision = field(pytree_node=False, default="float32", kw_only=True)

    @classmethod
    def of(cls, models: Sequence[Any]) -> Panel:
        """A panel of two or more models; what is no `Model` yet is adapted (`xplore.adapters.adapt`).

        Raises:
            InputError: fewer than two models, non-finite weights, other classes, or nothing to be adapted.
        """
        if len(models) < 2:
            raise InputError(
                "models",
                expected="two or more that should agree",
                got=str(len(models)),
                fix="name another model of the same task",
            )
        given = [adapt(model) for model in models]
        names: list[str] = []
        for model in given:
            same = sum(name == model.name or name.startswith(model.name + "#") for name in names)
            names.append(model.name if not same else f"{model.name}#{same + 1}")
            _finite(names[-1], model.params)
            _reads(model, names[-1])
        classes = next((model.classes for model in given if model.classes), ())
        return cls(
            tuple(
                model.replace(name=name, order=_order(model, name, classes))
                for model, name in zip(given, names, strict=True)
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models)

    @property
    def classes(self) -> tuple[str | int, ...]:
        """The classes in the panel's order, the first model's that declares them; empty, where none does."""
        return next((model.classes for model in self.models if model.classes), ())

    @property
    def head(self) -> OutputKind:
        """What the first model's outputs mean; `check` sees to it that the others' are of the same kind."""
        return self.models[0].output

    def bind(self, shape: tuple[int, ...]) -> Panel:
        """The panel as its models are now, for inputs `[b *shape]`: what is asked in one call.

        Raises:
            InputError: a function closes over NaN (infinity may mask something).
        """
        if all(model.given is not None for model in self.models):
            return self
        models = tuple(model.bind(shape, BATCH) for model in self.models)
        for model in models:
            _finite(model.name, [jnp.nan_to_num(a, nan=jnp.nan, posinf=0, neginf=0) for a in model.closed])
        return self.replace(models=models)

    def check(self, shape: tuple[int, ...]) -> Layout:
        """The layout for inputs `[b *shape]`, by abstract evaluation: no compute is spent.

        Raises:
            InputError: a model that cannot read the shape, or models whose outputs are not of one kind.
        """
        kinds = {"classes" if model.output in CLASSIFICATION else model.output for model in self.models}
        if len(kinds) > 1:
            raise InputError(
                "models",
                expected="outputs of one kind",
                got=", ".join(f"{model.name}: {model.output}" for model in self.models),
                fix="test only models of one task together, or declare output= rightly",
            )
        failed: Exception | None = None
        try:
            now = self.shapes(shape)
        except Exception as error:  # a function of the user's own may raise anything
            failed = error
        else:
            _, *rest = now.outputs.shape
            if len(rest) > 1 and rest[0] == BATCH and (rest[-1] > 1 or self.head not in CLASSIFICATION):
                return now.activations.layout
        raise self._fault(shape, failed) from failed

    def without_gradient(self, x: Any) -> dict[int, str]:
        """The models without a gradient, and why, at inputs `[b *shape]`, or for that shape alone."""
        reasons = {number: no_gradient(model, x) for number, model in enumerate(self.models)}
        return {number: reason for number, reason in reasons.items() if reason}

    def check_gradient(self, at: Any, instead: str) -> None:
        """An InputError that names a model without a gradient, and the searches that do `instead`.

        It is asked `at` inputs, or at a shape alone.
        """
        x = jax.ShapeDtypeStruct((BATCH, *at), jnp.result_type(float)) if isinstance(at, tuple) else at
        for number, reason in self.without_gradient(x).items():
            raise InputError(
                f"model {self.models[number].name}",
                expected="one with a gradient, as the search climbs",
                got=reason,
                fix=f"use a search that does without: {instead}",
            )

    def check_alone(self, x: Float[Array, "1 *x"]) -> None:
        """An InputError that names a model which does not answer a single input, as one is judged."""
        for model in self.models:
            try:
                with faults():
                    shape = np.asarray(model(x)).shape
                came = "" if len(shape) > 1 and shape[0] == 1 else f"outputs of shape {shape}"
            except Exception as error:  # a function of the user's own may raise anything
                came = one_line(error)
            if came:
                raise InputError(
                    f"model {model.name}",
                    expected="answers to a batch of one: each finding is judged by itself, too",
                    got=came,
                    fix="give a function around it that repeats a single input and returns the first answer",
                )

    def shapes(self, shape: tuple[int, ...]) -> Forward:
        """What the panel says of `BATCH` inputs `[b *shape]`, as shapes and types alone."""
        plain = self.replace(lowering="as_written")
        return jax.eval_shape(_forward, plain, jax.ShapeDtypeStruct((BATCH, *shape), jnp.result_type(float)))

    def asks_host(self, shape: tuple[int, ...]) -> bool:
        """Does a model run on the host, beside the compiled program, as black boxes and torch modules do?"""
        plain = self.replace(lowering="as_written", dtype="float32")
        x = jax.ShapeDtypeStruct((BATCH, *shape), jnp.result_type(float))  # as `shapes` traced it already
        traced = jax.make_jaxpr(_forward)(plain, x)
        return "pure_callback" in set(primitives(traced))

    def _fault(self, shape: tuple[int, ...], failed: Exception | None) -> InputError:
        """Why the models cannot be asked together."""
        x = jax.ShapeDtypeStruct((BATCH, *shape), jnp.result_type(float))
        shapes: dict[str, Any] = {}
        for model in self.models:
            try:
                shapes[model.name] = jax.eval_shape(model, x).shape
            except InputError as error:
                return error
            except Exception as error:
                return fault(model, shape, BATCH, error)
        least = 2 if self.head in CLASSIFICATION else 1
        if any(len(s) < 2 or s[0] != BATCH or s[-1] < least for s in shapes.values()):
            return InputError(
                "models",
                expected="an output [batch classes] each, of two classes or more",
                got=f"for a batch of {BATCH}: {shapes}",
                fix="return one array of logits or probabilities, or declare output=",
            )
        if len(set(shapes.values())) > 1:
            return InputError(
                "models",
                expected="the same number of classes each",
                got=", ".join(f"{name}: {s[-1] if len(s) == 2 else s[1:]}" for name, s in shapes.items()),
                fix="test only models of one task together",
            )
        return InputError(
            "models",
            expected="functions of JAX whose activations can be captured",
            got=one_line(failed) if failed else "none",
            fix="the exception that it comes from says where",
        )

    def __call__(self, x: Float[Array, "b *x"]) -> Forward:
        """Every model's outputs, and every unit of every model; traced once a shape."""
        if isinstance(x, Tracer):
            return _forward(self, x)
        with own_settings():
            return _forward(self.bind(x.shape[1:]), x)

    def _replay(self, x: Float[Array, "b *x"]) -> Forward:
        outputs, logits, layers, values = [], [], [], []
        short = self.dtype == "bfloat16"
        for model in self.models:
            asked = jax.tree.map(_shorter, (model, x)) if short else (model, x)
            out, model_layers, model_values, scores = asked[0].scored(asked[1], self.lowering)
            outputs.append(out.astype(x.dtype) if short else out)
            logits.append(scores.astype(x.dtype) if short else scores)
            layers.append((model.name, tuple(model_layers)))
            values.extend(value.astype(x.dtype) if short else value for value in model_values)
        layout = Layout(tuple(layers))
        empty = jnp.zeros((len(x), 0), x.dtype)
        activations = gather(values, layout) if values else Activations(empty, empty, empty, layout)
        return Forward(jnp.stack(outputs), jnp.stack(logits), activations)

    def plain(self, x: Float[Array, "b *x"]) -> Float[Array, "m b *c"]:
        """Every model's outputs as written, without capture: what judges a stored finding."""
        return jnp.stack([model(x) for model in self.models])

    def logits(
        self, outputs: Sequence[Float[Array, "b *c"]] | Float[Array, "m b *c"]
    ) -> Float[Array, "m b *c"]:
        """Outputs as log-probabilities up to a constant a row, whatever each model returns."""
        pairs = zip(self.models, outputs, strict=True)
        return jnp.stack([log_scores(out, model.output) for model, out in pairs])

    def probabilities(self, outputs: Float[Array, "m b *c"]) -> Float[Array, "m b *c"]:
        """Outputs as probabilities, whatever each model returns."""
        pairs = zip(self.models, outputs, strict=True)
        return jnp.stack([probabilities(out, model.output) for model, out in pairs])


def _shorter(leaf: Any) -> Any:
    """Numbers with fractions in 16 bits."""
    return leaf.astype(jnp.bfloat16) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else leaf


def _reads(model: Model, name: str) -> None:
    """An InputError for a scale, mean or std by which nothing can be read."""
    for key, nonzero in {"scale": True, "mean": False, "std": True}.items():
        value = getattr(model, key)
        numbers = np.asarray(0.0 if value is None else value, float)
        if value is not None and not (np.isfinite(numbers).all() and (not nonzero or numbers.all())):
            wanted = "finite numbers, none of them 0" if nonzero else "finite numbers"
            raise InputError(f"{key} of model {name}", expected=wanted, got=str(numbers.tolist()))


def _finite(name: str, weights: Any) -> None:
    """An InputError for weights that are not finite."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(weights)[0]:
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) and not np.isfinite(leaf).all():
            key = jax.tree_util.keystr(path, simple=True, separator="/")
            raise InputError(
                f"weights of {name}, {key}",
                expected="finite numbers",
                got=f"{int((~np.isfinite(leaf)).sum())} that are NaN or infinite",
                fix="train or load the model again",
            )


def _order(model: Model, name: str, classes: tuple[str | int, ...]) -> tuple[int, ...]:
    """Which of a model's outputs is each of the panel's classes; empty, where they are in that order."""
    if not model.classes or model.classes == classes:
        return ()
    if len(set(model.classes)) < len(model.classes) or set(model.classes) != set(classes):
        raise InputError(
            f"classes of model {name}",
            expected=f"those of the panel, in any order: {', '.join(map(str, classes))}",
            got=", ".join(map(str, model.classes)),
            fix="declare classes= in the order of the model's outputs",
        )
    return tuple(model.classes.index(c) for c in classes)


_forward = jax.jit(Panel._replay)
