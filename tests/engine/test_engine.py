"""Lanes, refill and order decide no seed's fate; new numbers never compile anything again."""

from collections import deque

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from laws.parts import double, pictures, relatives

from xplore._util.recipe import Recipe
from xplore.campaign import campaign
from xplore.campaign import judge as validity
from xplore.campaign.worker import Worker
from xplore.constraints import Affine, Ball, Lighting, Occlusion
from xplore.coverage import NeuronCoverage
from xplore.data import mnist
from xplore.engine import loops
from xplore.engine import step as lanes
from xplore.engine.devices import default_lanes, loops_on_device, rows_at_once
from xplore.engine.engine import Engine, Try
from xplore.engine.step import Method
from xplore.evaluation.sources import Held
from xplore.inputs.encoding import decode
from xplore.model import Model
from xplore.model.neurons import Layer, Layout
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.oracles import LabelsDiffer
from xplore.panel import Panel
from xplore.search import Gradient

pytestmark = pytest.mark.slow

SHAPE = (8, 8, 1)
plain = jax.jit(lambda panel, codes: panel.plain(decode(codes)))


def fates(method, codes, width, order, **how):
    """`{seed: (found, steps, codes) of each try}`: every try is pushed in the order given."""
    before = np.asarray(plain(method.panel, codes))
    spans = method.panel.check(codes.shape[1:]).spans().values()
    covered = tuple(np.arange(span.stop - span.start) % 2 == 0 for span in spans)
    differ = method.oracle.differ(jnp.asarray(before))
    agree = [seed for seed in order if not differ[seed]]
    waiting = deque(
        Try(seed, turn, codes[seed], before[:, seed]) for turn in range(method.search.tries) for seed in agree
    )
    runs = Engine(method, 3, width, codes.shape[1:], (len(before), before.shape[2]), **how)
    ended = {}
    while waiting or runs.busy:
        batch = [waiting.popleft() for _ in range(min(runs.room, len(waiting)))]
        if batch:
            runs.push(batch, covered)
        for outcome in runs.advance():
            assert (outcome.seed, outcome.attempt) not in ended, "each try ends once"
            ended[outcome.seed, outcome.attempt] = (outcome.found, outcome.steps, outcome.codes.tobytes())
    assert len(ended) == len(agree) * method.search.tries
    return ended


def test_lanes_order_devices_and_loops_decide_no_fate_in_float64():
    codes = pictures(0, 40, SHAPE)
    with double():
        panel = relatives(1, SHAPE, dtype=np.float64, channels=())
        search = Gradient(Recipe.of(optax.adam, learning_rate=0.1), steps=5, tries=2)
        method = Method(panel, Joint(), Ball(0.15), LabelsDiffer(), search)
        first = fates(method, codes, 7, range(40))
        shuffled = np.random.default_rng(0).permutation(40).tolist()
        for width, order in ((7, shuffled), (1, range(40)), (64, shuffled), (256, range(40))):
            assert fates(method, codes, width, order) == first, f"{width} lanes"
        in_pieces = method.replace(panel=method.panel.replace(lowering="fast"))
        assert rows_at_once("fast") == 64
        for width in (128, 256, 274):  # a device has a piece, two of them, and what no equal ones make up
            assert fates(in_pieces, codes, width, range(40)) == first, f"{width} lanes in pieces"
        two = jax.devices()
        assert len(two) == 2, "the tests run on two devices"
        for devices, loops in ((two[:1], False), (two, True), (two[:1], True), (two[1:], False)):
            how = {"devices": devices, "loops": loops}
            assert fates(method, codes, 8, range(40), **how) == first, how
    found = [fate[0] for fate in first.values()]
    assert 0.05 < np.mean(found) < 0.95
    assert len({fate[1] for fate in first.values()}) > 1


