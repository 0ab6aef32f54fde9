"""Tables for tests: generated ones of all kinds of columns, and real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

JOBS = ("clerk", "nurse", "student", "<b>cook</b>")
LEVELS = ("low", "middle", "high")


def frame(seed: int, n: int = 24) -> pd.DataFrame:
    """A table with a column of every kind that is known."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "rate": rng.normal(size=n),
            "small": rng.integers(0, 5, n).astype("int8"),
            "single": rng.random(n).astype("float32"),
            "flag": rng.random(n) < 0.5,
            "zero_one": np.arange(n) % 2,
            "job": rng.permutation([*JOBS, *JOBS, *JOBS, *rng.choice(JOBS, n - 12)]),
            "declared": pd.Categorical(rng.choice(JOBS, n), categories=JOBS),
            "level": pd.Categorical(rng.choice(LEVELS, n), categories=LEVELS, ordered=True),
            "nullable": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "start": rng.integers(0, 10, n),
            7: rng.integers(0, 3, n),
        }
    )
    table["end"] = table["start"] + rng.integers(0, 10, n)
    town = rng.permutation(np.arange(n) % 3)
    for i, name in enumerate(("town_a", "town_b", "town_c")):
        table[name] = (town == i).astype(int)
    return table


def gappy(seed: int, n: int = 24) -> pd.DataFrame:
    """A table with missing values, dates and durations of every kind that is known; each row has some."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-31") + rng.integers(0, 900, n)
    end = start + rng.integers(0, 400, n)
    # the first day is there in each table, so that what follows from the columns is compiled once
    at = np.datetime64("2024-03-01T10:30") + 15 * np.where(
        np.arange(n) <= n // 4, 0, rng.integers(0, 2000, n)
    )
    table = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n).astype(float),
            "rate": rng.normal(size=n),
            "single": rng.random(n).astype("float32"),
            "amount": np.round(10 ** rng.uniform(0, 6, n), 1),
            "count": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "flag": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "job": rng.permutation(np.array(JOBS, object)[np.arange(n) % 4]),
            "text": pd.Series(rng.permutation(np.array(JOBS)[np.arange(n) % 4]), dtype="str"),
            "noted": pd.Series(rng.permutation(np.array(JOBS)[np.arange(n) % 4]), dtype="string"),
            "level": pd.Categorical(rng.choice(LEVELS, n), categories=LEVELS, ordered=True),
            "start": start.astype("M8[us]"),
            "end": end.astype("M8[ns]"),
            "born": np.array((start - rng.integers(8000, 30000, n)).tolist(), object),
            "seen": pd.Series(at.astype("M8[ms]")).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
            "lasts": (30 * rng.integers(0, 90, n)).astype("m8[m]").astype("m8[s]"),
            "a": rng.integers(0, 20, n),
            "b": rng.integers(0, 20, n).astype(float),
            "zero_one": np.arange(n) % 2,
        }
    )
    table["sum"] = table["a"] + table["b"]
    for name in table.columns.drop(["a", "sum", "zero_one", "start"]):
        at = rng.permutation(n)[: n // 4]
        if table[name].dtype == object:
            table.loc[at, name] = None
        else:
            table[name] = table[name].mask(np.isin(np.arange(n), at))
    table["sum"] = table["a"] + table["b"]
    return table


frames = st.builds(frame, st.integers(0, 2**31))
gaps = st.builds(gappy, st.integers(0, 2**31))


def people(n: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of people, as a bank would have it, and whether each repays: text labels."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.lognormal(3, 0.5, n).round(2),
            "job": rng.choice(["clerk", "nurse", "student"], n),
            "years": rng.integers(0, 30, n),
            "owner": rng.random(n) < 0.4,
        }
    )
    score = table["income"] / 20 + 0.1 * table["years"] + table["owner"] - 2 * (table["job"] == "student")
    return table, np.where(score + 0.3 * rng.normal(size=n) > 2, "yes", "no")


def cancer() -> tuple[pd.DataFrame, Any, Any]:
    """The tumours of scikit-learn, their classes, and which rows are for training."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer(as_frame=True)
    return data.data, data.target, np.arange(len(data.data)) % 2 == 0


CONFIG = """
name = "bank"
seeds = {use = "tables:seeds"}
models = [{use = "tables:straight"}, {use = "tables:forest"}]
constraint = {use = "tables:features"}
search = {use = "xplore.search:HillClimb", steps = 10, tries = 2}
campaign = {lanes = 8}
"""


def seeds() -> SimpleNamespace:
    """What a config's seeds are: a table, and the class number of each row."""
    table, repays = people()
    return SimpleNamespace(images=table[300:330], labels=(repays[300:330] == "yes").astype(int))


def features() -> Any:
    from xplore.constraints import Features

    return Features.infer(people()[0]).freeze("age")


def straight() -> Any:
    return _fitted("straight")


def forest() -> Any:
    return _fitted("forest")


def pipeline(model: Any) -> Any:
    """Text encoded, numbers scaled: it reads a DataFrame by its names."""
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = make_column_transformer(
        (OneHotEncoder(), ["job"]), (StandardScaler(), ["age", "income", "years"]), remainder="passthrough"
    )
    return make_pipeline(parts, model)


def _fitted(name: str) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    from xplore.adapters.predictor import predictor

    model = {"straight": LogisticRegression(), "forest": RandomForestClassifier(20, random_state=0)}[name]
    table, repays = people()
    return predictor(pipeline(model).fit(table[:300], repays[:300]), features(), name=name)
