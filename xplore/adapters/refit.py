"""Peers of one model: the same kind, fitted again with another chance, so that they should agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xplore._util.errors import InputError, MissingExtraError, one_line


def is_regressor(model: Any) -> bool:
    """Return whether a model is an estimator of numbers, of scikit-learn or one that says so as it does.

    >>> from sklearn.linear_model import LinearRegression, LogisticRegression
    >>> is_regressor(LinearRegression()), is_regressor(LogisticRegression()), is_regressor(abs)
    (True, False, False)
    """
    if not hasattr(model, "predict") or not hasattr(model, "get_params") or isinstance(model, type):
        return False
    try:
        from sklearn.base import is_regressor as says
    except ImportError:
        return getattr(model, "_estimator_type", "") == "regressor"
    return bool(says(model))


def refit(model: Any, X: Any, y: Any, n: int = 2, rng: int = 0) -> list[Any]:
    """`n` peers of an estimator or of `train(X, y, rng)`, to test it beside: `run([model, *peers], X, y)`.

    An estimator is cloned with another `random_state`, in every step of a pipeline; one whose fit leaves
    nothing to chance is fitted to rows drawn with replacement, of classes as many of each as there are. A
    function is called with another `rng` each time, and returns whatever predicts.

    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.arange(8.0)[:, None], np.arange(8) > 3
    >>> peers = refit(LogisticRegression(), X, y, n=2)
    >>> [peer.predict([[0.0], [7.0]]).tolist() for peer in peers]
    [[False, True], [False, True]]

    Raises:
        InputError: it is neither, or cannot be fitted to these rows.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError("n", expected="a whole number >= 1", got=repr(n), fix="use n=2")
    states = [int(state) for state in np.random.SeedSequence(rng).generate_state(n) % 2**31]
    if hasattr(model, "get_params") and hasattr(model, "fit"):
        known, peers = [_answers(model, X)], []
        for state in states:
            peer = _fitted(lambda state=state: _again(model, X, y, state))
            if any(np.array_equal(_answers(peer, X), answers) for answers in known):
                rows = _drawn(np.asarray(y), state, by_class=not is_regressor(model))
                peer = _fitted(lambda rows=rows, s=state: _again(model, _rows(X, rows), _rows(y, rows), s))
            known.append(_answers(peer, X))
            peers.append(peer)
        return peers
    if callable(model):
        return [_fitted(lambda state=state: model(X, y, state)) for state in states]
    fix = "give an estimator of scikit-learn, or a function train(X, y, rng)"
    raise InputError("model", expected="what can be fitted again", got=type(model).__name__, fix=fix)


def _fitted(fit: Callable[[], Any]) -> Any:
    try:
        return fit()
    except (InputError, ImportError):
        raise
    except Exception as error:  # what the user's own model raises
        fix = "give rows and labels as it was fitted to"
        raise InputError(
            "model", expected="one that fits these rows", got=one_line(error), fix=fix
        ) from error


def _again(model: Any, X: Any, y: Any, state: int) -> Any:
    """A clone, fitted with that random state."""
    try:
        from sklearn.base import clone
    except ImportError as error:
        raise MissingExtraError("scikit-learn", extra="tabular", purpose="estimators") from error
    peer: Any = clone(model)
    chances = [name for name in peer.get_params() if name.rpartition("__")[2] == "random_state"]
    peer.set_params(**dict.fromkeys(chances, state))
    return peer.fit(X, y)


def _answers(model: Any, X: Any) -> Any:
    """What a model says of the rows; nothing, if it is not fitted."""
    try:
        return np.asarray(getattr(model, "predict_proba", model.predict)(X))
    except Exception:  # which error says so is each library's own
        return None


def _rows(part: Any, rows: np.ndarray) -> Any:
    return part.iloc[rows] if hasattr(part, "iloc") else np.asarray(part)[rows]


def _drawn(y: np.ndarray, state: int, *, by_class: bool) -> np.ndarray:
    """Rows with replacement, of classes as many of each as there are."""
    random = np.random.default_rng(state)
    if not by_class:
        return random.choice(len(y), len(y))
    of_each = (np.flatnonzero(y == label) for label in np.unique(y))
    return np.concatenate([random.choice(rows, len(rows)) for rows in of_each])
