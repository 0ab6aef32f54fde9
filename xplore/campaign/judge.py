"""What makes a finding count, and the measures recorded beside it.

A finding is invalid unless the seed was answered rightly by all models (unanimously, where there are no
labels), the change stays within its constraint's bound, and the stored file, decoded and judged alone by
the plain models, still divides them. Of the others those are in doubt whose label outside evidence speaks
against (`xplore.campaign.doubt`); the rest are valid. Measures are shown, not filtered on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float16, Int, Shaped

from xplore.archive.records import NO_ANSWER
from xplore.campaign.doubt import confidences, doubts
from xplore.campaign.neighbours import Neighbours
from xplore.constraints import Constraint
from xplore.coverage import CellCriterion
from xplore.inputs.encoding import Encoding
from xplore.model.outputs import CLASSIFICATION
from xplore.oracles import Oracle
from xplore.panel.panel import BATCH, Panel

HALF_MOST = 65504.0
"""The largest number of 16 bits: hidden layers are kept so, since they only tell what is near."""
MEASURED = 8
"""Findings come by ones and twos: changes are measured this part of a batch at a time."""


class Outputs(NamedTuple):
    """What the models say of inputs, what each input covers, and what their last hidden layers make of it."""

    outputs: Float[np.ndarray, "m b k"]
    covered: Bool[np.ndarray, "b rows u"]
    hidden: Float16[np.ndarray, "b h"]

    def rows(self, rows: Int[np.ndarray, " k"]) -> Outputs:
        """Some of the inputs."""
        return Outputs(self.outputs[:, rows], self.covered[rows], self.hidden[rows])


class Validity(NamedTuple):
    """What the models say of stored inputs: together, each alone, and what each input covers.

    `decisions` are those on the file alone: what one sees who opens it.
    """

    outputs: Float[np.ndarray, "m b k"]
    alone: Float[np.ndarray, "m b k"]
    probabilities: Float[np.ndarray, "m b k"]
    decisions: Int[np.ndarray, "m b"]
    covered: Bool[np.ndarray, "b rows u"]
    hidden: Float16[np.ndarray, "b h"]

    def rows(self, rows: Int[np.ndarray, " k"]) -> Validity:
        """Some of the inputs."""
        outputs, alone, probabilities, decisions = (of[:, rows] for of in self[:4])
        return Validity(outputs, alone, probabilities, decisions, self.covered[rows], self.hidden[rows])


class SeedLabels(NamedTuple):
    """What the models say of seeds: do they differ, what does each decide, what do they agree on, are all
    of them right? `labels` are decisions, too; None is not known. `said` is what is kept with a finding."""

    differ: Bool[np.ndarray, " b"]
    decisions: Int[np.ndarray, "b m"]
    agreed: Int[np.ndarray, " b"]
    right: Bool[np.ndarray, " b"]
    labels: tuple[int | None, ...]
    facts: tuple[dict[str, Any], ...]


@jax.jit
def _read(
    panel: Panel, criteria: tuple[CellCriterion, ...], encoding: Encoding, codes: Shaped[Array, "b *x"]
) -> tuple[Float[Array, "b m k"], Bool[Array, "b rows u"], Float16[Array, "b h"]]:
    """Outputs, coverage and last hidden layers of a batch, in one pass."""
    now = panel(encoding.decode(codes))
    hits = [jnp.swapaxes(criterion.hits(now.activations), 1, 2) for criterion in criteria]
    columns = np.concatenate(now.activations.layout.hidden(now.outputs.shape[-1]))
    hidden = now.activations.values[:, columns]
    hidden = jnp.nan_to_num(jnp.clip(hidden, -HALF_MOST, HALF_MOST)).astype(jnp.float16)
    return jnp.moveaxis(now.outputs, 1, 0), jnp.concatenate(hits, axis=1), hidden


@jax.jit
def _alone(
    panel: Panel, encoding: Encoding, codes: Shaped[Array, "b *x"], count: Int[Array, ""]
) -> tuple[Float[Array, "b m k"], Float[Array, "b m k"]]:
    """Outputs and probabilities by the plain models of the first `count`, each in a batch of one."""

    def one(row: Int[Array, ""]) -> tuple[Float[Array, "m k"], Float[Array, "m k"]]:
        outputs = panel.plain(encoding.decode(jax.lax.dynamic_slice_in_dim(codes, row, 1)))
        return outputs[:, 0], panel.probabilities(outputs)[:, 0]

    def another(row: Int[Array, ""], results: Any) -> Any:
        return jax.tree.map(lambda rows, leaf: rows.at[row].set(leaf), results, one(row))

    none = jax.tree.map(lambda leaf: jnp.zeros((len(codes), *leaf.shape), leaf.dtype), jax.eval_shape(one, 0))
    return jax.lax.fori_loop(0, count, another, none)


@jax.jit
def _verdict(
    oracle: Oracle, outputs: Float[Array, "b m k"]
) -> tuple[Bool[Array, " b"], Int[Array, "b m"], Int[Array, " b"]]:
    """Do the models differ, what does each decide, and what do they if they do not differ?"""
    of_models = jnp.moveaxis(outputs, 1, 0)
    return oracle.divided(of_models), oracle.decisions(of_models).T, oracle.agreement(of_models)


@jax.jit
def differences(
    constraint: Constraint, before: Shaped[Array, "b *x"], after: Shaped[Array, "b *x"], latents: Any
) -> dict[str, Any]:
    """Sizes of each change, and whether the bound was kept; without latents, nothing was changed by any."""
    encoding = constraint.encoding
    x0, x = encoding.decode(before), encoding.decode(after)
    measured = {"sizes": constraint.sizes(x0, x), "settings": {}}
    if not constraint.needs_latents:
        return {**measured, "within": constraint.within(x0, x)}
    if latents is None:  # seeds as they are
        return {**measured, "within": ~encoding.differ(x0, x).reshape(len(x), -1).any(axis=1)}
    z, fixed = latents
    settings = constraint.parameters(z, fixed, x0)
    return {**measured, "settings": settings, "within": constraint.within(x0, x, latents)}


def _in_batches(size: int, function: Callable[..., Any], *rows: Any) -> Any:
    """Apply a batched function to padded batches of one size, so that it is compiled once.

    It is told how many of the rows count, beside them.
    """
    parts = []
    for first in range(0, len(rows[0]), size):
        count = len(rows[0][first : first + size])
        at = np.minimum(np.arange(first, first + size), first + count - 1)
        came = function(*jax.tree.map(lambda leaf, at=at: leaf[at], rows), np.int32(count))
        parts.append(jax.tree.map(lambda leaf, n=count: np.asarray(leaf)[:n], came))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@dataclass(frozen=True)
class Judge:
    """Judges stored inputs by the models as written, apart from the engine.

    `reference_model` is an outside classifier of stored inputs. `training` are inputs whose
    nearest one is measured, with their classes where these are known. What they say against a finding's
    label puts it in doubt. `batch` inputs are read at a time.
    """

    panel: Panel
    oracle: Oracle
    constraint: Constraint
    criteria: tuple[CellCriterion, ...] = ()
    reference_model: Callable[[Shaped[np.ndarray, "b *x"]], Int[np.ndarray, " b"]] | None = None
    training: Shaped[np.ndarray, "n *x"] | None = field(default=None, repr=False)
    training_labels: Int[np.ndarray, " n"] | None = field(default=None, repr=False)
    batch: int = BATCH

    @cached_property
    def _neighbours(self) -> Neighbours | None:
        if self.training is None:
            return None
        return Neighbours(self.constraint.embed(self.training), self.training_labels)

    @property
    def evidence(self) -> list[str]:
        """What can speak against a label from outside: `reference_model`, `training`."""
        given = {"reference_model": self.reference_model, "training": self.training_labels}
        return [name for name, of in given.items() if of is not None]

    def read(self, codes: Shaped[np.ndarray, "b *x"]) -> Outputs:
        """The models' outputs on stored inputs, and what each input covers."""
        outputs, covered, hidden = _in_batches(
            self.batch, lambda c, _: _read(self.panel, self.criteria, self.constraint.encoding, c), codes
        )
        return Outputs(outputs.swapaxes(0, 1), covered, hidden)

    def judge(self, codes: Shaped[np.ndarray, "b *x"], known: Outputs | None = None) -> Validity:
        """Judge stored inputs together, alone, and for what they cover; `known` is what `read` said."""
        outputs, covered, hidden = self.read(codes) if known is None else known
        alone, probabilities = _in_batches(
            self.batch, lambda c, n: _alone(self.panel, self.constraint.encoding, c, n), codes
        )
        probabilities[~np.isfinite(alone).all(axis=-1)] = np.nan  # a compiled softmax may make numbers of NaN
        decisions = self._verdict(alone.swapaxes(0, 1))[1].T
        of_files = alone.swapaxes(0, 1), probabilities.swapaxes(0, 1), decisions
        return Validity(outputs, *of_files, covered, hidden)

    def differ(self, outputs: Float[np.ndarray, "m b k"]) -> Bool[np.ndarray, " b"]:
        """Do the models' decisions differ?"""
        return self._verdict(outputs)[0]

    def seeds(
        self, outputs: Float[np.ndarray, "m b k"], truth: Shaped[np.ndarray, " b"] | None
    ) -> SeedLabels:
        """What the models say of seeds, beside their labels; one that is -1, or NaN, is not known."""
        differ, decisions, agreed = self._verdict(outputs)
        n, values = len(differ), self.panel.head == "values"
        facts = tuple({"agreed": one} for one in agreed.tolist())
        for row in range(n if values else 0):
            facts[row]["seed_values"] = outputs[:, row, 0].tolist()
        answered = (decisions != NO_ANSWER).all(axis=1)
        if truth is None:
            return SeedLabels(differ, decisions, agreed, answered, (None,) * n, facts)
        known = ~np.isnan(truth) if truth.dtype.kind == "f" else truth >= 0
        right = self.oracle.are_right(outputs, truth).all(axis=0)
        label = np.where(right, agreed, self.oracle.label(np.where(known, truth, 0)))
        labels = tuple(int(one) if k else None for one, k in zip(label, known, strict=True))
        for row in np.flatnonzero(known) if values else ():
            facts[row]["truth"] = float(truth[row])
        return SeedLabels(differ, decisions, agreed, right | (~known & answered), labels, facts)

    def _verdict(self, outputs: Float[np.ndarray, "m b k"]) -> Any:
        return _in_batches(self.batch, lambda o, _: _verdict(self.oracle, o), outputs.swapaxes(0, 1))

    def reasons(
        self, judged: Validity, measures: Sequence[dict[str, Any]], right: Bool[np.ndarray, " b"]
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
        before: Shaped[np.ndarray, "b *x"],
        after: Shaped[np.ndarray, "b *x"],
        judged: Validity,
        latents: Any = None,
    ) -> list[dict[str, Any]]:
        """Sizes of each change, the margin of the disagreement, and outside opinions.

        What is measured of an input does not depend on those beside it: the reference model is asked one by
        one.
        """
        latents = latents if self.constraint.needs_latents else None
        size = max(self.batch // MEASURED, 1)
        change = _in_batches(
            size, lambda b, a, z, _: differences(self.constraint, b, a, z), before, after, latents
        )
        columns: dict[str, Any] = {key: value.tolist() for key, value in change["sizes"].items()}
        columns["within"] = change["within"].tolist()
        if change["settings"]:
            columns["settings"] = [
                {name: float(value[row]) for name, value in change["settings"].items()}
                for row in range(len(after))
            ]
        columns["margin"] = self.oracle.distance(judged.probabilities).tolist()
        if self._neighbours is not None:
            distance, row = self._neighbours.nearest(self.constraint.embed(after))
            columns |= {"nearest": distance.tolist(), "nearest_row": row.tolist()}
        if self.reference_model is not None:
            columns["referee"] = [
                np.asarray(self.reference_model(after[row : row + 1])).tolist()[0]
                for row in range(len(after))
            ]
        measures = [{key: column[row] for key, column in columns.items()} for row in range(len(after))]
        if not change["within"].all():
            for measured, broken in zip(measures, self.constraint.broken(after), strict=True):
                if broken and not measured["within"]:
                    measured["breaks"] = "; ".join(broken)
        return measures

    def doubts(
        self,
        before: Shaped[np.ndarray, "b *x"],
        after: Shaped[np.ndarray, "b *x"],
        judged: Validity,
        measures: Sequence[dict[str, Any]],
        expected: Sequence[int | None],
    ) -> list[tuple[str, ...]]:
        """Why each finding's label is in doubt; nothing, where it is not, and of models without classes."""
        if self.panel.head not in CLASSIFICATION:
            return [()] * len(after)
        known = np.array([NO_ANSWER if one is None else one for one in expected])
        sure = confidences(judged.probabilities, judged.decisions)
        opinions = None
        if self.reference_model is not None:
            opinions = np.array([measured["referee"] for measured in measures])
        nearer = None
        if (near := self._neighbours) is not None and near.classes is not None:
            nearer = near.nearer_another(self.constraint.embed(after), known)
            if len(rows := np.flatnonzero(nearer)):  # of the seeds only theirs are asked for
                seeds = self.constraint.embed(before[rows])
                nearer[rows] = ~near.nearer_another(seeds, known[rows])
        found = doubts(known, judged.decisions, sure, opinions, nearer)
        return [why if one is not None else () for why, one in zip(found, expected, strict=True)]
