"""Missing values, dates and durations, on generated tables: what is stored, what may become of them."""

import datetime

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import TABLES, double, examples
from tables import gappy, gaps

from xplore._util.errors import InputError
from xplore.constraints import Features
from xplore.inputs.columns import MISSING, changes
from xplore.inputs.table import Table

seeds = st.integers(0, 2**31)
COME, GO = ("age", "job", "count", "end", "rate"), ("age", "rate", "noted", "flag", "born", "lasts", "amount")


def sum_of(row):
    return row.a + row.b


def ends_later(row):
    return row.start <= row.end


def told(table, changes=3):
    """Features with everything that can be told of missing values and dates."""
    features = Features.infer(table, changes=changes).missing(*COME, may_be_lost=True).freeze("seen")
    features = features.missing(*set(GO) - set(COME), may_be_found=True).missing(
        "age", "rate", may_be_lost=True, may_be_found=True
    )
    features = features.grow("level", "count").follow("sum", sum_of).magnitude("amount")
    features = features.limit("start", "2024-03-01", datetime.date(2026, 1, 1))
    return features.where(ends_later)


def kept(features, rows):
    return rows[[not names for names in features.broken(rows)]]


@jax.jit
def walk(features, key, x0, size):
    keys = jax.random.split(key, len(x0))
    sampled, fixed = features.sample(keys, x0)
    near, steps = (
        features.mutate(keys, sampled, fixed, x0)[0],
        size * jax.random.normal(key, x0.shape, x0.dtype),
    )
    z = {
        "sampled": sampled,
        "near": near,
        "far": features.project(jnp.where(jnp.isnan(near), near, near + steps), fixed, x0),
        "lost": features.project(jnp.where(steps > size, jnp.nan, steps), fixed, x0),
    }
    x = {name: features.render(latent, fixed, x0) for name, latent in z.items()}
    twice = {name: features.project(z[name], fixed, x0) for name in ("far", "lost")}
    start = features.render(jnp.zeros_like(x0), fixed, x0)
    within = {name: features.within(x0, rows) for name, rows in x.items()}
    sizes = {name: features.sizes(x0, rows) for name, rows in x.items()}
    back = {
        name: features.repaired(features.changed(x0, features.change(x0, rows)), x0)
        for name, rows in x.items()
    }
    return z, x, twice, start, within, sizes, back


def same_codes(one, other, near):
    return (np.isnan(one) & np.isnan(other)) | (np.abs(one - other) <= near)


def same(before, after):
    """Where cells of two frames are the same, or both missing."""
    return (before == after).fillna(False).astype(bool) | (before.isna() & after.isna())


@examples(12)
@given(gaps, seeds, st.sampled_from([1, 4]), st.sampled_from([0.1, 1.0, 30.0]))
def test_laws(table, seed, most, size):
    features = told(table, most)
    codes = kept(features, features.encode_inputs(table))
    x0 = jnp.asarray(features.encoding.decode(codes))
    z, x, twice, start, within, sizes, back = walk(features, jax.random.key(seed), x0, size)
    np.testing.assert_array_equal(start, x0, "latents of zero render the seed")
    before = features.frame(np.asarray(codes))
    come, go, moved = 0, 0, 0
    for name in x:
        if name in twice:
            np.testing.assert_array_equal(z[name], twice[name], "project is idempotent")
        stored = np.asarray(features.encoding.encode(x[name]))
        np.testing.assert_array_equal(features.encoding.decode(stored), x[name], "what is rendered is stored")
        for row in stored:
            np.testing.assert_array_equal(features.encoding.unpack(features.encoding.pack(row)), row)
        assert within[name].all(), name
        span = 1e-6 * np.maximum(features.high - features.low, 1)
        assert (same_codes(back[name], x[name], span)).all(), "a change makes what it was told of"
        after = features.frame(stored)
        assert (after.dtypes == table.dtypes).all()
        lost, new = after.isna() & before.notna(), after.notna() & before.isna()
        assert {*after.columns[lost.any()]} <= {*COME, "sum"} and {*after.columns[new.any()]} <= {*GO}
        differ = ~same(before, after)
        assert not differ["seen"].any() and (differ.drop(columns="sum").sum(axis=1) <= most).all()
        np.testing.assert_array_equal(sizes[name]["changed"], differ.drop(columns="sum").sum(axis=1))
        both = after["start"].notna() & after["end"].notna()
        assert (after["start"] <= after["end"])[both].all()
        assert after["start"][differ["start"]].between("2024-03-01", "2026-01-01").all()
        assert same(after[["sum"]], (after["a"] + after["b"]).to_frame("sum")).all(axis=None)
        up = before["count"].notna() & after["count"].notna()
        assert (after["count"] >= before["count"])[up].all()
        for i, words in enumerate(map(changes, [features.columns] * len(stored), codes, stored)):
            assert {name for name, *_ in words} == {*differ.columns[differ.iloc[i]]}
            assert all(old != new for _, old, new in words)
        come, go, moved = (
            come + lost.to_numpy().sum(),
            go + new.to_numpy().sum(),
            moved + differ.to_numpy().sum(),
        )
    assert come and go and moved


