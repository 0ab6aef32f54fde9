"""The benchmarks beside other programs compare the same things; how fast they are, they say themselves."""

import argparse
import importlib
import sys
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xplore._util.errors import MissingExtraError
from xplore.constraints import Lighting
from xplore.coverage import NeuronCoverage
from xplore.data import mnist
from xplore.inputs.encoding import decode
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.objectives.joint import JointGoal
from xplore.panel import Panel
from xplore.search import Original
from xplore.search._base import Feedback, Start

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NAMES = tuple(lenet.ARCHITECTURES)


@pytest.fixture
def bench(monkeypatch):
    """A benchmark by its name; torch keeps to one thread, as threads that wait for a busy core crawl."""
    monkeypatch.syspath_prepend(SCRIPTS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda name: importlib.import_module(f"benches.{name}")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return mnist.load("test").images[:24]


def ours():
    return Panel.of([getattr(lenet, name)() for name in NAMES])


def options(module, **given):
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    return argparse.Namespace(**{**vars(parser.parse_args([])), "page": False, **given})


@pytest.mark.parametrize("name", NAMES)
def test_the_lenets_in_torch_are_the_zoos(name, bench, digits):
    lenets, zoo = bench("_lenets"), getattr(lenet, name)()
    model, x = lenets.LeNet(name), lenets.in_torch(digits).requires_grad_(True)
    weights = np.random.default_rng(0).normal(size=10).astype(np.float32)
    outputs = model(x)
    (slope,) = torch.autograd.grad((outputs * torch.tensor(weights)).sum(), x)
    expected, back = jax.vjp(zoo, decode(digits))
    (expected_slope,) = back(jnp.broadcast_to(weights, expected.shape))
    assert np.abs(expected).max() > 5 and np.abs(expected_slope).max() > 0.1
    np.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(slope.permute(0, 2, 3, 1).numpy(), expected_slope, atol=1e-4)
    np.testing.assert_allclose(model.layers(x)[-2].detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.75])
def test_a_pass_for_coverage_in_torch_is_neuron_coverage(t, bench, digits):
    lenets = bench("_lenets")
    x = lenets.in_torch(digits)
    theirs = np.concatenate([lenets.covered(lenets.LeNet(name), x, t) for name in NAMES], axis=1)
    hits = np.asarray(NeuronCoverage(t).hits(ours()(decode(digits)).activations))[..., 0]
    assert hits.shape == (24, 468) and 0.01 < hits.mean() < 0.99
    np.testing.assert_array_equal(theirs, hits)


@pytest.mark.parametrize("clip", [False, True])
def test_a_step_of_the_loop_in_torch_is_one_of_original(clip, bench, digits):
    loop, lenets = bench("original"), bench("_lenets")
    panel, models = ours(), [lenets.LeNet(name) for name in NAMES]
    neurons, label, deviate = (3, 60, 200), 7, 1  # a convolution's, a dense layer's, another's
    starts = np.cumsum([0, 52, 148])
    aim = JointGoal(
        jnp.array([label]),
        jnp.array([deviate]),
        jnp.array([[n + s for n, s in zip(neurons, starts, strict=True)]]),
    )
    x0 = decode(digits[:1])
    score = Joint(loop.LAMBDA1, loop.LAMBDA2, on="logits")
    slope = jax.grad(lambda x: score.score(aim, panel(x)).sum())(x0)
    search, start = (
        Original("light", step=loop.STEP, clip=clip),
        Start(x0, jax.random.split(jax.random.key(0), 1), jnp.array([0])),
    )
    point = search.update(
        Lighting(), search.init(Lighting(), start), start, Feedback(slope, jnp.zeros(1), jnp.array([0]))
    )
    theirs = loop.stepped(models, lenets.in_torch(digits[:1]), label, deviate, list(neurons), clip)
    assert np.abs(point.x - x0).max() > 0.01
    np.testing.assert_allclose(theirs.permute(0, 2, 3, 1).numpy(), point.x, atol=1e-3)


def test_the_loop_in_torch_searches_from_digits(bench, digits):
    loop, lenets = bench("original"), bench("_lenets")
    came = loop.one_by_one([lenets.LeNet(name) for name in NAMES], digits, 4, False)
    assert came.differ + came.already > 0 and len(digits) <= came.steps + came.already <= 4 * len(digits)
    assert 0.3 < came.coverage < 1


def test_the_benchmark_of_the_original_tells_its_figures(bench):
    loop = bench("original")
    figures = loop.measure(options(loop, seeds=16, steps=2, lanes=16, repeats=1))
    assert figures["ratio"] > 0 and figures["over_published"] > 0
    for told in (figures["published"], figures["clipped"]):
        assert told["torch"]["already_differ"] == told["xplore"]["already_differ"]
        assert told["torch"]["steps_per_seed"] > 0 and told["xplore"]["steps_per_seed"] > 0
    assert "| xplore, as published |" in loop.section(figures)


def test_the_benchmark_of_attacks_tells_its_figures(bench):
    pytest.importorskip("foolbox", reason="foolbox is not installed: pip install 'xplore-tests[bench]'")
    pytest.importorskip(
        "torchattacks", reason="torchattacks is not installed: pip install 'xplore-tests[bench]'"
    )
    peers = bench("peers")
    figures = peers.measure(
        options(peers, model="lenet1", epsilon=0.15, step=0.03, steps=5, batch=16, batches=2, repeats=1)
    )
    runs = figures["runs"]
    assert figures["ratio"] > 0 and figures["inputs"] == 32 and len(runs) == 5
    for name, run in runs.items():
        assert 0.1 < run["success_stored"] < 1 and 0.15 - 1 / 255 < run["linf"] < 0.15 + 0.5 / 255 + 1e-4, (
            name
        )
    whole = runs[peers.WHOLE]
    assert abs(whole["success"] - runs["torchattacks"]["success"]) < 0.1
    assert whole["gradients"] == 6 * 32 and runs["foolbox"]["gradients"] == 5 * 32
    assert runs[peers.OURS]["gradients"] < whole["gradients"]
    assert f"| {peers.OURS} |" in peers.section(figures)


@pytest.mark.parametrize("peer", ["foolbox", "torchattacks"])
def test_a_peer_that_is_not_installed_is_named(peer, bench, monkeypatch):
    peers = bench("peers")
    monkeypatch.setitem(sys.modules, peer, None)
    if peer == "torchattacks":
        monkeypatch.setattr(peers, "foolbox_attack", lambda *_: None)
    with pytest.raises(MissingExtraError, match=rf"{peer}: .*xplore-tests\[bench\]"):
        peers.measure(options(peers, model="lenet1", batch=4, batches=1, repeats=1))


def test_what_a_seed_costs_is_told_by_windows(bench):
    curve = bench("curve")
    assert curve.marks(1500) == [100, 200, 500, 1000, 1500]
    windows = curve.run(300, 16)
    assert windows[0].first == 0 and windows[-1].last == 300
    assert all(a.last == b.first for a, b in pairwise(windows))
    assert all(window.seconds > 0 and window.cpu_seconds > 0 for window in windows)
    theirs = curve.published()
    spent = sum((window.last - window.first) * window.seconds for window in theirs)
    assert spent == pytest.approx(100 / curve.PUBLISHED[100])
    drawn = curve.picture(windows, theirs)
    assert (
        drawn.count('<path d="M') >= 4
        and "the original 0.38 at first, 2.6 from the 50th to the 100th" in drawn
    )
