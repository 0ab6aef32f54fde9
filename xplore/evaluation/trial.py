"""What the models make of the first seeds, before anything is searched: are they read as they are meant?

What outputs mean is declared, followed from them back, or else a guess; numbers that contradict it end a
call where that is certain, and are said where it is likely. A model whose answer to an input depends on the
others in its batch is found here, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from xplore._util.errors import InputError, first
from xplore.model import Model
from xplore.model.outputs import CLASSIFICATION
from xplore.panel import Panel

Ask = Callable[[Panel, Shaped[np.ndarray, "n *x"]], Float[np.ndarray, "m n *o"]]
"""A panel's outputs for inputs as they are stored, in one batch."""
ROUNDING = 1e-3
"""By how much probabilities may miss a sum of one."""
ALIKE = 1e-5
"""Of the largest output: by how much answers of one program to one input may differ."""
USUALLY = (
    "usually the preprocessing (scale=, mean=, std=, layout=, size=), the order of the classes (classes=) or"
    " what the outputs mean (output=)"
)
FEWEST = 20
"""Fewer labelled seeds say nothing of chance."""


class Trial(NamedTuple):
    """The panel as it is to be asked, and what is to be said of its models."""

    panel: Panel
    notes: list[str]


def trial(panel: Panel, ask: Ask, codes: Shaped[np.ndarray, "n *x"], truth: Any = None) -> Trial:
    """Ask the first seeds, and look at what came; `truth` are their labels, -1 where one is not known.

    >>> import jax, jax.numpy as jnp
    >>> models = [Model(lambda x: x / x.sum(axis=1, keepdims=True), name="shares"), Model(jax.nn.softmax)]
    >>> ask = lambda panel, codes: np.asarray(panel.plain(jnp.asarray(codes)))
    >>> trial(Panel.of(models), ask, np.eye(3, dtype=np.float32))
    Traceback (most recent call last):
    ...
    xplore.InputError: outputs of model shares: ...

    Raises:
        InputError: outputs that are certainly not what they are taken for.
    """
    outputs = ask(panel, codes)
    notes, models = [], list(panel.models)
    for at in np.flatnonzero(_depends(panel, ask, codes, outputs)):
        name = models[at].name
        if _apart(outputs, ask(panel, codes))[at]:
            notes.append(f"{name} answers one and the same input otherwise from call to call")
            continue
        models[at] = models[at].replace(alone=True)
        why = "its answer to an input depends on the others in its batch: it is asked one at a time"
        notes.append(f"{name} is judged alone: {why}")
    if any(model.alone for model in models):
        panel = panel.replace(models=tuple(models))
        outputs = ask(panel, codes)
    if panel.head in CLASSIFICATION and outputs.ndim == 3:
        decisions = outputs.argmax(axis=-1)
        vary = bool((decisions != decisions[:, :1]).any())
        vary |= truth is not None and len(set(truth[truth >= 0].tolist())) > 1
        for model, rows, decided in zip(panel.models, outputs, decisions, strict=True):
            finite = np.isfinite(rows).all(axis=1)
            if finite.all():
                notes += _meaning(model, rows, truth) + _constant(model, rows, decided, vary)
                notes += [] if truth is None else _chance(model, decided, truth, rows.shape[1])
    return Trial(panel, notes)


def unseen(panel: Panel, shape: tuple[int, ...]) -> list[str]:
    """Whose layers are not all seen, for inputs `[b *shape]`: coverage is of the others alone."""
    notes = []
    for model in panel.models:
        if parts := model.unseen(shape):
            count = f"{sum(parts.values()):,} of {model.parameters:,} parameters"
            notes.append(
                f"{model.name}: {count} are in modules whose layers cannot be seen: {first([*parts])}"
            )
    return notes


def _depends(
    panel: Panel, ask: Ask, codes: Any, outputs: Float[np.ndarray, "m n *o"]
) -> Bool[np.ndarray, " m"]:
    """Which models answer otherwise, once every other input of the batch is another?"""
    found = np.zeros(len(panel.models), bool)
    for half in (slice(0, None, 2), slice(1, None, 2)) if len(codes) > 1 else ():
        mixed = np.repeat(codes[half][:1], len(codes), axis=0)
        mixed[half] = codes[half]
        found |= _apart(outputs[:, half], ask(panel, mixed)[:, half])
    return found


