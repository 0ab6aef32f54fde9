"""Sets of features: stored sparse, decoded whole; what is added is allowed, and nothing is taken away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import SETS, examples
from mutation import mutated

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Additions
from xplore.inputs.encoding import Sparse, encoding_of
from xplore.inputs.media import SETS as JSON
from xplore.inputs.media import from_set

seeds = st.integers(0, 2**31)
SIZE = 12


def codes_of(seed, n=8, size=SIZE, width=SIZE, most=9):
    rng = np.random.default_rng(seed)
    codes = np.full((n, width), size, np.int32)
    for row in codes:
        ones = np.sort(rng.choice(size, rng.integers(0, most), replace=False))
        row[: len(ones)] = ones
    return codes


def dense(codes, size=SIZE):
    rows = np.zeros((len(codes), size), np.float32)
    for row, code in zip(rows, codes, strict=True):
        row[code[code < size]] = 1
    return rows


decoded = jax.jit(lambda encoding, codes: encoding.decode(codes))
encoded = jax.jit(lambda encoding, rows: encoding.encode(rows))


@examples(20)
@given(seeds, st.sampled_from([1, 7, 40]))
def test_a_set_survives_decoding_and_being_stored(seed, size):
    codes = codes_of(seed, size=size, width=size, most=size + 1)
    encoding = Sparse(size, size)
    rows = decoded(encoding, codes)
    np.testing.assert_array_equal(rows, dense(codes, size))
    np.testing.assert_array_equal(encoded(encoding, rows), codes)
    assert encoding.shape(codes.shape[1:]) == rows.shape[1:]
    for code, row in zip(codes, dense(codes, size), strict=True):
        data = encoding.pack(code)
        np.testing.assert_array_equal(encoding.unpack(data), code)
        other = encoding_of(JSON, data)
        np.testing.assert_array_equal(decoded(other, other.unpack(data)[None])[0], row)


@examples(200)
@given(seeds, st.data())
def test_mutated_bytes_are_a_set_or_an_input_error(seed, data):
    stored = mutated(data, Sparse(SIZE, SIZE).pack(codes_of(seed, 1)[0]), 4)
    try:
        ones, size = from_set(stored)
    except InputError as error:
        assert "a stored set" in str(error)
    else:
        assert all(0 <= at < size for at in ones) and sorted(ones) == [*ones]


def test_a_set_of_another_size_is_refused():
    data = Sparse(5, 4).pack(np.array([1, 3, 5, 5], np.int32))
    with pytest.raises(InputError, match="up to 1 of 5 features, got 2 of 5"):
        Sparse(5, 1).unpack(data)
    with pytest.raises(InputError, match="of 6"):
        Sparse(6, 4).unpack(data)


@jax.jit
def walk(constraint, key, x0, size):
    keys = jax.random.split(key, len(x0))
    sampled, fixed = constraint.sample(keys, x0)
    noise = size * jax.random.normal(key, sampled.shape, x0.dtype)
    far = constraint.project(noise, fixed, x0)
    z = {"sampled": sampled, "near": constraint.mutate(keys, sampled, fixed, x0)[0], "far": far}
    return {
        "x": {name: constraint.render(latent, fixed, x0) for name, latent in z.items()},
        "still": constraint.render(jnp.zeros_like(far), fixed, x0),
        "start": constraint.render(constraint.init(keys, x0, x0, jnp.zeros(len(x0), int))[0], fixed, x0),
        "again": (far, constraint.project(far, fixed, x0)),
    }


measured = jax.jit(lambda constraint, a, b: (constraint.within(a, b), constraint.sizes(a, b)))


@pytest.mark.parametrize("constraint", SETS, ids=repr)
@pytest.mark.parametrize("size", [0.3, 1.0, 1e6])
def test_laws(constraint, size):
    added = 0
    for seed in range(4):
        before = dense(codes_of(seed))
        seen = walk(constraint, jax.random.key(seed), jnp.asarray(before), size)
        for name in ("still", "start"):
            np.testing.assert_array_equal(seen[name], before)
        np.testing.assert_array_equal(*seen["again"])
        for name, rows in seen["x"].items():
            after = np.asarray(rows)
            assert set(np.unique(after)) <= {0, 1} and (after >= before).all(), name
            new = after - before
            assert not new[:, ~np.isin(np.arange(SIZE), constraint.allowed)].any()
            assert (new.sum(axis=1) <= constraint.changes).all()
            within, sizes = measured(constraint, jnp.asarray(before), rows)
            assert within.all()
            np.testing.assert_array_equal(sizes["changed"], new.sum(axis=1))
            stored = encoded(constraint.encoding, rows)
            np.testing.assert_array_equal(decoded(constraint.encoding, stored), after)
            added += int(new.sum())
    assert added > 10


@pytest.mark.parametrize("constraint", SETS, ids=repr)
def test_changes_beyond_the_bound_are_seen(constraint):
    before = jnp.zeros((1, SIZE)).at[0, 0].set(1)
    one = before.at[0, constraint.allowed[0]].set(1)
    assert constraint.within(before, one).all() and constraint.within(before, before).all()
    assert not constraint.within(before, before.at[0, 0].set(0)).any(), "taken away"
    assert not constraint.within(before, before.at[0, 9].set(1)).any(), "not of the allowed"
    assert not constraint.within(before, before.at[0, constraint.allowed[0]].set(0.5)).any()
    many = before.at[0, constraint.allowed].set(1)
    assert constraint.within(before, many).all() == (len(constraint.allowed) <= constraint.changes)


def test_slopes_are_the_inputs_where_a_feature_can_be_added_and_that_helps():
    constraint, x0 = SETS[0], jnp.asarray(dense(codes_of(1)))
    weights = jnp.asarray(np.random.default_rng(0).normal(size=x0.shape), x0.dtype)

    def slope(z):
        return jax.grad(lambda z: (weights * constraint.render(z, (), x0)).sum())(z)

    free, of = np.asarray(x0)[:, constraint.allowed] == 0, np.asarray(weights)[:, constraint.allowed]
    assert free.any() and (~free).any()
    np.testing.assert_allclose(slope(jnp.zeros(of.shape)), np.where(free & (of > 0), of, 0))
    np.testing.assert_allclose(slope(jnp.ones(of.shape)), np.where(free & (of < 0), of, 0))
    np.testing.assert_allclose(slope(jnp.full(of.shape, 0.3)), np.where(free, of, 0))


def test_the_largest_wishes_come_true():
    constraint, x0 = SETS[0], jnp.zeros((1, SIZE))
    z = jnp.array([[0.9, 0.4, 0.6, 1.0, 0.55, 0.1]])
    after = constraint.render(z, (), x0)
    assert np.flatnonzero(after[0]).tolist() == sorted(np.asarray(constraint.allowed)[[0, 3]].tolist())
    assert not constraint.render(z * 0.4, (), x0).any(), "none is as much as a half"


NAMES = [f"permission::{at}" for at in range(4)]
FULL = np.array([[0, 1, 2, 3]], np.int32)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Additions.of(NAMES, [0], 4, changes=0), ("changes", "1 to 3")),
        (lambda: Additions.of(NAMES, [0], 4, changes=4), ("changes", "1 to 3")),
        (lambda: Additions.of(NAMES, [], 4), ("allowed features", "one at least")),
        (lambda: Additions.of(NAMES, [4], 4), ("allowed features", "4 features")),
        (lambda: SMALL.encode_inputs(np.zeros((2, 4))), ("int32 [n 4]", "float64 [2, 4]")),
        (lambda: SMALL.encode_inputs(np.zeros((0, 4), np.int32)), ("int32 [n 4]",)),
        (lambda: SMALL.encode_inputs(np.array([[2, 1, 4, 4]], np.int32)), ("another order",)),
        (lambda: SMALL.encode_inputs(np.array([[1, 1, 4, 4]], np.int32)), ("another order",)),
        (lambda: SMALL.encode_inputs(np.array([[-1, 1, 4, 4]], np.int32)), ("another order",)),
        (lambda: SMALL.check(FULL), ("room for 1 more",)),
    ],
)
def test_what_cannot_be_used_is_told(wrong, words):
    with pytest.raises(InputError) as caught:
        wrong()
    assert all(word in str(caught.value) for word in words), str(caught.value)


SMALL = Additions.of(NAMES, [0, 2], width=4, changes=1)


def linear(params, x):
    return jnp.tanh(x @ params["in"]) @ params["out"]


@pytest.mark.slow
def test_half_a_million_features_are_dense_on_the_device_alone(monkeypatch, tmp_path):
    """As many as Drebin has; what the host holds of the inputs is their codes."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    size, n, width = 545_333, 6, 40
    rng = np.random.default_rng(0)
    codes = codes_of(0, n=n, size=size, width=width, most=30)
    first = {"in": rng.normal(size=(size, 2)), "out": rng.normal(size=(2, 2))}
    near = jax.tree.map(lambda w: w + 0.7 * rng.normal(size=w.shape), first)
    models = [
        xplore.Model(linear, jax.tree.map(np.float32, w), name=name)
        for w, name in zip((first, near), "ab", strict=True)
    ]
    names = range(size)
    constraint = Additions.of([f"permission::{at}" for at in names], list(range(0, size, 100)), width, 5)
    assert codes.nbytes == n * width * 4 < 2**11
    result = xplore.run(
        models, codes, constraint=constraint, steps=4, tries=1, lanes=2, out=tmp_path / "out", progress=False
    )
    assert len(result.findings) > 0
    for found in result.findings:
        assert len(found.after) < 2**12, "stored as its ones, too"
        before, after = (set(from_set(data)[0]) for data in (found.before, found.after))
        assert before < after and all(at % 100 == 0 for at in after - before) and found.valid
    assert all(xplore.replay(tmp_path / "out", models).values())
    told = (tmp_path / "out" / "report.html").read_text()
    assert "permission::" in told and "added" in told
    result.archive.close()
