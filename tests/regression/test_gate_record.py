"""What a gate said lies in its campaign's archive once it has said it: gates of all kinds, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from tables import frame

import xplore
from xplore import cli
from xplore._util.folders import LOCK, alone
from xplore.archive import Archive
from xplore.archive.gate_record import gate_of
from xplore.campaign.merge import joined
from xplore.constraints import Ball, Features
from xplore.objectives import Joint
from xplore.oracles import NegativeFlips, ValuesDiffer
from xplore.report import gate as words
from xplore.report import reporter

ROOT = Path(__file__).parents[2]
HOW: dict[str, Any] = {"constraint": Ball(0.1), "steps": 3, "tries": 1, "lanes": 8, "progress": False}
FORMATS = ("html", "md", "junit", "json")


def gate(new: Any, out: Path | None, **how: Any) -> Any:
    given = {"labels": tiny.labels(), **HOW, **how}
    return xplore.gate(tiny.one(), new, tiny.images(), given.pop("labels"), out=out, **given)


def texts(folder: Path) -> dict[str, str]:
    """Each format of the folder's report, as `xplore report` writes it."""
    with closing(Archive.open(folder)) as archive:
        return {kind: reporter(kind).write(archive, folder).read_text("utf-8") for kind in FORMATS}


def numbers(**how: Any) -> Any:
    """Models that return a number each."""
    rng = np.random.default_rng(1)
    x, w = rng.integers(0, 256, (30, 6, 6, 1), np.uint8), rng.normal(size=(36, 1)).astype("float32")

    def model(w: np.ndarray) -> xplore.Model:
        return xplore.Model(lambda x: (x.reshape(len(x), -1) - 0.5) @ w, output="values")

    return xplore.gate(model(w), model(w * how.pop("times")), x, oracle=ValuesDiffer(apart=0.5), **HOW, **how)


def rows(**how: Any) -> Any:
    """Functions of a table."""
    table = frame(0, 60)
    given = {**HOW, "constraint": Features.infer(table)}

    def model(at: float) -> Any:
        def probabilities(frame: Any) -> np.ndarray:
            yes = (frame["age"].to_numpy() > at).astype(float)
            return np.stack([1 - yes, yes], axis=1)

        return xplore.adapters.predictor.predictor(probabilities, given["constraint"])

    middle = float(table["age"].median())
    right = (table["age"].to_numpy() > middle).astype(int)
    return xplore.gate(model(middle), model(middle + how.pop("off")), table, right, **given, **how)


GATES = {
    "images failed": (lambda out: gate(tiny.two(), out), "failed"),
    "images passed": (lambda out: gate(tiny.mended(), out), "passed"),
    "images undecided": (lambda out: gate(tiny.two(), out, null=[tiny.mended(), tiny.far()]), "undecided"),
    "no labels failed": (lambda out: gate(tiny.far(), out, labels=None), "failed"),
    "no labels passed": (lambda out: gate(tiny.mended(), out, labels=None, allow=0.1), "passed"),
    "values failed": (lambda out: numbers(times=3.0, out=out), "failed"),
    "values passed": (lambda out: numbers(times=1.0, out=out), "passed"),
    "table failed": (lambda out: rows(off=9.0, out=out), "failed"),
    "table passed": (lambda out: rows(off=0.0, out=out), "passed"),
}


@pytest.mark.parametrize("kind", GATES)
def test_the_folder_says_what_the_gate_said(kind: str, tmp_path: Path) -> None:
    run, expected = GATES[kind]
    verdict = run(tmp_path / "run")
    assert verdict.decision == expected
    as_left = {name: (tmp_path / "run" / name).read_text("utf-8") for name in ("report.html", "summary.json")}
    archive = Archive.open(tmp_path / "run")
    assert gate_of(archive.meta) == verdict.record
    assert not list((tmp_path / "run").glob("archive.sqlite-*")), "one file, without a log beside it"
    headline, now = words.verdict(verdict.record).replace("\xa0", " "), texts(tmp_path / "run")
    for name, text in {**as_left, **now}.items():
        if name.endswith("json"):
            assert json.loads(text)["gate"]["decision"] == expected
        else:
            assert headline in text.replace("\xa0", " ")
    assert all(str(seed) in now["html"] for seed in verdict.record.flipped[:3])
    assert verdict._repr_html_().count('<p class="x-verdict">Gate ') == 1
    assert json.loads(json.dumps(verdict.figures))["decision"] == expected


