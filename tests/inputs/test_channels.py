"""Images of any number of channels are found, stored, shown and judged again as they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Ball
from xplore.inputs.media import CHANNELS, from_png, opened_png, to_png
from xplore.report import exporter, reporter

pytestmark = pytest.mark.slow

HOW: dict[str, Any] = {"constraint": Ball(0.5), "steps": 2, "tries": 1, "lanes": 8, "progress": False}


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_png_holds_any_number_of_channels(channels: int, high: int, wide: int, rng: int) -> None:
    codes = np.random.default_rng(rng).integers(0, 256, (high, wide, channels), np.uint8)
    assert np.array_equal(from_png(to_png(codes)), codes)


def test_of_many_channels_the_picture_shows_each_in_a_grid() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (4, 3, 7), np.uint8)
    cells = np.split(np.asarray(opened_png(to_png(codes))), 3)
    shown = [np.split(row, 3, axis=1) for row in cells]
    for number in range(7):
        assert np.array_equal(shown[number // 3][number % 3], codes[..., number])


@given(st.text(max_size=12) | st.integers(-2, 400).map(str))
def test_a_picture_that_says_a_number_that_does_not_fit_is_refused(said: str) -> None:
    told, data = PngInfo(), io.BytesIO()
    told.add_itxt(CHANNELS, said)
    Image.new("L", (6, 4)).save(data, "png", pnginfo=told)
    fit = {"5": (2, 2, 5), "6": (2, 2, 6)}
    if said in fit:
        assert from_png(data.getvalue()).shape == fit[said]
    else:
        with pytest.raises(InputError, match="a grid of grey channels"):
            from_png(data.getvalue())


def models(shape: tuple[int, ...]) -> list[xplore.Model]:
    return [
        xplore.Model(lambda w, x: (x.reshape(len(x), -1) - 0.5) @ w, weights.astype(np.float32))
        for weights in np.random.default_rng(1).normal(size=(2, int(np.prod(shape)), 3))
    ]


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 6)])
def test_a_campaign_on_them_finds_what_is_found_again(shape: tuple[int, ...], tmp_path: Path) -> None:
    seeds = np.random.default_rng(0).integers(0, 256, (8, *shape), np.uint8)
    panel = models(shape)
    assert xplore.inspect(panel, seeds).shape == shape
    result = xplore.run(panel, seeds, **HOW)
    assert result.valid and all(xplore.replay(result.folder, panel).values())
    images = np.load(exporter("npz").write(result.archive, tmp_path))["images"]
    assert [from_png(finding.after).tolist() for finding in result.valid] == images.tolist()
    for format in ("html", "md", "png"):
        assert reporter(format).write(result.archive, tmp_path).exists()
    if shape[2] > 4:
        with pytest.raises(InputError, match="npz"):
            exporter("png").write(result.archive, tmp_path / "pictures")
        assert not (tmp_path / "pictures").exists()
    assert any("channels are stored exactly" in note for note in result.summary["notes"]) == (shape[2] > 4)


def test_images_that_cannot_be_stored_are_refused_before_anything_is_asked() -> None:
    def asked(x: Any) -> Any:
        raise AssertionError("a model was asked")

    with pytest.raises(InputError, match="seeds: expected inputs that image/png holds"):
        xplore.run([asked, asked], np.zeros((1, 2**13 + 1, 2**13, 1), np.uint8), **HOW)
