"""What every coverage criterion promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import CRITERIA, examples, missing

import xplore.coverage
from xplore.coverage import Criterion
from xplore.units import Layer, Layout, gather

ROWS = 3
KINDS = ((3, 2, 2), (4,), (2, 2, 5))
LAYOUT = Layout((
    ("one", (Layer("conv", "conv", KINDS[0]), Layer("logits", "dense", KINDS[1]))),
    ("two", (Layer("pool", "pool", KINDS[2]),)),
))  # fmt: skip
each = pytest.mark.parametrize("criterion", CRITERIA, ids=repr)
update = jax.jit(lambda criterion, state, batch: criterion.update(state, batch))
locate = jax.jit(lambda criterion, batch: criterion.locate(batch))
gathered = jax.jit(lambda layers: gather(layers, LAYOUT))


@jax.jit
def closeness(criterion, batch):
    """Of every cell of every unit, `[u k b]`, and the sum of its slopes."""
    units, cells = jnp.arange(LAYOUT.n_units), jnp.arange(criterion.n_cells)

    def one(unit, cell):
        rows = jnp.full(ROWS, unit), jnp.full(ROWS, cell)
        slope = jax.grad(lambda b: criterion.closeness(b, *rows).sum())(batch)
        return criterion.closeness(batch, *rows), slope

    return jax.vmap(lambda unit: jax.vmap(lambda cell: one(unit, cell))(cells))(units)


@st.composite
def batches(draw):
    """Activations of three inputs: coarse or fine values, some layers constant, in some of the inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers = []
    for kind in KINDS:
        coarse = rng.integers(-4, 5, (ROWS, *kind)) / 4
        values = (
            coarse if draw(st.booleans()) else rng.normal(size=(ROWS, *kind)) * 10.0 ** rng.integers(-3, 4)
        )
        for row in range(ROWS):
            if draw(st.integers(0, 3)) == 0:
                values[row] = draw(st.sampled_from([0.0, 1.0, -2.5]))
        layers.append(values.astype(np.float32))
    return layers


def same(one, other):
    return all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_no_criterion_is_missing():
    assert not missing(xplore.coverage, Criterion, CRITERIA)


@each
@examples(12)
@given(batches(), batches(), batches())
def test_coverage_is_a_join_semilattice(criterion, a, b, c):
    a, b, c = map(gathered, (a, b, c))
    nothing = criterion.init(LAYOUT)
    states = [update(criterion, nothing, batch)[0] for batch in (a, b, c)]
    x, y, z = states
    merge = criterion.merge
    assert same(update(criterion, x, b)[0], merge(x, y)), "two batches are the merge of their updates"
    assert same(merge(x, y), merge(y, x))
    assert same(merge(merge(x, y), z), merge(x, merge(y, z)))
    assert same(merge(x, x), x) and same(merge(x, nothing), x)
    assert float(criterion.value(nothing)) == 0
    for state in states:
        assert 0 <= float(criterion.value(state)) <= 1
    assert float(criterion.value(merge(x, y))) >= max(float(criterion.value(x)), float(criterion.value(y)))


@each
@examples(12)
@given(batches(), batches())
def test_a_row_gains_what_it_alone_would_add(criterion, a, b):
    a, b = gathered(a), gathered(b)
    state, _ = update(criterion, criterion.init(LAYOUT), a)
    _, gain = update(criterion, state, b)
    value = float(criterion.value(state))
    for row in range(ROWS):
        only = jax.tree.map(lambda leaf, row=row: jnp.repeat(leaf[row : row + 1], ROWS, axis=0), b)
        joined, _ = update(criterion, state, only)
        assert float(criterion.value(joined)) - value == pytest.approx(float(gain[row]), abs=1e-6)


@each
@examples(25)
@given(batches())
def test_closeness_is_positive_exactly_where_located(criterion, batch):
    batch = gathered(batch)
    soft, slopes = closeness(criterion, batch)
    hard = np.asarray(locate(criterion, batch)).T[:, None] == np.arange(criterion.n_cells)[None, :, None]
    np.testing.assert_array_equal(np.asarray(soft) > 0, hard)
    assert not np.isnan(soft).any()
    for leaf in jax.tree.leaves(slopes):
        assert np.isfinite(leaf).all()
