"""The coverage of a test set: which neurons of one model its inputs reach, and from which input on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from markupsafe import Markup

from xplore._util.errors import InputError
from xplore._util.jax_settings import own_settings
from xplore.adapters import adapt
from xplore.adapters.predictor import reading
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.evaluation.checks import checked_part, opened_chart
from xplore.inputs.encoding import Encoding
from xplore.model.neurons import Layer
from xplore.panel.panel import BATCH, Panel
from xplore.report.charts import growth
from xplore.report.names import criterion as in_words
from xplore.report.words import percent, plural

STYLE = (
    "max-width:980px;padding:12px 16px;background:#fff;color:#1b1f24;font:13px/1.5 system-ui,sans-serif;"
    "border:1px solid #d8dee4;border-radius:8px"
)
MOST_ASLEEP = 12
"""Neurons that are named in a notebook."""


@dataclass(frozen=True)
class Reach:
    """What inputs reach of one model: of each cell of each neuron the first input that reaches it.

    `first` numbers the inputs from 1; 0 is none of them. Neurons are called by their layer and number.

    >>> from xplore.model.neurons import Layer
    >>> layer = Layer("fc", "dense", (2,))
    >>> one = Reach("net", (layer,), "NeuronCoverage(t=0.5)", 9, np.array([[3], [0]]))
    >>> one.share, one.after(2), one.asleep
    (0.5, 0.0, ('fc 1',))
    """

    model: str
    layers: tuple[Layer, ...]
    criterion: str
    inputs: int
    first: Int[np.ndarray, "u k"] = field(repr=False)

    @property
    def share(self) -> float:
        """The share of the cells that were reached, in [0, 1]."""
        return self.after(self.inputs)

    def after(self, inputs: int) -> float:
        """The same, by the first so many inputs alone."""
        return float(((self.first > 0) & (self.first <= inputs)).mean())

    @property
    def names(self) -> tuple[str, ...]:
        """Every neuron's, as the rows of `first` are in order."""
        return tuple(f"{layer.name} {unit}" for layer in self.layers for unit in range(layer.units))

    @property
    def asleep(self) -> tuple[str, ...]:
        """The neurons of which no cell was reached.

        Those that never fire, after a ReLU, are told by the criterion `NeuronCoverage(0.0, scale=None)`.
        """
        return self._named((self.first == 0).all(axis=1))

    def beyond(self, other: Reach) -> tuple[str, ...]:
        """The neurons of which these inputs reach a cell that the other ones do not.

        Raises:
            InputError: the other is of another model, or by another criterion.
        """
        mine, its = ((of.layers, of.criterion, of.first.shape) for of in (self, other))
        if mine != its:
            wanted, got = (f"{of.model} by {of.criterion}" for of in (self, other))
            raise InputError("other", expected=f"what inputs reach of {wanted}", got=got)
        return self._named(((self.first > 0) & (other.first == 0)).any(axis=1))

    def _named(self, which: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, chosen in zip(self.names, which.tolist(), strict=True) if chosen)

    @property
    def by_layer(self) -> dict[str, float]:
        """Each layer's share."""
        ends = list(accumulate((layer.units for layer in self.layers), initial=0))
        parts = zip(self.layers, ends[:-1], ends[1:], strict=True)
        return {layer.name: float((self.first[start:end] > 0).mean()) for layer, start, end in parts}

    def __str__(self) -> str:
        text = f"{self.model}: {percent(self.share)} of {plural(len(self.first), 'neuron')}"
        lines = [f"{text} by {plural(self.inputs, 'input')} ({in_words(self.criterion)})"]
        return "\n".join([*lines, *(f"  {name}: {percent(share)}" for name, share in self.by_layer.items())])

    def _repr_html_(self) -> str:
        shown, more = self.asleep[:MOST_ASLEEP], len(self.asleep) - MOST_ASLEEP
        row = Markup("<tr><td>{}</td><td style='text-align:right'>{}</td></tr>").format
        rows = Markup().join(row(name, percent(share)) for name, share in self.by_layer.items())
        page = Markup("<p><b>{}</b></p>").format(str(self).split("\n", 1)[0])
        quiet = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        asleep = Markup("<p>never reached: {}</p>").format(quiet or "none")
        table = Markup("<table style='font:inherit'>{}</table>").format(rows)
        return str(_boxed(page, _drawn({self.model: self}), table, asleep))


class Chart(Markup):
    """A drawing that shows itself in a notebook."""

    def _repr_html_(self) -> str:
        return str(self)


