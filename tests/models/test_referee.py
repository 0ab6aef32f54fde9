"""The committed referee reads held-out digits, clean and damaged."""

import pickle

import numpy as np
import pytest

from xplore._util.errors import InputError
from xplore.data import mnist
from xplore.models import referee

BOUNDS = {
    "clean": 0.975,
    "noise rectangle": 0.94,
    "black rectangle": 0.94,
    "white rectangle": 0.94,
    "grey rectangle": 0.94,
    "black 6x6 spots": 0.91,
    "brightness": 0.97,
    "light noise": 0.97,
}


@pytest.fixture(scope="module")
def judge():
    return referee.referee()


@pytest.fixture(scope="module")
def digits():
    return mnist.load("test")


def test_held_out_digits_are_read_under_each_damage(judge, digits):
    images, labels = digits.images[:400].astype(np.float32) / 255, digits.labels[:400]
    right = {
        name: (judge(damage(images)) == labels).mean()
        for name, damage in referee.damages(np.random.RandomState(0))
    }
    right["clean"] = (judge(digits.images) == digits.labels).mean()
    assert right.keys() == BOUNDS.keys()
    assert {name: share for name, share in right.items() if share < BOUNDS[name]} == {}


def test_bytes_and_floats_are_judged_alike_and_alone(judge, digits):
    images = digits.images[:20]
    together = judge(images)
    assert together.dtype == np.int64
    np.testing.assert_array_equal(together, judge(images.astype(np.float64) / 255))
    np.testing.assert_array_equal(together, [judge(image[None])[0] for image in images])
    assert judge(images[:0]).shape == (0,)


def test_what_it_learns_from_stays_an_image():
    random = np.random.RandomState(3)
    images = random.uniform(size=(8, 28, 28, 1))
    for name, damage in referee.damages(random):
        before = images.copy()
        after = damage(images)
        assert after.shape == images.shape, name
        assert 0 <= after.min() <= after.max() <= 1, name
        np.testing.assert_array_equal(images, before)


def test_histograms_do_not_see_how_bright_the_ground_is():
    image = np.zeros((1, 28, 28, 1))
    image[:, 8:20, 12:16] = 0.6
    np.testing.assert_allclose(referee.histograms(image), referee.histograms(image + 0.3), atol=1e-6)


def test_other_images_are_refused_and_it_pickles(judge, digits):
    for images in (digits.images[..., 0], digits.images.astype(np.int64), digits.images[:, :14]):
        with pytest.raises(InputError, match="referee"):
            judge(images)
    again = pickle.loads(pickle.dumps(judge))
    np.testing.assert_array_equal(again(digits.images[:3]), judge(digits.images[:3]))
