"""Turns told by pictures: drives whose turning is known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many

from xplore.data import motion, udacity

SECOND = 1_000_000_000
HEIGHT, WIDTH = 48, 96


def panorama(seed: int) -> np.ndarray:
    """A landscape all around, four frames wide: smooth hills and trees."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, 4 * WIDTH, 3))
    spectrum = np.fft.fft2(noise, axes=(0, 1))
    ny, nx = np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(4 * WIDTH)[None]
    smooth = np.fft.ifft2(spectrum / (0.02 + np.hypot(ny, nx))[..., None], axes=(0, 1)).real
    return np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def looking(at: list[float], seed: int = 0) -> np.ndarray:
    """What a camera sees that looks at these pixels of the panorama; to the left they get fewer."""
    around = panorama(seed)
    return np.stack([np.roll(around, -round(x), axis=1)[:, :WIDTH] for x in at])


def times(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) * (SECOND // 10)


@settings(max_examples=many(15), deadline=None)
@given(st.integers(-6, 6), st.integers(0, 99))
def test_an_even_turn_is_measured(pixels: int, seed: int) -> None:
    told = motion.turns(looking([pixels * i for i in range(21)], seed), times(21))
    expected = -10 * pixels / WIDTH * motion.FIELD  # to the right: negative
    np.testing.assert_allclose(told[:17], expected, atol=0.03)
    assert np.isnan(told[17:]).all(), "0.3 s are too little"


def test_a_gap_is_never_looked_across() -> None:
    frames = looking([2 * i for i in range(12)] + [100 - 3 * i for i in range(12)])
    at = np.concatenate([times(12), times(12) + 10 * SECOND])
    told = motion.turns(frames, at)
    np.testing.assert_allclose(told[:8], -20 / WIDTH, atol=0.03)
    assert np.isnan(told[8:12]).all()
    np.testing.assert_allclose(told[12:20], 30 / WIDTH, atol=0.03)


def test_the_published_angles_are_noise_and_the_pictures_tell_of_turns() -> None:
    """Turns of neighbouring frames are alike, and unlike the published table."""
    if "XPLORE_DATA" not in os.environ:
        pytest.skip("XPLORE_DATA does not say where the drive lies")
    folder = Path(os.environ["XPLORE_DATA"], "udacity_ch2")
    table, told = (udacity.load(folder, "test", labels).labels for labels in ("table", "motion"))
    known = ~np.isnan(told)
    assert 250 < known.sum() < 300
    table, told = table[known], told[known]
    assert np.corrcoef(told[:-1], told[1:])[0, 1] > 0.9
    assert abs(np.corrcoef(table[:-1], table[1:])[0, 1]) < 0.15
    assert abs(np.corrcoef(table, told)[0, 1]) < 0.15
    assert told.min() < -0.2 < 0.2 < told.max()
