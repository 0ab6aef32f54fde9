"""What a function closes over is asked as it is now: in every call, and in what identifies the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many

import xplore
from xplore import InputError
from xplore._util.pytree import Number
from xplore.adapters.predictor import predictor
from xplore.constraints import Ball, Features, Latent
from xplore.coverage import CellCriterion
from xplore.evaluation.checks import checked_part
from xplore.oracles import LabelsDiffer
from xplore.panel import Panel

SIDE, CLASSES = 4, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, SIDE, SIDE, 1), dtype=np.uint8)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)
HOW: dict[str, Any] = {"constraint": Ball(0.05), "steps": 2, "tries": 1, "lanes": 8, "progress": False}


def flat(x: Any) -> Any:
    return x.reshape(len(x), -1) - 0.5


class Net:
    """A model of a user's own, whose weights change as it is trained."""

    def __init__(self) -> None:
        self.w: Any = WEIGHTS.copy()
        self.turned, self.sign = False, 1.0
        self.layers = [{"w": WEIGHTS.copy()}]
        self.module = nnx.Linear(SIDE * SIDE, CLASSES, rngs=nnx.Rngs(0))

    def predict(self, x: Any) -> Any:
        return flat(x) @ self.w

    def scaled(self, x: Any) -> Any:
        return flat(x) @ WEIGHTS * self.sign

    def branch(self, x: Any) -> Any:
        return flat(x) @ WEIGHTS if not self.turned else -(flat(x) @ WEIGHTS)

    def nested(self, x: Any) -> Any:
        return flat(x) @ self.layers[0]["w"]

    def compiled(self, x: Any) -> Any:
        w = self.w  # a function that is compiled anew at each call
        return jax.jit(lambda x: jax.nn.relu(jax.jit(lambda x: flat(x) @ w)(x)) + flat(x) @ w)(x)

    def looped(self, x: Any) -> Any:
        w, once = self.w, jax.jit(lambda x, w: flat(x) @ w)
        return jax.lax.scan(lambda total, _: (total + once(x, w), None), once(x, w), None, length=2)[0]

    def hidden(self, x: Any) -> Any:
        w = self.w  # inside a loop, the compiled function's own
        once = jax.jit(lambda x: flat(x) @ w)
        return jax.lax.scan(lambda total, _: (total + once(x), None), once(x), None, length=2)[0]

    def by_module(self, x: Any) -> Any:
        return self.module(flat(x))

    def in_batches(self, x: Any) -> Any:
        return flat(x) @ self.w + np.arange(len(x), dtype=np.float32)[:, None] * 0


def negate(net: Net) -> None:
    """A training that broke it: arrays that are new."""
    net.w, net.sign, net.turned = -net.w, -net.sign, not net.turned
    net.layers[0]["w"] = -net.layers[0]["w"]
    net.module.kernel[...] = -net.module.kernel[...]


def negate_in_place(net: Net) -> None:
    """Another: the same arrays, written to."""
    net.w *= -1
    net.layers[0]["w"] *= -1


def double(net: Net) -> None:
    net.w = net.w.astype(float)


def on_device(net: Net) -> None:
    net.w = jnp.asarray(net.w)


def as_is(net: Net) -> None:
    pass


KINDS: dict[str, tuple[Callable[[Net], None], str, Callable[[Net], None]]] = {
    "bound method": (as_is, "predict", negate),
    "double precision": (double, "predict", negate),
    "array of JAX": (on_device, "predict", negate),
    "written in place": (as_is, "predict", negate_in_place),
    "nested, written in place": (as_is, "nested", negate_in_place),
    "number": (as_is, "scaled", negate),
    "branch": (as_is, "branch", negate),
    "list of dicts": (as_is, "nested", negate),
    "compiled inside": (as_is, "compiled", negate),
    "loop inside": (as_is, "looped", negate),
    "compiled inside a loop": (as_is, "hidden", negate),
    "module of NNX": (as_is, "by_module", negate),
    "batch size inside": (as_is, "in_batches", negate),
}


