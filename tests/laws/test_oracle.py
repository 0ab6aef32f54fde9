"""What every oracle promises."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from laws.parts import ORACLES, missing

import xplore.oracles
from xplore._util.errors import InputError
from xplore.oracles import AnglesDiffer, LabelsDiffer, NegativeFlips, Oracle, ValuesDiffer
from xplore.oracles._base import RegressionOracle

each = pytest.mark.parametrize("oracle", ORACLES, ids=repr)


def outputs(oracle, seed, models=3):
    """Answers of which some agree, some are equal and some tie."""
    rng = np.random.default_rng(seed)
    if isinstance(oracle, RegressionOracle):
        answers = (oracle.apart * rng.integers(-4, 5, (models, 60, 1)) / 4).astype(np.float32)
    else:
        answers = rng.integers(0, 3, (models, 60, 4)).astype(np.float32)
    answers[:, :20] = answers[:1, :20]
    return jnp.asarray(answers)


def test_no_oracle_is_missing():
    assert not missing(xplore.oracles, Oracle, ORACLES)


@each
def test_nothing_changed_is_no_finding(oracle):
    answers = outputs(oracle, 0)
    assert not oracle.judge(answers, answers).any()


@each
def test_equal_models_never_differ(oracle):
    assert not oracle.differ(jnp.repeat(outputs(oracle, 1, 1), 3, axis=0)).any()


@each
def test_the_order_of_models_does_not_matter(oracle):
    before, after = outputs(oracle, 2), outputs(oracle, 3)
    judged = oracle.judge(before, after)
    assert judged.any() and not judged.all()
    # Of an old model and new ones, the old one stays where it is.
    orders = itertools.permutations(range(3))
    for order in orders if not isinstance(oracle, NegativeFlips) else [(0, 1, 2), (0, 2, 1)]:
        turned = jnp.array(order)
        np.testing.assert_array_equal(oracle.judge(before[turned], after[turned]), judged)


@each
def test_models_that_differ_do_not_all_decide_the_same(oracle):
    for seed in range(20):
        answers = outputs(oracle, seed)
        differ, decisions = oracle.differ(answers), oracle.decide(answers)
        assert differ.any() and ((decisions != decisions[:1]).any(axis=0) | ~differ).all()


@each
def test_equal_models_agree_on_what_each_decides_with_no_margin(oracle):
    answers = outputs(oracle, 1)[:, :20]
    np.testing.assert_array_equal(oracle.agreed(answers), oracle.decide(answers)[0])
    assert not oracle.margin(np.asarray(answers)).any()


@each
def test_a_margin_shows_where_models_differ(oracle):
    answers = np.random.default_rng(3).dirichlet(np.ones(4), (3, 50)).astype(np.float32)
    answers = 4 * (answers[..., :1] - 0.25) if isinstance(oracle, RegressionOracle) else answers
    differ = np.asarray(oracle.differ(jnp.asarray(answers)))
    assert differ.any() and not differ.all()
    np.testing.assert_array_equal(oracle.margin(answers) > 0, differ)


def test_right_answers():
    logits = np.array([[[0.0, 1.0], [1.0, 0.0]], [[2.0, 3.0], [0.0, 1.0]]], np.float32)
    assert LabelsDiffer().right(logits, np.array([1, 1])).tolist() == [[True, False], [True, True]]
    angles = np.array([[[0.1], [0.5]], [[0.3], [-0.1]]], np.float32)
    assert AnglesDiffer().right(angles, np.array([0.25, 0.4])).tolist() == [[True, True], [True, False]]
    assert AnglesDiffer().label(np.array([0.25, 0.05, -0.4])).tolist() == [2, 1, 0]


def test_angles_as_the_paper_judges_them():
    """Any two more than 0.2 apart, and neither all positive nor all negative: in NumPy, pair by pair."""
    angles = np.random.default_rng(4).normal(size=(3, 500)).astype(np.float32) * 0.2
    pairs = [abs(angles[i] - angles[j]) > 0.2 for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = np.any(pairs, axis=0) & ~(angles > 0).all(axis=0) & ~(angles < 0).all(axis=0)
    assert expected.any() and not expected.all()
    np.testing.assert_array_equal(AnglesDiffer().differ(jnp.asarray(angles[..., None])), expected)


@pytest.mark.parametrize("oracle", [ValuesDiffer(0.0), ValuesDiffer(float("nan")), AnglesDiffer(-1.0)])
def test_a_distance_that_cannot_be_is_told(oracle):
    with pytest.raises(InputError, match="distance above 0"):
        oracle.fits("values", (2, 5, 1))


@pytest.mark.parametrize(
    "oracle,head,shape",
    [
        (LabelsDiffer(), "values", (2, 5, 1)),
        (AnglesDiffer(), "logits", (2, 5, 3)),
        (AnglesDiffer(), "values", (2, 5, 2)),
    ],
)
def test_outputs_that_it_cannot_judge_are_told(oracle, head, shape):
    with pytest.raises(InputError, match=type(oracle).__name__):
        oracle.fits(head, shape)
