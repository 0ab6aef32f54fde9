"""What every oracle promises."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from laws.parts import ORACLES, missing

import xplore.oracles
from xplore.oracles import Oracle

each = pytest.mark.parametrize("oracle", ORACLES, ids=repr)


def outputs(seed, models=3):
    """Answers of which some agree, some are equal and some tie."""
    answers = np.random.default_rng(seed).integers(0, 3, (models, 60, 4)).astype(np.float32)
    answers[:, :20] = answers[:1, :20]
    return jnp.asarray(answers)


def test_no_oracle_is_missing():
    assert not missing(xplore.oracles, Oracle, ORACLES)


@each
def test_nothing_changed_is_no_finding(oracle):
    answers = outputs(0)
    assert not oracle.judge(answers, answers).any()


@each
def test_equal_models_never_differ(oracle):
    assert not oracle.differ(jnp.repeat(outputs(1, 1), 3, axis=0)).any()


@each
def test_the_order_of_models_does_not_matter(oracle):
    before, after = outputs(2), outputs(3)
    judged = oracle.judge(before, after)
    assert judged.any() and not judged.all()
    for order in itertools.permutations(range(3)):
        turned = jnp.array(order)
        np.testing.assert_array_equal(oracle.judge(before[turned], after[turned]), judged)
