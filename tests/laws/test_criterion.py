"""What every coverage criterion promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import CRITERIA, examples, missing

import xplore.coverage
from xplore.coverage import Criterion, NeuronCoverage
from xplore.model import Model
from xplore.model.neurons import Layer, Layout, gather
from xplore.panel import Panel

ROWS = 3
KINDS = ((3, 2, 2), (4,), (2, 2, 5))
LAYOUT = Layout((
    ("one", (Layer("conv", "conv", KINDS[0]), Layer("logits", "dense", KINDS[1]))),
    ("two", (Layer("pool", "pool", KINDS[2]),)),
))  # fmt: skip
HEADS = [jax.nn.sigmoid, jnp.tanh, lambda x: x, lambda x: 2 * jnp.arctan(x)]
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


covered = jax.jit(lambda criterion, panel, x: criterion.locate(panel(x).activations) == 0)


def clipped_channels(weights, x):
    x = jax.lax.conv_general_dilated(
        x, weights["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.clip(x, weights["least"], 9).mean(axis=(1, 2)) @ weights["out"]


@examples(20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, -0.7]), st.sampled_from([1, 2, 5]))
def test_a_channel_all_at_the_low_of_its_layer_is_not_covered(seed, least, rows):
    """The mean of many equal numbers may round to a little more than one of them."""
    rng = np.random.default_rng(seed)
    weights = {
        "conv": np.float32(abs(rng.normal(size=(3, 3, 1, 6))) * [-9, 1, 1, 1, 1, 9]),
        "least": np.float32(least),
        "out": np.float32(rng.normal(size=(6, 5))),
    }
    x = jnp.asarray(np.repeat(0.5 + 0.5 * rng.random((1, 11, 13, 1)), rows, axis=0), jnp.float32)
    came = covered(NeuronCoverage(0.0), Panel((Model(clipped_channels, weights),)), x)
    assert not came[:, 0].any() and came[:, 5].all()


def of_one_number(head):
    return lambda weights, x: head(jnp.tanh(x @ weights["fc"]) @ weights["out"])


@pytest.mark.parametrize("network", [of_one_number(head) for head in HEADS])
@examples(10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.25, 0.5, 0.75]))
def test_a_layer_of_one_number_is_covered_by_its_value(network, seed, t):
    """Scaled by itself it would be constant, and never covered."""
    rng = np.random.default_rng(seed)
    weights = {"fc": np.float32(rng.normal(size=(9, 4))), "out": np.float32(rng.normal(size=(4, 1)))}
    x, panel = (
        jnp.asarray(rng.normal(size=(6, 9)), jnp.float32),
        Panel((Model(network, weights, output="values"),)),
    )
    came, value = np.asarray(covered(NeuronCoverage(t), panel, x)), np.asarray(panel.plain(x))[0, :, 0]
    assert panel(x).activations.layout.layers[-1].single
    far = abs(value - t) > 1e-6
    np.testing.assert_array_equal(came[far, -1], value[far] > t)
