"""Regressors on a table: as they are, and as functions; what is neither classifier nor regressor is told."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVC
from xgboost import XGBRegressor

import xplore
from xplore._util.errors import InputError
from xplore.adapters.predictor import predictor
from xplore.constraints import Features
from xplore.oracles import ValuesDiffer
from xplore.report import FORMATS, reporter

RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(RANDOM.normal(size=(200, 3)), columns=list("abc"))
Y = TABLE["a"].to_numpy() * 3 + RANDOM.normal(size=200) / 5
FEATURES = Features.infer(TABLE)
HOW: dict[str, Any] = {"steps": 20, "tries": 1, "progress": False, "lanes": 8}
KINDS = {
    "forest": RandomForestRegressor(5, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=5, random_state=0),
    "histogram": HistGradientBoostingRegressor(max_iter=5),
    "support": SVR(),
    "network": MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=20, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LinearRegression()),
    "target": TransformedTargetRegressor(LinearRegression()),
    "search": GridSearchCV(SVR(), {"C": [1.0, 2.0]}, cv=2),
    "xgboost": XGBRegressor(n_estimators=4, max_depth=3),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # lbfgs is stopped early
@pytest.mark.parametrize("kind", KINDS)
def test_a_regressor_as_it_is_answers_with_its_values(kind: str) -> None:
    model = KINDS[kind].fit(TABLE, Y)
    adapted = predictor(model, FEATURES)
    assert adapted.output == "values" and adapted.f.names == []
    rows = TABLE.to_numpy(np.float32)[:10]
    want = model.predict(pd.DataFrame(rows.astype(float), columns=list("abc")))
    np.testing.assert_allclose(np.asarray(adapted(jnp.asarray(rows)))[:, 0], want, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_findings_of_regressors_are_what_they_predict(tmp_path: Any) -> None:
    models = [RandomForestRegressor(5, random_state=s).fit(TABLE, Y) for s in (0, 1)]
    result = xplore.run(
        models, TABLE[:30], Y[:30], oracle=ValuesDiffer(apart=0.8), out=tmp_path / "run", **HOW
    )
    frame = result.frame()
    assert len(frame) and frame["valid"].any()
    after = frame[[f"after:{name}" for name in "abc"]]
    after.columns = list("abc")
    for model, told in zip(models, result.archive.meta["models"], strict=True):
        np.testing.assert_allclose(frame[f"value:{told['name']}"], model.predict(after), rtol=1e-5)
    assert all(xplore.replay(result.folder, models).values())
    for name in set(FORMATS) - {"png"}:  # there are no pictures of rows
        reporter(name).write(result.archive, tmp_path)
    seen = xplore.inspect(models, TABLE, Y)
    want = np.abs(models[0].predict(TABLE) - Y).mean()
    assert seen.models[0].error == pytest.approx(want, rel=1e-4)


def test_the_method_and_a_function_of_numbers_are_models_too() -> None:
    model = LinearRegression().fit(TABLE, Y)
    rows = TABLE.to_numpy(np.float32)[:4]
    given = [model, model.predict, lambda frame: model.predict(frame) * 1]
    answers = [np.asarray(predictor(one, FEATURES, output="values")(jnp.asarray(rows))) for one in given]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
    assert predictor(model.predict, FEATURES).output == "values"


def told(model: Any, **how: Any) -> str:
    with pytest.raises(InputError) as caught:
        xplore.run([predictor(model, FEATURES, **how)] * 2, TABLE[:4], constraint=FEATURES, **HOW)
    return str(caught.value)


class Neither(BaseEstimator):
    """It transforms, and predicts nothing."""


def test_advice_fits_what_was_given() -> None:
    svc = LinearSVC().fit(TABLE, Y > 0)
    assert "CalibratedClassifierCV" in told(svc) and "CalibratedClassifierCV" not in told(Neither())
    clusters = KMeans(2, n_init=1).fit(TABLE)
    assert 'predictor(model.predict, features, output="values")' in told(clusters)
    assert 'say output="values"' in told(lambda frame: frame.to_numpy() * 3)
    assert "a regressor, with predict" in told(Neither(), output="values")
    assert "values [rows] or [rows values], got shape (3, 64)" in told(
        lambda frame: frame.to_numpy().T, output="values"
    )
    regressor = LinearRegression().fit(TABLE, Y)
    assert "oracle=xplore.oracles.ValuesDiffer" in told(regressor)
    assert "expected an estimator" in str(told(Neither()))


def test_several_values_get_the_way_out() -> None:
    both = LinearRegression().fit(TABLE, np.stack([Y, -Y], axis=1))
    with pytest.raises(InputError, match=r"one value an input.*got 2 values.*a function that returns one"):
        xplore.run([both, both], TABLE[:4], oracle=ValuesDiffer(apart=0.5), **HOW)
    one = predictor(lambda frame: both.predict(frame)[:, 0], FEATURES, output="values")
    assert xplore.inspect([one, one], TABLE[:4], Y[:4]).models[0].error is not None


def test_peers_of_a_regressor_without_chance_differ() -> None:
    model = LinearRegression().fit(TABLE, Y)
    peers = xplore.refit(model, TABLE, Y)
    assert len({round(float(one.coef_[0]), 6) for one in (model, *peers)}) == 3
