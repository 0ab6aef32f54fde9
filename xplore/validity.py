"""What makes a finding count, and the measures recorded beside it.

A finding is valid only if the seed was answered rightly by all models (unanimously, where there are no
labels), the change stays within its constraint's bound, and the stored file, decoded and judged alone by
the plain models, still divides them. Measures are shown, not filtered on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from xplore.constraints import Constraint
from xplore.constraints._base import hidden_share
from xplore.coverage import CellCriterion
from xplore.encoding import decode
from xplore.oracles import Oracle
from xplore.panel import BATCH, Panel


class Judgement(NamedTuple):
    """What the models say of stored inputs: together, each alone, and what each input covers."""

    outputs: Float[np.ndarray, "m b k"]
    alone: Float[np.ndarray, "m b k"]
    probabilities: Float[np.ndarray, "m b k"]
    covered: Bool[np.ndarray, "b criteria u"]

    @property
    def decisions(self) -> Int[np.ndarray, "b m"]:
        """What each model answers on the file alone: what one sees who opens it."""
        return self.alone.argmax(axis=-1).T

    def rows(self, kept: Int[np.ndarray, " k"]) -> Judgement:
        """Some of the inputs."""
        return Judgement(
            self.outputs[:, kept], self.alone[:, kept], self.probabilities[:, kept], self.covered[kept]
        )


@jax.jit
def _read(
    panel: Panel, criteria: tuple[CellCriterion, ...], codes: UInt8[Array, "b h w c"]
) -> tuple[Float[Array, "b m k"], Bool[Array, "b criteria u"]]:
    """Outputs and coverage of a batch, in one pass."""
    now = panel(decode(codes))
    hits = [criterion.hits(now.activations).any(axis=-1) for criterion in criteria]
    return jnp.moveaxis(now.outputs, 1, 0), jnp.stack(hits, axis=1)


@jax.jit
def _alone(
    panel: Panel, codes: UInt8[Array, "b h w c"]
) -> tuple[Float[Array, "b m k"], Float[Array, "b m k"]]:
    """Outputs and probabilities by the plain models, one input after the other: a batch of one each."""

    def one(code: UInt8[Array, "h w c"]) -> tuple[Float[Array, "m k"], Float[Array, "m k"]]:
        outputs = panel.plain(decode(code[None]))
        return outputs[:, 0], panel.probabilities(outputs)[:, 0]

    return jax.lax.map(one, codes)


@jax.jit
def _differ(oracle: Oracle, outputs: Float[Array, "b m k"]) -> Bool[Array, " b"]:
    return oracle.differ(jnp.moveaxis(outputs, 1, 0))


@jax.jit
def _differences(
    constraint: Constraint, before: UInt8[Array, "b h w c"], after: UInt8[Array, "b h w c"]
) -> dict[str, Any]:
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


def _in_batches(function: Callable[..., Any], *rows: np.ndarray) -> Any:
    """Apply a batched function to padded batches of one size, so that it is compiled once."""
    parts = []
    for first in range(0, len(rows[0]), BATCH):
        part = [row[first : first + BATCH] for row in rows]
        size = len(part[0])
        padded = [np.concatenate([p, np.repeat(p[-1:], BATCH - size, axis=0)]) for p in part]
        parts.append(jax.tree.map(lambda leaf, n=size: np.asarray(leaf)[:n], function(*padded)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


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

    @cached_property
    def _training_rows(self) -> Float[np.ndarray, "n d"]:
        assert self.training is not None
        return self.training.reshape(len(self.training), -1).astype(np.float32) / 255

    def read(
        self, codes: UInt8[np.ndarray, "b h w c"]
    ) -> tuple[Float[np.ndarray, "m b k"], Bool[np.ndarray, "b criteria u"]]:
        """The models' outputs on stored inputs, and what each input covers."""
        outputs, covered = _in_batches(lambda c: _read(self.panel, self.criteria, c), codes)
        return outputs.swapaxes(0, 1), covered

    def judge(
        self,
        codes: UInt8[np.ndarray, "b h w c"],
        known: tuple[Float[np.ndarray, "m b k"], Bool[np.ndarray, "b criteria u"]] | None = None,
    ) -> Judgement:
        """Judge stored inputs together, alone, and for what they cover; `known` is what `read` said."""
        outputs, covered = self.read(codes) if known is None else known
        alone, probabilities = _in_batches(lambda c: _alone(self.panel, c), codes)
        return Judgement(outputs, alone.swapaxes(0, 1), probabilities.swapaxes(0, 1), covered)

    def differ(self, outputs: Float[np.ndarray, "m b k"]) -> Bool[np.ndarray, " b"]:
        """Do the models' decisions differ?"""
        return _in_batches(lambda o: _differ(self.oracle, o), outputs.swapaxes(0, 1))

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
            columns["nearest"] = nearest(after, self._training_rows).tolist()
        if self.referee is not None:
            columns["referee"] = np.asarray(self.referee(after)).tolist()
        return [{key: column[row] for key, column in columns.items()} for row in range(len(after))]


def margins(probabilities: Float[np.ndarray, "m b k"]) -> Float[np.ndarray, " b"]:
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
    inputs: UInt8[np.ndarray, "b h w c"], training: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " b"]:
    """The L2 distance, in [0, 1] pixels, to the nearest of the training inputs, flattened.

    >>> nearest(np.full((1, 1, 2, 1), 255, np.uint8), np.array([[0, 1], [1, 1]], np.float32)).tolist()
    [0.0]
    """
    rows = inputs.reshape(len(inputs), -1).astype(np.float32) / 255
    squared = (rows**2).sum(axis=1)[:, None] - 2 * rows @ training.T + (training**2).sum(axis=1)
    return np.sqrt(np.maximum(squared.min(axis=1), 0))
