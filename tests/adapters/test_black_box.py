"""Estimators and functions of Python as black boxes: on images too, and where they fail."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import xplore
from xplore._util.errors import InputError
from xplore.adapters.predictor import predictor
from xplore.constraints import Ball, Features
from xplore.model import Model
from xplore.search import Gradient, Random


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, list[Any]]:
    """8x8 digits, and two estimators that read their pixels."""
    data = load_digits()
    images = np.round(data.images / 16 * 255).astype(np.uint8)[..., None]
    rows = images.reshape(len(images), -1) / 255
    forest = RandomForestClassifier(20, random_state=0).fit(rows[:1000], data.target[:1000])
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(
        rows[:1000], data.target[:1000]
    )
    return images[1000:1060], data.target[1000:1060], [forest, linear]


@pytest.mark.slow
def test_estimators_read_the_pixels_of_images(digits: Any) -> None:
    images, labels, models = digits
    search = Random(steps=20)
    result = xplore.run(models, images, labels, constraint=Ball(0.2), search=search, progress=False)
    assert result.valid and result.coverage == {}
    assert all(xplore.replay(result.folder, models).values())


def test_a_gradient_search_says_what_does_without(digits: Any) -> None:
    images, labels, models = digits
    with pytest.raises(InputError, match=r"model randomforestclassifier: .*does without: .*Random"):
        xplore.run(models, images, labels, search=Gradient(), progress=False)


def test_a_function_that_fails_in_the_middle_is_told() -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    seen: list[int] = []

    def fails(frame: pd.DataFrame) -> Any:
        seen.append(len(frame))
        if len(seen) > 3:
            raise KeyError("sulphur")
        return forest.predict_proba(frame)

    features = Features.infer(X)
    broken = predictor(fails, features, name="broken")
    with pytest.raises(InputError, match="model broken: expected answers to rows, got KeyError: 'sulphur'"):
        xplore.run([forest, broken], X[:40], constraint=features, lanes=16, progress=False)


def test_columns_are_known_by_name() -> None:
    X = load_wine(as_frame=True).data
    scale = np.asarray(X.std(), np.float32)
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)

    def linear(p: Any, x: Any) -> Any:
        return x @ p["w"]

    chosen = ("proline", "alcohol", "hue")
    at = [list(X.columns).index(name) for name in chosen]
    named = Model(linear, {"w": weights}, columns=chosen, std=tuple(scale[at].tolist()), name="named")
    counted = Model(linear, {"w": weights}, columns=tuple(at), std=tuple(scale[at].tolist()), name="counted")
    assert xplore.inspect([named, counted], X).models[0].right == 1.0
    with pytest.raises(
        InputError, match=r"columns of model named: expected names of features: .*, got sugar"
    ):
        xplore.inspect([named.replace(columns=("sugar",)), counted], X)
    with pytest.raises(InputError, match="columns of model named: expected indices"):
        xplore.run([named, counted], np.zeros((2, 4, 4, 3), np.uint8), progress=False)


def fitted(change: float = 0.0) -> dict[str, Any]:
    """Estimators, fitted to 300 rows, one of which is changed."""
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 4))
    y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
    X[150, 0] += change
    kinds = {
        "forest": RandomForestClassifier(5, random_state=0),
        "neighbours": KNeighborsClassifier(),
        "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
        "network": MLPClassifier((4,), max_iter=5),
        "boosted": XGBClassifier(n_estimators=4, max_depth=3),
    }
    state = np.random.get_state()
    np.random.seed(0)
    with warnings.catch_warnings(action="ignore"):
        made = {name: kind.fit(X, y) for name, kind in kinds.items()}
    np.random.set_state(state)
    return made


def test_an_estimator_is_all_that_it_learnt() -> None:
    one, again, other = fitted(), fitted(), fitted(30.0)
    rows = np.random.default_rng(1).normal(size=(50, 4))
    for name, estimator in one.items():
        digest = predictor(estimator).digest()
        estimator.predict_proba(rows)  # some count how often they are asked
        stored = pickle.loads(pickle.dumps(estimator))
        assert digest == predictor(estimator).digest() == predictor(stored).digest(), name
        assert digest == predictor(again[name]).digest() != predictor(other[name]).digest(), name


def test_a_function_is_what_it_reads() -> None:
    table = Features.infer(np.random.default_rng(0).normal(size=(50, 2)))

    def asked(weights: Any) -> str:
        return predictor(lambda frame: 1 / (1 + np.exp(-frame.to_numpy() @ weights[:2])), table).digest()

    weights = np.zeros(4000)
    other = weights.copy()
    other[2000] = 1  # of which its answers to few rows tell nothing, nor does its repr
    assert asked(weights) == asked(weights.copy()) != asked(other)
