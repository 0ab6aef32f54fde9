"""What is measured of a finding is one answer, to the bit, whatever was judged beside it."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import CONSTRAINTS, GREY, examples, pictures, relatives

from xplore.campaign.findings import make_findings
from xplore.campaign.judge import Judge
from xplore.campaign.neighbours import nearest
from xplore.constraints import Constraint
from xplore.coverage import NeuronCoverage
from xplore.oracles import LabelsDiffer

N = 24


@examples(60)
@given(
    rng=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 2, 9, 784]),
    count=st.integers(1, 300),
    values=st.sampled_from([2, 256, 0]),
    offset=st.sampled_from([0.0, 1000.0]),
    parts=st.lists(st.integers(0, N), max_size=4),
)
def test_nearest_is_the_same_alone_and_among_others(
    rng: int, size: int, count: int, values: int, offset: float, parts: list[int]
) -> None:
    """Few values make ties, an offset makes squares that swallow the differences."""
    random = np.random.default_rng(rng)
    drawn = random.random((N + count, size))
    drawn = np.round(drawn * (values - 1)) / (values - 1) if values else drawn
    points, training = np.split((drawn + offset).astype(np.float32), [N])
    apart = np.square(points[:, None].astype(float) - training).sum(axis=2)
    distance, row = nearest(points, training)
    np.testing.assert_allclose(distance, np.sqrt(apart.min(axis=1)), rtol=1e-12)
    np.testing.assert_array_equal(row, apart.argmin(axis=1))
    for first, last in pairwise(sorted({0, N, *parts})):
        some = nearest(points[first:last], training)
        assert [one.tobytes() for one in some] == [distance[first:last].tobytes(), row[first:last].tobytes()]


@pytest.mark.parametrize("far", [1e20, 1e-30])
def test_nearest_where_squares_overflow_or_vanish(far: float) -> None:
    training = np.array([[3, 0], [0, 1], [0, 1]], np.float32) * np.float32(far)
    distance, row = nearest(np.zeros((2, 2), np.float32), training)
    np.testing.assert_allclose(distance, far, rtol=1e-6)
    assert row.tolist() == [1, 1]


def rank(images: np.ndarray) -> np.ndarray:
    """A referee that compares what it is asked with what stands beside it."""
    return images.reshape(len(images), -1).sum(axis=1).argsort().argsort()


def findings(judge: Judge, before: Any, after: Any, latents: Any, rows: np.ndarray) -> list[tuple[Any, ...]]:
    """What would be stored of some of the findings, each as what can be compared to the bit."""
    rows = np.arange(N)[rows]
    some = before[rows], after[rows]
    own = jax.tree.map(lambda leaf: leaf[rows], latents)
    judged = judge.judge(some[1])
    measures = judge.measures(*some, judged, own)
    reasons = judge.reasons(judged, measures, np.ones(len(rows), bool))
    told = [(measured, why, None, 1) for measured, why in zip(measures, reasons, strict=True)]
    made = make_findings(judge.constraint.encoding, "search", rows, some, judged, told, own)
    return [
        tuple(one.tobytes() if isinstance(one, np.ndarray) else repr(one) for one in astuple(finding))
        for finding in made
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "constraint",
    [CONSTRAINTS[at] for at in (0, 2, 9, 16, 25)],
    ids=lambda constraint: type(constraint).__name__,
)
def test_findings_are_the_same_in_any_company(constraint: Constraint) -> None:
    panel = relatives(1, GREY, channels=(4,))
    panel.check(GREY)
    before, after, training = (pictures(rng, n, GREY) for rng, n in ((0, N), (1, N), (2, 500)))
    latents: Any = ()
    if constraint.needs_latents:
        drawn = constraint.sample(jax.random.split(jax.random.key(0), N), constraint.encoding.decode(before))
        latents = jax.tree.map(np.asarray, drawn)
    criteria = NeuronCoverage(0.25), NeuronCoverage(0.75)
    judge = Judge(panel, LabelsDiffer(), constraint, criteria, rank, training, batch=16)
    together = findings(judge, before, after, latents, np.arange(N))
    groups = (
        [[at] for at in range(4)],
        [range(N)[::-1]],
        np.split(np.random.default_rng(0).permutation(N), [5, 7]),
    )
    for group in (np.array(list(group)) for grouping in groups for group in grouping):
        assert findings(judge, before, after, latents, group) == [together[at] for at in np.arange(N)[group]]
