"""Steps that are computed otherwise than as they are written are equal to them, and so are their slopes."""

import functools
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import double, examples, pictures, relatives

import xplore
from xplore.campaign.settings import RunOptions
from xplore.data import mnist
from xplore.model import Model
from xplore.model.capture.jaxpr import capture
from xplore.model.lowering import autotune as lowering
from xplore.model.lowering.convolution import AS_WRITTEN, SHIFTED, Convolution, convolve
from xplore.model.lowering.pooling import MaxPool, parted, pooled_grad
from xplore.models import lenet
from xplore.panel import Panel

NHWC = jax.lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
NCHW = jax.lax.ConvDimensionNumbers((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3))


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """Nothing is known of any step, and what is measured is kept in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lowering, "_chosen", {})
    monkeypatch.setattr(lowering, "ROUNDS", 2)


def shaped(sizes, spec):
    """A shape whose axes, in the order of `spec`, have these sizes."""
    shape = [0] * len(sizes)
    for axis, size in zip(spec, sizes, strict=True):
        shape[axis] = size
    return tuple(shape)


@st.composite
def convolutions(draw):
    """Convolutions in one or two dimensions."""

    def some(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    rank = draw(st.sampled_from([1, 2, 2]))
    n, k, strides, ahead, apart = some(3, 9), some(1, 4), some(1, 3), some(1, 2), some(1, 2)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    i, o = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    if draw(st.booleans()) and groups > 1:
        i = o = groups
    same = [
        max((-(-size // s) - 1) * s + (taps - 1) * rd + 1 - size, 0)
        for size, taps, s, rd in zip(n, k, strides, apart, strict=True)
    ]
    paddings = [tuple(zip(some(-1, 3), some(-1, 3), strict=True)), ((0, 0),) * rank]
    padding = draw(st.sampled_from([*paddings, tuple((p // 2, p - p // 2) for p in same)]))
    last, first = (0, rank + 1, *range(1, rank + 1)), tuple(range(rank + 2))
    specs = [
        draw(st.sampled_from(pair))
        for pair in ((last, first), ((rank + 1, rank, *range(rank)), first), (last, first))
    ]
    numbers = jax.lax.ConvDimensionNumbers(*specs)
    lhs = shaped((2, i, *n), numbers.lhs_spec)
    rhs = shaped((o, i // groups, *k), numbers.rhs_spec)
    return Convolution(lhs, rhs, strides, padding, ahead, apart, groups, numbers)


def with_outputs(conv):
    """A convolution, padded where nothing would come of it."""
    return conv if math.prod(conv.out) else conv._replace(padding=((4, 4),) * len(conv.padding))


def numbers_for(*shapes, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def alike(came, wanted, share):
    """Equal to a share of the largest number."""
    assert came.shape == wanted.shape and came.dtype == wanted.dtype
    np.testing.assert_allclose(came, wanted, rtol=0, atol=share * max(float(jnp.abs(wanted).max()), 1e-3))


def differ_at_most(share, conv, ahead, back, dtype):
    """Both directions in their ways against XLA's convolution and its derivative."""
    x, kernel, slope = numbers_for(conv.lhs, conv.rhs, conv.out, dtype=dtype)

    @jax.jit
    def both(x, kernel, slope):
        y, derivative = jax.vjp(lambda x: convolve(conv, AS_WRITTEN, x, kernel), x)
        other = conv.transposed()
        ours = convolve(conv, ahead, x, kernel), convolve(other, back, slope, conv.turned(kernel))
        return ours, (y, *derivative(slope))

    for came, wanted in zip(*both(x, kernel, slope), strict=True):
        alike(came, wanted, share)


@examples(30)
@given(convolutions(), st.data())
def test_every_way_is_xlas_convolution_and_its_slope(conv, data):
    conv = with_outputs(conv)
    ahead, back = (data.draw(st.sampled_from(c.ways())) for c in (conv, conv.transposed()))
    differ_at_most(1e-5, conv, ahead, back, np.float32)
    assert conv.transposed().out == conv.lhs


@examples(15)
@given(convolutions(), st.data())
def test_in_float64_only_rounding_differs(conv, data):
    conv = with_outputs(conv)
    ahead, back = (data.draw(st.sampled_from(c.ways())) for c in (conv, conv.transposed()))
    with double():
        differ_at_most(1e-12, conv, ahead, back, np.float64)


