"""NaN and infinity are no answer: never right, always named, and never a number in JSON."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from laws.parts import ORACLES
from typer.testing import CliRunner

import xplore
from xplore.archive import Archive
from xplore.archive.records import NO_ANSWER
from xplore.cli import app
from xplore.constraints import Ball, Lighting
from xplore.oracles import AnglesDiffer, LabelsDiffer, ValuesDiffer
from xplore.report import EXPORTS, FORMATS, exporter, reporter

SIDE, CLASSES = 4, 3
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, SIDE, SIDE, 1), dtype=np.uint8)
WEIGHTS = RNG.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)
LABELS = ((IMAGES / 255.0 - 0.5).reshape(24, -1) @ WEIGHTS).argmax(1)
assert len(np.unique(LABELS)) > 1 and 0 in LABELS  # argmax of NaN is 0
HOW: dict[str, Any] = {"constraint": Ball(0.2), "steps": 3, "tries": 1, "lanes": 8, "progress": False}


def sound(params: Any, x: Any) -> Any:
    return (x - 0.5).reshape(len(x), -1) @ params


def model(f: Any = sound, name: str = "old", **reading: Any) -> xplore.Model:
    return xplore.Model(f, WEIGHTS, name=name, **reading)


def bright(x: Any) -> Any:
    """Which images are bright: about half of them."""
    return (x.mean(axis=(1, 2, 3)) > np.median(IMAGES.mean(axis=(1, 2, 3))) / 255.0)[:, None]


BAD = {
    "nan": lambda p, x: sound(p, x) * jnp.nan,
    "infinity": lambda p, x: sound(p, x) + jnp.inf,
    "minus infinity": lambda p, x: sound(p, x) - jnp.inf,
    "one class": lambda p, x: jnp.where(jnp.arange(CLASSES)[None] == 1, jnp.nan, sound(p, x)),
    "overflow": lambda p, x: sound(p, x) * 3e38 * 3e38,
    "0 / 0": lambda p, x: (sound(p, x) * 0) / (sound(p, x) * 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_a_version_that_gives_no_answer_fails_its_gate(kind: str) -> None:
    for of in range(CLASSES):
        seeds = of == LABELS
        verdict = xplore.gate(model(), model(BAD[kind], "new"), IMAGES[seeds], LABELS[seeds], **HOW)
        assert not verdict
        assert f"new returned NaN or infinity on {seeds.sum()} of {seeds.sum()} seeds" in verdict.text


@pytest.mark.slow
@pytest.mark.parametrize("output", ["logits", "probabilities", "values"])
def test_without_labels_too(output: str) -> None:
    def head(p: Any, x: Any) -> Any:
        scores = sound(p, x)
        return {"logits": scores, "probabilities": abs(scores) / 99, "values": scores[:, :1]}[output]

    def broken(p: Any, x: Any) -> Any:
        return jnp.where(bright(x), jnp.nan, head(p, x))

    how = {**HOW, "oracle": ValuesDiffer(100.0) if output == "values" else None}
    old, new = (model(f, n, output=output) for f, n in ((head, "old"), (broken, "new")))
    verdict = xplore.gate(old, new, IMAGES, **how)
    lost = int(np.asarray(bright(IMAGES / 255.0)).sum())
    assert not verdict
    assert verdict.whole[0].flips == lost
    assert verdict.result.summary["not_finite"]["new"]["seeds"] == lost


@pytest.mark.slow
def test_neither_answers_is_no_agreement() -> None:
    """Where the old version gives no answer, either, nothing is compared: it is not counted as right."""
    bad = [model(BAD["nan"], name) for name in ("old", "new")]
    for labels in (None, LABELS):
        verdict = xplore.gate(*bad, IMAGES, labels, **HOW)
        assert verdict.whole[0].seeds == 0
        result = xplore.run(bad, IMAGES, labels, **HOW)
        assert result.valid == [] and result.summary["not_finite"]["old"]["seeds"] == len(IMAGES)


def edge(p: Any, x: Any) -> Any:
    """As the sound one, but no answer to images that are a little brighter than any seed."""
    most = IMAGES.mean(axis=(1, 2, 3)).max() / 255.0 + 0.02
    return jnp.where((x.mean(axis=(1, 2, 3)) > most)[:, None], jnp.nan, sound(p, x))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> xplore.Result:
    """A campaign whose findings are NaN alone."""
    how = {
        **HOW,
        "constraint": Lighting(0.3),
        "steps": 8,
        "tries": 4,
        "reference_model": lambda x: np.zeros(len(x), int),
    }
    out = tmp_path_factory.mktemp("nan") / "run"
    return xplore.run([model(), model(edge, "new")], IMAGES, LABELS, out=out, **how)


@pytest.mark.slow
def test_no_answer_is_a_finding_of_its_own_kind(found: xplore.Result) -> None:
    assert found.valid
    figures = found.summary
    for finding in found.valid:
        assert finding.decisions[1] == NO_ANSWER
        assert finding.measures["margin"] is None
    assert figures["not_finite"] == {"new": {"seeds": 0, "findings": len(found.findings)}}
    assert {tuple(group["decisions"][1:]) for group in figures["groups"]} == {(NO_ANSWER,)}
    assert any("NaN or infinity" in note for note in figures["notes"])
    assert all(xplore.replay(found.folder, [model(), model(edge, "new")]).values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*FORMATS, *EXPORTS])
def test_every_report_can_be_written_and_read_by_anyone(
    found: xplore.Result, kind: str, tmp_path: Path
) -> None:
    with closing(Archive.open(found.folder)) as archive:
        path = (reporter(kind) if kind in FORMATS else exporter(kind)).write(archive, tmp_path)
    if path.suffix in (".json", ".jsonl"):
        for text in (
            path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
        ):
            json.loads(text, parse_constant=pytest.fail)
    if kind in ("html", "md", "junit"):
        assert "NaN or infinity" in path.read_text("utf-8")


@pytest.mark.slow
def test_no_number_of_an_archive_is_none(found: xplore.Result) -> None:
    with closing(sqlite3.connect(found.folder / "archive.sqlite")) as db:
        texts = [t for (t,) in db.execute("SELECT measures FROM findings UNION ALL SELECT value FROM meta")]
        assert [t for t in texts if db.execute("SELECT json_valid(?)", (t,)).fetchone() == (0,)] == []


def test_inspection_counts_no_answer_as_wrong() -> None:
    lost = np.asarray(bright(IMAGES / 255.0))[:, 0]

    def half(p: Any, x: Any) -> Any:
        return jnp.where(bright(x), jnp.nan, sound(p, x))

    seen = xplore.inspect([model(), model(half, "new")], IMAGES, LABELS)
    assert [one.right for one in seen.models] == [1.0, np.mean(~lost)]
    assert f"new returns NaN or infinity on {lost.sum()} of 24 seeds" in seen.warnings
    of = {"output": "values"}
    line = lambda p, x: sound(p, x)[:, :1]  # noqa: E731
    gone = lambda p, x: jnp.where(bright(x), jnp.nan, line(p, x))  # noqa: E731
    truth = np.asarray(line(WEIGHTS, IMAGES / 255.0))[:, 0]
    seen = xplore.inspect([model(line, **of), model(gone, "new", **of)], IMAGES, truth)
    assert seen.models[1].not_finite == lost.sum() and seen.models[1].error == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_a_model_on_the_host_that_returns_nan_is_found_too() -> None:
    torch = pytest.importorskip("torch")

    class Root(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(SIDE * SIDE, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.fc(x.flatten(1)) + (x.mean((1, 2, 3)) - 0.5).sqrt()[:, None] * 0

    torch.manual_seed(0)
    new, old = Root(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, CLASSES))
    old[1].load_state_dict(new.fc.state_dict())
    dark = int((IMAGES.mean(axis=(1, 2, 3)) / 255.0 < 0.5).sum())
    figures = xplore.run(
        [xplore.adapt(old, name="old"), xplore.adapt(new, name="new")], IMAGES, **HOW
    ).summary
    assert 0 < dark < 24 and figures["not_finite"]["new"]["seeds"] == dark


@pytest.mark.slow
def test_no_gradient_leads_into_nan() -> None:
    """A gradient of NaN is none: the walk stays among images, and what it finds is within the bound."""

    def jump(p: Any, x: Any) -> Any:
        return sound(p, x) + jnp.sqrt(jnp.abs(x - x)).sum(axis=(1, 2, 3))[:, None]  # its gradient is NaN

    how = {**HOW, "steps": 6, "tries": 2}
    result = xplore.run([model(), model(jump, "new")], IMAGES, LABELS, **how)
    assert result.summary["invalid_by_reason"] == {} and result.summary["rejudged_away"] == 0


def test_the_command_line_names_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "nanmodels.py").write_text(
        "import numpy as np, jax.numpy as jnp\nfrom types import SimpleNamespace\n"
        "W = np.eye(16, 3, dtype='float32')\n"
        "IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype='uint8')\n"
        "def old(): return lambda x: x.reshape(len(x), -1) @ W\n"
        "def new(): return lambda x: x.reshape(len(x), -1) @ W * jnp.nan\n"
        "def seeds(): return SimpleNamespace(images=IMAGES)\n"
    )
    (tmp_path / "c.toml").write_text(
        'models=[{use="nanmodels:old"},{use="nanmodels:new", name="new"}]\nseeds={use="nanmodels:seeds"}\n'
        'constraint={use="xplore.constraints:Lighting"}\ncampaign={lanes=8}\n'
    )
    came = CliRunner().invoke(app, ["run", "c.toml", "--out", "run"])
    assert came.exit_code == 0, came.output
    assert "new returned NaN or infinity on 6 of 6 seeds" in came.output


MAYBE = st.one_of(st.floats(-4, 4, width=32), st.sampled_from([np.nan, np.inf, -np.inf]))


@settings(deadline=None)
@given(arrays.arrays(np.float32, (2, 6, 2), elements=MAYBE), st.sampled_from(ORACLES))
def test_no_answer_differs_from_every_answer_and_is_never_right(outputs: Any, oracle: Any) -> None:
    outputs = outputs[..., :1] if oracle.output_kinds == ("values",) else outputs
    answered, given = np.isfinite(outputs).all(axis=-1), jnp.asarray(outputs)
    decisions, divided = np.asarray(oracle.decisions(given)), np.asarray(oracle.divided(given))
    np.testing.assert_array_equal(decisions == NO_ANSWER, ~answered)
    np.testing.assert_array_equal(divided[answered.sum(axis=0) == 1], True)
    np.testing.assert_array_equal(divided[answered.sum(axis=0) == 0], False)
    both = answered.all(axis=0)
    np.testing.assert_array_equal(divided[both], np.asarray(oracle.differ(given))[both])
    truth = np.zeros(6) if oracle.output_kinds == ("values",) else np.zeros(6, int)
    assert not (oracle.are_right(outputs, truth) & ~answered).any()
    assert (np.isnan(oracle.distance(outputs)) == ~both).all()


def test_a_bin_of_values_is_never_taken_for_no_answer() -> None:
    values = jnp.array([[[-0.5], [-1e9], [jnp.nan]]])
    for oracle in (ValuesDiffer(0.5), AnglesDiffer()):
        assert (np.asarray(oracle.decisions(values)) == NO_ANSWER).tolist() == [[False, False, True]]
    assert LabelsDiffer().decisions(jnp.array([[[jnp.nan, 0.0]]])).tolist() == [[NO_ANSWER]]