@examples(25)
@given(gaps)
def test_a_table_survives_being_stored(table):
    features = Features.infer(table)
    rows = features.encode_inputs(table)
    pd.testing.assert_frame_equal(features.frame(rows), table, rtol=1e-6)
    assert [type(v) for v in features.frame(rows)["born"]] == [type(v) for v in table["born"]]
    np.testing.assert_array_equal(features.encode_inputs(features.frame(rows)), rows)
    again = Table.recorded(features.described())
    assert again.columns == features.columns
    np.testing.assert_array_equal(again.probes(9), features.probes(9))
    assert np.isnan(features.probes(64)).any()


@pytest.mark.parametrize("features", TABLES, ids=repr)
def test_a_missing_value_has_no_slope_and_spoils_none(features):
    """Even where the score itself has no slope there, as of a logarithm."""
    rows = kept(features, features.probes(40))
    with double():
        x0 = jnp.asarray(rows, float)
        z = jnp.where(jnp.isnan(x0), 0.0, 0.01) * (np.arange(x0.shape[1]) % 3 == 0)[None]
        spoiled = jax.grad(lambda z: jnp.log1p(features.render(z, (), x0) ** 2).sum())(z)
        x = features.render(z, (), x0)
        filled = jnp.where(jnp.isnan(x), 1.0, x)
        slope = jax.vjp(lambda z: features.render(z, (), x0), z)[1](2 * filled / (1 + filled**2))[0]
    assert np.isfinite(spoiled).all() and not np.asarray(spoiled)[np.isnan(np.asarray(x))].any()
    follow = [at for at, _ in features.follows]
    rest = [at for at in range(x0.shape[1]) if not follow or at not in (*follow, 15, 16)]
    np.testing.assert_allclose(spoiled[:, rest], slope[:, rest], atol=1e-9)


def test_missing_values_beyond_what_was_declared_are_seen():
    table = gappy(3)
    features = told(table)
    names = [column.name for column in features.columns]
    x0 = jnp.asarray(kept(features, features.encode_inputs(table)))
    within = jax.jit(lambda x: features.within(x0, x))
    assert within(x0).all()
    for name in names:
        at, gap = names.index(name), jnp.isnan(x0)
        lost, fixed = x0.at[:, at].set(jnp.nan), x0.at[:, at].set(features.low[at])
        may = (name in COME) | np.asarray(gap[:, at])
        assert (np.asarray(within(lost)) == may).all() or name in ("b", "sum", "start"), name
        if name not in GO:
            assert not within(fixed)[np.asarray(gap[:, at])].any(), name


def test_distances_count_a_missing_value_as_one():
    table = pd.DataFrame({"n": [0.0, 10, np.nan], "job": ["clerk", "nurse", None]})
    features = Features.infer(table)
    codes = features.encode_inputs(table)
    x = jnp.asarray(codes)
    sizes = features.sizes(x[:1], x[2:])
    assert {name: float(value[0]) for name, value in sizes.items()} == {
        "changed": 2,
        "l1": 2,
        "l2": pytest.approx(2**0.5),
    }
    at = features.embed(codes)
    assert np.linalg.norm(at[0] - at[2]) == pytest.approx(2**0.5)
    middle = features.embed(np.array([[5, 0]], np.float32))[0]
    assert np.linalg.norm((middle - at[2])[:2]) == pytest.approx(0.75**0.5)
    assert all(float(size[0]) == 0 for size in features.sizes(x[2:], x[2:]).values())