def conv_of(lhs, rhs, strides=(1, 1), groups=1):
    """A convolution padded as SAME."""
    padding = jax.lax.padtype_to_pads(lhs[1:3], rhs[:2], strides, "SAME")
    return Convolution(lhs, rhs, strides, tuple(padding), (1, 1), (1, 1), groups, NHWC)


def test_there_are_ways_where_channels_are_few():
    first, second = conv_of((8, 28, 28, 1), (5, 5, 1, 6)), conv_of((8, 14, 14, 6), (5, 5, 6, 16))
    assert {SHIFTED, "folded 1x2", "folded 2x2", "folded 2x4"} < {*first.ways()}
    assert {"folded 1x2", "folded 2x2"} < {*second.ways()} and SHIFTED not in second.ways()
    assert {"folded 1x2", "folded 2x2"} < {*second.transposed().ways()}
    assert conv_of((8, 56, 56, 24), (3, 3, 1, 24), (2, 2), groups=24).ways() == (AS_WRITTEN, SHIFTED)
    assert "folded 1x1" in conv_of((8, 64, 64, 3), (3, 3, 3, 32), (2, 2)).ways()
    assert conv_of((8, 56, 56, 128), (3, 3, 128, 128)).ways() == (AS_WRITTEN,)
    assert conv_of((8, 56, 56, 16), (1, 1, 16, 96)).ways() == (AS_WRITTEN,)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("window", [(1, 2, 2, 1), (1, 1, 2, 3), (1, 3, 4)])
