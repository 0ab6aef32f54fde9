"""Searches on rows, by campaigns as a user would run them: what is found is confirmed on the stored row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import frame

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Features
from xplore.inputs.encoding import Rows
from xplore.search import Gradient, GridSearch, HillClimb, Original, Random

pytestmark = pytest.mark.slow

SEARCHES = [HillClimb(steps=12, tries=2), Random(steps=24), Gradient(steps=8, tries=3)]


def ends_later(row):
    return row.start <= row.end


TABLE = frame(1, 60)
FEATURES = Features.infer(TABLE).freeze("rate").grow("age").where(ends_later)


def network(params, x):
    return jnp.tanh((x - params["mean"][None]) / params["std"][None] @ params["in"]) @ params["out"]


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch):
    """A campaign would keep its compiled programs in the user's cache."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


@pytest.fixture(scope="module")
def models():
    """Two networks that mostly agree."""
    rng, rows = np.random.default_rng(0), FEATURES.encode_inputs(TABLE)
    scale = {"mean": rows.mean(axis=0), "std": rows.std(axis=0) + 0.1}
    first = {"in": rng.normal(size=(rows.shape[1], 8)), "out": rng.normal(size=(8, 3))}
    near = jax.tree.map(lambda w: w + 0.1 * rng.normal(size=w.shape), first)
    weights = [jax.tree.map(np.float32, {**scale, **part}) for part in (first, near)]
    return [xplore.Model(network, w, name=name) for w, name in zip(weights, "ab", strict=True)]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_findings_are_confirmed_on_the_stored_row(search, models, tmp_path):
    result = xplore.run(models, TABLE, constraint=FEATURES, search=search, lanes=16, out=tmp_path / "out",
                        progress=False)  # fmt: skip
    plain = jax.jit(lambda x: jnp.stack([model(x) for model in models]))
    seeds, encoding = FEATURES.encode_inputs(TABLE), Rows()
    assert len(result.findings) > 5, "a search that finds nothing shows nothing"
    for found in result.findings:
        before, after = encoding.unpack(found.before), encoding.unpack(found.after)
        np.testing.assert_array_equal(before, seeds[found.seed])
        assert tuple(np.asarray(plain(after[None])).argmax(axis=-1)[:, 0]) == found.decisions
        assert len(set(found.decisions)) == 2
        assert FEATURES.within(jnp.asarray(before)[None], jnp.asarray(after)[None]).all() and found.valid
        assert found.measures["changed"] <= 3 and 1 <= found.steps <= search.steps * search.tries
    table = result.frame()
    assert list(table["id"]) == [found.id for found in result.findings]
    after = table[[f"after:{name}" for name in TABLE.columns]]
    assert (after.dtypes.to_numpy() == TABLE.dtypes.to_numpy()).all()
    assert (after["after:start"] <= after["after:end"]).all()
    assert all(xplore.replay(tmp_path / "out", models).values())
    result.archive.close()


def test_flips_find_more_than_chance(models):
    """At the same number of queries; chance is another search of the same campaign."""
    result = xplore.run(
        models, TABLE, constraint=FEATURES, search=HillClimb(), baseline=Random(), progress=False
    )
    other = result.summary["baselines"][0]
    assert other["queries"] >= result.summary["queries"]
    assert result.summary["valid"] >= 0.8 * other["valid"]


@pytest.mark.parametrize("search", [Original(), GridSearch()], ids=lambda search: type(search).__name__)
def test_searches_that_need_images_say_so(search, models):
    with pytest.raises(InputError, match=r"search \w+.*Features"):
        xplore.run(models, TABLE, constraint=FEATURES, search=search, progress=False)


def test_a_constraint_on_images_is_refused_a_table(models):
    with pytest.raises(InputError, match="a table"):
        xplore.run(models, TABLE, constraint=xplore.constraints.Ball(), progress=False)