@pytest.mark.parametrize("loops", [False, True])
def test_steps_are_told_or_still_untold(loops):
    codes = pictures(0, 40, SHAPE)
    search = Gradient(Recipe.of(optax.adam, learning_rate=0.1), steps=5, tries=1)
    method = Method(relatives(1, SHAPE, channels=()), Joint(), Ball(0.15), LabelsDiffer(), search)
    before = np.asarray(plain(method.panel, codes))
    covered = tuple(np.zeros(s.stop - s.start, bool) for s in method.panel.check(SHAPE).spans().values())
    runs = Engine(method, 3, 8, SHAPE, (len(before), before.shape[2]), loops=loops)
    assert runs.untold() == (0, 0)
    runs.push([Try(seed, 0, codes[seed], before[:, seed]) for seed in range(40)], covered)
    told, seen = 0, []
    while runs.busy:
        told += sum(outcome.steps for outcome in runs.advance())
        steps, lane_steps = runs.untold()
        seen.append((told + steps, runs.lane_steps + lane_steps))
    assert seen == sorted(seen) and seen[-1][0] == told and seen[-1][1] == runs.lane_steps
    assert all(steps <= of for steps, of in seen)
    assert seen[0][0] in (0, seen[0][1] - 8), "the first step only fills the lanes"


@pytest.mark.parametrize(
    ("size", "most", "at_once"),
    [(8, 4, 4), (8, 3, 8), (9, 4, 3), (6, 4, 3), (4, 4, 4), (5, None, 5), (1, 4, 1)],
)
def test_pieces_are_of_one_size_and_their_rows_in_order(size, most, at_once):
    x, y = jnp.arange(size * 6.0).reshape(size, 2, 3), jnp.arange(size)
    told = lanes.in_pieces(lambda x, y: {"x": 2 * x, "y": (y, y * 0 + len(y))}, most, x, y)
    np.testing.assert_array_equal(told["x"], 2 * x)
    np.testing.assert_array_equal(told["y"], (y, jnp.full(size, at_once)))


def test_models_that_return_probabilities_meet_the_same_fates():
    codes = pictures(1, 40, SHAPE)
    with double():
        panel = relatives(1, SHAPE, dtype=np.float64, channels=())
        asked = [
            Model(lambda p, x, f=m.f: jax.nn.softmax(f(p, x)), m.params, name=m.name, output="probabilities")
            for m in panel.models
        ]
        search = Gradient(Recipe.of(optax.sign_sgd, learning_rate=0.1), steps=5, tries=3)
        given = [
            Method(either, Joint(lambda2=0.0), Ball(0.25), LabelsDiffer(), search)
            for either in (panel, Panel.of(asked))
        ]
        by_logits, by_probabilities = (fates(method, codes, 16, range(40)) for method in given)
    assert by_probabilities == by_logits
    assert 0.05 < np.mean([fate[0] for fate in by_logits.values()]) < 0.95


def test_lanes_decide_few_fates_in_float32():
    codes = mnist.load("test").images[:210]
    method = Method(
        Panel.of([lenet.lenet1(), lenet.lenet4()]),
        Joint(),
        Occlusion(),
        LabelsDiffer(),
        Gradient(steps=8, tries=1),
    )
    one, other = fates(method, codes, 7, range(210)), fates(method, codes, 64, range(210))
    assert len(one) >= 200 and one.keys() == other.keys()
    apart = sum(one[key][:2] != other[key][:2] for key in one)
    assert apart <= 0.02 * len(one), f"{apart} of {len(one)} fates differ"
    print(f"{apart} of {len(one)} fates differ between 7 and 64 lanes")


def run(panel, codes, constraint, numbers):
    """A campaign with five other numbers; returns its tally."""
    lambda1, lambda2, bound, rate, t = numbers
    search = Gradient(Recipe.of(optax.sign_sgd, learning_rate=rate), steps=3, tries=2)
    method = Method(panel, Joint(lambda1, lambda2), constraint(bound), LabelsDiffer(), search)
    judge = validity.Judge(panel, method.oracle, method.constraint, (NeuronCoverage(t),))
    layout = panel.check(codes.shape[1:])
    runs = campaign.Campaign(
        method, judge, layout, Held(codes), campaign.RunOptions(lanes=8, round_size=16, lag=1)
    )
    for _ in runs.run():
        pass
    return runs.tally


def compiled():
    """How many programs are held, by name."""
    modules = {"lanes": lanes, "loops": loops, "validity": validity}
    return {
        f"{name}.{key}": value._cache_size()
        for name, module in modules.items()
        for key, value in vars(module).items()
        if hasattr(value, "_cache_size")
    }


