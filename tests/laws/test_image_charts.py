"""What the charts of images mean: held to other libraries' own, and to laws that are each chart's alone."""

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import COLOUR, CONSTRAINTS, GREY, examples, pictures

from xplore._util.errors import InputError
from xplore.constraints import (
    Affine,
    Ball,
    Blur,
    Chain,
    Features,
    Fog,
    Latent,
    Lighting,
    Noise,
    Occlusion,
    Patches,
    Photometric,
    Rain,
    Snow,
)
from xplore.data import mnist
from xplore.inputs.encoding import decode, encode
from xplore.models.pca import decoder, encoder
from xplore.search import Gradient
from xplore.search._base import Feedback, Start


def photograph(seed=0, shape=(24, 24, 3)):
    """Smooth colour, away from black and white."""
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.random((2, *shape)), (0, 3, 3, 0))
    low, high = smooth.min(), smooth.max()
    return jnp.asarray(0.25 + 0.5 * (smooth - low) / (high - low), jnp.float32)


def turn(constraint, x0, seed=0, **values):
    """An image with the dials at these values, in their own unit, and all others at rest."""
    names = [name.partition(" (")[0] for name in constraint.dials]
    names = [name.removeprefix(f"{type(constraint).__name__.lower()} ") for name in names]
    limits = [dial.limit for dial in constraint.dials.values()]
    assert not set(values) - set(names)
    z = [values.get(name, 0.0) / limit for name, limit in zip(names, limits, strict=True)]
    keys = jax.random.split(jax.random.key(seed), len(x0))
    return constraint.render(jnp.tile(jnp.array(z), (len(x0), 1)), constraint.pattern(keys), x0)


