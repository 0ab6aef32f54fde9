"""Each finding reduced to the smallest change that was found to show it.

As Hypothesis does with failing examples, and delta debugging before it (Zeller & Hildebrandt, 2002): the
change shrinks towards the seed along the line, then pieces of it are put back one by one, coarse ones first,
then what is left shrinks again. A smaller change counts only if the models, as written, decide on the stored
input as they did on the finding, and if it keeps the bound that the finding kept. Charts that tell their
bound by their latents are walked in these, others in the input itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from xplore.archive import Archive
from xplore.archive.records import Finding, Shrunk
from xplore.campaign.findings import latent_shapes, unpacked
from xplore.campaign.judge import Judge
from xplore.constraints import Constraint
from xplore.oracles import Oracle
from xplore.panel import Panel

MOST_QUERIES = 100
"""Changes that are tried for one finding."""
HALVINGS = 6
FEW = 16
"""So few numbers that are left are each brought nearer by itself."""
Walk = Generator[Float[np.ndarray, " n"], bool, None]


def walk(change: Float[np.ndarray, " n"], pieces: Sequence[Int[np.ndarray, " n"]]) -> Walk:
    """Smaller changes to be tried: each yield is answered by whether it shows the finding, too.

    `pieces` say which numbers of a change are put back together, from coarse to fine.
    """
    change = yield from _nearer(change, np.ones(len(change), bool))
    for piece in pieces[:-1]:
        change = yield from _put_back(change, piece)
    finest = (pieces or [np.zeros(len(change), int)])[-1]
    while True:
        left = np.flatnonzero(change)
        alone = [np.arange(len(change)) == at for at in left] if len(left) <= FEW else [change != 0]
        for at in alone:
            change = yield from _nearer(change, at)
        before, change = change, (yield from _put_back(change, finest))
        if before is change:
            return


def _put_back(
    change: Float[np.ndarray, " n"], piece: Int[np.ndarray, " n"]
) -> Generator[Float[np.ndarray, " n"], bool, Float[np.ndarray, " n"]]:
    """The change without the pieces that it does without, tried one by one."""
    for number in np.unique(piece[change != 0]).tolist():
        less = np.where(piece == number, 0, change)
        if less.any() and (yield less):
            change = less
    return change


def _nearer(
    change: Float[np.ndarray, " n"], at: Bool[np.ndarray, " n"]
) -> Generator[Float[np.ndarray, " n"], bool, Float[np.ndarray, " n"]]:
    """Some of the numbers times the least factor in (0, 1] that was found, by halving."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if (yield np.where(at, change * middle, change)):
            high = middle
        else:
            low = middle
    return np.where(at, change * high, change)


@jax.jit
def _tried(
    panel: Panel,
    oracle: Oracle,
    constraint: Constraint,
    before: Shaped[Array, "b *code"],
    change: Float[Array, "b n"],
    fixed: Any,
    finding: tuple[Int[Array, "b m"], Bool[Array, " b"]],
) -> tuple[Bool[Array, " b"], Shaped[Array, "b *code"], Any]:
    """Do changes show their findings? With the inputs that they make, as stored, and their latents."""
    decisions, bounded = finding
    encoding = constraint.encoding
    x0 = encoding.decode(before)
    z, latents = (), None
    if constraint.needs_latents:
        z = constraint.project(_latents(constraint, x0, change), fixed, x0)
        x, latents = constraint.render(z, fixed, x0), (z, fixed)
    else:
        x = constraint.changed(x0, change.reshape(x0.shape).astype(x0.dtype))
        x = constraint.repaired(x, x0)
    codes = encoding.encode(x)
    stored = encoding.decode(codes)
    outputs = panel.plain(stored)
    same = (decisions == oracle.decisions(outputs).T).all(axis=1) & oracle.divided(outputs)
    within = ~bounded | constraint.within(x0, stored, latents)
    changed = encoding.differ(stored, x0).reshape(len(x0), -1).any(axis=1)
    return same & within & changed & encoding.counts(codes), codes, z


def _latents(constraint: Constraint, x0: Float[Array, "b *x"], flat: Float[Array, "b n"]) -> Any:
    """Latents that were laid end to end."""
    leaves, tree = jax.tree.flatten(latent_shapes(constraint, x0.shape[1:])[0])
    ends = np.cumsum([int(np.prod(leaf.shape)) for leaf in leaves])[:-1]
    parts = zip(jnp.split(flat, ends.tolist(), axis=1), leaves, strict=True)
    return jax.tree.unflatten(
        tree, [part.reshape(len(x0), *leaf.shape).astype(leaf.dtype) for part, leaf in parts]
    )


@dataclass
class _Case:
    """A finding that is being reduced: what is tried next, and the best so far."""

    finding: Finding
    before: Shaped[np.ndarray, "*code"]
    codes: Shaped[np.ndarray, "*code"]
    z: Any
    fixed: Any
    walk: Walk
    tried: Float[np.ndarray, " n"]
    queries: int = 0

    def update(self, shows: bool, codes: Shaped[np.ndarray, "*code"], z: Any) -> bool:
        """What came of what was tried; is there more to try?"""
        self.queries += 1
        if shows:
            self.codes, self.z = codes, z
        try:
            self.tried = self.walk.send(shows)
        except StopIteration:
            return False
        return self.queries < MOST_QUERIES


