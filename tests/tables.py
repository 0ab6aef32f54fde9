"""Tables for tests: generated ones of all kinds of columns, and real ones."""

from __future__ import annotations

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


frames = st.builds(frame, st.integers(0, 2**31))


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