def test_new_numbers_trace_and_compile_nothing(monkeypatch):
    jax.clear_caches()
    monkeypatch.setattr(loops, "step", chex.assert_max_traces(lanes.step, n=1))
    panel, codes = relatives(2, SHAPE, channels=()), pictures(1, 40, SHAPE)
    first = run(panel, codes, Lighting, (1.0, 0.1, 0.3, 0.05, 0.25))
    held = compiled()
    second = run(relatives(3, SHAPE, channels=()), codes, Lighting, (0.5, 1.0, 0.2, 0.1, 0.75))
    assert compiled() == held
    loop = "one_step" if jax.default_backend() == "cpu" else "steps_on_device"
    assert held[f"loops.{loop}"] >= 1 and sum(held.values()) > 4
    assert first.seeds == second.seeds == first.closed == second.closed == 40
    assert first.steps != second.steps or first.findings != second.findings


def test_nothing_is_compiled_once_it_is_warm(caplog):
    panel, codes = relatives(2, SHAPE, channels=()), pictures(1, 40, SHAPE)
    method = Method(panel, Joint(), Ball(0.15), LabelsDiffer(), Gradient(steps=3, tries=2))
    covered = tuple(np.zeros(span.stop - span.start, bool) for span in panel.check(SHAPE).spans().values())
    before = np.asarray(plain(panel, codes))
    for devices, by_device in ((1, False), (2, True)):
        outputs = (len(before), before.shape[2])
        runs = Engine(method, 3, 8, SHAPE, outputs, jax.devices()[:devices], by_device)
        jax.clear_caches()
        with jax.log_compiles():
            runs.warm_up(covered)
            loop = "steps_on_device" if by_device else "one_step"
            assert {f"Compiling jit({name})" for name in ("enqueued", loop, "collect")} <= told(caplog)
            caplog.clear()
            runs.push([Try(seed, 0, codes[seed], before[:, seed]) for seed in range(40)], covered)
            ended = 0
            while runs.busy:
                ended += len(runs.advance())
        assert ended == 40 and told(caplog) == set(), (devices, by_device)


@pytest.mark.parametrize("constraint", [Lighting(0.3), Affine()], ids=["light", "affine"])
def test_a_campaign_compiles_nothing_once_it_is_warm(constraint, caplog):
    """Neither as it judges and measures seeds that divide the models already, nor what the search finds."""

    class Warm(Worker):
        def warm_up(self, first, aims):
            super().warm_up(first, aims)
            assert "Compiling jit(differences)" in told(caplog)
            caplog.clear()

    panel, codes = relatives(2, SHAPE, channels=()), pictures(1, 40, SHAPE)
    method = Method(panel, Joint(), constraint, LabelsDiffer(), Gradient(steps=5, tries=2))
    judge = validity.Judge(panel, method.oracle, constraint, (NeuronCoverage(0.5),), batch=8)
    plan = campaign.RunOptions(lanes=8, round_size=16, lag=1)
    running = campaign.Campaign(method, judge, panel.check(SHAPE), Held(codes), plan, backend=Warm)
    jax.clear_caches()
    jax.config.update("jax_log_compiles", True)  # in all threads
    try:
        for _ in running.run():
            pass
    finally:
        jax.config.update("jax_log_compiles", False)
    assert running.tally.already_differ and running.tally.found
    assert told(caplog) == set()


def told(caplog):
    """The programs that were compiled, as JAX's log names them."""
    lines = (record.getMessage() for record in caplog.records)
    return {" ".join(line.split()[:2]) for line in lines if line.startswith("Compiling")}


def test_lanes_follow_the_device_and_the_size_of_the_models():
    cpu = jax.devices("cpu")
    small, large = (Layout((("m", (Layer("conv", "conv", (side, side, 16)),)),)) for side in (28, 1024))
    assert default_lanes(small, 256, cpu[:1], 8) == default_lanes(small, 256, cpu, 2) == 64
    assert default_lanes(small, 256, cpu[:1], 1) == 16, "a worker of one thread"
    assert default_lanes(small, 256, cpu * 4) == 256, "32 each"
    assert 8 <= default_lanes(large, 256, cpu[:1], 8) < 64
    assert default_lanes(small, 10, cpu) == 16, "no more than two rounds have seeds"
    assert not loops_on_device("cpu") and loops_on_device("gpu") and loops_on_device("tpu")