class Shrinking:
    """Reduces the findings of an archive that are not reduced yet, as many at a time as are judged together.

    Each finding's walk depends on itself alone; one that is done makes room for the next.
    """

    def __init__(self, judge: Judge, shape: tuple[int, ...]) -> None:
        self.judge, self._size = judge, judge.batch
        chart = judge.constraint
        shape = chart.encoding.shape(shape)
        self._like = latent_shapes(chart, shape)
        if chart.needs_latents:
            size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self._like[0]))
            self._groups: Sequence[Int[np.ndarray, " n"]] = blocks(size)
        else:
            self._groups = [group.ravel() for group in chart.shrink_groups(shape)]

    def run(self, archive: Archive, stopped: Callable[[], bool] = lambda: False) -> Iterator[int]:
        """Reduce all findings of the search, and keep them; yields how many were done since it last did."""
        waiting = iter(archive.unshrunk())
        active: list[_Case] = []
        done: list[_Case] = []
        while not stopped():
            room = self._size - len(active)
            if names := list(islice(waiting, room)):
                active += map(self._case, archive.take(names))
            if len(done) >= self._size or (done and not active):
                archive.keep_shrunk(self._smallest(done))
                yield len(done)
                done = []
            if not active:
                return
            shows, codes, z = self._try(active)
            going = [
                case.update(bool(shows[i]), codes[i], jax.tree.map(lambda leaf, i=i: leaf[i], z))
                for i, case in enumerate(active)
            ]
            done += [case for case, goes in zip(active, going, strict=True) if not goes]
            active = [case for case, goes in zip(active, going, strict=True) if goes]

    def _case(self, finding: Finding) -> _Case:
        chart = self.judge.constraint
        before, after = (chart.encoding.unpack(data) for data in (finding.before, finding.after))
        z, fixed = (), ()
        if chart.needs_latents:
            z, fixed = unpacked(finding.latents, self._like)
            change = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(z)])
        else:
            seed, found = (chart.encoding.decode(codes[None]) for codes in (before, after))
            change = np.asarray(chart.change(seed, found)).ravel()
        steps = walk(change, self._groups)
        return _Case(finding, before, after, z, fixed, steps, next(steps))

    def _try(self, cases: Sequence[_Case]) -> tuple[Any, Any, Any]:
        """Whether what is tried shows the findings, its codes and latents; in a batch of one size."""
        judge = self.judge
        padded = [*cases, *[cases[-1]] * (self._size - len(cases))]
        before = np.stack([case.before for case in padded])
        change = np.stack([case.tried for case in padded])
        decisions = np.array([case.finding.decisions for case in padded])
        bounded = np.array(["beyond_bound" not in case.finding.reasons for case in padded])
        chart, seed_claims = judge.constraint, (decisions, bounded)
        fixed = _stacked([case.fixed for case in padded])
        came = _tried(judge.panel, judge.oracle, chart, before, change, fixed, seed_claims)
        return jax.tree.map(np.asarray, came)

    def _smallest(self, cases: Sequence[_Case]) -> dict[str, Shrunk]:
        """What was reached, judged as findings are; a finding as it is, where that does not hold alone."""
        judge, chart = self.judge, self.judge.constraint
        before, codes = (np.stack(rows) for rows in zip(*((c.before, c.codes) for c in cases), strict=True))
        judged = judge.judge(codes)
        decided = [tuple(row) for row in judged.decisions.T.tolist()]
        stable = judge.differ(judged.alone) & judge.differ(judged.outputs)
        latents = _stacked([(case.z, case.fixed) for case in cases]) if chart.needs_latents else ()
        measures = judge.measures(before, codes, judged, latents)
        doubts = judge.doubts(before, codes, judged, measures, [case.finding.expected for case in cases])
        sizes = {}
        for i, case in enumerate(cases):
            finding = case.finding
            if stable[i] and decided[i] == finding.decisions:
                smallest = {key: value for key, value in measures[i].items() if key != "within"}
                smallest |= {"doubts": list(doubts[i])} if doubts[i] else {}
                data, scores = chart.encoding.pack(codes[i]), judged.probabilities[:, i]
            else:
                smallest, data, scores = finding.measures, finding.after, finding.probabilities
            sizes[finding.id] = Shrunk(data, scores, smallest, case.queries)
        return sizes


def blocks(size: int) -> list[Int[np.ndarray, " n"]]:
    """Numbers in blocks, from eighths down to single ones, but never more than 64 blocks.

    >>> [piece.tolist() for piece in blocks(3)], [int(piece.max()) + 1 for piece in blocks(1000)]
    ([[0, 1, 2]], [8, 16, 32, 64])
    """
    counts = [size] if size <= 64 else [8, 16, 32, 64]
    return [np.arange(size) * count // size for count in counts]


def _stacked(rows: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
