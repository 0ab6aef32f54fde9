"""What Features promise, on generated tables: what may change does, within its bound, and nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import TABLES, double, examples
from tables import JOBS, frame, frames

from xplore._util.errors import InputError
from xplore.constraints import Features
from xplore.inputs.columns import changes
from xplore.inputs.table import Table

seeds = st.integers(0, 2**31)


def ends_later(row):
    return row.start <= row.end


def no_student(row):
    return row["job"] != "student"


def told(table, changes=3):
    """Features with everything that can be told of them."""
    features = Features.infer(table, changes=changes).freeze("rate", "declared").grow("age", "level")
    features = features.order("job", JOBS).limit("small", 1, 3)
    return features.where(ends_later).where(no_student)


inside = jax.jit(lambda features, before, after: features.within(before, after))
sizes_of = jax.jit(lambda features, before, after: features.sizes(before, after))


def seeds_of(features, table):
    """The rows that keep the rules, as models read them."""
    rows = features.encode_inputs(table[table["job"] != "student"].iloc[:8])
    return jnp.asarray(rows), jnp.asarray(features.encoding.decode(rows))


@jax.jit
def walk(features, key, x0, size):
    """Latents of several origins, and what they render."""
    keys = jax.random.split(key, len(x0))
    sampled, fixed = features.sample(keys, x0)
    near = features.mutate(keys, sampled, fixed, x0)[0]
    far = features.project(size * jax.random.normal(key, x0.shape, x0.dtype), fixed, x0)
    start = features.init(keys, x0, jnp.ones_like(x0), jnp.zeros(len(x0), int))[0]
    z = {
        "sampled": sampled,
        "near": near,
        "far": far,
        "twice": features.project(far, fixed, x0),
        "start": start,
    }
    return z, {name: features.render(latent, fixed, x0) for name, latent in z.items()}


@examples(12)
@given(frames, seeds, st.sampled_from([1, 4]), st.sampled_from([0.1, 1.0, 30.0]))
def test_laws(table, seed, changes, size):
    features = told(table, changes)
    codes, x0 = seeds_of(features, table)
    z, x = walk(features, jax.random.key(seed), x0, size)
    np.testing.assert_array_equal(x["start"], x0, "latents of zero render the seed")
    np.testing.assert_array_equal(z["far"], z["twice"], "project is idempotent")
    names = [column.name for column in features.columns]
    for name in ("sampled", "near", "far"):
        stored = np.asarray(features.encoding.encode(x[name]))
        np.testing.assert_array_equal(features.encoding.decode(stored), x[name], "what is rendered is stored")
        assert inside(features, x0, x[name]).all(), name
        before, after = features.frame(np.asarray(codes)), features.frame(stored)
        assert list(after.columns) == list(table.columns) == names
        assert (after.dtypes == table.dtypes).all()
        for frozen in ("rate", "declared"):
            assert (before[frozen] == after[frozen]).all()
        assert (after["age"] >= before["age"]).all() and (after["level"] >= before["level"]).all()
        assert (after["start"] <= after["end"]).all() and (after["job"] != "student").all()
        assert (after[["town_a", "town_b", "town_c"]].sum(axis=1) == 1).all()
        moved = before["small"] != after["small"]
        assert after["small"][moved].between(1, 3).all()
        differ = (before != after).drop(columns=["town_b", "town_c"])
        differ["town_a"] = (before != after)[["town_a", "town_b", "town_c"]].any(axis=1)
        assert (differ.sum(axis=1) <= changes).all()
        sizes = sizes_of(features, x0, x[name])
        np.testing.assert_array_equal(sizes["changed"], differ.sum(axis=1))
    assert (x["sampled"] != x0).any(), "something moves"


@examples(25)
@given(frames)
def test_a_table_survives_being_stored(table):
    features = Features.infer(table)
    rows = features.encode_inputs(table)
    back = features.frame(rows)
    single = table.assign(rate=table["rate"].astype("float32").astype("float64"))
    pd.testing.assert_frame_equal(back, single)
    np.testing.assert_array_equal(features.encode_inputs(back), rows)
    again = Table.recorded(features.described())
    assert again.columns == features.columns and again.groups == features.groups
    np.testing.assert_array_equal(again.probes(9), features.probes(9))


def test_kinds_are_as_a_person_would_say():
    table = frame(0)
    kinds = {column.name: column.kind for column in Features.infer(table).columns}
    assert kinds == {
        "age": "integer", "rate": "float", "small": "integer", "single": "float", "flag": "binary",
        "zero_one": "binary", "job": "category", "declared": "category", "level": "ordinal",
        "nullable": "integer", "start": "integer", 7: "integer", "end": "integer",
        "town_a": "binary", "town_b": "binary", "town_c": "binary",
    }  # fmt: skip
    groups = Features.infer(table).groups
    assert [[list(table.columns)[i] for i in group] for group in groups] == [["town_a", "town_b", "town_c"]]


@pytest.mark.parametrize("features", TABLES, ids=repr)
def test_the_slope_of_numbers_is_their_range_and_of_categories_none(features):
    features = Features.infer(frame(3))
    _, x0 = seeds_of(features, frame(3))
    weights = jnp.ones_like(x0)
    slope = jax.grad(lambda z: (weights * features.render(z, (), x0)).sum())(jnp.zeros_like(x0))
    for i, column in enumerate(features.columns):
        span = float(features.high[i] - features.low[i])
        expected = 0 if column.kind == "category" else span or 1
        out = np.asarray(x0[:, i] >= features.high[i])  # the weights point out of the range there
        np.testing.assert_allclose(slope[:, i], np.where(out, 0, expected), rtol=1e-6)


def test_changes_beyond_the_bound_are_seen():
    table = frame(5)
    features = told(table)
    _, x0 = seeds_of(features, table)
    at = {column.name: i for i, column in enumerate(features.columns)}
    within = partial(inside, features)

    def put(**values):
        return jnp.stack([x0[:, i] if c.name not in values else jnp.full(len(x0), values[c.name], x0.dtype)
                          for i, c in enumerate(features.columns)], axis=1)  # fmt: skip

    assert within(x0, x0).all()
    assert not within(x0, x0.at[:, at["rate"]].add(0.1)).any(), "frozen"
    assert not within(x0, x0.at[:, at["age"]].add(-1)).any(), "only up"
    assert not within(x0, put(small=4)).any() or (x0[:, at["small"]] == 4).any(), "beyond the limit"
    assert not within(x0, put(nullable=2.5)).any(), "no whole number"
    assert not within(x0, put(town_a=1, town_b=1, town_c=1)).any(), "no longer one-hot"
    assert not within(x0, x0.at[:, at["end"]].set(-1)).any(), "a rule"
    many = x0.at[:, [at[n] for n in ("zero_one", "flag")]].set(
        1 - x0[:, [at[n] for n in ("zero_one", "flag")]]
    )
    many = many.at[:, at["single"]].add(jnp.where(x0[:, at["single"]] > 0.5, -0.01, 0.01))
    few = within(x0, many)
    more = many.at[:, at[7]].set((x0[:, at[7]] + 1) % 3)
    assert few.any() and not within(x0, more).any(), "one change too many"


def test_a_seed_outside_the_range_stays_unless_it_changes():
    features = Features.infer(np.array([[0.0, 1], [10, 2]]), ["a", "b"])
    x0 = jnp.array([[99.0, 1.0]])
    assert features.render(jnp.zeros((1, 2)), (), x0).tolist() == [[99.0, 1.0]]
    assert features.within(x0, jnp.array([[99.0, 2.0]])).all()
    assert not features.within(x0, jnp.array([[98.0, 1.0]])).any()
    assert features.within(x0, jnp.array([[9.0, 1.0]])).all()


def test_laws_hold_in_float64():
    with double():
        features = told(frame(8))
        _, x0 = seeds_of(features, frame(8))
        assert x0.dtype == jnp.float64
        _, x = walk(features, jax.random.key(0), x0, 1.0)
        for name in ("sampled", "near", "far"):
            assert inside(features, x0, x[name]).all()


def test_distances_are_shares_of_ranges():
    table = pd.DataFrame({"n": [0, 10], "job": ["clerk", "nurse"], "a": [1, 0], "b": [0, 1]})
    features = Features.infer(table)
    x = jnp.asarray(features.encode_inputs(table))
    other = jnp.array([[5.0, 0, 0, 1]])
    sizes = jax.tree.map(float, {k: v[0] for k, v in features.sizes(x[:1], other).items()})
    assert sizes == {"changed": 2, "l1": pytest.approx(1.5), "l2": pytest.approx(1.25**0.5)}
    points = features.embed(np.concatenate([x[:1], other]))
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(1.25**0.5)
    whole = features.embed(np.asarray(x))
    assert np.linalg.norm(whole[0] - whole[1]) == pytest.approx(3**0.5)


TABLE = frame(0)


@examples(50)
@given(frames, st.data())
def test_whatever_is_stored_can_be_told(table, data):
    """A search without bounds may ask for any number; a category that does not exist is never stored."""
    features = Features.infer(table)
    x = data.draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=len(features.columns)).map(np.float32))
    (row,) = np.asarray(features.encoding.encode(jnp.asarray(x)[None, : len(features.columns)]))
    told = features.frame(row[None])
    for column, code in zip(features.columns, row, strict=True):
        assert not column.values or told[column.name].iloc[0] in column.values
        assert not column.whole or code == round(code)
    changes(features.columns, features.encode_inputs(table)[0], row)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (lambda f: f.freeze("agee"), ("agee", "did you mean 'age'?")),
        (lambda f: f.grow("job"), ("job", "only numbers and levels go up")),
        (lambda f: f.limit("job", 0, 1), ("only numbers have limits",)),
        (lambda f: f.limit("age", 5, 3), ("low <= high", "5 and 3")),
        (lambda f: f.limit("age", 0, 2**25), ("16,777,216",)),
        (lambda f: f.order("job", ["clerk"]), ("every category once", "nurse")),
        (lambda f: f.order("age", [1, 2]), ("category or ordinal",)),
        (lambda f: f.where(lambda row: row.start <= row.end and row.age > 3), ("&",)),
        (lambda f: f.where(lambda row: 3 < row.age < 5), ("a < b < c",)),
        (lambda f: f.where(lambda row: True if row.flag > 0 else row.age > 3), ("if",)),
        (lambda f: f.where(lambda row: row.ages > 3), ("ages", "did you mean 'age'?")),
        (lambda f: f.where(lambda row: row.age), ("a truth value a row",)),
        (lambda f: f.where(lambda row: row.job == "pilot"), ("'pilot'", "clerk")),
        (lambda f: f.where(lambda row: row.job < "nurse"), ("no order", "order('job'")),
        (lambda f: f.where(lambda row: 1 / 0), ("ZeroDivisionError",)),
        (lambda f: Features.infer(TABLE, changes=0), ("changes", ">= 1")),
        (lambda f: Features.infer(TABLE.assign(age=np.nan, rate=None)), ("'age'", "24 missing ones", "fill")),
        (lambda f: Features.infer(TABLE.assign(id=2**24 + TABLE.age)), ("'id'", "16,777,216", "float32")),
        (lambda f: Features.infer(TABLE.assign(when=pd.Period("2020-01"))), ("'when'", "period[M]")),
        (lambda f: Features.infer(TABLE.assign(bad=[[1]] * 24)), ("'bad'",)),
        (lambda f: Features.infer(TABLE.assign(bad=[1, "a"] * 12)), ("'bad'",)),
        (lambda f: Features.infer(TABLE.assign(bad=np.inf)), ("'bad'", "finite")),
        (lambda f: Features.infer(TABLE[["age", "age"]]), ("names of their own",)),
        (lambda f: Features.infer(TABLE.iloc[:0]), ("a row and a column",)),
        (lambda f: Features.infer(np.array([["a"]])), ("DataFrame",)),
        (lambda f: Features.infer(np.zeros(3)), ("[n d]",)),
        (lambda f: f.encode_inputs(TABLE.drop(columns="age")), ("age",)),
        (lambda f: f.encode_inputs(TABLE.assign(job="pilot")), ("'pilot'", "clerk")),
        (lambda f: f.encode_inputs(TABLE.assign(age=1.5)), ("'age'", "whole numbers")),
        (lambda f: f.encode_inputs(TABLE.assign(age="old")), ("'age'", "numbers")),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told(told, words):
    with pytest.raises(InputError) as caught:
        told(Features.infer(TABLE))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_seeds_that_break_a_rule_are_counted():
    features = Features.infer(TABLE).where(lambda row: row.age > 1000)
    with pytest.raises(InputError, match=r"rule 1, got 24 of 24 that break it \(rows 0, 1, 2, 3, 4, …\)"):
        features.check(features.encode_inputs(TABLE))
    rows = Features.infer(TABLE).encode_inputs(TABLE.assign(town_a=1))
    with pytest.raises(InputError, match="exactly one of town_a, town_b, town_c"):
        Features.infer(TABLE).check(rows)


WRITTEN = {  # numbers with fractions of which float32 makes others
    "seconds since 1970": lambda r: 1.7e9 + r.uniform(0, 600, 200),
    "milliseconds, on a grid": lambda r: 1.7e12 + 0.5 * r.integers(0, 10**6, 200),
    "money with cents": lambda r: np.round(r.uniform(3e7, 3e7 + 200, 200), 2),
    "degrees beside a place": lambda r: 52.5163 + r.normal(0, 1e-7, 200),
}
HARMLESS = {
    "a range": lambda r: r.uniform(-1e3, 1e3, 5000),
    "many orders": lambda r: np.exp(r.normal(0, 10, 5000)),
    "money": lambda r: np.round(r.uniform(0, 9e4, 5000), 2),
    "degrees": lambda r: r.uniform(-180, 180, 5000),
    "seconds since the first": lambda r: r.uniform(0, 600, 200),
    "hardly ever something": lambda r: np.where(r.random(500) < 0.9, 0.0, r.normal(size=500)),
    "large, and wide": lambda r: r.uniform(0, 1e12, 5000),
}


@pytest.mark.parametrize("kind", WRITTEN)
@given(st.integers(0, 99))
def test_numbers_that_become_one_are_refused(kind, seed):
    r = np.random.default_rng(seed)
    table = pd.DataFrame({"kept": r.normal(size=200), "lost": WRITTEN[kind](r)})
    with pytest.raises(InputError, match=r"'lost'.*stay apart in float32.*become one; subtract an origin"):
        Features.infer(table)
    first = table.assign(lost=table.lost - table.lost.min())
    assert Features.infer(first).encode_inputs(first).shape == (200, 2)
    single = table.assign(lost=table.lost.astype("float32"))
    assert Features.infer(single).encode_inputs(single).shape == (200, 2)  # nothing is lost any more


@pytest.mark.parametrize("kind", HARMLESS)
@given(st.integers(0, 99))
def test_others_are_not(kind, seed):
    table = pd.DataFrame({"kept": HARMLESS[kind](np.random.default_rng(seed))})
    np.testing.assert_allclose(Features.infer(table).encode_inputs(table)[:, 0], table.kept, rtol=1e-6)


def test_seeds_are_refused_that_become_one():
    r = np.random.default_rng(0)
    features = Features.infer(pd.DataFrame({"time": r.uniform(0, 2e9, 300)}))
    with pytest.raises(InputError, match=r"'time'.*stay apart in float32"):
        features.encode_inputs(pd.DataFrame({"time": 1.7e9 + r.uniform(0, 600, 300)}))