def made(kind: str) -> tuple[Net, Callable[[Any], Any], Callable[[Net], None]]:
    prepare, method, change = KINDS[kind]
    net = Net()
    prepare(net)
    return net, getattr(net, method), change


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_asked_as_they_are_now(kind: str) -> None:
    net, f, change = made(kind)
    panel = Panel.of([f, f])
    x = jnp.asarray(IMAGES / 255.0, jnp.float32)
    digests = []
    for _ in range(2):
        for rows in (x, x[:5]):
            wanted = np.asarray(f(rows))
            np.testing.assert_allclose(panel(rows).outputs[0], wanted, rtol=1e-5, atol=1e-5)
        bound = panel.bind(x.shape[1:]).models[0]
        digests.append((bound.digest(), bound.program))
        change(net)
    assert digests[0] != digests[1]
    same = Panel.of([made(kind)[1]] * 2).bind(x.shape[1:]).models[0]
    assert (same.digest(), same.program) == digests[0]  # of another object with the same content


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bound method", "number", "compiled inside"])
def test_a_gate_sees_the_weights_of_the_second_call(kind: str) -> None:
    _, old, _ = made(kind)
    net, new, change = made(kind)
    assert xplore.gate(old, new, IMAGES, allow=0.0, **HOW)
    change(net)
    assert not xplore.gate(old, new, IMAGES, allow=0.0, **HOW)


@pytest.mark.slow
def test_run_inspect_and_coverage_see_the_weights_of_the_second_call() -> None:
    net, f, _ = made("bound method")
    labels = np.asarray(f(IMAGES / 255.0)).argmax(1)
    old = partial(Net().predict)

    def figures() -> tuple[Any, ...]:
        differ = xplore.run([old, f], IMAGES, **HOW).summary["already_differ"]
        right = xplore.inspect([old, f], IMAGES, labels).models[1].right
        layer = next(iter(xplore.reach(f, IMAGES).by_layer))
        return differ, right, layer

    assert figures()[:2] == (0, 1.0)
    negate(net)
    differ, right, _ = figures()
    truth = np.asarray(f(IMAGES / 255.0)).argmax(1)
    assert right == np.mean(truth == labels) < 0.5
    assert differ == np.sum(truth != labels) > 6
    net.w = np.zeros_like(net.w)
    assert xplore.reach(f, IMAGES).first[:CLASSES].sum() == 0  # constant layers reach nothing


def test_arrays_are_arguments_not_constants() -> None:
    """New weights of the same shapes meet the compiled program that is there."""
    net, f, _ = made("bound method")
    x = jnp.asarray(IMAGES / 255.0, jnp.float32)
    traced = []

    def counted(x: Any) -> Any:
        traced.append(x.shape)
        return f(x)

    compiled = jax.jit(lambda panel, x: panel.plain(x))
    for _ in range(3):
        panel = Panel.of([counted, counted]).bind(x.shape[1:])
        seen = len(traced)
        np.testing.assert_allclose(compiled(panel, x)[0], f(x), rtol=1e-5)
        again = len(traced) - seen
        negate(net)
    assert again == 0
    (model, _) = panel.models
    np.testing.assert_array_equal(model.closed[0], -net.w)  # bound before the last change
    assert model.parameters == net.w.size


def test_weights_that_change_while_they_are_asked_are_refused() -> None:
    net, f, _ = made("bound method")
    panel = Panel.of([f, f]).bind(IMAGES.shape[1:])
    negate(net)
    with pytest.raises(InputError, match="until the call ends"):
        jax.jit(lambda panel, x: panel.plain(x))(panel, jnp.zeros((7, SIDE, SIDE, 1)))


