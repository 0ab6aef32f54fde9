"""Estimators of scikit-learn and XGBoost, and any Python function on tables: black boxes as models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import numpy as np
from jaxtyping import Array, Float, Float32

from xplore._util.errors import InputError, one_line
from xplore._util.identity import digest
from xplore.adapters.refit import is_regressor
from xplore.inputs.columns import framed
from xplore.inputs.table import Table
from xplore.model import Model, callbacks

Output = Literal["probabilities", "values"]
PROBES = 64
"""Rows that a black box answers once: to learn whether and what it answers, and to tell models apart."""


class Predictor(callbacks.HostFunction):
    """A function on tables as one of JAX: `[b d] -> [b outputs]`, by a call to the host; hashed as itself.

    >>> answer = lambda rows: np.tile([0.25, 0.75], (len(rows), 1))
    >>> model = predictor(answer, Table.infer(np.eye(2)), name="constant")
    >>> type(model.f).__name__, model.f.answers(np.zeros((1, 2), np.float32)).tolist()
    ('Predictor', [[0.25, 0.75]])
    """

    def __init__(
        self,
        model: Any,
        name: str,
        table: Table | None,
        columns: Sequence[Any],
        output: Output = "probabilities",
    ) -> None:
        self.model, self.output = model, output
        self._name, self._table, self._columns = name, table, list(columns)
        self.classes, self.names = 0, self._names()
        asked = "predict_proba" if output == "probabilities" else "predict"
        self._ask = getattr(model, asked, model)
        # One fitted to an array is asked by arrays: scikit-learn warns of names that it has not seen.
        self.nameless = hasattr(model, "n_features_in_") and not hasattr(model, "feature_names_in_")
        self._last: tuple[Any, Any] = (None, None)

    def _names(self) -> list[Any]:
        return [_plain(c) for c in getattr(self.model, "classes_", ())]

    def refresh(self) -> str:
        """What it holds, and its answers to rows that follow from the table alone, as sha256.

        Raises:
            InputError: it answers with other classes than when it was wrapped.
        """
        self._last = (None, None)
        answers = self.answers(_probes(self.model, self._table))
        self.classes = self.classes or answers.shape[1]
        if answers.shape[1] != self.classes or self._names() != self.names:
            raise InputError(
                f"model {self._name}",
                expected=f"the {self.classes} {self._of()} that it was wrapped with",
                got=f"{answers.shape[1]}: {', '.join(map(str, self._names()))}",
                fix="wrap it again",
            )
        sha = hashlib.sha256(digest(self.model).encode())
        sha.update(np.round(answers, 5).astype(np.float32).tobytes())
        return sha.hexdigest()

    def _of(self) -> str:
        return "classes" if self.output == "probabilities" else "values"

    def answers(self, rows: Float32[np.ndarray, "b d"]) -> Float[np.ndarray, "b c"]:
        """What it says of rows, given as it reads them: a DataFrame with a `Table`, else an array.

        Raises:
            InputError: it fails, or does not answer with probabilities, or with values where it is to.
        """
        what = f"model {self._name}"
        try:
            given: Any = rows if self._table is None else framed(self._table.columns, rows)
            if self._columns:
                given = given[self._columns] if self._table is not None else given[:, self._columns]
            given = given.to_numpy() if self.nameless and self._table is not None else given
            came = np.asarray(self._ask(given), np.float64)
        except InputError:
            raise
        except Exception as error:  # a function of the user's own may raise anything
            fix = "mend it" if self._table else "give features=, so that it gets a DataFrame, or mend it"
            raise InputError(what, expected="answers to rows", got=one_line(error), fix=fix) from error
        if self.output == "values":
            return self._values(came, len(rows))
        if came.ndim == 1:  # the second class's, as binary models give it
            came = np.stack([1 - came, came], axis=1)
        if came.ndim != 2 or len(came) != len(rows) or came.shape[1] < 2:
            got = f"shape {came.shape} for {len(rows)} rows"
            raise InputError(what, expected="probabilities [rows classes]", got=got)
        if not np.isfinite(came).all() or came.min() < -1e-6 or np.abs(came.sum(axis=1) - 1).max() > 1e-3:
            raise InputError(
                what,
                expected="probabilities that sum to one",
                got=f"rows like {np.round(came[0], 3).tolist()}",
                fix="return predict_proba, or the softmax of what it returns;"
                ' of numbers, say output="values"',
            )
        return came

    def _values(self, came: Float[np.ndarray, "*n"], n: int) -> Float[np.ndarray, "b v"]:
        """Numbers as a column each."""
        if came.ndim not in (1, 2) or len(came) != n or 0 in came.shape:
            got = f"shape {came.shape} for {n} rows"
            raise InputError(f"model {self._name}", expected="values [rows] or [rows values]", got=got)
        return came.reshape(n, -1)

    def __call__(self, x: Float[Array, "b *d"]) -> Float[Array, "b c"]:
        shape = jax.ShapeDtypeStruct((len(x), self.classes), x.dtype)

        def ask(x: Any) -> np.ndarray:
            rows = np.asarray(x, np.float32).reshape(len(x), -1)  # of an image, its pixels
            before, answers = self._last
            if before is None or not np.array_equal(
                rows, before, equal_nan=True
            ):  # a batch is padded with its last row, asked again alone
                answers = self.answers(rows)
                self._last = (rows.copy(), answers)
            return answers.astype(shape.dtype)

        return callbacks.call(ask, shape, x)


def predictor(
    model: Any,
    features: Table | None = None,
    *,
    name: str = "",
    columns: Sequence[Any] = (),
    classes: Sequence[Any] = (),
    output: Output | None = None,
    **reading: Any,
) -> Model:
    """An estimator, or a function from a table to probabilities or values, as a model under test.

    Its `output` is `"values"` of a regressor, whose `predict` is asked, else `"probabilities"`: those of
    `predict_proba`, or what a function returns; of a function that returns numbers say `"values"`.

    With `features` (`xplore.constraints.Features`) it gets a DataFrame with the dtypes and categories of
    the original, without, an array; `columns` are those that it reads, in its order. `classes` names
    its answers, which an estimator does itself; `reading` is passed to `Model`. It has no gradient and no
    neurons. Of images it gets the pixels as rows.

    >>> from xplore.constraints import Features
    >>> features = Features.infer(np.array([[0.25, 7], [1.0, 9]]), ["risk", "size"])
    >>> predictor(lambda frame: frame["risk"], features)(jax.numpy.array([[0.25, 8]])).tolist()
    [[0.75, 0.25]]

    Raises:
        InputError: it is neither a classifier with `predict_proba` nor a regressor nor a function, or fails
            on rows like those of `features`.
    """
    name = name or called(model)
    if output is None:
        of = getattr(model, "__self__", model)  # the estimator, where its method is given
        output = "values" if is_regressor(of) and not hasattr(of, "predict_proba") else "probabilities"
    if output not in get_args(Output):
        raise InputError(f"output of {name}", expected=" or ".join(get_args(Output)), got=repr(output))
    if not callable(model) and not hasattr(
        model, "predict_proba" if output == "probabilities" else "predict"
    ):
        raise _cannot_answer(model, name, output)
    asked = Predictor(model, name, features, columns, output)
    fingerprint = asked.refresh()
    classes = [_plain(c) for c in classes] if len(classes) else asked.names
    if classes and len(classes) != asked.classes:
        raise InputError(f"model {name}", expected=f"{asked.classes} classes", got=f"{len(classes)}")
    known = {"output": output, "classes": tuple(classes), "fingerprint": fingerprint}
    return Model(asked, name=name, **{**known, **reading})


def called(model: Any) -> str:
    """What an estimator or a function is called; a pipeline by its last step.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> called(make_pipeline(LogisticRegression()))
    'logisticregression'
    """
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps and hasattr(model, "named_steps"):
        return called(steps[-1][1])
    return getattr(model, "__name__", type(model).__name__.lower())


def _cannot_answer(model: Any, name: str, output: str) -> InputError:
    """What to tell of an object that cannot be asked for probabilities or values."""
    wanted, fix = "an estimator with predict_proba, a regressor, or a function", "give a function of yours"
    if output == "values":
        wanted, fix = "a regressor, with predict, or a function", "give a function from a table to numbers"
    elif hasattr(model, "classes_") or hasattr(model, "decision_function"):
        fix = "fit it with probability=True, or wrap it: CalibratedClassifierCV, or a function of yours"
    elif hasattr(model, "predict"):
        fix = 'predictor(model.predict, features, output="values"), if it predicts numbers'
    return InputError(f"model {name}", expected=wanted, got=type(model).__name__, fix=fix)


def reading(model: Any, table: Any) -> Any:
    """A model as a panel takes it: on a table, an estimator reads it, and columns are known by name.

    >>> from xplore.constraints import Ball
    >>> model = Model(lambda x: x, columns=("b",))
    >>> reading(model, Table.infer(np.eye(2), ["a", "b"])).columns, reading(model, Ball()) is model
    ((1,), True)
    """
    if not isinstance(table, Table):
        return model
    if not isinstance(model, Model):
        return predictor(model, table) if hasattr(model, "predict_proba") or is_regressor(model) else model
    names = [column.name for column in table.columns]
    unknown = [name for name in model.columns if isinstance(name, str) and name not in names]
    if unknown:
        raise InputError(
            f"columns of model {model.name}",
            expected=f"names of features: {', '.join(map(str, names))}",
            got=", ".join(unknown),
            fix="name columns of the table",
        )
    found = tuple(names.index(name) if isinstance(name, str) else name for name in model.columns)
    return model.replace(columns=found)


def _probes(model: Any, features: Table | None) -> Float32[np.ndarray, "n d"]:
    """The same rows for the same model and features."""
    if features is not None:
        return features.probes(PROBES)
    size = getattr(model, "n_features_in_", None)
    if size is None:
        raise InputError(
            "model",
            expected="features= that say which rows it reads",
            got="none",
            fix="predictor(function, Features.infer(X))",
        )
    return np.random.default_rng(0).normal(size=(PROBES, size)).astype(np.float32)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