def test_parted_pools_are_xlas_bit_for_bit(window, ties):
    shape = tuple(w * n for w, n in zip(window, (2, 3, 4, 5), strict=False))
    pool = MaxPool(shape, window, window, ((0, 0),) * len(shape))
    x, slope = numbers_for(shape, pool.out)
    x = jnp.round(x) if ties else x
    y, back = jax.vjp(lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID"), x)
    assert len(pool.ways()) == 2 and float(jnp.abs(slope).min()) > 0
    np.testing.assert_array_equal(parted(pool, x), y)
    np.testing.assert_array_equal(pooled_grad(pool, x, y, slope), back(slope)[0])


def test_pools_whose_windows_overlap_stay_as_written():
    pool = MaxPool((2, 9, 9, 3), (1, 3, 3, 1), (1, 3, 3, 1), ((0, 0),) * 4)
    assert len(pool.ways()) == 2
    for change in (
        {"strides": (1, 2, 2, 1)},
        {"padding": ((0, 0), (1, 2), (0, 0), (0, 0))},
        {"shape": (2, 9, 8, 3)},
    ):
        assert pool._replace(**change).ways() == (AS_WRITTEN,)


def otherwise(monkeypatch):
    """Every step that can be computed otherwise is."""
    monkeypatch.setattr(lowering, "WORTH", math.inf)


@pytest.mark.parametrize("numbers", [NHWC, NCHW])
def test_all_slopes_of_a_lowered_convolution(numbers, monkeypatch):
    otherwise(monkeypatch)
    shapes = shaped((2, 2, 8, 6), numbers.lhs_spec), shaped((3, 2, 3, 3), numbers.rhs_spec)
    x, kernel = numbers_for(*shapes)

    def f(kernel, x):
        y = jax.lax.conv_general_dilated(x, kernel, (2, 1), "SAME", dimension_numbers=numbers)
        return jax.lax.sin(y).sum()

    def lowered(kernel, x):
        return capture(f, kernel, x, lowering.lower)[0]

    wanted, came = (jax.jit(jax.grad(way, argnums=(0, 1)))(kernel, x) for way in (f, lowered))
    for one, other in zip(came, wanted, strict=True):
        alike(one, other, 1e-5)
    taken = lowering.chosen()
    assert len(taken) == 2 and AS_WRITTEN not in taken.values()


def agrees(panel, x):
    """A panel and itself, lowered: outputs, each unit, and slopes of both."""
    fast = panel.replace(lowering="fast")

    @functools.partial(jax.jit, static_argnums=2)
    def told(x, panel, lowering):
        def total(x):
            now = panel.replace(lowering=lowering)(x)
            weights = jnp.cos(jnp.arange(now.outputs.size, dtype=x.dtype)).reshape(now.outputs.shape)
            return (weights * now.outputs).sum() + now.activations.values.sum(), now

        return jax.grad(total, has_aux=True)(x)

    (slope, now), (other, same) = told(x, panel, "as_written"), told(x, panel, "fast")
    assert now.activations.layout == same.activations.layout == panel.check(x.shape[1:])
    for field in ("values", "low", "high"):
        alike(getattr(same.activations, field), getattr(now.activations, field), 1e-5)
    alike(same.outputs, now.outputs, 1e-5)
    alike(other, slope, 1e-5)
    np.testing.assert_array_equal(fast.plain(x), panel.plain(x))


def test_lenets_are_the_same_models(monkeypatch):
    otherwise(monkeypatch)
    panel = Panel.of([lenet.lenet4(), lenet.lenet5()])
    # No two inputs of a window are equal in noise: of equal ones, rounding would choose.
    agrees(panel, jnp.asarray(np.random.default_rng(0).random((3, 28, 28, 1)), jnp.float32))
    taken = lowering.chosen()
    assert len(taken) == 6 and AS_WRITTEN not in taken.values()
    assert sum(name.startswith("MaxPool") for name in taken) == 2


def test_what_is_measured_decides():
    agrees(relatives(0, (8, 8, 1)), jnp.asarray(pictures(0, 4, (8, 8, 1)) / 255 + 1e-3, jnp.float32))
    assert len(lowering.chosen()) >= 2


def test_a_check_measures_nothing_and_the_judges_panel_is_as_written():
    panel = relatives(0, (8, 8, 1))
    fast = panel.replace(lowering="fast")
    assert panel.lowering == "as_written"
    assert fast.check((8, 8, 1)) == panel.check((8, 8, 1))
    x = jnp.asarray(pictures(0, 4, (8, 8, 1)) / 255, jnp.float32)
    np.testing.assert_array_equal(fast.plain(x), panel(x).outputs)
    assert lowering.chosen() == {} and not lowering.remembered().exists()


CONV = conv_of((2, 8, 8, 1), (3, 3, 1, 2))


def again(monkeypatch):
    """The way of a convolution, asked by another process."""
    monkeypatch.setattr(lowering, "_chosen", {})
    return lowering.fastest(CONV, np.float32)


def test_what_was_measured_is_remembered(monkeypatch):
    first = again(monkeypatch)
    kept = json.loads(lowering.remembered().read_text("utf-8"))
    (name,) = kept
    assert kept[name] == first and jax.__version__ in name and "float32" in name
    other = next(way for way in CONV.ways() if way != first)
    lowering.remembered().write_text(json.dumps({name: other}), "utf-8")
    assert again(monkeypatch) == other


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", "null", '{"{name}": 3}', '{"{name}": "faster"}', "\0"]
)
def test_a_damaged_file_is_ignored(content, monkeypatch):
    again(monkeypatch)
    path = lowering.remembered()
    (name,) = json.loads(path.read_text("utf-8"))
    path.write_text(content.replace("{name}", name), "utf-8")
    assert again(monkeypatch) in CONV.ways()
    assert json.loads(path.read_text("utf-8"))[name] in CONV.ways()


def test_a_folder_that_cannot_be_written_is_no_fault(monkeypatch, tmp_path):
    Path(tmp_path, "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(tmp_path, "file")))
    assert again(monkeypatch) in CONV.ways()


def test_a_model_that_has_nothing_to_lower_is_left_as_it_is():
    model = Model(lambda p, x: x.reshape(len(x), -1) @ p["w"], {"w": jnp.ones((12, 2))})
    x = jnp.ones((2, 2, 2, 3))
    np.testing.assert_array_equal(model.captured(x, "fast")[0], model(x))
    assert lowering.chosen() == {}


@pytest.mark.slow
def test_the_archive_tells_which_ways_were_taken(tmp_path):
    seeds, how = mnist.load("test"), {"steps": 2, "tries": 1, "progress": False, "shrink": False}
    plan = RunOptions(lanes=8, round_size=8, lowering="fast")
    models = [lenet.lenet1(), lenet.lenet4()]
    result = xplore.run(models, seeds.images[:8], seeds.labels[:8], plan=plan, out=tmp_path, **how)
    ways = result.archive.meta["lowered"]
    assert ways == lowering.chosen() and len(ways) >= 8
    known = {AS_WRITTEN, SHIFTED, "parted"}
    assert all(way in known or way.startswith("folded ") for way in ways.values())