@pytest.mark.parametrize("value", [-0.3, 0.15])
def test_photometric_is_dm_pix_and_the_colours_keep_their_laws(value):
    x0, wide = photograph(), Photometric(0.5, 1.0, 1.0, 180.0, 1.0)
    pairs = [
        (turn(wide, x0, brightness=value), dm_pix.adjust_brightness(x0, value)),
        (turn(wide, x0[..., :1], contrast=value), dm_pix.adjust_contrast(x0[..., :1], 1 + value)),
        (turn(wide, x0, gamma=value), dm_pix.adjust_gamma(x0, 1 + value)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, jnp.clip(theirs, 0, 1), atol=1e-5)
        assert jnp.abs(ours - x0[..., : ours.shape[3]]).max() > 0.02
    np.testing.assert_allclose(turn(wide, x0, hue=120.0), jnp.roll(x0, 1, axis=3), atol=1e-5)
    hue = turn(wide, x0, hue=100 * value)
    angle = [
        jnp.arctan2(3**0.5 * (x[..., 1] - x[..., 2]), 2 * x[..., 0] - x[..., 1] - x[..., 2])
        for x in (x0, hue)
    ]
    apart = (jnp.degrees(angle[1] - angle[0]) - 100 * value + 180) % 360 - 180
    colourful = x0.std(axis=3) > 0.01
    assert colourful.any() and jnp.abs(apart)[colourful].max() < 0.1
    np.testing.assert_allclose(hue.mean(axis=3), x0.mean(axis=3), atol=1e-5)
    pale = turn(wide, x0, saturation=value)
    grey = x0.mean(axis=3, keepdims=True)
    np.testing.assert_allclose(pale - grey, (1 + value) * (x0 - grey), atol=1e-5)
    one = x0[..., :1]
    np.testing.assert_array_equal(turn(wide, one, hue=90.0, saturation=0.9), one)
    assert list(wide.parameters(jnp.ones((2, 5)), (), one)) == ["brightness", "contrast", "gamma"]
    assert len(wide.parameters(jnp.ones((2, 5)), (), x0)) == 5


@pytest.mark.parametrize("border", ["reflect", "nearest"])
def test_affine_is_scipys(border):
    x0, chart = photograph(1, (24, 20, 3)), Affine(90.0, 0.5, 0.5, 40.0, border=border)
    values = {"turned": 20.0, "shifted down": 0.1, "shifted right": -0.15, "larger": 0.2, "sheared": 10.0}
    angle, lean = np.radians(20.0), np.tan(np.radians(10.0))
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.array([[1, 0], [lean, 1]]) @ turned / 1.2
    centre = np.array([11.5, 9.5])
    offset = centre - matrix @ (centre + np.array([24 * 0.1, -20 * 0.15]))
    expected = [
        np.stack(
            [scipy.ndimage.affine_transform(plane, matrix, offset, order=1, mode=border) for plane in planes],
            axis=-1,
        )
        for planes in np.moveaxis(np.asarray(x0, float), -1, 1)
    ]
    np.testing.assert_allclose(turn(chart, x0, **values), expected, atol=2e-5)
    shifted = turn(chart, x0, **{"shifted down": 2 / 24, "shifted right": 3 / 20})
    np.testing.assert_allclose(shifted[:, 2:, 3:], x0[:, :-2, :-3], atol=1e-5)
    square = photograph(2)
    np.testing.assert_allclose(turn(chart, square, turned=90.0), jnp.rot90(square, axes=(1, 2)), atol=1e-5)
    assert jnp.abs(square - jnp.rot90(square, axes=(1, 2))).max() > 0.2


def test_blur_is_the_discrete_gaussian_keeps_the_mean_and_adds_up():
    x0 = decode(pictures(0, 2, (17, 14, 3)))
    for sigma in (0.7, 2.0):
        blurred = turn(Blur(sigma), x0, blurred=sigma**2)
        kernel = scipy.special.ive(np.abs(np.arange(-40, 41)), sigma**2)  # Lindeberg's: e^-t I_k(t)
        expected = np.asarray(x0, float)
        for axis in (1, 2):
            expected = scipy.ndimage.correlate1d(expected, kernel, axis, mode="reflect")
        np.testing.assert_allclose(blurred, expected, atol=2e-6)
        np.testing.assert_allclose(blurred.mean(axis=(1, 2)), x0.mean(axis=(1, 2)), atol=1e-6)
        assert jnp.abs(blurred - x0).max() > 0.1
    gaussian = scipy.ndimage.gaussian_filter(np.asarray(x0), (0, 2, 2, 0), mode="reflect", truncate=8)
    np.testing.assert_allclose(blurred, gaussian, atol=0.02)
    twice = turn(Blur(2.0), turn(Blur(2.0), x0, blurred=1.5), blurred=2.5)
    np.testing.assert_allclose(twice, blurred, atol=2e-6)


def test_fog_draws_all_to_the_light_and_what_is_above_most():
    x0 = photograph()
    thin, thick = (turn(Fog(4.0), x0, thickness=fog, patchiness=0.5) for fog in (0.5, 4.0))
    gone = [jnp.abs(x - 0.85) for x in (x0, thin, thick)]
    assert (gone[1] < gone[0]).all() and (gone[2] < gone[1]).all()
    even = (turn(Fog(4.0), x0, thickness=1.0) - x0) / (0.85 - x0)
    through = 1 - even.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(through, np.exp(-np.linspace(1, 0.35, 24)), atol=1e-5)
    other = turn(Fog(4.0), x0, seed=1, thickness=0.5, patchiness=0.5)
    assert jnp.abs(other - thin).max() > 0.02


def likeness(field, down, right):
    """The correlation of a field with itself, moved."""
    height, width = field.shape
    a = field[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    b = field[max(down, 0) :, max(right, 0) :][: a.shape[0], : a.shape[1]]
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_rain_falls_along_its_slant():
    x0 = jnp.full((1, 100, 100, 1), 0.3)
    straight, left = (
        np.asarray(turn(Rain(slant=45.0), x0, strength=1.0, density=1.0, slanted=slant))[0, :, :, 0]
        for slant in (0.0, 45.0)
    )
    assert likeness(straight, 4, 0) > 0.3 > abs(likeness(straight, 0, 4)) + 0.2
    assert likeness(left, 4, -4) > 0.3 > abs(likeness(left, 4, 4)) + 0.2
    assert straight.max() > 0.6 and 0.2 < np.median(straight) < 0.3, "bright streaks, a darker scene"
    light = turn(Rain(), x0, strength=1.0, density=0.2)
    assert 0 < (light > 0.32).mean() < (straight > 0.32).mean()


def test_snow_is_bright_and_denser_snow_hides_more():
    x0 = photograph()
    some, more = (turn(Snow(), x0, strength=1.0, density=dense) for dense in (0.3, 1.0))
    assert (some >= x0).all() and (more >= some - 1e-6).all() and (some > x0 + 0.2).any()
    assert 0 < (some > x0 + 0.2).mean() < (more > x0 + 0.2).mean() < 0.5
    spots, count = scipy.ndimage.label(
        np.asarray(turn(Snow(), jnp.zeros((1, 90, 90, 1)), strength=1.0, density=0.5) > 0.5)
    )
    sizes = np.bincount(spots.ravel())[1:]
    assert count > 20 and len(set(sizes.tolist())) > 2, "flakes of several sizes"


def test_noise_keeps_its_band_and_its_size():
    x0, chart = jnp.full((3, 20, 28, 3), 0.5), Noise(0.1, 0.3, 0.01)
    z, fixed = chart.sample(jax.random.split(jax.random.key(0), 3), x0)
    change = np.asarray(chart.render(z, fixed, x0) - x0, float)
    np.testing.assert_allclose(np.sqrt((change**2).mean(axis=(1, 2, 3))), 0.01, rtol=1e-3)
    power = scipy.fft.dctn(change, axes=(1, 2), norm="ortho") ** 2
    cycles = np.hypot(np.arange(20)[:, None] / 40, np.arange(28)[None] / 56)
    band = (cycles >= 0.1) & (cycles <= 0.3)
    assert power[:, ~band].sum() < 1e-3 * power.sum() and (power[:, band].mean(axis=0) > 0).all()


def test_patches_change_their_boxes_alone_and_must_lie_inside():
    x0 = decode(pictures(0, 3, GREY))
    boxes = ((2, 3, 4, 5), (8, 1, 3, 3))
    chart = Patches(boxes, None)
    z, fixed = chart.sample(jax.random.split(jax.random.key(0), 3), x0)
    changed = np.asarray(chart.render(z, fixed, x0) != x0).any(axis=(0, 3))
    expected = np.zeros(GREY[:2], bool)
    for top, left, height, width in boxes:
        expected[top : top + height, left : left + width] = True
    np.testing.assert_array_equal(changed, expected)
    for wrong in (((10, 0, 4, 4),), ((0, -1, 2, 2),), ((0, 0, 0, 2),), ()):
        with pytest.raises(InputError, match=r"Patches.boxes: expected"):
            Patches(wrong).render(z, (), x0)


def test_a_chain_is_its_parts_in_order_each_at_its_own_pace():
    x0 = decode(pictures(1, 3, COLOUR))
    key = jax.random.split(jax.random.key(0), 3)
    first, second = Affine(), Photometric()
    chain = Chain((first, second))
    z, fixed = chain.sample(key, x0)
    by_hand = second.render(z[1], fixed[1], first.render(z[0], fixed[0], x0))
    np.testing.assert_array_equal(chain.render(z, fixed, x0), by_hand)
    back = Chain((second, first)).render(z[::-1], fixed[::-1], x0)
    assert jnp.abs(back - by_hand).max() > 0.01
    told = chain.parameters(z, fixed, x0)
    apart = first.parameters(z[0], (), x0) | second.parameters(z[1], (), x0)
    assert told.keys() == apart.keys() and "turned (degrees)" in told and "gamma" in told
    assert all((told[name] == apart[name]).all() and told[name].any() for name in told)
    rows = Features.infer(np.eye(3))
    for parts, came in (((), "none"), ((Affine(), rows), "Features"), ((Affine,), "the class Affine")):
        with pytest.raises(InputError, match=f"constraints on images, one at least, got {came}"):
            Chain(parts)

    both, search = Chain((Lighting(0.3), Ball(0.1))), Gradient()
    start = Start(x0, key, jnp.ones(3, jnp.int32))
    slope = jnp.asarray(np.random.default_rng(0).normal(size=x0.shape), jnp.float32)
    begun = search.init(both, start)
    begun = begun.replace(z=jax.tree.map(jnp.zeros_like, begun.z))
    seen = Feedback(slope, jnp.zeros(3), jnp.ones(3, jnp.int32))
    light, ball = search.update(both, begun, start, seen).z
    np.testing.assert_allclose(jnp.abs(light), 0.05 * 76 / 255, rtol=1e-5)
    lit = jnp.clip(x0 + jnp.round(255 * light)[:, None, None, None] / 255, 0, 1)
    np.testing.assert_allclose(ball, jnp.clip(0.35 * 25 / 255 * jnp.sign(slope), -lit, 1 - lit), atol=1e-6)


@pytest.mark.slow
def test_a_chain_places_its_rectangle_by_the_slope():
    x0 = decode(pictures(2, 3, (12, 12, 1)))
    chain, search = Chain((Lighting(0.1), Occlusion(3, 3, None))), Gradient()
    start = Start(x0, jax.random.split(jax.random.key(0), 3), jnp.zeros(3, jnp.int32))
    slope = jnp.zeros_like(x0).at[:, 5:8, 6:9].set(jnp.where(x0 < 0.5, 1.0, -1.0)[:, 5:8, 6:9])
    point = search.init(chain, start)
    np.testing.assert_array_equal(search.propose(chain, point, start), x0)
    seen = Feedback(slope, jnp.zeros(3), jnp.zeros(3, jnp.int32))
    mask = search.update(chain, point, start, seen).fixed[1]
    assert (mask[:, 5:8, 6:9] == 1).all() and (mask.sum(axis=(1, 2, 3)) == 9).all()


@pytest.mark.slow
def test_latents_of_digits():
    images = decode(mnist.load("test").images[:20])
    write, read = decoder(12), encoder(12)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(5, 12)), jnp.float32)
    np.testing.assert_allclose(read(write(z)), z, atol=1e-3)
    training = read(decode(mnist.load("train").images))
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(training.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(np.corrcoef(training.T), np.eye(12), atol=1e-3)
    chart = Latent(write, read, 2.0)
    moved, at = chart.sample(jax.random.split(jax.random.key(0), 20), images)
    x = chart.render(moved, at, images)
    np.testing.assert_allclose(jnp.sqrt((moved**2).sum(axis=1)), 2, rtol=1e-5)
    wall = jnp.abs(images + write(at + moved) - write(at) - x)
    assert (
        wall[(x > 0.2) & (x < 0.8) & (images > 0.3) & (images < 0.7)].max() < 0.1 < jnp.abs(x - images).max()
    )
    assert "Partial" not in repr(chart) and len(jax.tree.leaves(chart)) > 1
    with pytest.raises(InputError, match="components"):
        decoder(0)


JUDGED = [c for c in CONSTRAINTS if c.needs_latents]
made = jax.jit(lambda c, key, x0: (point := c.sample(key, x0), encode(c.render(*point, x0))))
within = jax.jit(lambda c, *given: c.within(*given))


@pytest.mark.slow
@pytest.mark.parametrize("constraint", {type(c): c for c in JUDGED}.values(), ids=repr)
@examples(6)
@given(seed=st.integers(0, 2**31), shape=st.sampled_from([GREY, COLOUR]))
def test_what_a_batch_made_is_judged_the_same_alone(constraint, seed, shape):
    x0 = decode(pictures(seed, 8, shape))
    (z, fixed), codes = made(constraint, jax.random.split(jax.random.key(seed), 8), x0)
    after = decode(codes)
    assert within(constraint, x0, after, (z, fixed)).all()
    for row in range(2):
        alone = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], (x0, after, (z, fixed)))
        assert within(constraint, *alone).all()
