"""What every constraint promises, tried on every chart, on grey and colour images of several sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.parts import COLOUR, CONSTRAINTS, GREY, SETS, TABLES, double, examples, missing, pictures
from profiles import many

import xplore.constraints
from xplore._util.errors import InputError
from xplore.constraints import (
    Affine,
    Ball,
    Blackout,
    Blur,
    Chain,
    Constraint,
    Fog,
    Latent,
    Lighting,
    Noise,
    Occlusion,
    Patches,
    Photometric,
    Rain,
    Snow,
    _base,
)
from xplore.constraints._parameters import Parametric
from xplore.constraints._windows import cover, windows
from xplore.inputs.encoding import decode, encode

ROWS = 4
BY_LEVELS = [Lighting, Ball, lambda b: Ball(b, "2"), lambda b: Patches(((2, 3, 4, 5),), b)]
"""Charts whose bound is one of pixels."""
seeds = st.integers(0, 2**31)
PAIRS = [(c, GREY) for c in CONSTRAINTS]
PAIRS += [(c, COLOUR) for c in {type(c): c for c in CONSTRAINTS[::-1]}.values()]  # the first of each class
PAIRS += [(c, COLOUR) for c in CONSTRAINTS if isinstance(c, Occlusion) and c.height == 3]
both = pytest.mark.parametrize("constraint,shape", PAIRS, ids=repr)
each = pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)


@jax.jit
def walk(constraint, key, x0, slope, turn, size):
    """A start, a sample, and random latents of some size, projected once and twice and rendered."""
    z, fixed = constraint.init(key, x0, slope, turn)
    zeros = jax.tree.map(jnp.zeros_like, z)
    once = constraint.project(noise(key, z, size), fixed, x0)
    sampled, place = constraint.sample(key, x0)
    latents = {"sampled": (sampled, place), "once": (once, fixed), "zeros": (zeros, fixed)}
    codes = {name: encode(constraint.render(*made, x0)) for name, made in latents.items()}
    return {
        "fixed": fixed,
        "start": constraint.render(z, fixed, x0),
        "still": constraint.render(zeros, fixed, x0),
        "sample": constraint.render(sampled, place, x0),
        "once": once,
        "twice": constraint.project(once, fixed, x0),
        "image": constraint.render(once, fixed, x0),
        "codes": codes,
        "within": {name: constraint.within(x0, decode(c), latents[name]) for name, c in codes.items()},
        "latents": latents,
    }


def noise(key, z, size):
    """Random latents of this shape, a row a key."""

    def drawn(number, leaf):
        keys = jax.vmap(lambda k: jax.random.fold_in(k, 7 + number))(key)
        return size * jax.vmap(lambda k: jax.random.normal(k, leaf.shape[1:], leaf.dtype))(keys)

    leaves, tree = jax.tree.flatten(z)
    return jax.tree.unflatten(tree, [drawn(number, leaf) for number, leaf in enumerate(leaves)])


within = jax.jit(lambda constraint, *given: constraint.within(*given))
render = jax.jit(lambda constraint, *given: constraint.render(*given))


def start(seed, shape, *, blank=False):
    """Seeds, keys, a slope and turns: the last row's seed is blank, the one before it white."""
    rng = np.random.default_rng(seed)
    codes = pictures(seed, ROWS, shape)
    if blank:
        codes[-1], codes[-2] = 0, 255
    slope = rng.normal(size=codes.shape).astype(np.float32)
    turn = np.array([0, 1, 2, 3], np.int32)
    return decode(codes), jax.random.split(jax.random.key(seed), ROWS), jnp.asarray(slope), turn


def test_no_constraint_is_missing():
    assert not missing(xplore.constraints, Constraint, [*CONSTRAINTS, *TABLES, *SETS])


