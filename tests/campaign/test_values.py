"""Campaigns on models that return numbers: what differs, what counts, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SIDE, N, images

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Ball
from xplore.inputs.media import from_png
from xplore.model import Model
from xplore.objectives import Diverge, Joint
from xplore.oracles import AnglesDiffer, ValuesDiffer
from xplore.report import FORMATS, reporter


def steering(name: str, shift: float = 0.0) -> Model:
    """A hidden layer, a number, and the head `2 atan(u)`; small angles on noise."""
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(SIDE * SIDE * 3, 8)) / 10, rng.normal(size=(8, 1)) / 10
    last += shift * np.random.default_rng(len(name)).normal(size=last.shape)
    params = {"fc": first.astype(np.float32), "u": last.astype(np.float32)}

    def apply(params: Any, x: Any) -> Any:
        return 2 * jnp.arctan(jnp.tanh(x.reshape(len(x), -1) @ params["fc"]) @ params["u"])

    return Model(apply, params, name=name, mean=0.5, output="values")


MODELS = [steering("a"), steering("bb", 0.04), steering("ccc", 0.04)]


def angles(codes: np.ndarray) -> np.ndarray:
    """In NumPy, `[m b]`."""
    x = codes.reshape(len(codes), -1) / 255 - 0.5
    return np.stack([2 * np.arctan(np.tanh(x @ m.params["fc"]) @ m.params["u"])[:, 0] for m in MODELS])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xplore.Result:
    """Half of the seeds have a label: what the models say, for one of two far from it."""
    labels = angles(images())[0]
    labels[1::4] += 1.0
    labels[::2] = np.nan
    given = {"constraint": Ball(0.2), "oracle": AnglesDiffer(), "lanes": 8, "steps": 12, "tries": 3}
    out = tmp_path_factory.mktemp("values") / "out"
    return xplore.run(MODELS, images(), labels, **given, out=out, progress=False, classes=["x"])


@pytest.mark.slow
def test_findings_are_what_numpy_says_of_the_file(run: xplore.Result) -> None:
    assert len(run.findings) > N / 2
    for found in run.findings:
        after = angles(from_png(found.after)[None])[:, 0]
        assert np.ptp(after) > 0.2 and after.max() > 0 > after.min()
        np.testing.assert_allclose(found.probabilities[:, 0], after, atol=1e-5)
        sides = tuple(1 + (after > 0.1).astype(int) - (after < -0.1).astype(int))
        assert found.decisions == sides
        assert found.measures["margin"] == pytest.approx(np.ptp(after), abs=1e-5)


@pytest.mark.slow
def test_a_finding_counts_if_the_models_were_near_the_label(run: xplore.Result) -> None:
    far = {found.seed for found in run.findings if "seed_wrong" in found.reasons}
    assert far and far <= set(range(1, N, 4))
    assert {found.seed for found in run.findings} & set(range(1, N, 4)) == far
    unknown = [found for found in run.findings if found.seed % 2 == 0]
    assert unknown and all(found.label is None and found.expected is not None for found in unknown)
    assert all(found.valid for found in unknown)


@pytest.mark.slow
def test_findings_replay_by_the_recorded_oracle(run: xplore.Result) -> None:
    again = xplore.replay(run.folder, MODELS)
    assert len(again) == len(run.findings) and all(again.values())
    one = {name: xplore.replay(run.folder, [MODELS[0]] * 3, as_tested=False)[name] for name in again}
    assert not any(one.values()), "a model never differs from itself"


def test_a_users_own_oracle_is_asked_for(tmp_path: Path) -> None:
    class Own(AnglesDiffer):
        def metadata(self) -> dict[str, Any]:
            return {}

    given = {"constraint": Ball(0.2), "lanes": 8, "steps": 6, "progress": False, "out": tmp_path / "own"}
    found = xplore.run(MODELS, images(), oracle=Own(), **given).findings
    with pytest.raises(InputError, match=r"oracle of .*replay\(folder, models, oracle="):
        xplore.replay(tmp_path / "own", MODELS)
    again = xplore.replay(tmp_path / "own", MODELS, oracle=AnglesDiffer())
    assert found and all(again.values())


@pytest.mark.slow
def test_values_that_are_not_angles(tmp_path: Path) -> None:
    given = {"constraint": Ball(0.2), "lanes": 8, "steps": 12, "progress": False}
    result = xplore.run(MODELS, images(), oracle=ValuesDiffer(0.15, "m"), **given, out=tmp_path / "out")
    assert result.findings
    for found in result.findings:
        after = angles(from_png(found.after)[None])[:, 0]
        assert np.ptp(after) > 0.15
        assert found.decisions == tuple(np.floor(after / 0.15).astype(int))
    frame = result.frame()
    assert frame["answer:a"].str.contains(" m").all(), frame["answer:a"].head()


@pytest.mark.parametrize(
    "given,message",
    [
        ({}, "oracle: expected to be given: how far apart do values differ"),
        (
            {"oracle": AnglesDiffer(), "objective": Joint()},
            "objective Joint: expected models that return logits",
        ),
        ({"oracle": AnglesDiffer(), "objective": Diverge(deviate=7)}, "one of 3 models, from 0, got 7"),
        ({"oracle": AnglesDiffer(), "labels": np.zeros(3)}, "labels: expected one finite number a seed"),
        (
            {"oracle": AnglesDiffer(), "labels": np.full(N, np.inf)},
            "labels: expected one finite number a seed",
        ),
        ({"oracle": AnglesDiffer(), "labels": ["left"] * N}, "labels: expected one finite number a seed"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        xplore.run(MODELS, images(), **given, constraint=Ball())


@pytest.mark.slow
def test_every_report_tells_the_angles(run: xplore.Result, tmp_path: Path) -> None:
    for format in FORMATS:
        reporter(format).write(run.archive, tmp_path)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "straight on" in html and " rad" in html