def test_weights_that_are_not_finite_are_refused_wherever_they_lie() -> None:
    net, f, _ = made("bound method")
    net.w[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        xplore.run([f, Net().predict], IMAGES, **HOW)
    mask = np.array([[0.0, -np.inf, 0.0]], np.float32)  # infinity may be meant
    masked = lambda x: jax.nn.softmax(flat(x) @ WEIGHTS + mask)  # noqa: E731
    assert xplore.inspect([masked, masked], IMAGES).models[0].not_finite == 0


def test_a_campaign_is_not_resumed_with_other_weights(tmp_path: Any) -> None:
    for number, kind in enumerate(("bound method", "number", "branch")):
        net, f, change = made(kind)
        how = {**HOW, "out": tmp_path / str(number)}
        xplore.run([f, Net().predict], IMAGES, seeds=4, **how)
        change(net)
        with pytest.raises(InputError, match="nothing was changed"):
            xplore.run([f, Net().predict], IMAGES, resume=True, **how)
        change(net)
        assert xplore.run([f, Net().predict], IMAGES, resume=True, **how).summary["seeds"] == len(IMAGES)


@settings(max_examples=many(20), deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=4), st.integers(1, 9))
def test_any_change_of_weights_is_seen(factors: list[int], rows: int) -> None:
    net = Net()
    panel = Panel.of([net.predict, net.compiled])
    x = jnp.asarray(IMAGES[:rows] / 255.0, jnp.float32)
    for factor in factors:
        net.w = WEIGHTS * factor
        wanted = np.stack([net.predict(x), net.compiled(x)])
        np.testing.assert_allclose(panel(x).outputs, wanted, rtol=1e-4, atol=1e-4)


def test_an_estimator_that_was_fitted_again_is_asked_anew() -> None:
    """One that was wrapped before, too: what it answered to the same rows is forgotten."""
    linear = pytest.importorskip("sklearn.linear_model")
    rows = RNG.normal(size=(40, 2)).astype(np.float32)
    labels = (rows[:, 0] > 0).astype(int)
    features = Features.infer(rows)
    estimators = [linear.LogisticRegression().fit(rows, labels) for _ in range(2)]
    old, new = (predictor(one, features, name="fitted") for one in estimators)
    how = {**HOW, "constraint": features, "allow": 0.0}
    seeds = (rows[:8], labels[:8])
    assert xplore.gate(old, new, *seeds, **how)
    before = Panel.of([old, new]).bind((2,)).models[1].digest()
    estimators[1].fit(rows, 1 - labels)
    assert not xplore.gate(old, new, *seeds, **how)
    assert Panel.of([old, new]).bind((2,)).models[1].digest() != before
    estimators[1].fit(rows, np.arange(40) % 3)
    with pytest.raises(InputError, match="wrap it again"):
        xplore.gate(old, new, *seeds, **how)


@pytest.mark.slow
def test_a_torch_module_that_was_changed_is_asked_anew() -> None:
    torch = pytest.importorskip("torch")

    def module() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, CLASSES))

    changed = module()
    old, new = xplore.adapt(module(), name="old"), xplore.adapt(changed, name="new")
    how = {**HOW, "allow": 0.0}
    assert xplore.gate(old, new, IMAGES, **how)
    before = Panel.of([old, new]).bind(IMAGES.shape[1:]).models[1].digest()
    with torch.no_grad():
        changed[1].weight *= -1
    assert not xplore.gate(old, new, IMAGES, **how)
    assert Panel.of([old, new]).bind(IMAGES.shape[1:]).models[1].digest() != before
    linear = torch.nn.Linear
    changed[1] = torch.nn.Sequential(linear(SIDE * SIDE, 2), linear(2, CLASSES))  # other layers, too
    assert not xplore.gate(old, new, IMAGES, **how)


@pytest.mark.slow
def test_an_nnx_module_that_was_trained_since_is_asked_as_it_is_now() -> None:
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, seed: int) -> None:
            self.dense = nnx.Linear(SIDE * SIDE, CLASSES, rngs=nnx.Rngs(seed))

        def __call__(self, x: Any) -> Any:
            return self.dense(x.reshape(len(x), -1))

    changed = Net(0)
    old, new = xplore.adapt(Net(0), name="old"), xplore.adapt(changed, name="new")
    how = {**HOW, "allow": 0.0}
    assert xplore.gate(old, new, IMAGES, **how)
    changed.dense.kernel[...] = -changed.dense.kernel[...]
    assert not xplore.gate(old, new, IMAGES, **how)


LIMITS = {"apart": 0.0, "most": 60.0, "by": 0.0}