def test_a_rule_says_nothing_of_a_row_in_which_a_value_that_it_reads_is_missing():
    table = pd.DataFrame({"age": [20.0, np.nan, 5.0], "job": ["a", None, "b"], "n": [1, 2, 3]})
    features = Features.infer(table)
    of_age = features.where(lambda row: row.age >= 18, "of age").where(lambda row: row.job == "a", "is a")
    assert of_age.broken(features.encode_inputs(table)) == [[], [], ["of age", "is a"]]
    given_age = features.where(lambda row: ~row.missing("age") | (row.n > 2), name="the age is given")
    assert given_age.broken(features.encode_inputs(table)) == [[], ["the age is given"], []]


@examples(20)
@given(gaps)
def test_dates_compare_as_in_pandas_whatever_their_units(table):
    naive = pd.to_datetime(table["seen"].dt.tz_convert("UTC").dt.tz_localize(None))
    born = pd.to_datetime(table["born"])
    features = Features.infer(table)
    rules = {
        "dates": (lambda r: r.start <= r.end, table["start"] <= table["end"]),
        "units": (lambda r: r.start < r.seen, table["start"] < naive),
        "text": (lambda r: r.end >= "2025-02-03", table["end"] >= "2025-02-03"),
        "equal": (lambda r: r.seen == naive.dropna().iloc[0], naive == naive.dropna().iloc[0]),
        "days": (lambda r: (r.end - r.start).days <= 100, (table["end"] - table["start"]).dt.days <= 100),
        "passed": (lambda r: r.seen - r.start > 20.5, naive - table["start"] > pd.Timedelta(days=20.5)),
        "later": (lambda r: r.start + 365 > r.end, table["start"] + pd.Timedelta(days=365) > table["end"]),
        "plus": (lambda r: r.seen + r.lasts > r.start, naive + table["lasts"] > table["start"]),
        "lasts": (lambda r: r.lasts <= datetime.timedelta(hours=9), table["lasts"] <= pd.Timedelta("9h")),
        "of age": (
            lambda r: (r.start - r.born).days >= 18 * 365,
            (table["start"] - born).dt.days >= 18 * 365,
        ),
    }
    read = {
        "dates": ["end"],
        "units": ["seen"],
        "text": ["end"],
        "equal": ["seen"],
        "days": ["end"],
        "later": ["end"],
        "passed": ["seen"],
        "plus": ["seen", "lasts"],
        "lasts": ["lasts"],
        "of age": ["born"],
    }
    for name, (rule, holds) in rules.items():
        features = features.where(rule, name)
        rules[name] = holds.fillna(False) | table[read[name]].isna().any(axis=1)
    broken = features.broken(features.encode_inputs(table))
    for i, names in enumerate(broken):
        assert names == [name for name, holds in rules.items() if not holds.iloc[i]]


def test_a_date_follows_from_another_in_its_own_unit():
    table = pd.DataFrame({"start": pd.to_datetime(["2024-01-01", "2025-06-01"]), "n": [1, 30]})
    table["end"] = table["start"] + pd.to_timedelta(table["n"], unit="D") + pd.Timedelta("12h")
    features = Features.infer(table).follow("end", lambda row: row.start + row.n + 0.5)
    x0 = jnp.asarray(features.encode_inputs(table))
    x = features.render(jnp.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]), (), x0)
    after = features.frame(np.asarray(x))
    assert after["n"].tolist() == [30, 1] and after["end"].tolist() == [
        pd.Timestamp("2024-01-31 12:00"),
        pd.Timestamp("2025-06-02 12:00"),
    ]


def test_kinds_and_words():
    table = gappy(0)
    features = Features.infer(table)
    kinds = {column.name: (column.kind, column.unit) for column in features.columns if column.unit}
    assert kinds == {
        "start": ("integer", "D"), "end": ("integer", "D"), "born": ("integer", "D"),
        "seen": ("integer", "m"), "lasts": ("integer", "m"),
    }  # fmt: skip
    assert [column.name for column in features.columns if not column.missing] == ["start", "a", "zero_one"]
    two = Features.infer(table[["start", "age"]]).missing("age", may_be_lost=True, may_be_found=True)
    assert "start: days 2024-" in repr(two) and "may be lost and found" in repr(two)
    assert "age may be lost; age may be found, where missing" in two.description
    column = features.columns[list(table).index("end")]
    assert column.text(float("nan")) == MISSING and column.text(19753.0) == "2024-01-31"