def _apart(one: Float[np.ndarray, "m n *o"], other: Float[np.ndarray, "m n *o"]) -> Bool[np.ndarray, " m"]:
    """Which models' answers differ, beyond rounding?"""
    answered, again = np.isfinite(one), np.isfinite(other)
    both = answered & again
    one, other = (np.where(both, rows, 0).reshape(len(rows), -1) for rows in (one, other))
    far = np.abs(one - other).max(axis=1, initial=0) > ALIKE * np.abs(one).max(axis=1, initial=0)
    return far | (answered != again).reshape(len(far), -1).any(axis=1)


def _meaning(model: Model, rows: Float[np.ndarray, "n k"], truth: Any) -> list[str]:
    """What speaks against the meaning of a model's outputs."""
    n, low, high = len(rows), rows.min(), rows.max()
    inside = low >= -ROUNDING and high <= 1 + ROUNDING
    total = bool(np.abs(rows.sum(axis=1) - 1).max() <= ROUNDING)
    if model.output == "probabilities":
        if inside and total:
            return []
        came = "rows that do not sum to one" if inside else f"{low:.3g} to {high:.3g}"
        return _against(model, f"probabilities: {came}", "logits", certain=True)
    column = _single(rows)
    if column is not None:
        low, high = column.min(), column.max()
        if low < 0 or high > 1 or low == high:
            return []
        came = f"one number from {low:.2g} to {high:.2g} on {n} seeds, as of a sigmoid; as a logit it never"
        certain = bool(low < 0.5 < high) and not _better(column > 0, column > 0.5, truth)
        return _against(model, f"{came} says the first class", "probabilities", certain=certain)
    if inside and total and (rows != rows[:1]).any():
        return _against(model, "rows of numbers in [0, 1] that sum to one", "probabilities", certain=True)
    if inside and n > 1 and high - low > 0.5:
        hint = "labels that do not exclude each other are of another kind, multilabel"
        return [
            f"{model.name} returns numbers in [0, 1], as of a sigmoid each, read as {model.output}: {hint}"
        ]
    return []


def _against(model: Model, came: str, other: str, *, certain: bool) -> list[str]:
    """An InputError, where it is certain and nobody has declared it; else a note."""
    if certain and not model.declared:
        raise InputError(
            f"outputs of model {model.name}",
            expected=model.output,
            got=came,
            fix=f'declare what they are: xplore.adapt(model, output="{other}"), or output="{model.output}"',
        )
    return [f"{model.name} is read as {model.output}, but returns {came}"]


def _single(rows: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"] | None:
    """The one number that a binary model returned as a logit, beside which is a zero."""
    zero = (rows == 0).all(axis=0)
    return rows[:, ~zero][:, 0] if rows.shape[1] == 2 and zero.sum() == 1 else None


def _better(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"], truth: Any) -> bool:
    """Are decisions better than others, by the labels?"""
    if truth is None or not (known := truth >= 0).any():
        return False
    shares = [(each == truth.astype(bool))[known].mean() for each in (one, other)]
    return bool(shares[0] > shares[1])


def _constant(
    model: Model, rows: Float[np.ndarray, "n k"], decided: Int[np.ndarray, " n"], vary: bool
) -> list[str]:
    """Does a model say one and the same of all inputs?"""
    if len(rows) < 2:
        return []
    if (rows == rows[:1]).all():
        return [f"{model.name} gives one and the same answer to all of {len(rows)} seeds, whatever they are"]
    if vary and (decided == decided[0]).all():
        return [f"{model.name} answers class {decided[0]} on all of the first {len(rows)} seeds"]
    return []


def _chance(
    model: Model, decided: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"], classes: int
) -> list[str]:
    """Is a model no more often right than one that guesses?"""
    known = truth >= 0
    n, right, p = int(known.sum()), int((decided == truth)[known].sum()), 1 / classes
    if n < FEWEST or right > n * p + 1.645 * np.sqrt(n * p * (1 - p)):
        return []
    guess = f"as good as a guess among {classes} classes: {USUALLY}"
    return [f"{model.name} is right on {right} of {n} seeds, {guess}"]
