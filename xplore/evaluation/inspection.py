"""What a panel is before anything is searched: layers, neurons, and how right each model is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from xplore._util.errors import InputError
from xplore._util.jax_settings import own_settings
from xplore.adapters.predictor import reading
from xplore.archive.records import NO_ANSWER
from xplore.constraints import Constraint
from xplore.evaluation.checks import checked_truth, opened_chart
from xplore.evaluation.sources import labelled
from xplore.evaluation.trial import USUALLY, trial, unseen
from xplore.model import Model
from xplore.model.neurons import Layer, Layout
from xplore.model.outputs import CLASSIFICATION
from xplore.model.shape_errors import channels_first
from xplore.panel.panel import BATCH, Panel
from xplore.report._page import environment

UNIT = {
    "mean": "a channel's mean over its positions, as in DeepXplore",
    "max": "a channel's maximum over its positions",
    "position": "every element, as in DeepGauge",
    "token": "a position's mean over its channels",
}
MOST_CLASSES = 12
MOST_NUMBERS = 4
"""Means, or deviations, that are told one by one."""
BLACK_BOX = "a black box: no layers, so no coverage"
AGREES = "of the majority's mind on"
LEAST = 0.5
"""The share of seeds below which a model is taken to be read wrongly."""


@dataclass(frozen=True)
class Inspected:
    """One model of a panel: `right` is its accuracy, or without labels how often it is of the majority.

    Of a model that returns values `error` is the mean distance to the label, or without labels to the models'
    median, and `right` is not known. On `not_finite` seeds it returned NaN or infinity, which is never right.
    """

    name: str
    parameters: int
    layers: tuple[Layer, ...]
    reading: str
    unit: str
    right: float | None
    by_class: tuple[float | None, ...]
    error: float | None = None
    not_finite: int = 0

    @property
    def neurons(self) -> int:
        return sum(layer.units for layer in self.layers)

    @property
    def sizes(self) -> list[str]:
        """Parameters and neurons in words, of what has any."""
        parts = [f"{self.parameters:,} parameters"] if self.parameters or self.layers else []
        return [*parts, f"{self.neurons:,} neurons"] if self.layers else parts


@dataclass(frozen=True)
class Inspection:
    """A panel as inspected; prints as a table a model, in a notebook as HTML."""

    models: tuple[Inspected, ...]
    shape: tuple[int, ...]
    seeds: int
    classes: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What is probably read wrongly, and what a search cannot rely on."""
        of = "right on" if self.labelled else AGREES
        wrong = [model for model in self.models if model.right is not None and model.right < LEAST]
        chance = tuple(f"{model.name} is right on" for model in wrong)  # of the first seeds: said of all
        return [
            *(
                f"{model.name} returns NaN or infinity on {model.not_finite} of {self.seeds} seeds"
                for model in self.models
                if model.not_finite
            ),
            *(note for note in self.notes if not note.startswith(chance)),
            *(f"{model.name} is {of} {model.right:.1%} of the seeds only: {USUALLY}" for model in wrong),
        ]

    def __str__(self) -> str:
        shape = " ".join(map(str, self.shape))
        head = f"{len(self.models)} models, {self.seeds} seeds [{shape}]"
        head += f", {len(self.classes)} classes" if self.classes else ""
        return "\n\n".join([head, *map(self._table, self.models), *(f"warning: {w}" for w in self.warnings)])

    def _table(self, model: Inspected) -> str:
        right = self._right(model)
        lines = [
            f"{model.name}: {', '.join([*model.sizes, right])}",
            f"  reads {model.reading}",
            *self._shares(model),
        ]
        if not model.layers:
            return "\n".join([*lines, f"  {BLACK_BOX}"])
        rows = [("layer", "kind", "shape", "neurons")]
        for layer in model.layers:
            rows.append((layer.name, layer.kind, " ".join(map(str, layer.shape)), f"{layer.units:,}"))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        lines.append(f"  a neuron is {UNIT[model.unit]}")
        for name, kind, shape, units in rows:
            line = f"  {name:<{wide[0]}}  {kind:<{wide[1]}}  {shape:<{wide[2]}}  {units:>{wide[3]}}"
            lines.append(line)
        return "\n".join(lines)

    def _right(self, model: Inspected) -> str:
        """How right a model is, in words."""
        if model.right is not None:
            return f"{'accuracy' if self.labelled else AGREES} {model.right:.1%}"
        error = "not known" if model.error is None else f"{model.error:.3g}"
        return f"mean distance to the {'label' if self.labelled else 'median'} {error}"

    def _repr_html_(self) -> str:
        rows = [
            {
                "model": model,
                "right": self._right(model),
                "shares": [line.strip() for line in self._shares(model)],
                "unit": UNIT[model.unit],
            }
            for model in self.models
        ]
        first, *_ = str(self).splitlines()
        return (
            environment()
            .get_template("inspection.jinja")
            .render(first=first, rows=rows, warnings=self.warnings, black_box=BLACK_BOX)
        )

    def _shares(self, model: Inspected) -> list[str]:
        """Each class's share, or the lowest alone, where there are many."""
        pairs = zip(model.by_class, self.classes, strict=True)
        shares = [(share, name) for share, name in pairs if share is not None]
        if len(shares) > MOST_CLASSES:
            shares = [min(shares)]
        text = ", ".join(f"{name} {share:.0%}" for share, name in shares)
        few = "by class" if len(shares) > 1 else "least on class"
        return [f"  {few}: {text}"] if shares else []


