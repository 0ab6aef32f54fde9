"""What inputs reach of a model: as a criterion counts it, from the input on that reached it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many

import xplore
from xplore._util.errors import InputError
from xplore.coverage import NeuronCoverage
from xplore.evaluation.coverage_report import BATCH
from xplore.inputs.encoding import decode
from xplore.model import Model
from xplore.panel import Panel

T = 0.8
KERNELS = [np.random.default_rng(2).normal(size=size).astype(np.float32) for size in ((108, 40), (40, 3))]


def model(name: str = "one") -> Model:
    """Forty hidden neurons, of which an input reaches few."""

    def apply(kernels: Any, x: Any) -> Any:
        return jax.nn.relu((x.reshape(len(x), -1) - 0.5) @ kernels["fc"]) @ kernels["out"]

    return Model(apply, dict(zip(("fc", "out"), KERNELS, strict=True)), name=name)


def hits(images: np.ndarray) -> np.ndarray:
    """Which inputs reach which neuron, by the definition, one input after the other."""
    rows = []
    for image in images:
        seen = Panel((model(),))(decode(image[None])).activations
        values, low, high = (np.asarray(part)[0] for part in (seen.values, seen.low, seen.high))
        layer = seen.layout.layer_of_unit
        rows.append((values - low[layer]) / (high - low)[layer] > T)
    return np.stack(rows)


def test_each_neuron_has_the_first_input_that_reaches_it() -> None:
    came = hits(tiny.images(40))
    first = np.where(came.any(axis=0), came.argmax(axis=0) + 1, 0)
    reached = xplore.reach(model(), tiny.images(40), NeuronCoverage(T))
    assert reached.first[:, 0].tolist() == first.tolist() and {0, 1} < {*first.tolist()}
    assert reached.share == pytest.approx((first > 0).mean())
    assert reached.inputs == 40 and reached.names[:3] == ("dense1 0", "dense1 1", "dense1 2")
    assert {*reached.asleep} == {name for name, at in zip(reached.names, first, strict=True) if not at}


def test_the_first_one_is_the_first_of_all_batches(tmp_path: Any) -> None:
    """Read a batch at a time, from a file, they are numbered on."""
    images = np.repeat(tiny.images(1), BATCH + 9, axis=0)
    images[BATCH:] = tiny.images(10)[1:]
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    reached = xplore.reach(model(), mapped, NeuronCoverage(T))
    few = xplore.reach(model(), tiny.images(10), NeuronCoverage(T))
    later = few.first > 1
    assert later.any() and (reached.first[later] == few.first[later] + BATCH - 1).all()
    assert (reached.first[~later] == few.first[~later]).all() and reached.inputs == len(images)


AT_ONCE = """
import numpy as np, xplore
from xplore.data import mnist
from xplore.models.lenet import lenet1
for digit in mnist.load("test").images[:2]:
    for rows in (1, 2, 3):
        digits = np.repeat(digit[None], rows, axis=0)
        reached = xplore.reach(lenet1(), digits, xplore.coverage.NeuronCoverage(0.0))
        print(*sorted(name.split()[0] for name in reached.asleep))
"""


@pytest.mark.slow
def test_the_least_of_a_layer_is_not_reached_however_many_are_read_at_once() -> None:
    """Scaled it is 0, which is not above 0: as users compile it, a softmax may be computed twice."""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    told = subprocess.run(
        [sys.executable, "-c", AT_ONCE], env=env, capture_output=True, text=True, check=True
    )
    assert told.stdout.split("\n") == [*["logits softmax"] * 6, ""]


@settings(deadline=None, max_examples=many(5))
@given(split=st.integers(1, 23), cut=st.integers(0, 30))
def test_laws_of_reach(split: int, cut: int) -> None:
    every = xplore.reach(model(), tiny.images(), NeuronCoverage(T))
    one, other = (
        xplore.reach(model(), part, NeuronCoverage(T))
        for part in (tiny.images()[:split], tiny.images()[split:])
    )
    union = (one.first > 0) | (other.first > 0)
    assert every.share == union.mean() == xplore.coverage_of(model(), tiny.images(), NeuronCoverage(T))
    assert every.after(split) == one.share and every.after(cut) <= every.after(cut + 1) <= every.share
    assert not {*one.beyond(other)} & {*other.beyond(one)} and one.beyond(one) == one.beyond(every) == ()
    assert {*every.beyond(one)} == {*other.beyond(one)}
    shares = [share * layer.units for share, layer in zip(every.by_layer.values(), every.layers, strict=True)]
    assert sum(shares) == pytest.approx(every.share * len(every.names))


def test_it_shows_itself_and_nothing_of_it_runs() -> None:
    reached = xplore.reach(model("<script>x"), tiny.images(), NeuronCoverage(T))
    shown, both = reached._repr_html_(), xplore.curves({"<b>": reached, "few": reached})._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;x" in shown and "never reached: " in shown
    assert "<b>" not in both and both.count('stroke-width="2"') == 2
    assert str(reached).splitlines()[0].startswith("<script>x: ") and "24 inputs" in str(reached)


def test_a_curve_ends_where_its_inputs_do_and_says_so() -> None:
    every = xplore.reach(model(), tiny.images(), NeuronCoverage(T))
    few = xplore.reach(model(), tiny.images()[:6], NeuronCoverage(T))
    drawn = str(xplore.curves({"every": every, "few": few}))
    ends = [float(x) for x in re.findall(r'H([\d.]+)" fill="none"', drawn)]
    assert ends[1] - 46 == pytest.approx((ends[0] - 46) * 6 / 24, abs=0.1)  # the axis begins at 46
    assert " by 24</text>" in drawn and " by 6</text>" in drawn and "by 6 inputs" in drawn
    alike = str(xplore.curves({"a": few, "b": few}))
    assert len({*re.findall(r'H([\d.]+)" fill="none"', alike)}) == 1 and " by 6" not in alike
    assert "Share of cells reached: neuron coverage, t = 0.8" in drawn


def test_what_cannot_be_compared_is_refused() -> None:
    one = xplore.reach(model(), tiny.images(), NeuronCoverage(T))
    with pytest.raises(InputError, match=r"by NeuronCoverage\(t=0\.8.*got one by NeuronCoverage\(t=0\.1"):
        one.beyond(xplore.reach(model(), tiny.images(), NeuronCoverage(0.1)))
    with pytest.raises(InputError, match="one at least"):
        xplore.curves({})