class Farther(LabelsDiffer):
    """An oracle of a user's own, that reads a global."""

    def differ(self, outputs: Any) -> Any:
        scores = jax.nn.softmax(outputs, axis=-1)
        return super().differ(outputs) & (jnp.abs(scores[0] - scores[-1]).max(axis=-1) > LIMITS["apart"])


class Above(CellCriterion):
    """A criterion of a user's own, that reads a global."""

    @property
    def n_cells(self) -> int:
        return 1

    def locate(self, activations: Any) -> Any:
        return jnp.where(activations.values > LIMITS["by"], 0, -1)

    def closeness(self, activations: Any, unit: Any, cell: Any) -> Any:
        return jnp.take_along_axis(activations.values, unit[:, None], axis=1)[:, 0] - LIMITS["by"]


@pytest.mark.slow
def test_an_oracle_that_reads_a_global_judges_by_what_it_is_now() -> None:
    def differ(apart: float) -> int:
        LIMITS["apart"] = apart
        models = [Net().predict, lambda x: -(flat(x) @ WEIGHTS)]
        return xplore.run(models, IMAGES, oracle=Farther(), **HOW).summary["already_differ"]

    assert differ(0.0) > 6
    assert differ(2.0) == 0
    assert differ(0.0) > 6


def test_a_criterion_that_reads_a_global_counts_by_what_it_is_now() -> None:
    def share(by: float) -> float:
        LIMITS["by"] = by
        return xplore.coverage_of(Net().predict, IMAGES, Above())

    assert share(-100.0) == 1.0
    assert share(100.0) == 0.0


@pytest.mark.slow
def test_a_rule_that_reads_a_global_holds_as_it_is_now() -> None:
    rows = RNG.uniform(0, 60, size=(24, 2)).astype(np.float32).round()
    features = Features.infer(rows, ["age", "visits"]).where(lambda row: row.age <= LIMITS["most"])
    models = [lambda x, s=s: jnp.stack([x[:, 0], 2 * s - x[:, 0]], axis=1) for s in (30.0, 45.0)]
    seeds = rows[rows[:, 0] < 20]

    def oldest(most: float) -> float:
        LIMITS["most"] = most
        how = {**HOW, "constraint": features, "steps": 8, "tries": 2, "shrink": False}
        return xplore.run(models, seeds, **how).frame()["after:age"].max()

    assert oldest(60.0) > 40
    assert oldest(40.0) <= 40


@pytest.mark.slow
def test_a_decoder_draws_as_it_is_now() -> None:
    class Decoder:
        scale = 0.0

        def decode(self, z: Any) -> Any:
            return jnp.broadcast_to(z[:, :1, None, None] * self.scale, (len(z), SIDE, SIDE, 1))

        def encode(self, x: Any) -> Any:
            return x.mean(axis=(1, 2))

    decoder = Decoder()
    models = [
        lambda x: jnp.stack([x.mean((1, 2, 3)) - 0.5, 0.5 - x.mean((1, 2, 3))], axis=1),
        lambda x: jnp.stack([0 * x.mean((1, 2, 3)) - 1, 0.5 - x.mean((1, 2, 3))], axis=1),
    ]
    grey = RNG.integers(100, 120, (4, SIDE, SIDE, 1), dtype=np.uint8)

    def found() -> int:
        how = {**HOW, "constraint": Latent(decoder.decode, decoder.encode), "steps": 8, "shrink": False}
        return xplore.run(models, grey, **how).summary["found"]

    assert found() == 0  # it draws nothing
    decoder.scale = 1.0
    assert found() == 4


def test_numbers_of_a_part_never_compile_anew() -> None:
    class Scaled(LabelsDiffer):
        by: Number = 1.0

        def differ(self, outputs: Any) -> Any:
            return super().differ(outputs * self.by)

    compiled = jax.jit(lambda oracle, outputs: oracle.differ(outputs))
    for by in (1.0, 2.0, 3.0):
        compiled(checked_part("oracle", Scaled(by), LabelsDiffer), jnp.ones((2, 3, 2)))
    assert compiled._cache_size() == 1
