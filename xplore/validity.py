"""What makes a finding count, and the measures recorded beside it.

A finding is valid only if the seed was answered rightly by all models (unanimously, where there are no
labels), the change stays within its constraint's bound, and the stored file, decoded and judged alone by
the plain models, still divides them. Measures are shown, not filtered on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from xplore.constraints import Constraint
from xplore.constraints._base import hidden_share
from xplore.coverage import CellCriterion
from xplore.encoding import decode
from xplore.model import Panel
from xplore.oracles import Oracle

BATCH = 64
"""Inputs judged together: a constant, so that lanes and rounds never change a judgement."""


class Judgement(NamedTuple):
    """What the plain models say of stored inputs, in a batch and each alone."""

    outputs: Float[np.ndarray, "m b c"]
    alone: Float[np.ndarray, "m b c"]
    probabilities: Float[np.ndarray, "m b c"]
    covered: Bool[np.ndarray, "b criteria u"]

    @property
    def decisions(self) -> Int[np.ndarray, "b m"]:
        """What each model answers on the file alone: what one sees who opens it."""
        return self.alone.argmax(axis=-1).T


@jax.jit
def _plain(panel: Panel, codes: UInt8[Array, "b h w c"]) -> Float[Array, "m b c"]:
    return panel.plain(decode(codes))


@jax.jit
def _covered(
    panel: Panel, criteria: tuple[CellCriterion, ...], codes: UInt8[Array, "b h w c"]
) -> Bool[Array, "b criteria u"]:
    activations = panel(decode(codes)).activations
    return jnp.stack([criterion.hits(activations).any(axis=-1) for criterion in criteria], axis=1)


@jax.jit
def _probabilities(panel: Panel, outputs: Float[Array, "m b c"]) -> Float[Array, "m b c"]:
    return panel.probabilities(outputs)


@jax.jit
def _differences(
    constraint: Constraint, before: UInt8[Array, "b h w c"], after: UInt8[Array, "b h w c"]
) -> dict[str, Array]:
    import dm_pix

    x0, x = decode(before), decode(after)
    change = (x - x0).reshape(len(x), -1)
    side = min(11, *x.shape[1:3])
    return {
        "l2": jnp.sqrt((change**2).sum(axis=1)),
        "linf": jnp.abs(change).max(axis=1),
        "changed": (before != after).any(axis=-1).sum(axis=(1, 2)),
        "ssim": dm_pix.ssim(x0, x, filter_size=side),
        "hidden": hidden_share(x0, x),
        "within": constraint.within(x0, x),
    }


def _in_batches(function: Callable[..., Any], *rows: np.ndarray, axis: int = 0) -> Any:
    """Apply a batched function to padded batches of one size: one compilation."""
    parts = []
    for first in range(0, len(rows[0]), BATCH):
        part = [row[first : first + BATCH] for row in rows]
        size = len(part[0])
        padded = [np.concatenate([p, np.repeat(p[-1:], BATCH - size, axis=0)]) for p in part]
        out = jax.tree.map(np.asarray, function(*padded))
        parts.append(jax.tree.map(lambda leaf, n=size: leaf.take(np.arange(n), axis=axis), out))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=axis), *parts)


@dataclass(frozen=True)
class Judge:
    """Judges stored inputs by the models as written, apart from the engine.

    `referee` is an outside classifier that only gives its opinion; `training` are inputs whose nearest
    one is measured.
    """

    panel: Panel
    oracle: Oracle
    constraint: Constraint
    criteria: tuple[CellCriterion, ...] = ()
    referee: Callable[[UInt8[np.ndarray, "b h w c"]], Int[np.ndarray, " b"]] | None = None
    training: UInt8[np.ndarray, "n h w c"] | None = field(default=None, repr=False)

    def outputs(self, codes: UInt8[np.ndarray, "b h w c"]) -> Float[np.ndarray, "m b c"]:
        """The plain models' outputs, in batches."""
        return _in_batches(lambda c: _plain(self.panel, c), codes, axis=1)

    def covered(self, codes: UInt8[np.ndarray, "b h w c"]) -> Bool[np.ndarray, "b criteria u"]:
        """What each input covers, by each criterion."""
        return _in_batches(lambda c: _covered(self.panel, self.criteria, c), codes)

    def alone(self, codes: UInt8[np.ndarray, "b h w c"]) -> Float[np.ndarray, "m b c"]:
        """The plain models' outputs on each input by itself."""
        return np.concatenate([np.asarray(_plain(self.panel, row[None])) for row in codes], axis=1)

    def judge(self, codes: UInt8[np.ndarray, "b h w c"]) -> Judgement:
        """Judge stored inputs together, alone, and for what they cover."""
        outputs, alone = self.outputs(codes), self.alone(codes)
        probabilities = _in_batches(
            lambda o: jnp.moveaxis(_probabilities(self.panel, jnp.moveaxis(o, 1, 0)), 0, 1),
            alone.swapaxes(0, 1),
        ).swapaxes(0, 1)
        return Judgement(outputs, alone, probabilities, self.covered(codes))

    def differ(self, outputs: Float[np.ndarray, "m b c"]) -> Bool[np.ndarray, " b"]:
        return np.asarray(self.oracle.differ(jnp.asarray(outputs)))

    def reasons(
        self, judged: Judgement, measures: Sequence[dict[str, Any]], right: Bool[np.ndarray, " b"]
    ) -> list[tuple[str, ...]]:
        """Why each finding is not valid; nothing for one that is."""
        stable = self.differ(judged.alone)
        found = []
        for row, measured in enumerate(measures):
            faults = {
                "seed_wrong": not right[row],
                "beyond_bound": not measured["within"],
                "unstable_alone": not stable[row],
            }
            found.append(tuple(name for name, fault in faults.items() if fault))
        return found

    def measures(
        self,
        before: UInt8[np.ndarray, "b h w c"],
        after: UInt8[np.ndarray, "b h w c"],
        judged: Judgement,
    ) -> list[dict[str, Any]]:
        """Sizes of each change, the margin of the disagreement, and outside opinions."""
        sizes = _in_batches(lambda b, a: _differences(self.constraint, b, a), before, after)
        columns: dict[str, Any] = {key: value.tolist() for key, value in sizes.items()}
        columns["margin"] = margins(judged.probabilities).tolist()
        if self.training is not None:
            columns["nearest"] = nearest(after, self.training).tolist()
        if self.referee is not None:
            columns["referee"] = np.asarray(self.referee(after)).tolist()
        return [{key: column[row] for key, column in columns.items()} for row in range(len(after))]


def margins(probabilities: Float[np.ndarray, "m b c"]) -> Float[np.ndarray, " b"]:
    """How sure two models are that disagree: the largest, over such pairs, of the less sure one's lead.

    A model's lead is its first class's probability minus its second's.

    >>> p = np.array([[[0.9, 0.1]], [[0.4, 0.6]], [[0.8, 0.2]]])
    >>> margins(p).round(2).tolist()
    [0.2]
    """
    labels = probabilities.argmax(axis=-1)
    top = np.sort(probabilities, axis=-1)[..., -2:]
    lead = top[..., 1] - top[..., 0]
    apart = labels[:, None] != labels[None]
    pairs = np.where(apart, np.minimum(lead[:, None], lead[None]), 0)
    return pairs.max(axis=(0, 1))


def nearest(
    inputs: UInt8[np.ndarray, "b h w c"], training: UInt8[np.ndarray, "n h w c"]
) -> Float[np.ndarray, " b"]:
    """The L2 distance in [0, 1] pixels to the nearest training input."""
    a = inputs.reshape(len(inputs), -1).astype(np.float32) / 255
    b = training.reshape(len(training), -1).astype(np.float32) / 255
    squared = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return np.sqrt(np.maximum(squared.min(axis=1), 0))
