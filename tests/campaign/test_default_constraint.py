"""Without a constraint the rectangle suits the images, whatever their size, and what was chosen is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Blackout, Chain, Lighting, Occlusion
from xplore.model import Model
from xplore.report import reporter

SIDES = st.integers(1, 5000)


def models(shape: tuple[int, ...]) -> list[Model]:
    def linear(p: Any, x: Any) -> Any:
        return x.reshape(len(x), -1) @ p

    drawn = (np.random.default_rng(n).normal(size=(int(np.prod(shape)), 3)) for n in range(2))
    return [Model(linear, p.astype(np.float32), name=name) for p, name in zip(drawn, "ab", strict=True)]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(SIDES, SIDES)
def test_the_rectangle_follows_the_images(height: int, width: int) -> None:
    found = Occlusion.fitted(height, width)
    for side, of in ((found.height, height), (found.width, width)):
        assert 1 <= side <= of
        assert abs(side - 10) <= 0 if 28 <= of <= 280 else (side <= 10) == (of < 295)
    larger = Occlusion.fitted(height + 1, width)
    assert larger.height >= found.height and larger.width == found.width
    assert Occlusion.fitted(28, 224) == Occlusion()


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (1, 20, 1), (20, 1, 3), (3, 3, 1), (2, 2, 5), (9, 30, 4)], ids=str
)
def test_images_of_any_size_are_searched_and_the_choice_is_told(
    shape: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    result = xplore.run(models(shape), images, steps=2, tries=1, lanes=8, out=tmp_path / "run")
    chosen = Occlusion.fitted(*shape[:2])
    told = f"no constraint was given: Occlusion({chosen.height}, {chosen.width}), {chosen.description}"
    assert told in capsys.readouterr().err
    assert [note for note in result.summary["notes"] if note.startswith(told)]
    assert told in (tmp_path / "run" / "report.html").read_text("utf-8")
    path = reporter("md").write(result.archive, tmp_path)
    assert told in path.read_text("utf-8")
    for finding in result.findings:
        assert finding.valid


@pytest.mark.slow
def test_seeds_that_are_read_by_rounds_have_the_same_choice(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 7, 9, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    how: dict[str, Any] = {"steps": 2, "tries": 1, "lanes": 8, "progress": False}
    kinds = [images, np.load(tmp_path / "images.npy", mmap_mode="r"), lambda: iter(images)]
    results = [xplore.run(models(images.shape[1:]), given, **how) for given in kinds]
    assert [result.archive.meta["constraint"] for result in results] == [repr(Occlusion.fitted(7, 9))] * 3


@pytest.mark.parametrize(
    "constraint", [Occlusion(), Occlusion(3, 9), Blackout(), Chain((Lighting(), Occlusion(9, 3)))], ids=repr
)
def test_a_size_that_does_not_fit_is_told_as_such(constraint: Any) -> None:
    images = np.zeros((2, 5, 5, 1), np.uint8)
    with pytest.raises(
        InputError, match=r"rectangles that fit into images of 5 x 5 pixels, got \d+ x \d+; choose"
    ):
        xplore.run(models((5, 5, 1)), images, constraint=constraint, progress=False)
