"""How a camera turns, told by its pictures: phase correlation with the next (Kuglin and Hines, 1975)."""

from __future__ import annotations

import importlib.util

import numpy as np
from jaxtyping import Float, Int, UInt8

from xplore._util.errors import MissingExtraError

FIELD = 1.0
"""Radians that a frame's width is taken to span."""
AHEAD = 1_000_000_000
"""Nanoseconds over which a turn is measured."""
LEAST = 0.4
"""Of that time that must be seen."""

_BAND = (0.125, 0.55)  # of the height: above the road, where things are far and nothing moves but the camera


def turns(frames: UInt8[np.ndarray, "n h w 3"], times: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Radians by which the camera turns in the second after each frame, left is positive; NaN is not known.

    Frames are in the order of `times`, in nanoseconds. Where less than `LEAST` of that second is seen the
    turn is not known; where some of it is missing, the rest is taken to go on alike. Raises
    `MissingExtraError` without scikit-image.

    >>> scene = np.random.default_rng(0).integers(0, 256, (64, 400, 1), dtype=np.uint8).repeat(3, axis=2)
    >>> frames = np.stack([scene[:, 2 * number : 2 * number + 160] for number in range(25)])
    >>> turned = turns(frames, np.arange(25) * 50_000_000)
    >>> bool(turned[0] < 0)  # the scene moves to the left: the car turns right
    True
    """
    if importlib.util.find_spec("skimage") is None:
        raise MissingExtraError("scikit-image", extra="driving", purpose="turns told by the pictures")
    step = np.diff(times)
    seen = (step > 0) & (step < AHEAD // 2)
    grey = [_windowed(frame) for frame in frames]
    pairs = zip(grey[:-1], grey[1:], seen, strict=True)
    shift = np.array([_shift(one, other) if near else 0.0 for one, other, near in pairs])
    turned = np.concatenate([[0.0], np.cumsum(shift)]) * FIELD / frames.shape[2]
    run = np.concatenate([[0], np.cumsum(~seen)])  # frames of one number follow each other without a gap
    last = np.array([_last(times, run, number) for number in range(len(times))])
    took = times[last] - times
    known = took >= LEAST * AHEAD
    return np.where(known, (turned[last] - turned) * AHEAD / np.maximum(took, 1), np.nan)


def _last(times: Int[np.ndarray, " n"], run: Int[np.ndarray, " n"], number: int) -> int:
    """The last frame of the second after one, before any gap."""
    ahead = np.searchsorted(times, times[number] + AHEAD + AHEAD // 100, side="right") - 1
    end = np.searchsorted(run, run[number], side="right") - 1
    return int(max(number, min(ahead, end)))


def _windowed(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows w"]:
    """The brightness of what is far, fading out towards its border."""
    top, bottom = (round(share * len(frame)) for share in _BAND)
    far = frame[top:bottom].mean(axis=2)
    return (far - far.mean()) * np.hanning(far.shape[0])[:, None] * np.hanning(far.shape[1])[None]


def _shift(one: Float[np.ndarray, "rows w"], other: Float[np.ndarray, "rows w"]) -> float:
    """Pixels by which the scene moves to the right from one frame to the next."""
    from skimage.registration import phase_cross_correlation

    # Without normalisation: with it, noise counts as much as the scene.
    back, _, _ = phase_cross_correlation(one, other, upsample_factor=20, normalization=None)  # pyright: ignore[reportArgumentType]
    return -float(back[1])