@own_settings()
def reach(
    model: Any, inputs: Any, criterion: CellCriterion | None = None, *, constraint: Constraint | None = None
) -> Reach:
    """Which neurons inputs reach in a model, and from which input on.

    Inputs are as for `xplore.run`; those that do not fit into memory are read a batch at a time.

    >>> from xplore.data import mnist
    >>> from xplore.models.lenet import lenet1
    >>> few = reach(lenet1(), mnist.load().images[:100], NeuronCoverage(0.5))
    >>> round(few.share, 2), len(few.names), few.asleep[:2], few.by_layer["logits"]
    (0.38, 52, ('conv1 0', 'conv1 1'), 1.0)

    Raises:
        InputError: a model without neurons, or inputs that it cannot read.
    """
    criterion = checked_part("criterion", criterion or NeuronCoverage(), CellCriterion)
    chart, seeds, _ = opened_chart(constraint, inputs)
    alone = adapt(reading(model, chart))
    panel = Panel(Panel.of([alone, alone]).models[:1])  # `of` looks at the weights
    shape = chart.encoding.shape(seeds.first.shape[1:])
    panel = panel.bind(shape)
    layout = panel.check(shape)
    if not layout.n_units:
        fix = "give a network whose layers can be captured"
        raise InputError(f"model {alone.name}", expected="one with neurons", got="a black box", fix=fix)
    at, first = 0, np.zeros((layout.n_units, criterion.n_cells), np.int64)
    while len(block := seeds.read(at, BATCH)):
        row = np.asarray(_first(panel, chart.encoding, criterion, block.codes))
        first = np.where((first == 0) & (row > 0), at + row, first)
        at += len(block)
    return Reach(alone.name, layout.layers, repr(criterion), at, first)


@own_settings()
def coverage_of(
    model: Any, inputs: Any, criterion: CellCriterion | None = None, *, constraint: Constraint | None = None
) -> float:
    """The share of a criterion's cells that inputs reach in a model, in [0, 1]; `reach` tells which.

    >>> from xplore.data import mnist
    >>> from xplore.models.lenet import lenet1
    >>> round(coverage_of(lenet1(), mnist.load().images[:100], NeuronCoverage(0.5)), 2)
    0.38

    Raises:
        InputError: a model without neurons, or inputs that it cannot read.
    """
    return reach(model, inputs, criterion, constraint=constraint).share


def curves(reached: Mapping[str, Reach]) -> Chart:
    """How coverage grows with inputs, one line for each that is given, by name; shows itself in a notebook.

    >>> from xplore.models.lenet import lenet1
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype=np.uint8)
    >>> drawn = curves({"all": reach(lenet1(), images), "half": reach(lenet1(), images[:4])})
    >>> [name in drawn for name in ("all", "half", "8 inputs")]
    [True, True, True]

    Raises:
        InputError: there is none.
    """
    if not reached:
        raise InputError("reached", expected="one at least, by name", got="none")
    return Chart(_boxed(_drawn(reached)))


def _drawn(reached: Mapping[str, Reach]) -> Markup:
    """The curves, under what they count; each ends with its inputs, where not all are of as many."""
    sizes = {name: one.inputs for name, one in reached.items()}
    inputs = max(sizes.values())
    first = {name: one.first.ravel() for name, one in reached.items()}
    criteria = "; ".join(dict.fromkeys(in_words(one.criterion) for one in reached.values()))
    title = f"{criteria} over {plural(inputs, 'input')}"
    lasts = sizes if {*sizes.values()} != {inputs} else None
    chart = growth(first, inputs, title, "inputs", lasts=lasts)
    return Markup("<p>Share of cells reached: {}</p>{}").format(criteria, chart)


def _boxed(*parts: Markup) -> Markup:
    style = Markup(
        "<style>.curve .axis{stroke:#9aa4ae}.curve .grid{stroke:#eaeef2}.curve text{font-size:12px}</style>"
    )
    return Markup("<div style='{}'>{}{}</div>").format(STYLE, style, Markup().join(parts))


@jax.jit
def _first(panel: Panel, encoding: Encoding, criterion: CellCriterion, codes: Any) -> Int[Array, "u k"]:
    """Of each cell the first row that reaches it, from 1; 0 for none."""
    hits = criterion.hits(panel(encoding.decode(codes)).activations)
    return jnp.where(hits.any(axis=0), hits.argmax(axis=0) + 1, 0)
