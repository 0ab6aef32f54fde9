"""What every objective promises."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.parts import DIVERGE, OBJECTIVES, double, missing

import xplore.objectives
from xplore.model.neurons import Activations, Layer, Layout
from xplore.objectives import Diverge, Joint, Objective
from xplore.panel.panel import Forward

MODELS, ROWS, CLASSES, UNITS = 3, 5, 4, 6
LAYOUT = Layout(tuple((f"m{i}", (Layer("all", "dense", (UNITS,)),)) for i in range(MODELS)))
each = pytest.mark.parametrize("objective", [*OBJECTIVES, *DIVERGE], ids=repr)
draw = jax.jit(lambda objective, *given: objective.goal(*given))


def said(logits, values):
    """A panel's answer with these logits and activations."""
    zeros = jnp.zeros((len(values), MODELS), values.dtype)
    return Forward(logits, logits, Activations(values, zeros, zeros + 1, LAYOUT))


@jax.jit
def score(objective, aim, logits, values):
    return objective.score(aim, said(logits, values))


slopes = jax.jit(jax.grad(lambda *given: score(*given).sum(), argnums=(2, 3)))


def case(seed, objective=None, size=3.0, rows=ROWS):
    """Logits of some classes, or small values, as the objective reads them."""
    rng = np.random.default_rng(seed)
    size, classes = (0.5, 1) if isinstance(objective, Diverge) else (size, CLASSES)
    before = jnp.asarray(size * rng.normal(size=(MODELS, rows, classes)))
    logits = jnp.asarray(size * rng.normal(size=(MODELS, rows, classes)))
    values = jnp.asarray(rng.normal(size=(rows, MODELS * UNITS)))
    return before, logits, values


def aims(objective, before, covered=None, turn=None, seed=0):
    rows = before.shape[1]
    covered = covered or (jnp.zeros(UNITS, bool),) * MODELS
    turn = jnp.arange(rows) if turn is None else turn
    return draw(objective, jax.random.split(jax.random.key(seed), rows), before, tuple(covered), turn)


def test_no_objective_is_missing():
    assert not missing(xplore.objectives, Objective, [*OBJECTIVES, *DIVERGE])


@pytest.mark.slow
@each
def test_the_slope_is_that_of_finite_differences(objective):
    with double():
        before, logits, values = case(1, objective)
        aim, width = aims(objective, before), 1e-6
        exact = slopes(objective, aim, logits, values)
        for which, part in enumerate((logits, values)):
            for index in itertools.islice(np.ndindex(part.shape), 0, None, 3):
                step = np.zeros(part.shape)
                step[index] = width
                up, down = ([logits, values] for _ in range(2))
                up[which], down[which] = part + step, part - step
                ends = score(objective, aim, *up).sum() - score(objective, aim, *down).sum()
                assert float(exact[which][index]) == pytest.approx(float(ends) / (2 * width), abs=1e-6)


@pytest.mark.slow
@each
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_scores_and_slopes_are_finite(objective, size):
    rng = np.random.default_rng(2)
    before, logits, values = case(2, objective)
    logits = jnp.asarray(rng.choice([-size, 0.0, size], logits.shape), jnp.float32)
    logits = logits.at[:, 0].set(size).at[:, 1].set(-size)
    aim = aims(objective, before)
    assert jnp.isfinite(score(objective, aim, logits, values)).all()
    for leaf in slopes(objective, aim, logits, values):
        assert jnp.isfinite(leaf).all()


@pytest.mark.slow
@each
def test_a_score_depends_on_its_own_row(objective):
    before, logits, values = case(3, objective)
    aim = aims(objective, before)
    _, other, others = case(4, objective)
    mixed = score(objective, aim, other.at[:, 2].set(logits[:, 2]), others.at[2].set(values[2]))
    alone = score(objective, aim, logits, values)
    assert mixed[2] == alone[2] and (mixed != alone).sum() == ROWS - 1


@each
def test_an_aim_depends_on_its_own_row(objective):
    before, other = case(5, objective)[0], case(6, objective)[0]
    one, two = aims(objective, before), aims(objective, other.at[:, 2].set(before[:, 2]))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert len(a) == ROWS
        np.testing.assert_array_equal(a[2], b[2])


@pytest.mark.slow
@each
def test_covered_neurons_sleep_on_while_others_remain(objective):
    before = case(7, objective, rows=64)[0]
    covered = [jnp.array([1, 1, 0, 1, 0, 1], bool), jnp.ones(UNITS, bool), jnp.array([0] + [1] * 5, bool)]
    neurons = np.asarray(aims(objective, before, covered).neurons)
    assert set(neurons[:, 0]) == {2, 4}
    assert set(neurons[:, 1]) == set(range(UNITS, 2 * UNITS)), "any, once all are covered"
    assert set(neurons[:, 2]) == {2 * UNITS}


@pytest.mark.parametrize("on", ["log_odds", "logits"])
def test_weakest_takes_each_model_in_turn_the_least_certain_first(on):
    objective, before = Joint(on=on, deviate="weakest"), case(8)[0]
    before = before.at[:, :, 0].add(20)
    turns = [np.asarray(aims(objective, before, turn=jnp.full(ROWS, t)).deviate) for t in range(2 * MODELS)]
    for row in range(ROWS):
        taken = [int(turn[row]) for turn in turns]
        assert sorted(taken[:MODELS]) == list(range(MODELS)) and taken[MODELS:] == taken[:MODELS]
        ordered = np.sort(jax.nn.log_softmax(before[:, row]), axis=-1)
        assert taken[0] == (ordered[:, -1] - ordered[:, -2]).argmin()


def test_a_model_may_be_given_or_drawn():
    before = case(9, rows=64)[0]
    assert set(np.asarray(aims(Joint(deviate=1), before).deviate)) == {1}
    assert set(np.asarray(aims(Joint(deviate="random"), before).deviate)) == set(range(MODELS))


@each
def test_a_slope_exists(objective):
    before, logits, values = case(10, objective)
    for leaf in slopes(objective, aims(objective, before), logits, values):
        assert (leaf != 0).any()


def test_values_go_apart_on_the_way_on_which_they_are_then_the_other():
    before = jnp.array([[[0.3], [-0.1]], [[0.1], [0.1]], [[0.1], [0.2]]])
    first, later = (aims(Diverge(), before, turn=jnp.full(2, turn)) for turn in (0, MODELS))
    assert first.deviate.tolist() == [0, 0] == later.deviate.tolist()
    assert first.way.tolist() == [-1.0, 1.0], "model 0 is above the others on the first seed: up with it"
    assert later.way.tolist() == [1.0, -1.0]
    assert aims(Diverge(both_ways=False), before, turn=jnp.arange(2)).way.tolist() == [1.0, 1.0]


def test_the_published_score_of_a_steering_panel():
    """`sum_{k != j} u_k - lambda1 u_j`, of the numbers before the head `2 atan(u)`, in NumPy."""
    u = np.random.default_rng(0).normal(size=(MODELS, ROWS, 1))
    objective = Diverge(2.0, 0.0, on="before_atan", deviate=1, both_ways=False)
    came = score(
        objective,
        aims(objective, jnp.zeros_like(u)),
        jnp.asarray(2 * np.arctan(u)),
        jnp.zeros((ROWS, MODELS * UNITS)),
    )
    np.testing.assert_allclose(came, u[0, :, 0] - 2 * u[1, :, 0] + u[2, :, 0], rtol=1e-4)