TEXTS = [f"the customer called about invoice {n} and was told to wait" for n in range(60)]
MANY = pd.DataFrame({"n": np.arange(60.0)})
FAR = pd.to_datetime(1e18 + np.arange(60) * 1e15 + 3e9, unit="ns")
TWO = pd.Series([None, np.nan, *["a"] * 58], dtype=object)
ONE_HOT = pd.get_dummies(pd.Series(["a", "b"]), dtype=float)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Features.infer(MANY.assign(note=TEXTS)), ("'note'", "free text", "60 different", "drop it")),
        (lambda: Features.infer(MANY.assign(note=[*TEXTS[:40], *TEXTS[:20]])), ("'note'", "40 different")),
        (lambda: Features.infer(MANY.assign(id=[f"C-{n}" for n in range(60)])), ("'id'", "'category'")),
        (lambda: Features.infer(MANY.assign(note=pd.array(TEXTS, "string"))), ("'note'", "free text")),
        (lambda: Features.infer(MANY.assign(t=MANY.n.map(lambda n: f"2020-01-{n:02.0f}"))), ("to_datetime",)),
        (lambda: Features.infer(MANY.assign(none=None)), ("'none'", "60 missing ones", "drop it")),
        (lambda: Features.infer(MANY.assign(two=TWO)), ("'two'", "NaN and None")),
        (lambda: Features.infer(MANY).encode_inputs(MANY.assign(n=np.nan)), ("'n'", "60 missing", "infer")),
        (lambda: Features.infer(MANY).missing("m", may_be_lost=True), ("'m'", "no such column")),
        (lambda: Features.infer(MANY.astype(int)).missing("n", may_be_lost=True), ("'n'", "'Int64'")),
        (lambda: Features.infer(MANY > 3).missing("n", may_be_found=True), ("'n'", "'boolean'")),
        (lambda: Features.infer(ONE_HOT).missing("a", may_be_lost=True), ("one-hot",)),
        (lambda: Features.infer(gappy(0)).limit("start", "soon", "2025-01-01"), ("a date", "'soon'")),
        (lambda: Features.infer(gappy(0)).limit("start", 3, 4), ("a date",)),
        (lambda: Features.infer(gappy(0)).limit("lasts", "2024-01-01", "2025-01-01"), ("a duration",)),
        (lambda: Features.infer(gappy(0)).magnitude("start"), ("magnitude", "a date")),
        (lambda: Features.infer(gappy(0)).multiples("start", 7), ("multiples", "a date")),
        (lambda: Features.infer(gappy(0)).where(lambda row: row.start < row.lasts), ("dates with dates",)),
        (lambda: Features.infer(gappy(0)).where(lambda row: row.start < 3), ("'2020-01-31'", "3")),
        (lambda: Features.infer(gappy(0)).follow("a", lambda row: row.end - row.start), (".days",)),
        (lambda: Features.infer(gappy(0)).follow("end", lambda row: row.a), ("a date", "a number")),
        (lambda: Features.infer(MANY).follow("n", lambda row: np.log(row.n)), ("'n' follows", "jax.numpy")),
        (lambda: Features.infer(MANY.assign(t=FAR)), ("'t'", "seconds", "dt.round")),
        (lambda: Features.infer(gappy(0)).encode_inputs(gappy(0).assign(start=FAR[0])), ("whole days",)),
        (
            lambda: Features.infer(gappy(0)).encode_inputs(gappy(0).assign(start=3)),
            ("'start'", "dates", "int64"),
        ),
        (lambda: Features.infer(gappy(0)).freeze("a").only("a"), ("only", "a, frozen")),
        (lambda: Features.infer(gappy(0)).only(), ("only", "none")),
        (lambda: Features.infer(gappy(0)).only("aa"), ("'aa'", "no such column")),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told(wrong, words):
    with pytest.raises(InputError) as caught:
        wrong()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_texts_that_are_categories_are_taken():
    rng = np.random.default_rng(0)
    towns = [f"town {n}" for n in range(40)]
    table = pd.DataFrame(
        {"town": rng.choice(towns, 60), "few": (TEXTS[:20] * 3), "job": ["a", "b", "c"] * 20}
    )
    table["name"] = pd.Categorical([f"C-{n}" for n in range(60)])
    assert {column.kind for column in Features.infer(table).columns} == {"category"}
