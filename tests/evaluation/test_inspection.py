"""What a panel is, told before anything is searched."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import N, images, one, two

import xplore
from xplore._util.errors import InputError
from xplore.evaluation.inspection import read_as
from xplore.model import Model
from xplore.panel import Panel


def test_accuracy_and_agreement_are_counted() -> None:
    x = images()
    answers = np.asarray(Panel.of([one(), two()]).plain(jnp.asarray(x / np.float32(255)))).argmax(axis=-1)
    labels = answers[0].copy()
    labels[:6] = (labels[:6] + 1) % 3
    seen = xplore.inspect([one(), two()], x, labels)
    assert [model.right for model in seen.models] == [
        pytest.approx(float((row == labels).mean())) for row in answers
    ]
    for model, row in zip(seen.models, answers, strict=True):
        for c, share in enumerate(model.by_class):
            assert share == (
                None if not (labels == c).any() else pytest.approx((row[labels == c] == c).mean())
            )
    alone = xplore.inspect([one(), two()], x)
    agree = float((answers[0] == answers[1]).mean())
    assert not alone.labelled and alone.models[0].right >= agree
    assert f"{N} seeds" in str(alone) and "of the majority's mind on" in str(alone)


def test_a_model_that_is_mostly_wrong_is_warned_of() -> None:
    x = images()
    turned = one().replace(f=lambda p, x: jnp.roll(one().f(p, x), 1, axis=-1), name="turned")
    labels = np.asarray(one()(jnp.asarray(x / np.float32(255)))).argmax(axis=-1)
    seen = xplore.inspect([one(), turned], x, labels)
    (warning,) = seen.warnings
    assert warning.startswith("turned is right on ") and "order of the classes" in warning
    assert f"warning: {warning}" in str(seen)


def test_how_a_model_reads_is_told() -> None:
    model = Model(abs, scale=2.0, mean=1.0, std=(0.5, 0.25), size=(8, 9), layout="NCHW", classes=("a", "b"))
    assert read_as(model) == "(x * 2 - 1) / (0.5, 0.25) at 8 x 9 as NCHW, returns logits, classes a, b"
    assert read_as(Model(abs, columns=(3, 1), output="values")) == "columns 3, 1 of x, returns values"


def test_a_table_and_its_black_boxes() -> None:
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    X, y = load_wine(return_X_y=True, as_frame=True)
    fitted = [
        model.fit(X, y) for model in (RandomForestClassifier(5, random_state=0), DecisionTreeClassifier())
    ]
    seen = xplore.inspect(fitted, X, y.to_numpy())
    assert [model.neurons for model in seen.models] == [0, 0] and seen.models[1].right == 1.0
    assert str(seen).count("a black box: no layers, so no coverage") == 2


def test_values_are_told_by_their_distance() -> None:
    labels = np.array([5.0, np.nan, *np.zeros(22)])
    low, high = (
        Model(lambda x, v=v: 0 * x.sum(axis=(1, 2, 3)) + v, name=str(v), output="values") for v in (1.0, 2.0)
    )
    seen = xplore.inspect([low, high, low], images(), labels)
    assert [model.right for model in seen.models] == [None] * 3 and not seen.warnings
    assert [model.error for model in seen.models] == [(4 + 0 + 22) / 24, (3 + 1 + 44) / 24, (4 + 0 + 22) / 24]
    assert "mean distance to the label 1.08" in str(seen)
    assert "mean distance to the median 0" in str(xplore.inspect([low, high, low], images()))


def test_outputs_that_are_not_inspected_are_told() -> None:
    segments = Model(lambda x: x)
    with pytest.raises(InputError, match="expected one label or value an input, got output='logits'"):
        xplore.inspect([segments, segments], images())
    for head in ("values", "multilabel"):
        models = [Model(lambda x: x.reshape(len(x), -1), output=head)] * 2
        with pytest.raises(InputError, match="oracle"):
            xplore.run(models, images())
    with pytest.raises(InputError, match="oracle LabelsDiffer: expected models that return logits or"):
        xplore.run([segments, segments], images())