@pytest.mark.slow
def test_a_verdict_without_a_folder_is_shown_and_saved_too(tmp_path: Path) -> None:
    verdict = gate(tiny.two(), None)
    saved = verdict.result.save(tmp_path / "kept")
    assert "<h1>Gate FAILED: " in (saved / "report.html").read_text("utf-8")


KILLED = """
import os, signal, sys, tiny, xplore
from xplore.constraints import Ball

def ends(params, x):
    os.kill(os.getpid(), signal.SIGKILL)

null = [xplore.Model(ends, {}, name="a"), xplore.Model(ends, {}, name="b")]
how = dict(constraint=Ball(0.1), steps=3, tries=1, lanes=8, progress=False)
xplore.gate(tiny.one(), tiny.two(), tiny.images(), tiny.labels(), null=null, out=sys.argv[1], **how)
"""


@pytest.mark.slow
def test_a_gate_that_is_killed_did_not_finish(tmp_path: Path) -> None:
    """Its campaign has ended, and the process is killed at the first of the other trainings."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL
    left = (tmp_path / "run" / "report.html").read_text("utf-8")
    for text in (left, *(texts(tmp_path / "run")[kind] for kind in ("html", "md", "junit"))):
        assert "The gate did not finish: there is no verdict." in text
    assert json.loads(texts(tmp_path / "run")["json"])["gate"]["decision"] is None


@pytest.mark.slow
def test_a_gate_that_goes_on_forgets_what_it_said(tmp_path: Path) -> None:
    """The same campaign with another limit; and as a plain campaign it is no gate."""
    folder = tmp_path / "run"
    assert gate(tiny.two(), folder).decision == "failed"
    again = gate(tiny.two(), folder, allow=0.9, resume=True)
    assert again.decision == "passed" and gate_of(Archive.open(folder).meta) == again.record
    models = [tiny.one().replace(name="old"), tiny.two().replace(name="new")]
    how = {**HOW, "oracle": NegativeFlips(), "objective": Joint(deviate=1), "name": "gate: new"}
    xplore.run(models, tiny.images(), tiny.labels(), out=folder, resume=True, **how)
    assert gate_of(Archive.open(folder).meta) is None


@pytest.mark.slow
def test_merged_campaigns_are_no_gate_and_their_notes_say_what_was_said(tmp_path: Path) -> None:
    gate(tiny.two(), tmp_path / "a")
    gate(tiny.two(), tmp_path / "b", rng=1)
    joined([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    meta = Archive.open(tmp_path / "all").meta
    assert gate_of(meta) is None and meta["notes"][-1].count("gate: failed") == 2
    joined([tmp_path / "a", tmp_path / "a"], tmp_path / "one")
    assert gate_of(Archive.open(tmp_path / "one").meta).decision == "failed"


@pytest.mark.slow
def test_a_verdict_that_cannot_be_noted_is_told_none_the_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another process has the folder while other trainings are searched."""
    folder = tmp_path / "run"
    with ExitStack() as held:

        def busy(params: Any, x: Any) -> Any:
            if not (folder / LOCK).exists():
                held.enter_context(alone(folder))
            return tiny._apply(params, x)

        null = [tiny.mended(), xplore.Model(busy, tiny.far().params, name="far", mean=0.5)]
        verdict = gate(tiny.two(), folder, null=null)
    assert verdict.decision in verdict.text.lower()
    assert f"{folder} does not tell the verdict: " in capsys.readouterr().err
    assert "The gate did not finish" in texts(folder)["html"]


def test_the_command_names_the_report_that_says_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG)
    monkeypatch.chdir(tmp_path)
    command = ["xplore", "gate", "tiny:one", "tiny:two", "--config", "tiny.toml", "--out", "run"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("report: "))
    page = Path(line.removeprefix("report: ")).read_text("utf-8")
    assert "<h1>Gate FAILED: " in page and "xplore gate tiny:one tiny:two --config tiny.toml" in page
