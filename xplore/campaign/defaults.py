"""Who judges and how it is searched: what the first seeds and the models' gradients decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xplore.campaign.judge import Judge
from xplore.campaign.validation import climbable
from xplore.constraints import Constraint
from xplore.engine.step import Method
from xplore.evaluation.sources import Block
from xplore.evaluation.trial import trial, unseen
from xplore.model.differentiability import OUTSIDE
from xplore.objectives import Objective
from xplore.objectives._base import among
from xplore.panel import Panel
from xplore.search import Gradient, GridSearch, HillClimb, Search

POINTS = 32
"""Of a change that is one number, those that are tried."""


def prepared(
    judge: Judge, objective: Objective, search: Search | None, block: Block
) -> tuple[Judge, Method, list[str]]:
    """Who judges and how it is searched, after the first seeds were asked; and what is to be said of it.

    Without a search it is the gradient's, or `HillClimb` where that cannot be climbed.

    Raises:
        InputError: outputs that are certainly not what they are taken for, or a search that climbs a model
            without a gradient.
    """
    read = lambda panel, codes: replace(judge, panel=panel).read(codes).outputs  # noqa: E731
    panel, notes = trial(judge.panel, read, block.codes, block.truth)
    x, climbed = judge.constraint.encoding.decode(block.codes), panel
    notes += unseen(panel, x.shape[1:])
    if search is None:
        search, climbed, objective, more = default_search(panel, objective, judge.constraint, x)
        notes += more
    else:
        climbable(panel, search, x)
    if objective.reads_logits and (search.needs_grad or search.scores):
        climbed, more = before_heads(climbed, x.shape[1:])
        notes += more
    method = Method(climbed, objective, judge.constraint, judge.oracle, search)
    return replace(judge, panel=panel), method, notes


def before_heads(panel: Panel, shape: tuple[int, ...]) -> tuple[Panel, list[str]]:
    """The panel, whose models are read before their softmax where that can be seen; and where it cannot."""
    models, notes = [], []
    for model in panel.models:
        seen = model.shows_logits(shape)
        models.append(model.replace(before_head=seen))
        if model.output == "probabilities" and not seen:
            notes.append(
                f"{model.name} returns probabilities, and what they are made of cannot be seen:"
                " on='logits' climbs their logarithm, which is another score; give the model without its"
                " softmax, or choose on='log_odds'"
            )
    return panel.replace(models=tuple(models)), notes


def default_search(
    panel: Panel, objective: Objective, constraint: Constraint, x: Any
) -> tuple[Search, Panel, Objective, list[str]]:
    """Up the gradient where a model has one, and what is to be said of that.

    A change that is one number is swept, from far to near: the points divide models on as many digits as each
    level does, for a quarter of a climb's queries (docs/results/mnist.md).

    Models without a gradient are not climbed, and never those that are to deviate: a search would push them
    away from where they do. Where one of them has to be, or none has a gradient, it is the search that needs
    none.
    """
    if constraint.one_number:
        return GridSearch(POINTS, first="farthest"), panel, objective, []
    blind = panel.without_gradient(x)
    if not blind:
        return Gradient(), panel, objective, []
    others = tuple(number for number in range(len(panel.models)) if number not in blind)
    climbed = among(objective, others)
    why = "; ".join(_blind(panel, blind))
    if climbed is None:
        return HillClimb(), panel, objective, [f"{why}: the search is HillClimb, which needs none"]
    models = tuple(m.replace(needs_grad=number not in blind) for number, m in enumerate(panel.models))
    note = f"{why}: the gradients of the other models alone are climbed, and one of them is made to deviate"
    return Gradient(), panel.replace(models=models), climbed, [note]


def _blind(panel: Panel, blind: dict[int, str]) -> list[str]:
    """Which models have no gradient, and why; black boxes together."""
    names = {number: panel.models[number].name for number in blind}
    black = [names[number] for number, why in blind.items() if why == OUTSIDE]
    have = "has" if len(black) == 1 else "have"
    lines = [f"{', '.join(black)} {have} no gradient, called from outside of JAX"] if black else []
    return [*lines, *(f"{names[n]} has no gradient ({why})" for n, why in blind.items() if why != OUTSIDE)]
