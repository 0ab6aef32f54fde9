"""What models cannot read: another order of axes is recognised, and nothing else is said to be of shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Ball
from xplore.data import npz
from xplore.inputs.encoding import LEVELS, pixels
from xplore.model.shape_errors import channels_first

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 10, 3), dtype=np.uint8)
TURNED = IMAGES.transpose(0, 3, 1, 2)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)


def convolution(layout: str) -> Any:
    def net(x: Any) -> Any:
        numbers = (layout, "HWIO", layout)
        out = jax.lax.conv_general_dilated(x, jnp.asarray(KERNEL), (1, 1), "SAME", dimension_numbers=numbers)
        return out.mean((1, 2) if layout == "NHWC" else (2, 3))

    return net


def torch_net() -> Any:
    torch = pytest.importorskip("torch")
    layers = torch.nn
    return layers.Sequential(
        layers.Conv2d(3, 4, 3), layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(4, 3)
    )


def told(models: Any, seeds: Any, **how: Any) -> str:
    with pytest.raises(InputError) as caught:
        xplore.run(models, seeds, steps=2, tries=1, progress=False, **how)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("model", [torch_net, lambda: convolution("NHWC")], ids=["torch", "jax"])
def test_inputs_whose_channels_come_first_are_recognised(model: Any) -> None:
    said = told([model(), model()], TURNED)
    assert "channels of these inputs come first: give x.transpose(0, 2, 3, 1), [n 9 10 3]" in said
    assert xplore.inspect([model(), model()], TURNED.transpose(0, 2, 3, 1)).shape == (9, 10, 3)


def test_a_model_that_reads_the_channels_first_is_recognised() -> None:
    models = [convolution("NCHW")] * 2
    assert 'xplore.adapt(model, layout="NCHW")' in told(models, IMAGES)
    adapted = [xplore.adapt(model, layout="NCHW") for model in models]
    plain = xplore.inspect([convolution("NHWC"), *adapted], IMAGES)
    assert [model.right for model in plain.models] == [1.0] * 3


@pytest.mark.slow
def test_where_all_models_read_it_so_it_is_said() -> None:
    models = [convolution("NCHW"), lambda x: x.reshape(len(x), -1)[:, :4]]
    seen = xplore.inspect(models, TURNED)
    assert [line for line in seen.warnings if line.startswith("seeds [n 3 9 10] are read as images of 3 x 9")]
    result = xplore.run(models, TURNED, constraint=Ball(0.1), steps=2, tries=1, progress=False)
    assert "seeds [n 3 9 10] are read as images" in " ".join(result.summary["notes"])
    assert [channels_first(shape) for shape in [(9, 10, 3), (8, 8, 1), (1, 20, 1), (2, 2, 5), (36,)]] == [
        []
    ] * 5


def forgotten(x: Any) -> Any:
    return {}["shape"]


def unknown(x: Any) -> Any:
    return undefined_shape(x)


def branches(x: Any) -> Any:
    return x if x.sum() > 0 else -x


def of_numpy(x: Any) -> Any:
    return np.asarray(x).reshape(len(x), -1)[:, :3]


def divides(x: Any) -> Any:
    raise ZeroDivisionError("shape by zero")


def two_inputs(a: Any, b: Any) -> Any:
    return a + b


def by_name(x: Any) -> Any:
    return x["a"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (forgotten, ("KeyError: 'shape'", "the exception is its own")),
        (unknown, ("NameError: name 'undefined_shape'", "the exception is its own")),
        (divides, ("ZeroDivisionError", "the exception is its own")),
        (branches, ("TracerBoolConversionError", "write it with jax.numpy")),
        (of_numpy, ("TracerArrayConversionError", "write it with jax.numpy")),
        (two_inputs, ("missing 1 required", "of several inputs", "side by side in one array of rows")),
        (by_name, ("string indexing", "of inputs by name", 'model({"a": x[:, :3], "b": x[:, 3:]})')),
    ],
)
def test_other_exceptions_are_shown_as_what_they_are(model: Any, words: tuple[str, ...]) -> None:
    said = told([model, model], IMAGES)
    assert [word for word in words if word not in said] == [] and "seeds of the shape" not in said
    assert f"model {model.__name__}: expected outputs for inputs of shape (9, 10, 3)" in said


def test_a_shape_that_no_order_mends_is_told_as_before() -> None:
    said = told([convolution("NHWC")] * 2, IMAGES[..., :2])
    assert "give seeds of the shape that it reads, say layout= and size=" in said


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (np.zeros((5, 6, 2), np.float32), ("images[..., None]", "series", "model(x.reshape(-1, 6, 2))")),
        (np.zeros((5, 4, 6, 2, 1), np.float32), ("videos", "model(x.reshape(-1, 4, 6, 2, 1))")),
        ((np.zeros((5, 3)), np.zeros((5, 2))), ("tuple of [5, 3], [5, 2]", "model(x[:, :3], x[:, 3:])")),
        ([IMAGES, IMAGES], ("list of [6, 9, 10, 3]", "side by side")),
        ({"a": IMAGES, "b": IMAGES}, ("dict of a, b", "side by side")),
    ],
    ids=["series", "video", "tuple", "list", "dict"],
)
def test_inputs_that_are_no_images_get_the_way_out(seeds: Any, words: tuple[str, ...]) -> None:
    said = told([convolution("NHWC")] * 2, seeds)
    assert said.startswith("seeds: expected") and [word for word in words if word not in said] == []


@pytest.mark.slow
def test_rows_under_a_constraint_of_images_get_the_way_out() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3))
    said = told([lambda x: x] * 2, rows, constraint=Ball(0.1))
    assert "got shape (5, 3)" in said and "leave the constraint out" in said
    assert xplore.run([lambda x: x] * 2, rows, steps=1, tries=1, progress=False).summary["seeds"] == 5


def test_the_way_out_of_series_works() -> None:
    series, weights = np.random.default_rng(0).normal(size=(20, 6, 2)), np.ones((2, 3), np.float32)

    def own(x: Any) -> Any:
        return (x @ weights).sum(axis=1) * jnp.arange(3.0)[None]

    models = [lambda x: own(x.reshape(-1, 6, 2)), lambda x: own(x.reshape(-1, 6, 2)) + 0.1]
    assert xplore.inspect(models, series.reshape(len(series), -1)).shape == (12,)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 255), min_size=4, max_size=4), st.floats(-3e-7, 3e-7), st.booleans())
def test_floats_near_a_level_are_that_level(levels: list[int], error: float, single: bool) -> None:
    near = (LEVELS[levels] + error).astype(np.float32 if single else float).reshape(1, 2, 2, 1)
    assert pixels(near).ravel().tolist() == levels


def test_floats_near_levels_in_a_file(tmp_path: Path) -> None:
    plain, packed, other = (tmp_path / f"{name}.npz" for name in ("plain", "packed", "other"))
    np.savez(plain, images=(IMAGES / 255).astype(np.float32), labels=np.zeros(6, int))
    np.savez_compressed(packed, images=IMAGES[..., 0] / 255 + 1e-8)
    np.testing.assert_array_equal(npz.load(plain).images[:], IMAGES)
    np.testing.assert_array_equal(npz.load(packed).images[[3, 1]], IMAGES[[3, 1], ..., :1])
    for wrong in (np.full((2, 4, 4), 0.5), np.full((2, 4, 4), np.nan), np.full((2, 4, 4), -1.0)):
        np.savez(other, images=wrong)
        with pytest.raises(
            InputError, match=r"levels of 8 bits, k/255, got float64 \[2, 4, 4, 1\], .* for one; .*"
        ):
            npz.load(other)
