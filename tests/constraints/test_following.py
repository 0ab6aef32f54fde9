"""Features that follow from others, move in multiples or by magnitude, and slopes at the ends of a range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import double, examples

from xplore._util.errors import InputError
from xplore.constraints import Features

seeds = st.integers(0, 2**31)
NAMES = ["a", "b", "total", "share", "tz", "bytes", "none"]


def total(row):
    return row.a + row.b


def share(row):
    return row.bytes / (row.total + 1)


def none(row):
    return (row.total == 0).astype(row.a.dtype)


def table(seed, n=16):
    """Counts, their total, what is a share of them, offsets in quarters, sizes over orders of magnitude."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 30, n), rng.integers(0, 9, n)
    size = np.round(10 ** rng.uniform(0, 7, n))
    columns = [a, b, a + b, size / (a + b + 1), 900 * rng.integers(-8, 9, n), size, (a + b == 0)]
    return np.stack(columns, axis=1).astype(np.float32)


def told(rows, changes=2):
    features = Features.infer(
        np.concatenate([rows, rows + 0.5 * (np.arange(7) == 3)]), NAMES, changes=changes
    )
    features = features.follow("total", total).follow("share", share)
    features = features.follow("none", none)
    return features.multiples("tz", 900).magnitude("bytes", "a").grow("a")


@jax.jit
def walk(features, key, x0, size):
    keys = jax.random.split(key, len(x0))
    sampled, fixed = features.sample(keys, x0)
    z = {
        "sampled": sampled,
        "near": features.mutate(keys, sampled, fixed, x0)[0],
        "far": features.project(size * jax.random.normal(key, x0.shape, x0.dtype), fixed, x0),
    }
    x = {name: features.render(latent, fixed, x0) for name, latent in z.items()}
    within = {name: features.within(x0, rows) for name, rows in x.items()}
    return x, within, {name: features.sizes(x0, rows) for name, rows in x.items()}


@examples(10)
@given(seeds, st.sampled_from([0.1, 1.0, 30.0]))
def test_what_follows_does_and_is_no_change_of_its_own(seed, size):
    rows = table(seed)
    features = told(rows)
    x0 = jnp.asarray(features.encode_inputs(rows))
    x, within, sizes = walk(features, jax.random.key(seed), x0, size)
    moved = 0
    for name in x:
        before, after = np.asarray(x0), np.asarray(x[name])
        np.testing.assert_array_equal(after[:, 2], after[:, 0] + after[:, 1])
        np.testing.assert_allclose(after[:, 3], after[:, 5] / (after[:, 2] + 1), rtol=1e-5)
        np.testing.assert_array_equal(after[:, 6], after[:, 2] == 0)
        assert within[name].all(), name
        chosen = (before != after)[:, [0, 1, 4, 5]]
        assert (chosen.sum(axis=1) <= 2).all()
        np.testing.assert_array_equal(sizes[name]["changed"], chosen.sum(axis=1))
        assert (after[:, 4] % 900 == 0).all() and (after[:, 0] >= before[:, 0]).all()
        still = ~chosen[:, [0, 1]].any(axis=1)
        np.testing.assert_array_equal(after[still, 2], before[still, 2])
        moved += int((before[:, 2] != after[:, 2]).sum())
        assert np.isfinite(after).all() and (after[:, 5] <= rows[:, 5].max()).all()
    assert moved > 0


def test_a_total_that_does_not_follow_is_beyond_the_bound():
    rows = table(3)
    features = told(rows)
    x0 = jnp.asarray(features.encode_inputs(rows))
    assert features.within(x0, x0).all()
    assert not features.within(x0, x0.at[:, 1].set((x0[:, 1] + 1) % 9)).any(), "the total stayed"
    assert not features.within(x0, x0.at[:, 2].add(1)).any(), "the total moved alone"
    assert not features.within(x0, x0.at[:, 4].add(1)).any(), "no multiple of 900"


