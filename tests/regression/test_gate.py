"""The gate: a share of negative flips against what is allowed, or against other trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

import xplore
from xplore import cli
from xplore._util.errors import InputError
from xplore._util.statistics import prediction_interval
from xplore.campaign.settings import Budget
from xplore.constraints import Ball
from xplore.inputs.encoding import decode

HOW: dict[str, Any] = {"constraint": Ball(0.1), "steps": 4, "tries": 2, "lanes": 8, "progress": False}


def images() -> np.ndarray:
    return tiny.images(60)


def labels(model: xplore.Model) -> np.ndarray:
    """What a model answers: it is right everywhere."""
    return np.asarray(model(decode(images()))).argmax(axis=1)


def gate(new: xplore.Model, **how: Any) -> xplore.regression.gate.Verdict:
    return xplore.gate(tiny.one(), new, images(), labels(tiny.one()), **{**HOW, **how})


@pytest.mark.slow
def test_a_version_that_changed_nothing_passes() -> None:
    verdict = gate(tiny.mended())
    assert verdict and not verdict.result.valid
    assert [(line.flips, line.seeds) for line in verdict.lines] == [(0, 60), (0, 60)]
    assert "gate passed: negative flips" in str(verdict)


@pytest.mark.slow
def test_shares_are_those_of_the_models_by_hand(tmp_path: Path) -> None:
    """On the data by asking the models; near it by the findings, each a flip by the plain models."""
    old, new = tiny.one(), tiny.two()
    verdict = gate(new, out=tmp_path / "run")
    right, answered = labels(old), labels(new)
    data, near = verdict.lines
    assert (data.flips, data.seeds) == (int((answered != right).sum()), 60) and data.flips > 0
    assert (near.flips, near.seeds) == (len(verdict.result.valid), int((answered == right).sum()))
    assert near.flips > 0 and near.share["low"] < near.share["share"] < near.share["high"]
    for found in verdict.result.valid:
        assert found.decisions[0] == found.expected == right[found.seed] != found.decisions[1]
    assert not verdict and verdict.lines[1].fails
    told = str(verdict)
    assert "gate FAILED" in told and f"{near.flips} of {near.seeds} seeds" in told
    pictures = [line.rsplit("  ", 1)[1] for line in told.splitlines() if line.endswith(".png")]
    assert pictures and all(Path(path).read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert json.loads(json.dumps(verdict.figures))["near"]["flips"] == near.flips


@pytest.mark.slow
def test_what_is_allowed_is_held_against_the_lower_end(tmp_path: Path) -> None:
    near = gate(tiny.two()).lines[1]
    for allow, passes in ((near.share["low"] - 0.01, False), (near.share["low"] + 0.01, True)):
        verdict = gate(tiny.two(), allow=allow)
        assert verdict.lines[1].fails != passes and verdict.lines[1].allowed == allow


@pytest.mark.slow
def test_without_labels_disagreements_are_compared() -> None:
    verdict = xplore.gate(tiny.one(), tiny.two(), images(), **HOW)
    assert "disagreements" in verdict.kind
    assert verdict.lines[0].flips == int((labels(tiny.one()) != labels(tiny.two())).sum())


@pytest.mark.slow
def test_other_trainings_say_what_is_allowed() -> None:
    """Models as far from the old one as the null models pass; one that is much farther does not."""
    null = [tiny.dense(f"null{k}", shift=shift) for k, shift in enumerate((0.28, 0.3, 0.32, 0.29))]
    like, far = gate(tiny.dense("new", shift=0.29), null=null), gate(tiny.dense("new", shift=1.5), null=null)
    assert like and not any(line.fails for line in like.lines)
    assert not far and far.whole[0].fails
    assert len(like.null) == 4 and "of another training (these:" in str(like)
    assert like.whole[1].allowed == pytest.approx(
        prediction_interval([[one.share("near")["share"]] for one in like.null], [like.whole[1].seeds])[0]
    )


@pytest.mark.slow
def test_one_class_alone_is_the_whole() -> None:
    """Seeds of a single class: it is not compared twice, nor is a class that no seed has."""
    null = [tiny.dense(f"null{k}", shift=shift) for k, shift in enumerate((0.28, 0.32))]
    one = labels(tiny.one()) == 1
    verdict = xplore.gate(tiny.one(), tiny.mended(), images()[one], labels(tiny.one())[one], null=null, **HOW)
    assert not verdict.by_class and "by class" not in str(verdict)
    assert verdict.decision == "undecided" and not any(line.fails for line in verdict.lines)  # two, 21 seeds


@pytest.mark.slow
def test_a_budget_counts_whole_rounds_alone() -> None:
    verdict = gate(tiny.two(), plan=tiny.plan(), budget=Budget(findings=2))
    seeds = verdict.lines[0].seeds
    assert seeds < 60 and seeds % tiny.plan().round_size == 0


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """Shares of a few trainings in a few groups, and seeds of each group."""
    k, groups = draw(st.integers(2, 6)), draw(st.integers(1, 5))
    row = st.lists(st.floats(0, 1), min_size=groups, max_size=groups)
    shares = np.array(draw(st.lists(row, min_size=k, max_size=k)))
    return shares, draw(st.lists(st.integers(0, 10**6), min_size=groups, max_size=groups))


@examples(100)
@given(table=tables(), order=st.randoms())
def test_what_is_foreseen_lies_above_the_mean_and_grows_with_the_spread(
    table: tuple[np.ndarray, list[int]], order: Any
) -> None:
    shares, counts = table
    upper = np.array(prediction_interval(shares.tolist(), counts))
    middle = np.sin(np.arcsin(np.sqrt(shares)).mean(axis=0)) ** 2
    alike = np.array(prediction_interval([middle.tolist()] * len(shares), counts))
    assert (middle <= alike + 1e-9).all() and (alike <= upper + 1e-9).all() and (upper <= 1 + 1e-9).all()
    rows, columns = list(range(len(shares))), list(range(len(counts)))
    order.shuffle(rows)
    order.shuffle(columns)
    moved = prediction_interval(shares[rows][:, columns].tolist(), [counts[c] for c in columns])
    assert np.allclose(moved, upper[columns])


@pytest.mark.parametrize("spreads", [[0.06], [0.06] * 8, [0.02] * 6 + [0.12] * 2])
def test_the_interval_holds_one_more_training_as_often_as_it_says(spreads: list[float]) -> None:
    """Trainings spread beyond chance, more in some groups: false alarms stay near one in forty."""
    rng, alarms, times = np.random.default_rng(0), 0, 3000
    for _ in range(times):
        shares = np.clip(rng.normal(0.3, spreads, (4, len(spreads))), 0, 1)
        seen = rng.binomial(300, shares) / 300
        alarms += bool((seen[3] > prediction_interval(seen[:3].tolist(), [300] * len(spreads))).any())
    assert 0.003 < alarms / times < 0.05


@pytest.mark.slow
def test_a_broken_class_is_named() -> None:
    """A class that is answered no more, in a version else as far from the old one as the null models."""
    null = [tiny.dense(f"null{k}", shift=shift) for k, shift in enumerate((0.2, 0.3, 0.25, 0.35))]
    broken = tiny.dense("new", shift=0.28)
    kernel = broken.params["fc"]["kernel"]
    kernel[:, 2] = 0.95 * kernel[:, 0]
    verdict = gate(broken, null=null, constraint=Ball(0.02))
    assert not verdict
    failed = {(line.where, line.of) for line in verdict.by_class if line.fails}
    assert failed and {of for _, of in failed} == {2}
    assert "class 2 on the data: " in str(verdict) and "class 1" not in str(verdict)
    told = json.loads(json.dumps(verdict.figures))["classes"]
    assert [(row["where"], row["of"]) for row in told if row["fails"]] == sorted(failed)
    sound = gate(tiny.dense("new", shift=0.28), null=null, constraint=Ball(0.02))
    assert sound and "by class: none is above; the closest, class " in str(sound)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"allow": 1.5}, "allow: expected a share"),
        ({"allow": -0.1}, "allow: expected a share"),
        ({"null": [tiny.two()]}, "null: expected two or more models, got 1"),
        ({"baseline": object()}, "no baseline"),
    ],
)
def test_what_cannot_be_compared_is_told(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gate(tiny.two(), **how)


@pytest.mark.parametrize(("new", "code"), [("mended", 0), ("two", 1), ("nobody", 2)])
def test_the_command_tells_by_its_exit_code(
    new: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG)
    monkeypatch.chdir(tmp_path)
    command = ["xplore", "gate", "tiny:one", f"tiny:{new}", "--config", "tiny.toml", "--json"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    out, err = capsys.readouterr()
    if code == 2:
        assert err.splitlines()[-1].startswith("error: ") and "'nobody'" in err
    else:
        assert json.loads(out)["passed"] is (code == 0)


def test_the_command_keeps_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["xplore", "gate", "tiny:one", "tiny:two", "--config", "tiny.toml"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    pictures = [line.rsplit("  ", 1)[1] for line in lines if line.endswith(".png")]
    assert pictures and all(Path(path).read_bytes().startswith(b"\x89PNG") for path in pictures)
    again = lines[-1].removeprefix("judge them again:  ")
    monkeypatch.setattr("sys.argv", again.split())
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0 and "reproduce" in capsys.readouterr().out


@pytest.mark.slow
def test_flips_whose_label_is_in_doubt_do_not_count() -> None:
    plain, held = gate(tiny.two()), gate(tiny.two(), reference_model=tiny.doubter())
    every = held.result.archive.findings()
    doubted = [finding for finding in every if finding.verdict == "in_doubt"]
    near, without = held.whole[1], plain.whole[1]
    assert doubted and 0 < near.flips == len(held.result.valid) < without.flips
    assert near.flips + len({finding.seed for finding in doubted}) == without.flips


@pytest.mark.slow
@pytest.mark.parametrize(
    "evidence", [{}, {"reference_model": tiny.doubter()}, {"training": (images(), None)}]
)
def test_other_trainings_are_judged_by_what_judges_the_new_version(evidence: dict[str, Any]) -> None:
    """One of them answers as the new version does: the same seeds flip, whatever is in doubt."""
    if "training" in evidence:
        evidence = {"training": (images()[::-1].copy(), np.arange(60) % tiny.CLASSES)}
    verdict = gate(tiny.two(), null=[tiny.two(), tiny.far()], **evidence)
    assert verdict.new == verdict.null[0] and any(verdict.new.near.values())


def test_a_config_gives_a_gate_its_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.toml").write_text(tiny.CONFIG)
    Path("held.toml").write_text(tiny.CONFIG + '[reference_model]\nuse = "tiny:doubter"\n')
    flips = {}
    for name in ("plain", "held"):
        command = ["gate", "tiny:one", "tiny:two", "--config", f"{name}.toml", "--out", name]
        monkeypatch.setattr("sys.argv", ["xplore", *command])
        with pytest.raises(SystemExit):
            cli.main()
        summary = json.loads(Path(name, "summary.json").read_text())
        flips[name] = summary["gate"]["lines"][1]["flips"]
        assert summary["evidence"] == (["reference_model"] if name == "held" else [])
    assert flips["held"] < flips["plain"]


def test_the_command_goes_on_with_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(tiny.CONFIG)

    def asked(*options: str) -> tuple[Any, str]:
        command = ["gate", "tiny:one", "tiny:two", "--config", "tiny.toml", "--json", *options]
        monkeypatch.setattr("sys.argv", ["xplore", *command])
        with pytest.raises(SystemExit):
            cli.main()
        return capsys.readouterr()

    whole = json.loads(asked("--out", "whole")[0])
    first = json.loads(asked("--out", "run", "--seeds", "12")[0])
    assert first["data"]["seeds"] == 12 and whole["data"]["seeds"] == tiny.N
    assert "go on with --resume" in asked("--out", "run")[1]
    assert json.loads(asked("--out", "run", "--resume")[0]) == whole


@pytest.mark.slow
def test_a_verdict_without_a_folder_names_no_file_that_would_vanish() -> None:
    verdict = gate(tiny.two())
    assert verdict.result.valid and str(verdict.result.folder) not in str(verdict)


@pytest.mark.slow
def test_a_gate_that_could_not_fail_is_undecided() -> None:
    """Two trainings that differ from each other leave room for a quarter of the data: that is no pass."""
    null = [tiny.dense(f"null{k}", shift=shift) for k, shift in enumerate((0.28, 0.6, 0.3, 0.32, 0.29))]
    near = tiny.dense("new", shift=0.29)
    two = gate(near, null=null[:2])
    assert (two.decision, bool(two), two.passed) == ("undecided", False, False)
    assert "gate UNDECIDED" in two.text and "cannot be exceeded" in two.text
    three = gate(near, null=[null[0], null[2], null[3]])
    assert three.decision == "undecided" and "a quarter could break unseen" in three.text  # of 60 seeds
    assert two.figures["decision"] == "undecided" and two.figures["data"]["void"]
    more = gate(near, null=[null[0], *null[2:]])
    assert (more.decision, bool(more)) == ("passed", True)
    assert gate(tiny.dense("new", shift=40.0), null=null[:2]).decision in ("failed", "undecided")


@pytest.mark.slow
def test_a_failure_is_no_less_a_failure_where_another_place_is_undecided() -> None:
    """The new version answers everything otherwise: nothing is left to search near, and it fails."""
    turned = tiny.dense("new", shift=0.0)
    turned = turned.replace(params={"fc": {"kernel": -turned.params["fc"]["kernel"]}})
    verdict = gate(turned, allow=0.1)
    assert verdict.whole[1].seeds == 0 and verdict.whole[1].void
    assert verdict.decision == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("allow", [None, 0.5])
def test_where_nothing_is_compared_nothing_passed(allow: float | None) -> None:
    """The old version is wrong on every seed: there is nothing that the new one could break."""
    wrong = (labels(tiny.one()) + 1) % tiny.CLASSES
    verdict = xplore.gate(tiny.one(), tiny.mended(), images(), wrong, allow=allow, **HOW)
    assert (verdict.decision, bool(verdict)) == ("undecided", False)


def test_the_command_line_ends_with_2_where_a_gate_is_undecided(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(tiny.CONFIG)
    words = ["gate", "tiny:one", "tiny:two", "--config", "tiny.toml", "--seeds", "20", "--out", "run"]
    nulls = ["--null", "tiny:mended", "--null", "tiny:far"]
    monkeypatch.setattr("sys.argv", ["xplore", *words, *nulls])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and "gate UNDECIDED" in capsys.readouterr().out
