"""What a panel is before anything is searched: layers, neurons, and how right each model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from xplore.adapters.predictor import reading
from xplore.checks import checked_chart, checked_classes, checked_inputs, checked_labels
from xplore.constraints import Constraint
from xplore.model import Model
from xplore.panel import BATCH, Panel
from xplore.units import Layer

UNIT = {
    "mean": "a channel's mean over its positions, as in DeepXplore",
    "max": "a channel's maximum over its positions",
    "position": "every element, as in DeepGauge",
    "token": "a position's mean over its channels",
}
MOST_CLASSES = 12
LEAST = 0.5
"""The share of seeds below which a model is taken to be read wrongly."""


@dataclass(frozen=True)
class Inspected:
    """One model of a panel: `right` is its accuracy, or without labels how often it is of the majority."""

    name: str
    parameters: int
    layers: tuple[Layer, ...]
    reading: str
    unit: str
    right: float
    by_class: tuple[float | None, ...]

    @property
    def neurons(self) -> int:
        return sum(layer.units for layer in self.layers)


@dataclass(frozen=True)
class Inspection:
    """A panel as inspected; prints as a table a model."""

    models: tuple[Inspected, ...]
    shape: tuple[int, ...]
    seeds: int
    classes: tuple[str, ...]
    labelled: bool

    @property
    def warnings(self) -> list[str]:
        """What is probably read wrongly."""
        of = "right on" if self.labelled else "of the majority's mind on"
        return [
            f"{model.name} is {of} {model.right:.1%} of the seeds only: usually the preprocessing"
            " (scale=, mean=, std=, layout=, size=) or the order of the classes (classes=)"
            for model in self.models
            if model.right < LEAST
        ]

    def __str__(self) -> str:
        shape = " ".join(map(str, self.shape))
        head = f"{len(self.models)} models, {self.seeds} seeds [{shape}], {len(self.classes)} classes"
        return "\n\n".join([head, *map(self._table, self.models), *(f"warning: {w}" for w in self.warnings)])

    def _table(self, model: Inspected) -> str:
        kind = "accuracy" if self.labelled else "of the majority's mind on"
        facts = f"{model.parameters:,} parameters, {model.neurons:,} neurons, {kind} {model.right:.1%}"
        lines = [f"{model.name}: {facts}", f"  reads {model.reading}", *self._by_class(model)]
        if not model.layers:
            return "\n".join([*lines, "  a black box: no layers, so no coverage"])
        rows = [("layer", "kind", "shape", "neurons")]
        for layer in model.layers:
            rows.append((layer.name, layer.kind, " ".join(map(str, layer.shape)), f"{layer.units:,}"))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        lines.append(f"  a neuron is {UNIT[model.unit]}")
        for name, kind, shape, units in rows:
            line = f"  {name:<{wide[0]}}  {kind:<{wide[1]}}  {shape:<{wide[2]}}  {units:>{wide[3]}}"
            lines.append(line)
        return "\n".join(lines)

    def _by_class(self, model: Inspected) -> list[str]:
        """Each class's share, or the lowest alone, where there are many."""
        pairs = zip(model.by_class, self.classes, strict=True)
        shares = [(share, name) for share, name in pairs if share is not None]
        if len(shares) > MOST_CLASSES:
            shares = [min(shares)]
        told = ", ".join(f"{name} {share:.0%}" for share, name in shares)
        few = "by class" if len(shares) > 1 else "least on class"
        return [f"  {few}: {told}"] if shares else []


def inspect(
    models: Sequence[Any],
    inputs: Any,
    labels: Any = None,
    *,
    constraint: Constraint | None = None,
    classes: Sequence[str] | None = None,
) -> Inspection:
    """Layers, shapes, neurons and parameters of each model, and its accuracy on labelled seeds.

    Inputs are images or a table, as `xplore.run` takes them. Without labels, the share of seeds of each
    class on which a model is of the majority's mind.

    >>> import xplore
    >>> from xplore.data import mnist
    >>> from xplore.models.lenet import lenet1, lenet5
    >>> digits = mnist.load()
    >>> seen = inspect([lenet1(), lenet5()], digits.images[:100], digits.labels[:100])
    >>> [(model.name, model.neurons, model.right > 0.9) for model in seen.models], seen.warnings
    ([('lenet1', 52, True), ('lenet5', 268, True)], [])
    """
    chart, _ = checked_chart(constraint, inputs)
    codes = checked_inputs("seeds", inputs, chart)
    panel = Panel.of([reading(model, chart) for model in models])
    layout = panel.check(codes.shape[1:])
    n_classes = checked_classes(panel, codes.shape[1:])
    ask = jax.jit(lambda panel, codes: panel.plain(chart.encoding.decode(codes)).argmax(axis=-1))
    parts = []
    for first in range(0, len(codes), BATCH):
        part = codes[first : first + BATCH]
        padded = np.concatenate([part, np.repeat(part[-1:], BATCH - len(part), axis=0)])
        parts.append(np.asarray(ask(panel, padded))[:, : len(part)])
    decisions = np.concatenate(parts, axis=1)
    names = tuple(panel.classes or classes or ())
    truth = None if labels is None else checked_labels(labels, len(codes), n_classes, names)
    majority = _majority(decisions, n_classes)
    meant = majority if truth is None else np.where(truth < 0, majority, truth)
    right, each = decisions == meant, meant == np.arange(n_classes)[:, None]
    return Inspection(
        tuple(
            Inspected(
                model.name,
                model.parameters,
                layers,
                read_as(model),
                model.unit,
                float(row.mean()),
                tuple(float(row[of].mean()) if of.any() else None for of in each),
            )
            for model, (_, layers), row in zip(panel.models, layout.models, right, strict=True)
        ),
        codes.shape[1:],
        len(codes),
        tuple(map(str, classes or names or range(n_classes))),
        truth is not None,
    )


def read_as(model: Model) -> str:
    """How a model reads the panel's input, and what it returns, in words.

    >>> read_as(Model(abs, scale=255.0, mean=(1.0, 2.0, 3.0), layout="NCHW", output="probabilities"))
    'x * 255 - (1, 2, 3) as NCHW, returns probabilities'
    """

    def number(value: Any) -> str:
        numbers = np.atleast_1d(np.asarray(value))
        told = ", ".join(f"{n:g}" for n in numbers)
        return f"({told})" if numbers.size > 1 else told

    told = "x" if not model.columns else f"columns {', '.join(map(str, model.columns))} of x"
    told += "" if model.scale is None else f" * {number(model.scale)}"
    told += "" if model.mean is None else f" - {number(model.mean)}"
    if model.std is not None:
        told = f"{told if model.mean is None else f'({told})'} / {number(model.std)}"
    told += "" if model.size is None else f" at {model.size[0]} x {model.size[1]}"
    told += "" if model.layout == "NHWC" else f" as {model.layout}"
    order = f", classes {', '.join(map(str, model.classes))}" if model.classes else ""
    return f"{told}, returns {model.output}{order}"


def _majority(decisions: Int[np.ndarray, "m b"], classes: int) -> Int[np.ndarray, " b"]:
    """What most models answer, the first class of those where they are as many."""
    votes = (decisions[..., None] == np.arange(classes)).sum(axis=0)
    return votes.argmax(axis=-1)
