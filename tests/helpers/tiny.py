"""Small models and seeds, sound and broken, for tests of what lies around a campaign."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from xplore.campaign.settings import RunOptions
from xplore.model import Model

SIDE, CLASSES, N = 6, 3, 24


def dense(name: str, *, classes: int = CLASSES, shift: float = 0.0) -> Model:
    """A linear model; two that differ by `shift` agree on most seeds and on nothing for certain."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(SIDE * SIDE * 3, classes))
    kernel += shift * random.normal(size=kernel.shape)
    return Model(_apply, {"fc": {"kernel": kernel.astype(np.float32)}}, name=name, mean=0.5)


def _apply(params: Any, x: Any) -> Any:
    return x.reshape(len(x), -1) @ params["fc"]["kernel"]


def one() -> Model:
    return dense("one")


def two() -> Model:
    return dense("two", shift=0.3)


def mended() -> Model:
    """`two`, mended: it agrees with `one` everywhere."""
    return dense("two")


def four_classes() -> Model:
    return dense("four", classes=4)


def not_finite() -> Model:
    model = one()
    model.params["fc"]["kernel"][2, 1] = np.nan
    return model


def absent_minded() -> Model:
    """Its function raises what no check foresees."""

    def apply(params: Any, x: Any) -> Any:
        return params["forgotten"]

    return Model(apply, {}, name="absent_minded")


def unread() -> Model:
    """Reads weights from a file that is not there."""
    raise OSError("weights.bin: gone")


def images(n: int = N) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def labels() -> np.ndarray:
    """What `one` answers."""
    return ((images().reshape(N, -1) / 255 - 0.5) @ one().params["fc"]["kernel"]).argmax(axis=1)


def doubter() -> Callable[[np.ndarray], np.ndarray]:
    """A reference model: it agrees with `one` on images whose levels have an even sum, else with nobody."""
    kernel = one().params["fc"]["kernel"]

    def opinion(stored: np.ndarray) -> np.ndarray:
        rows = stored.reshape(len(stored), -1)
        return np.where(rows.sum(axis=1) % 2, CLASSES, ((rows / 255 - 0.5) @ kernel).argmax(axis=1))

    return opinion


def seeds() -> SimpleNamespace:
    return SimpleNamespace(images=images(), labels=labels())


def _broken(**changes: Any) -> Callable[[], SimpleNamespace]:
    return lambda: SimpleNamespace(**{"images": images(), "labels": None, **changes})


floats = images() / 255
flat_seeds = _broken(images=images()[..., 0])
other_seeds = _broken(images=np.zeros((4, 5, 5, 3), np.uint8))
bright_seeds = _broken(images=floats * 2)
nan_seeds = _broken(images=np.where(floats > 0.9, np.nan, floats))
whole_seeds = _broken(images=images().astype(np.int32))
no_seeds = _broken(images=images()[:0])
few_labels = _broken(labels=labels()[:-1])
high_labels = _broken(labels=labels() + 7)
float_labels = _broken(labels=labels() / 2)

CONFIG = """
name = "tiny"
seeds = {use = "tiny:seeds"}
models = [{use = "tiny:one"}, {use = "tiny:two"}]
constraint = {use = "xplore.constraints:Ball"}
search = {use = "xplore.search:Gradient", steps = 5, tries = 2}
criteria = [{use = "xplore.coverage:NeuronCoverage", t = 0.5}]
campaign = {lanes = 8, round_size = 6}
"""


def plan() -> RunOptions:
    """Four rounds of six seeds."""
    return RunOptions(lanes=8, round_size=6)


def far() -> Model:
    return dense("far", shift=0.6)
