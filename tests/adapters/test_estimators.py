"""Estimators as users have them, from a table to findings, a frame, a replay and a report."""

import sys

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tables import CONFIG, cancer, forest, people, pipeline, straight

import xplore
from xplore._util.errors import InputError, MissingExtraError
from xplore.adapters.predictor import predictor
from xplore.campaign.config.file import load
from xplore.campaign.config.run import run_config
from xplore.constraints import Features
from xplore.data._base import Inputs
from xplore.report import reporter
from xplore.search import Gradient


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch):
    """A campaign would keep its compiled programs in the user's cache."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


@pytest.fixture(scope="module")
def bank():
    table, repays = people()
    models = [pipeline(LogisticRegression()), pipeline(RandomForestClassifier(20, random_state=0))]
    return table, repays, [model.fit(table[:300], repays[:300]) for model in models]


@pytest.fixture(scope="module")
def told():
    return Features.infer(people()[0]).freeze("age").grow("years").limit("income", 5, 60)


@pytest.fixture(scope="module")
def campaign(bank, told, tmp_path_factory):
    table, repays, models = bank
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        folder = tmp_path_factory.mktemp("bank") / "run"
        how = {"constraint": told, "lanes": 16, "progress": False, "out": folder}
        return xplore.run(models, table[300:340], repays[300:340], **how)


@pytest.mark.slow
def test_findings_divide_the_estimators_as_they_are(bank, campaign):
    table, repays, models = bank
    found = campaign.frame()
    assert found["valid"].any() and set(found["expected"]) <= {"yes", "no"}
    after = found[[name for name in found if name.startswith("after:")]]
    after.columns = after.columns.str.removeprefix("after:")
    pd.testing.assert_series_equal(after.dtypes, table.dtypes)
    for i, model in enumerate(campaign.archive.meta["models"]):
        assert models[i].predict(after).tolist() == found[f"answer:{model['name']}"].tolist()
        sure = models[i].predict_proba(after).max(axis=1)
        np.testing.assert_allclose(found[f"confidence:{model['name']}"], sure, atol=1e-6)
    valid = found[found["valid"]]
    assert (valid["expected"] == repays[300:340][valid["seed"]]).all()
    assert (found["before:age"] == found["after:age"]).all()
    assert (found["before:years"] <= found["after:years"]).all()
    first = found.iloc[0]
    assert all(f"{part.split(':')[0]}" in table.columns for part in first["changes"].split("; "))
    assert first["nearest"] <= first["l2"] + 1e-3 and 0 <= first["nearest_row"] < 40


@pytest.mark.slow
def test_a_replay_reproduces_every_finding(bank, told, campaign):
    *_, models = bank
    again = xplore.replay(campaign.folder, models)
    assert len(again) >= len(campaign.findings) and all(again.values())
    wrapped = [predictor(model, told) for model in models]
    assert xplore.replay(campaign.folder, wrapped) == again
    with pytest.raises(InputError, match="weights that were tested"):
        xplore.replay(campaign.folder, models[::-1])


@pytest.mark.slow
def test_every_reporter_tells_the_changes_in_words(campaign, tmp_path):
    name, before, after = xplore.report.reading.read(campaign.archive).groups[0].example.changes[0]
    for kind in ("md", "csv", "html"):
        text = reporter(kind).write(campaign.archive, tmp_path).read_text("utf-8")
        assert name in text and before in text and after in text, kind
    assert name in campaign._repr_html_()
    with pytest.raises(InputError, match=r"no pictures.*csv"):
        reporter("png").write(campaign.archive, tmp_path)


@pytest.mark.slow
def test_trees_on_real_data_at_more_than_one_lane_width():
    from xgboost import XGBClassifier

    table, y, training = cancer()
    models = [
        RandomForestClassifier(20, random_state=0).fit(table[training], y[training]),
        XGBClassifier(n_estimators=10, n_jobs=1).fit(table[training], y[training]),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(table[training], y[training]),
    ]
    seeds = table[~training][:24]
    ran = [
        xplore.run(models, seeds, y[~training][:24], training=table[training], lanes=lanes, progress=False)
        for lanes in (5, 24)
    ]
    assert [f.id for f in ran[0].findings] == [f.id for f in ran[1].findings]
    valid = ran[0].valid
    assert len(valid) > 6 and "Features.infer" in ran[0].archive.meta["notes"][0]
    assert ran[0].coverage == {} and ran[0].archive.meta["search"].startswith("HillClimb")
    assert all(f.measures["nearest_row"] < training.sum() for f in valid)
    with pytest.raises(InputError, match=r"gradient.*HillClimb"):
        xplore.run(models, seeds, search=Gradient(), progress=False)


def test_functions_and_columns_are_read_as_told():
    table, _ = people(60)
    features = Features.infer(table)
    seen = []

    def ask(frame):
        seen.append(list(frame.columns))
        assert not isinstance(frame, jax.Array)
        return (frame["income"] > 20).astype(float)

    model = predictor(ask, features, columns=["income", "age"], classes=["poor", "rich"])
    answers = np.asarray(jax.jit(model)(features.encode_inputs(table)))
    np.testing.assert_array_equal(answers[:, 1], table["income"].astype("float32") > 20)
    assert all(columns == ["income", "age"] for columns in seen) and model.classes == ("poor", "rich")


def test_an_estimator_fitted_to_an_array_is_asked_by_arrays():
    table, y, _ = cancer()
    features = Features.infer(table)
    forest = RandomForestClassifier(5, random_state=0).fit(table.to_numpy(), y)
    rows = features.encode_inputs(table[:50])
    answers = predictor(forest, features).f.answers(rows)  # a warning would be an error
    np.testing.assert_allclose(answers, forest.predict_proba(features.frame(rows).to_numpy()))


def test_a_digest_tells_which_estimator_was_tested():
    table, repays = people()
    features = Features.infer(table)

    def digest(state, rows=400):
        model = pipeline(RandomForestClassifier(10, random_state=state)).fit(table[:rows], repays[:rows])
        return predictor(model, features).digest()

    assert digest(0) == digest(0) != digest(1)
    assert digest(0, 200) != digest(0)


def broken(frame):
    raise RuntimeError("no such table")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (broken, ("broken", "RuntimeError: no such table")),
        (lambda frame: np.ones((len(frame), 2)), ("sum to one",)),
        (lambda frame: np.full((len(frame), 2), np.nan), ("sum to one",)),
        (lambda frame: np.ones(3), ("64 rows",)),
        (lambda frame: frame["nothing"], ("nothing",)),
        (LinearSVC(), ("predict_proba",)),
        (LogisticRegression(), ("NotFittedError",)),
    ],
)
def test_what_cannot_be_asked_is_told_before_compute(model, words):
    with pytest.raises(InputError) as caught:
        predictor(model, Features.infer(people(30)[0]))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed
    features = Features.infer(np.array([[0.25, 7], [1.0, 9]]))
    assert features.encode_inputs(np.array([[0.5, 8]])).tolist() == [[0.5, 8.0]]
    for ask in (
        lambda: predictor(lambda frame: frame["x0"], features),
        lambda: features.frame(features.probes(2)),
    ):
        with pytest.raises(MissingExtraError, match=r"xplore-tests\[tabular\]"):
            ask()


def test_labels_that_no_model_answers_are_told(bank, told):
    table, repays, models = bank
    with pytest.raises(InputError, match=r"labels.*'maybe'"):
        xplore.run(models, table, np.where(repays == "yes", "maybe", repays), constraint=told, progress=False)


@pytest.mark.slow
def test_peers_are_fitted_again_and_differ():
    table, repays = people()
    forest = pipeline(RandomForestClassifier(10, random_state=0)).fit(table, repays)
    straight = pipeline(LogisticRegression()).fit(table, repays)
    for model in (forest, straight):
        peers = xplore.refit(model, table, repays, n=2, rng=3)
        answers = [m.predict_proba(table) for m in (model, *peers)]
        assert all((a != b).any() for i, a in enumerate(answers) for b in answers[:i])
        assert np.mean([(a.argmax(1) == answers[0].argmax(1)).mean() for a in answers]) > 0.9
        again = xplore.refit(model, table, repays, n=2, rng=3)
        np.testing.assert_array_equal(again[1].predict_proba(table), answers[2])
    result = xplore.run([straight, *peers], table[:20], repays[:20], steps=5, tries=1, progress=False)
    assert result.summary["seeds"] == 20
    made = xplore.refit(lambda X, y, rng: ("trained", len(X), rng), table, repays, n=2)
    assert made[0][:2] == ("trained", 400) and made[0][2] != made[1][2]
    with pytest.raises(InputError, match="train"):
        xplore.refit(3, table, repays)
    with pytest.raises(InputError, match="fits these rows"):
        xplore.refit(straight, table[["age"]], repays)


@pytest.mark.slow
def test_a_config_names_tables_and_estimators(tmp_path):
    (tmp_path / "bank.toml").write_text(CONFIG)
    result = run_config(load(str(tmp_path / "bank.toml")), tmp_path / "run", command="", progress=False)
    assert result.findings and (result.frame()["before:age"] == result.frame()["after:age"]).all()
    assert all(xplore.replay(tmp_path / "run", [straight(), forest()]).values())
    assert result.archive.meta["models"][1]["name"] == "forest"


def test_inputs_of_rows_name_their_columns():
    rows = np.zeros((2, 3), np.float32)
    assert Inputs(rows, None, "mine", columns=("a", "b", "c")).images is rows
    for wrong in (rows[:, :2], np.float64(rows), rows + np.inf):
        with pytest.raises(InputError, match=r"mine rows.*float32 \[n 3\]"):
            Inputs(wrong, None, "mine", columns=("a", "b", "c"))