def test_a_seed_keeps_a_total_that_was_rounded_otherwise():
    features = told(table(3))
    x0 = jnp.asarray(features.encode_inputs(table(3))).at[:, 3].multiply(1.001)
    x = features.render(jnp.zeros_like(x0).at[:, 4].set(0.5), (), x0)
    assert (x[:, 4] != x0[:, 4]).any()
    np.testing.assert_array_equal(x[:, 3], x0[:, 3])
    assert features.within(x0, x).all()


@jax.jit
def slopes(features, z, x0, weights):
    """The slope of a linear score, by the gradient, and what each latent's small step inside would give."""

    def score(z):
        return (weights * features.render(z, (), x0)).sum(axis=1)

    return jax.grad(lambda z: score(z).sum())(z)


@examples(5)
@given(seeds)
def test_the_slope_is_the_ranges_by_the_chain_rule_and_none_out_of_it(seed):
    rng = np.random.default_rng(seed)
    rows = table(seed)
    with double():
        features = told(rows, changes=7)
        x0 = jnp.asarray(features.encode_inputs(rows), float)
        weights = jnp.asarray(rng.normal(size=x0.shape))
        slope = np.asarray(slopes(features, jnp.zeros_like(x0), x0, weights))
    low, high = rows.min(axis=0).astype(float), rows.max(axis=0).astype(float)
    for row, seed_row in enumerate(np.asarray(x0, float)):
        a, b, _, _, tz, size, _ = seed_row
        w = np.asarray(weights[row])
        of_total = w[2] - w[3] * size / (a + b + 1) ** 2
        by_hand = {
            0: (w[0] + of_total) * np.sqrt(1 + a**2) * (np.arcsinh(high[0]) - np.arcsinh(low[0])),
            1: (w[1] + of_total) * (high[1] - low[1]),
            4: w[4] * (high[4] - low[4]),
            5: (w[5] + w[3] / (a + b + 1))
            * np.sqrt(1 + size**2)
            * (np.arcsinh(high[5]) - np.arcsinh(low[5])),
        }
        for at, expected in by_hand.items():
            start = {0: a, 1: b, 4: tz, 5: size}[at]
            least = start if at == 0 else low[at]  # a only grows
            out = (start <= least and expected < 0) or (start >= high[at] and expected > 0)
            assert slope[row, at] == pytest.approx(0 if out else expected, rel=1e-4, abs=1e-6)
        assert not slope[row, [2, 3, 6]].any(), "what follows is not chosen"


def test_no_slope_points_out_of_the_range_and_the_way_back_has_its_own():
    features = Features.infer(np.array([[0.0], [4.0]]), ["a"])
    for seed, end, out in ((0.0, 1.0, 1.0), (4.0, -1.0, -1.0)):
        x0, z = jnp.array([[seed]]), jnp.array([[end]])
        for sign in (1.0, -1.0):
            slope = slopes(features, z, x0, jnp.array([[sign]]))
            assert slope.item() == (0 if sign == out else sign * 4)


TABLE = Features.infer(table(0), NAMES)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: TABLE.follow("totals", total), ("totals", "did you mean 'total'?")),
        (lambda: TABLE.follow("total", lambda row: row.a > row.b), ("a number a row",)),
        (lambda: TABLE.follow("total", lambda row: 3), ("a number a row",)),
        (lambda: TABLE.multiples("tz", 0), ("a number > 0",)),
        (lambda: TABLE.multiples("tz", 0.5), ("multiples of 'tz'",)),
        (lambda: TABLE.grow("tz").multiples("tz", 900), ("only goes up",)),
        (lambda: TABLE.magnitude("nowhere"), ("nowhere",)),
    ],
)
def test_what_cannot_be_used_is_told(wrong, words):
    with pytest.raises(InputError) as caught:
        wrong()
    assert all(word in str(caught.value) for word in words), str(caught.value)