@both
def test_laws(constraint, shape):
    for seed, size in enumerate((0.01, 0.3, 2.0, 1e6)):
        x0, key, slope, turn = start(seed, shape, blank=seed % 2 == 1)
        seen = walk(constraint, key, x0, slope, turn, size)
        np.testing.assert_array_equal(seen["still"], x0, "latents of zero render the seed")
        for name in ("start", "sample", "image"):
            assert float(seen[name].min()) >= 0 and float(seen[name].max()) <= 1, name
        for one, two in zip(jax.tree.leaves(seen["once"]), jax.tree.leaves(seen["twice"]), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6, err_msg="project is idempotent")
        for name, inside in seen["within"].items():
            assert inside.all(), f"{name} as stored, size {size}: {inside}"


@each
def test_a_first_try_starts_at_the_seed_or_where_its_slope_points(constraint):
    x0, key, slope, _ = start(0, (13, 16, 1))
    seen = walk(constraint, key, x0, slope, np.zeros(ROWS, np.int32), 1.0)
    if isinstance(constraint, Lighting):
        moved = (seen["start"] - x0).sum(axis=(1, 2, 3))
        gain = (
            jnp.where(x0 < 1, slope, 0).sum(axis=(1, 2, 3)),
            jnp.where(x0 > 0, -slope, 0).sum(axis=(1, 2, 3)),
        )
        np.testing.assert_array_equal(moved > 0, gain[0] >= gain[1])
    elif isinstance(constraint, Parametric):
        with double():
            ahead, turned = ends(constraint, key, x0.astype(float), slope.astype(float))
            assert (ahead > -1e-12).all() and ((ahead > 1e-9).any() or not turned.any())
    elif not isinstance(constraint, Chain):  # of its parts, each starts as it does
        np.testing.assert_array_equal(seen["start"], x0)


@jax.jit
def ends(constraint, key, x0, slope):
    """What each dial that is turned fully promises, by a small step, and which are."""
    z, fixed = constraint.init(key, x0, slope, jnp.zeros(ROWS, jnp.int32))
    turned, start = jnp.abs(z) == 1, constraint.sample(key, x0)[0]
    beside = jnp.where(turned, 1e-3 * start, start)
    seed = constraint.render(beside, fixed, x0)

    def gain(one):
        ahead = constraint.render(beside + 1e-7 * one * z, fixed, x0)
        return (slope * (ahead - seed)).sum(axis=(1, 2, 3))

    return jnp.where(turned.T, jax.vmap(gain)(jnp.eye(z.shape[1])[:, None]), 0), turned


@both
def test_a_row_depends_on_itself_alone(constraint, shape):
    x0, key, slope, turn = start(3, shape)
    other = start(4, shape)
    pairs = zip((key, x0, slope), (other[1], other[0], other[2]), strict=True)
    mixed = [jnp.concatenate([a[:1], b[1:]]) for a, b in pairs]
    alone = walk(constraint, key, x0, slope, turn, 0.7)
    among = walk(constraint, *mixed, np.array([0, 3, 3, 0], np.int32), 0.7)
    for one, two in zip(jax.tree.leaves(alone), jax.tree.leaves(among), strict=True):
        np.testing.assert_array_equal(one[0], two[0])