@own_settings()
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
    chart, seeds, _ = opened_chart(constraint, inputs, labels)
    panel = Panel.of([reading(model, chart) for model in models])
    shape = chart.encoding.shape(seeds.first.shape[1:])
    panel = panel.bind(shape)
    layout = panel.check(shape)
    shapes = panel.shapes(shape).outputs.shape
    if panel.head not in (*CLASSIFICATION, "values") or len(shapes) != 3:
        came = f"output={panel.head!r} of shape {shapes[2:]}"
        fix = "of other heads, a Panel gives outputs, activations and coverage"
        raise InputError("models", expected="one label or value an input", got=came, fix=fix)
    names = () if panel.head == "values" else tuple(panel.classes or classes or range(shapes[2]))
    seeds = labelled(seeds, labels, lambda given, n: checked_truth(given, n, panel, shapes[2], names))
    ask = jax.jit(lambda panel, codes: panel.plain(chart.encoding.decode(codes)))

    def answers(panel: Panel, codes: Any) -> Float[np.ndarray, "m b k"]:
        padded = np.concatenate([codes, np.repeat(codes[-1:], BATCH - len(codes), axis=0)])
        return np.asarray(ask(panel, padded))[:, : len(codes)]

    parts, truths = [], []
    notes: list[str] = []
    while len(block := seeds.read(sum(part.shape[1] for part in parts), BATCH)):
        if not parts:
            panel, notes = trial(panel, answers, block.codes, block.truth)
            notes += channels_first(shape) + unseen(panel, shape)
            notes += _without_gradient(panel, chart.encoding.decode(block.codes), layout)
        parts.append(answers(panel, block.codes))
        truths += [] if block.truth is None else [block.truth]
    outputs, truth = np.concatenate(parts, axis=1), np.concatenate(truths) if truths else None
    of_models = _by_value(outputs, truth) if panel.head == "values" else _by_class(outputs, truth)
    return Inspection(
        tuple(
            Inspected(model.name, model.parameters, layers, read_as(model), model.unit, *figures)
            for model, (_, layers), figures in zip(panel.models, layout.models, of_models, strict=True)
        ),
        shape,
        outputs.shape[1],
        tuple(map(str, names)),
        truth is not None,
        tuple(notes),
    )


def _without_gradient(panel: Panel, x: Any, layout: Layout) -> list[str]:
    """Which networks have no gradient; of black boxes it is known."""
    why = panel.without_gradient(x)
    networks = [number for number in why if layout.models[number][1]]
    return [f"{panel.models[number].name} has no gradient: {why[number]}" for number in networks]


def _by_class(outputs: Float[np.ndarray, "m b c"], truth: Int[np.ndarray, " b"] | None) -> list[Any]:
    """Each model's share of right answers, overall and by class; no answer counts for none."""
    answered, classes = np.isfinite(outputs).all(axis=-1), np.arange(outputs.shape[-1])
    decisions = np.where(answered, outputs.argmax(axis=-1), NO_ANSWER)
    majority = (decisions[..., None] == classes).sum(axis=0).argmax(axis=-1)  # the first of as many
    meant = majority if truth is None else np.where(truth < 0, majority, truth)
    right, each = decisions == meant, meant == classes[:, None]
    shares = [tuple(float(row[of].mean()) if of.any() else None for of in each) for row in right]
    lost = (~answered).sum(axis=1).tolist()
    return [(float(row.mean()), share, None, n) for row, share, n in zip(right, shares, lost, strict=True)]


def _by_value(outputs: Float[np.ndarray, "m b v"], truth: Float[np.ndarray, " b"] | None) -> list[Any]:
    """Each model's mean distance, over the seeds on which it answers."""
    known = np.ma.masked_invalid(outputs)
    median = np.ma.median(known, axis=0)
    meant = median if truth is None else np.ma.where(np.isnan(truth)[:, None], median, truth[:, None])
    lost = (~np.isfinite(outputs)).any(axis=-1).sum(axis=1).tolist()
    errors = [np.ma.abs(row - meant).mean() for row in known]
    return [
        (None, (), None if error is np.ma.masked else float(error), n)
        for error, n in zip(errors, lost, strict=True)
    ]


def read_as(model: Model) -> str:
    """How a model reads the panel's input, and what it returns, in words.

    >>> read_as(Model(abs, scale=255.0, mean=(1.0, 2.0, 3.0), layout="NCHW", output="probabilities"))
    'x * 255 - (1, 2, 3) as NCHW, returns probabilities'
    >>> read_as(Model(abs, mean=tuple(range(135)), output="logits"))
    'x - (135 numbers, 0 to 134), returns logits'
    """

    def number(value: Any) -> str:
        numbers = np.atleast_1d(np.asarray(value))
        text = ", ".join(f"{n:g}" for n in numbers)
        if numbers.size > MOST_NUMBERS:
            text = f"{numbers.size} numbers, {numbers.min():g} to {numbers.max():g}"
        return f"({text})" if numbers.size > 1 else text

    text = "x" if not model.columns else f"columns {', '.join(map(str, model.columns))} of x"
    text += "" if model.scale is None else f" * {number(model.scale)}"
    text += "" if model.mean is None else f" - {number(model.mean)}"
    if model.std is not None:
        text = f"{text if model.mean is None else f'({text})'} / {number(model.std)}"
    text += "" if model.size is None else f" at {model.size[0]} x {model.size[1]}"
    text += "" if model.layout == "NHWC" else f" as {model.layout}"
    order = f", classes {', '.join(map(str, model.classes))}" if model.classes else ""
    mode = "".join(f", called with {name}={value}" for name, value in model.inference.items())
    return f"{text}, returns {model.output}{order}{mode}"
