"""What every search promises, run through a campaign as a user would."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from laws.parts import SEARCHES, missing, pictures, relatives

import xplore
import xplore.search
from xplore._util.recipe import Recipe
from xplore.engine.step import Method, query
from xplore.inputs.encoding import decode, encode
from xplore.inputs.media import from_png, to_png
from xplore.objectives import Joint
from xplore.oracles import LabelsDiffer
from xplore.search import Search
from xplore.search._base import Start

pytestmark = pytest.mark.slow

SHAPE = (10, 10, 1)
SEEDS = 48
each = pytest.mark.parametrize("search,constraint", SEARCHES, ids=lambda part: type(part).__name__)


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch):
    """A campaign would keep its compiled programs in the user's cache."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


@pytest.fixture(scope="module")
def panel():
    return relatives(1, SHAPE, channels=())


@pytest.fixture(scope="module")
def images():
    return pictures(0, SEEDS, SHAPE)


def test_no_search_is_missing():
    assert not missing(xplore.search, Search, [search for search, _ in SEARCHES])


@each
def test_findings_are_what_the_plain_models_say_of_the_file(search, constraint, panel, images, tmp_path):
    parts = {"constraint": constraint, "search": search, "lanes": 16, "rng": 4}
    result = xplore.run(panel.models, images, **parts, out=tmp_path / "out", progress=False)
    plain = jax.jit(panel.plain)
    for found in result.findings:
        pixels, seed = from_png(found.after), from_png(found.before)
        np.testing.assert_array_equal(seed, images[found.seed])
        assert (pixels != seed).any(), "a finding differs from its seed"
        labels = np.asarray(plain(decode(pixels[None]))).argmax(axis=-1)[:, 0]
        assert len(set(labels.tolist())) > 1 and tuple(labels.tolist()) == found.decisions
        assert len(set(np.asarray(plain(decode(seed[None]))).argmax(axis=-1)[:, 0].tolist())) == 1
        if constraint.needs_latents:
            assert found.valid and found.measures["settings"]
        else:
            assert found.valid == bool(constraint.within(decode(seed[None]), decode(pixels[None]))[0])
        assert 1 <= found.steps <= search.looks * search.tries
        smaller = from_png(found.shrunk.after)
        labels = np.asarray(plain(decode(smaller[None]))).argmax(axis=-1)[:, 0]
        assert tuple(labels.tolist()) == found.decisions and (smaller != seed).any()
        if not constraint.needs_latents:
            assert found.shrunk.measures["l2"] <= found.measures["l2"] + 1e-5
            assert constraint.within(decode(seed[None]), decode(smaller[None]))[0] or not found.valid
    assert result.findings, "a search that finds nothing shows nothing"
    if constraint.needs_latents:
        assert any(any(found.measures["settings"].values()) for found in result.findings)
    assert len({found.seed for found in result.findings}) == len(result.findings)
    fates = [record.fate for record in result.archive.seeds()]
    assert len(fates) == SEEDS and fates.count("found") == len(result.findings)
    result.archive.close()


@each
def test_no_pixel_leaves_the_domain_and_no_row_sees_another(search, constraint, panel, images):
    rng = np.random.default_rng(0)
    units = panel.check(SHAPE).spans().values()
    covered = tuple(jnp.zeros(span.stop - span.start, bool) for span in units)
    method = Method(panel, Joint(), constraint, LabelsDiffer(), search)
    move = jax.jit(lambda m, point, start, seen: m.search.update(m.constraint, point, start, seen))

    @jax.jit
    def begin(method, start, before):
        aim = method.objective.goal(start.key, before, covered, start.attempt)
        return aim, method.search.init(method.constraint, start)

    @jax.jit
    def see(method, point, start, aim, done):
        x = method.search.propose(method.constraint, point, start)
        stored = decode(encode(x)) if method.search.quantize_steps else x
        return x, query(method, stored, aim, done)[1]

    def walk(x0, keys, turn):
        start = Start(x0, keys, turn)
        aim, point = begin(method, start, panel.plain(x0))
        path = []
        for done in range(search.steps):
            x, seen = see(method, point, start, aim, jnp.full(len(x0), done))
            path.append(np.asarray(x))
            point = move(method, point, start, seen)
        return np.stack(path)

    x0, other = decode(images[:3]), decode(images[3:6])
    keys, others = jax.random.split(jax.random.key(1), 3), jax.random.split(jax.random.key(2), 3)
    turn = jnp.asarray(rng.integers(0, search.tries, 3), jnp.int32)
    path = walk(x0, keys, turn)
    assert np.isfinite(path).all() and (path != path[:1]).any()
    if search.quantize_steps:
        assert path.min() >= 0 and path.max() <= 1
    mixed = walk(jnp.concatenate([x0[:1], other[1:]]), jnp.concatenate([keys[:1], others[1:]]), turn)
    np.testing.assert_allclose(mixed[:, 0], path[:, 0], atol=1e-5)
    assert (mixed[:, 1:] != path[:, 1:]).any()


def test_a_png_holds_what_was_encoded(images):
    for image in (*images[:5], *pictures(3, 3, (7, 9, 3))):
        np.testing.assert_array_equal(from_png(to_png(image)), image)
        np.testing.assert_array_equal(encode(decode(image)), image)


def test_recipes_are_equal_pickle_and_do_not_retrace():
    def adam(rate):
        return Recipe.of(optax.adam, learning_rate=rate, nesterov=True)

    one = adam(0.1)
    assert one == adam(0.1) and one != adam(0.2)
    assert one != Recipe.of(optax.adam, learning_rate=0.1, nesterov=False)
    assert hash(jax.tree.structure(one)) == hash(jax.tree.structure(adam(0.2)))
    assert jax.tree.structure(one) == jax.tree.structure(adam(0.2))
    back = pickle.loads(pickle.dumps(one))
    assert back == one and jax.tree.structure(back) == jax.tree.structure(one)
    update = jax.jit(lambda recipe, g: recipe().update(g, recipe().init(g))[0])
    g = jnp.ones(3)
    first, second = update(one, g), update(adam(0.2), g)
    update(back, g)
    assert update._cache_size() == 1
    np.testing.assert_allclose(second, 2 * first, rtol=1e-5)