def beyond(constraint, x0):
    """A change just beyond the bound of a grey image, and some that no bound allows; none for any change."""
    level = 1 / 255
    one = x0.at[:, 6, 7].add(0.25)
    corners = x0.at[:, 0, 0].add(0.1).at[:, -1, -1].add(0.1)
    match constraint:
        case Ball(bound=None):
            return []
        case Ball(norm="inf"):
            return [x0.at[:, 6, 7, 0].add(constraint.bound + level)]
        case Ball(norm="2"):
            n = x0[0].size ** 0.5
            return [x0 + constraint.bound / n + level]
        case Lighting():
            far = x0 + constraint.limit + level, x0 - constraint.limit - level
            mixed = (x0 + 0.04).at[:, 6, 7].add(level)
            return [one, mixed, *(x for x in far if x.min() >= 0 and x.max() <= 1)]
        case Blackout():
            pixels = constraint.count * constraint.size**2 + 1
            many = x0.reshape(ROWS, -1, x0.shape[3]).at[:, :pixels].add(-0.2).reshape(x0.shape)
            hidden = [] if constraint.bound is None else [x0.at[:, : 1 + int(13 * constraint.bound)].set(0)]
            return [one, many, *hidden]
        case Occlusion():
            wide = x0.at[:, 6, 2 : 3 + constraint.width].add(0.1)
            tall = x0.at[:, 2 : 3 + constraint.height, 6].add(0.1)
            if constraint.bound is None:
                return [corners, wide, tall]
            # what is drawn counts as what is hidden does, and a little of each adds up
            content = jnp.abs(x0 - constraint.background).sum() / len(x0)
            pixels = constraint.height * constraint.width * x0.shape[3]
            rows, cols = slice(0, constraint.height), slice(0, constraint.width)
            apart = constraint.bound * content / pixels + level
            drawn, hidden = (x0.at[:, rows, cols].add(sign * apart) for sign in (1, -1))
            return [corners, wide, tall, *(x for x in (drawn, hidden) if x.min() >= 0 and x.max() <= 1)]
        case Patches():
            outside = x0.at[:, 12, 15].add(0.1)
            over = [] if constraint.bound is None else [x0.at[:, 2, 3].add(constraint.bound + level)]
            return [outside, *over]
    raise AssertionError(f"no change beyond the bound of {type(constraint).__name__} is known")


@pytest.mark.parametrize("constraint,shape", [p for p in PAIRS if p[0].needs_latents], ids=repr)
def test_latents_beyond_the_bound_are_seen(constraint, shape):
    x0, key, slope, turn = start(6, shape)
    z, fixed = walk(constraint, key, x0, slope, turn, 1e6)["latents"]["once"]
    after = decode(encode(render(constraint, z, fixed, x0)))
    assert within(constraint, x0, after, (z, fixed)).all()
    assert not within(constraint, x0, after[::-1], (z, fixed)).any(), "another image"
    assert not within(constraint, x0, after.at[:, 6, 7, 0].add(4 / 255), (z, fixed)).any(), "one pixel more"
    leaves, tree = jax.tree.flatten(z)
    for number, leaf in enumerate(leaves):
        far = jax.tree.unflatten(
            tree, [*leaves[:number], jnp.where(leaf == 0, -0.02, 1.02 * leaf), *leaves[number + 1 :]]
        )
        image = decode(encode(render(constraint, far, fixed, x0)))
        assert not within(constraint, x0, image, (far, fixed)).any(), f"latents {number}"


