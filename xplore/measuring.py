"""The coverage of a test set: which neurons of one model its inputs reach."""

from __future__ import annotations

from typing import Any

import jax

from xplore.adapters import adapt
from xplore.adapters.predictor import reading
from xplore.checks import checked_chart, checked_part
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.encoding import Encoding
from xplore.errors import InputError
from xplore.panel import BATCH, Panel
from xplore.seeds import opened
from xplore.units import Activations


def coverage_of(
    model: Any, inputs: Any, criterion: CellCriterion | None = None, *, constraint: Constraint | None = None
) -> float:
    """The share of a criterion's cells that inputs reach in a model, in [0, 1].

    Inputs are as for `xplore.run`; those that do not fit into memory are read a batch at a time.

    >>> from xplore.data import mnist
    >>> from xplore.models.lenet import lenet1
    >>> round(coverage_of(lenet1(), mnist.load().images[:100], NeuronCoverage(0.5)), 2)
    0.38

    Raises:
        InputError: a model without neurons, or inputs that it cannot read.
    """
    criterion = checked_part("criterion", criterion or NeuronCoverage(), CellCriterion)
    chart, _ = checked_chart(constraint, inputs)
    seeds = opened(inputs, None, chart)
    alone = adapt(reading(model, chart))
    panel = Panel(Panel.of([alone, alone]).models[:1])  # `of` looks at the weights
    layout = panel.check(chart.encoding.shape(seeds.first.shape[1:]))
    if not layout.n_units:
        fix = "give a network whose layers can be captured"
        raise InputError(f"model {alone.name}", expected="one with neurons", got="a black box", fix=fix)
    state, at = criterion.init(layout), 0
    while len(block := seeds.read(at, BATCH)):
        seen = _activations(panel, chart.encoding, block.codes)
        state, _ = criterion.update(state, seen)
        at += len(block)
    return float(criterion.value(state))


@jax.jit
def _activations(panel: Panel, encoding: Encoding, codes: Any) -> Activations:
    return panel(encoding.decode(codes)).activations