@pytest.mark.parametrize("make", BY_LEVELS, ids=["lighting", "ball", "ball in L2", "patches"])
@given(bound=st.floats(1 / 255, 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=many(15), deadline=None)
def test_bounds_on_pixels_hold_for_what_is_stored(make, bound, seed):
    """By NumPy, on levels: no pixel moves by more whole levels than the bound has; light moves all alike."""
    constraint, rng = make(bound), np.random.default_rng(seed)
    levels = rng.integers(0, 256, (ROWS, 13, 16, 1), np.uint8)
    keys = jax.random.split(jax.random.key(seed), ROWS)
    z, fixed = constraint.sample(keys, x0 := decode(levels))
    z = constraint.project(rng.choice([1e-3, 0.3, 1, 1.7]) * z, fixed, x0)
    stored = np.asarray(encode(constraint.render(z, fixed, x0))).astype(int)
    change = stored - levels
    if isinstance(constraint, Ball) and constraint.norm == "2":
        lengths = np.sqrt((change.reshape(ROWS, -1) ** 2).sum(axis=1)) / 255
        assert (lengths <= bound + 1e-5).all()
    else:
        assert np.abs(change).max() <= np.floor(255 * bound + 1e-3)
    if isinstance(constraint, Lighting):
        for image, moved in zip(stored, change, strict=True):
            assert len(set(moved[(image > 0) & (image < 255)].tolist())) <= 1
    assert within(constraint, x0, decode(stored.astype(np.uint8))).all()


@pytest.mark.parametrize("bound", [0.0039, 0.002, 1e-9])
@pytest.mark.parametrize("make", BY_LEVELS, ids=["lighting", "ball", "ball in L2", "patches"])
def test_a_bound_below_one_level_is_refused(make, bound):
    with pytest.raises(InputError, match="one level of 8 bits"):
        make(bound).check_moves()


@pytest.mark.parametrize("constraint", [c for c in CONSTRAINTS if not c.needs_latents], ids=repr)
def test_a_change_beyond_the_bound_is_seen(constraint):
    x0 = decode(np.full((ROWS, 13, 16, 1), 100, np.uint8))
    planted = beyond(constraint, x0)
    assert planted or (isinstance(constraint, Ball) and constraint.bound is None)
    for number, after in enumerate(planted):
        assert not within(constraint, x0, decode(encode(after))).any(), f"change {number}"


@pytest.mark.slow
@both
def test_no_change_is_within(constraint, shape):
    x0, key, slope, turn = start(1, shape, blank=True)
    assert within(constraint, x0, x0, walk(constraint, key, x0, slope, turn, 0.3)["latents"]["zeros"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("constraint,shape", [p for p in PAIRS if isinstance(p[0], Occlusion)], ids=repr)
def test_occlusion_changes_one_rectangle_by_a_share_of_the_content(constraint, shape):
    for seed in range(3):
        x0, key, slope, turn = start(seed, shape)
        seen = walk(constraint, key, x0, slope, turn, 1e6)
        changed = np.asarray(seen["image"] != x0)
        mask = np.asarray(seen["fixed"])[..., 0] > 0
        assert not (changed.any(axis=-1) & ~mask).any()
        for row in mask:
            rows, cols = np.nonzero(row)
            full = len(rows) == constraint.height * constraint.width
            assert not len(rows) or (
                full and np.ptp(rows) < constraint.height and np.ptp(cols) < constraint.width
            )
        if constraint.bound is not None:
            ink = np.abs(np.asarray(x0) - constraint.background).sum(axis=(1, 2, 3))
            for name in ("image", "sample"):
                change = np.abs(np.asarray(decode(encode(seen[name]))) - np.asarray(x0)).sum(axis=(1, 2, 3))
                assert (change <= constraint.bound * ink + 1e-3).all()
            most = 0.5 * np.minimum(constraint.bound * ink, constraint.height * constraint.width / 2)
            assert (change > most).any(), "the bound is used, not only kept"


@pytest.mark.slow
@pytest.mark.parametrize("constraint,shape", [p for p in PAIRS if isinstance(p[0], Blackout)], ids=repr)
def test_blackout_only_darkens(constraint, shape):
    x0, key, slope, turn = start(5, shape)
    seen = walk(constraint, key, x0, slope, turn, 1e6)
    assert (seen["image"] <= x0).all() and (seen["sample"] <= x0).all()
    assert (seen["image"] < x0).any()


def test_what_hides_says_how_much():
    """The share that its bound is of; of charts that hide nothing, there is none to tell."""
    for constraint, shape in {type(constraint): (constraint, shape) for constraint, shape in PAIRS}.values():
        told = jax.eval_shape(constraint.sizes, *2 * [jnp.zeros((2, *shape))])
        assert ("hidden" in told) == isinstance(constraint, Occlusion | Blackout)
    x0 = jnp.full((1, 13, 16, 1), 0.5).at[:, :, 8:].set(0.25)
    share = Occlusion(4, 4, background=0.25).sizes(x0, x0.at[:, :3, 7:9].set(1))["hidden"]
    np.testing.assert_allclose(share, 3 / (13 * 8), rtol=1e-6)
    np.testing.assert_allclose(Blackout().sizes(x0, x0.at[:, :, 8:].set(0))["hidden"], 1 / 3, rtol=1e-6)


def _same(x):
    """A decoder and an encoder of images as they are."""
    return x.reshape(len(x), -1) if x.ndim == 4 else x.reshape(len(x), 10, 10, 1)


@jax.jit
def ways_back(constraint, key, x0, weights, share):
    """Slopes of a linear score at the border towards the seed: by the gradient, and by a small step."""
    z, fixed = constraint.init(key, x0, weights, jnp.ones(ROWS, jnp.int32))
    far = noise(key, z, 100)
    far = jnp.abs(far) if isinstance(constraint, Parametric) else far
    border = constraint.project(far, fixed, x0)
    inward = jax.tree.map(lambda z: -z * share[: z.size].reshape(z.shape), border)

    def score(z):
        return (weights * constraint.render(z, fixed, x0)).sum(axis=(1, 2, 3))

    slope = jax.grad(lambda z: score(z).sum())(border)
    flat = jax.tree.map(lambda s, i: (s * i).reshape(ROWS, -1).sum(axis=1), slope, inward)
    ahead = jax.tree.map(lambda z, i: z + 1e-6 * i, border, inward)
    return sum(jax.tree.leaves(flat)), (score(ahead) - score(border)) / 1e-6, inward


@pytest.mark.slow
@pytest.mark.parametrize(
    "constraint",
    [
        Affine(),
        Ball(),
        Ball(norm="2"),
        Ball(None),
        Blackout(2, 3, 0.5),
        Blur(),
        Chain((Affine(), Noise())),
        Fog(),
        Latent(_same, _same),
        Lighting(),
        Noise(),
        Occlusion(5, 5, None),
        Patches(((1, 2, 3, 4),), 0.3),
        Photometric(),
        Rain(),
        Snow(),
    ],
    ids=repr,
)
def test_the_slope_does_not_die_at_the_border(constraint, monkeypatch):
    rng = np.random.default_rng(0)
    with double():
        x0 = decode(pictures(2, ROWS, (10, 10, 1)))
        weights = jnp.asarray(rng.normal(size=x0.shape))
        share = jnp.asarray(rng.random(x0.size * 4))
        given = constraint, jax.random.split(jax.random.key(1), ROWS), x0, weights, share
        by_slope, by_step, inward = ways_back(*given)
        if constraint in (Lighting(), Ball(norm="2")):  # whole levels: steps are those without rounding
            monkeypatch.setattr(_base, "passed", lambda z, value: z)
            ways_back.clear_cache()
            _, by_step, _ = ways_back(*given)
            ways_back.clear_cache()
        ties = isinstance(constraint, Lighting)  # pixels that whole levels bring to 0 or 1 exactly
        np.testing.assert_allclose(by_slope, by_step, rtol=0.05 if ties else 1e-4, atol=1e-6)
        if not isinstance(constraint, Blackout):
            assert (jnp.abs(by_step) > 1e-6).all()
            assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(inward))


@examples(8)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(0, 3), st.integers(0, 3)), seeds
)
def test_windows_and_cover_are_the_naive_loops(window, room, seed):
    (height, width), rng = window, np.random.default_rng(seed)
    rows, cols = room[0] + 1, room[1] + 1
    values = rng.normal(size=(2, rows + height - 1, cols + width - 1))
    places = rng.normal(size=(2, rows, cols))
    sums, spread = np.zeros(places.shape), np.zeros(values.shape)
    for row in range(rows):
        for col in range(cols):
            sums[:, row, col] = values[:, row : row + height, col : col + width].sum(axis=(1, 2))
            spread[:, row : row + height, col : col + width] += places[:, row, col, None, None]
    with double():
        np.testing.assert_allclose(windows(jnp.asarray(values), height, width), sums, atol=1e-12)
        np.testing.assert_allclose(cover(jnp.asarray(places), height, width), spread, atol=1e-12)
