"""The pytest plugin's gate, what it keeps between runs, its options and its marker."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as Xml
from pathlib import Path

import dm_pix  # noqa: F401
import pytest
import scipy.cluster.hierarchy
import scipy.stats  # noqa: F401
import tiny

import xplore.campaign.config.run
import xplore.campaign.replay
import xplore.evaluation.coverage_report
import xplore.regression.committed

# Inner runs on one set of modules: what they import is imported here already.
import xplore.regression.fixture
import xplore.regression.gate
import xplore.report.html
import xplore.report.json  # noqa: F401

pytestmark = pytest.mark.slow

GATE = """
import tiny
from xplore.constraints import Ball

def test_release(campaign):
    how = dict(constraint=Ball(), steps=5, tries=2, lanes=8)
    campaign.gate(tiny.one(), tiny.{new}(), tiny.images(), tiny.labels(), **how)
"""
RUN = """
import tiny
from xplore.constraints import Ball

def test_agree(campaign):
    how = dict(constraint=Ball(), steps=5, tries=2, lanes=8)
    result = campaign.run([tiny.one(), tiny.{new}()], tiny.images(), tiny.labels(), **how)
    print("searched in", result.folder)
    assert not result.valid
"""
CACHELESS = ("-p", "no:cacheprovider")
QUIET = (*CACHELESS, "--xplore-rng", "0")
"""Else each run draws another random state, by which another campaign finds nothing now and then."""


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CI", raising=False)
    return pytester


def entries(pytester: pytest.Pytester) -> list[Path]:
    """The campaigns that are kept for the next run."""
    return sorted(path.parent for path in (pytester.path / ".xplore").rglob("archive.sqlite"))


def test_a_failed_gate_says_what_and_is_judged_first_next_time(pytester: pytest.Pytester) -> None:
    test = pytester.makepyfile(test_models=GATE.format(new="two"))
    failed = pytester.runpytest_inprocess(*QUIET)
    failed.assert_outcomes(failed=1)
    failed.stdout.re_match_lines(
        [
            r"gate FAILED: negative flips \(old right, new wrong\)",
            r"  on the data: \d+ of 24 seeds, [\d.]+% \([\d.]+% to [\d.]+%\); up to 0.0% is allowed.*",
            r"  near the data: \d+ of \d+ seeds, .*: above",
        ]
    )
    told = re.findall(
        r"^  \d → \d by new: .*, as [0-9a-f]{12} from seed \d+: expected \d; .*, L2 [\d.]+  (.*\.png)$",
        failed.stdout.str(),
        flags=re.MULTILINE,
    )
    assert told and all(Path(path).read_bytes().startswith(b"\x89PNG") for path in told)
    assert "judge them again:  pytest test_models.py::test_release --xplore-replay" in failed.stdout.str()
    (kept,) = entries(pytester)
    report = (kept / "report.html").read_text("utf-8")
    assert "<h1>Gate FAILED: " in report and "pytest test_models.py::test_release" in report
    again = pytester.runpytest_inprocess(*QUIET)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["gate FAILED: findings of an earlier run that still show*"])
    assert entries(pytester) == [kept]

    test.write_text(GATE.format(new="mended"))
    pytester.runpytest_inprocess(*QUIET).assert_outcomes(passed=1)
    assert entries(pytester) == []


def test_findings_of_a_run_are_judged_first_and_forgotten_once_mended(pytester: pytest.Pytester) -> None:
    test = pytester.makepyfile(test_models=RUN.format(new="two"))
    assert "searched in" in pytester.runpytest_inprocess(*QUIET).stdout.str()
    (kept,) = entries(pytester)
    before = (kept / "archive.sqlite").stat()
    again = pytester.runpytest_inprocess(*QUIET)
    again.assert_outcomes(failed=1)
    assert f"searched in {kept}" in again.stdout.str()
    after = (kept / "archive.sqlite").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    test.write_text(RUN.format(new="mended"))
    pytester.runpytest_inprocess(*QUIET).assert_outcomes(passed=1)
    assert entries(pytester) == []
    (pytester.path / ".xplore").mkdir(exist_ok=True)
    test.write_text(RUN.format(new="two"))
    pytester.runpytest_inprocess(*QUIET)
    (kept,) = entries(pytester)
    (kept / "archive.sqlite").write_bytes(b"damaged")
    anew = pytester.runpytest_inprocess(*QUIET)
    anew.assert_outcomes(failed=1)
    assert (kept / "archive.sqlite").read_bytes() != b"damaged" and entries(pytester) == [kept]


@pytest.mark.parametrize("source", [GATE, RUN], ids=["gate", "run"])
def test_regression_inputs_are_plain_files_and_judged_first_always(
    source: str, pytester: pytest.Pytester
) -> None:
    test = pytester.makepyfile(test_models=source.format(new="two"))
    pytester.runpytest_inprocess(*QUIET, "--xplore-keep", "tests/regressions").assert_outcomes(failed=1)
    folder = pytester.path / "tests" / "regressions"
    lines = (folder / "regressions.csv").read_text("utf-8").splitlines()
    assert lines[0] == "file,test,expected,decisions" and len(lines) > 1
    files = [line.split(",")[0] for line in lines[1:]]
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in files)
    shutil.rmtree(pytester.path / ".xplore")
    again = pytester.runpytest_inprocess(*QUIET)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines([f"{len(files)} of {len(files)} regression inputs are still answered wrongly"])
    again.stdout.fnmatch_lines([f"*{files[0]}: expected *; answered *"])
    test.write_text(source.format(new="mended"))
    pytester.runpytest_inprocess(*QUIET).assert_outcomes(passed=1)
    (folder / files[0]).unlink()
    gone = pytester.runpytest_inprocess(*QUIET)
    gone.assert_outcomes(failed=1)
    gone.stdout.fnmatch_lines([f"*InputError: *{files[0]}: expected a regression input, got no such file*"])


def test_coverage_and_a_configured_campaign(pytester: pytest.Pytester) -> None:
    (pytester.path / "configs").mkdir()
    (pytester.path / "configs" / "tiny.toml").write_text(tiny.CONFIG)
    pytester.makepyfile(
        """
        import pytest, tiny
        from xplore.coverage import NeuronCoverage

        def test_reach(campaign):
            assert 0.5 <= campaign.coverage(tiny.one(), tiny.images(), NeuronCoverage(0.5)) <= 1

        @pytest.mark.xplore("configs/tiny.toml", seeds=10)
        def test_campaign(campaign_result):
            assert campaign_result.summary["seeds"] == 10

        def test_without_a_marker(campaign_result):
            pass
        """
    )
    done = pytester.runpytest_inprocess(*QUIET, "--strict-markers")
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["*campaign_result needs @pytest.mark.xplore*"])


def test_options_reach_the_campaigns_and_the_reports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_models=GATE.format(new="two"))
    how = ("--xplore-seeds", "12", "--xplore-time", "5m", "--xplore-rng", "7", "--junitxml", "out.xml")
    done = pytester.runpytest_inprocess(*QUIET, *how, "--xplore-out", "kept")
    assert re.search(r"on the data: \d+ of 12 seeds", done.stdout.str())
    assert re.search(r"^xplore: 1 campaign, \d+ valid findings?; --xplore-rng 7$", done.stdout.str(), re.M)
    told = {p.get("name"): p.get("value") for p in Xml.parse(pytester.path / "out.xml").iter("property")}
    assert told["xplore.rng"] == "7" and int(told["xplore.valid"]) > 0
    assert 0 < float(told["xplore.near.low"]) < float(told["xplore.near.share"])
    assert (told["xplore.gate"], told["xplore.near.allowed"]) == ("failed", "0.0")
    assert list((pytester.path / "kept").rglob("archive.sqlite")) and not entries(pytester)
    bad = pytester.runpytest_inprocess(*QUIET, "--xplore-rng", "x")
    assert bad.ret == pytest.ExitCode.USAGE_ERROR and "--xplore-rng: expected" in bad.stderr.str()


def test_the_random_state_is_another_in_each_run_but_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_models=RUN.format(new="mended"))  # nothing to be found, whatever is drawn

    def drawn() -> str:
        output = pytester.runpytest_inprocess(*CACHELESS).stdout.str()
        (state,) = re.findall(r"^xplore: 1 campaign, 0 valid findings; --xplore-rng (\d+)$", output, re.M)
        return str(state)

    assert drawn() != drawn()
    monkeypatch.setenv("CI", "true")
    assert drawn() == "0"


def test_workers_use_the_random_state_that_is_told(pytester: pytest.Pytester) -> None:
    used = "open(f'rng-{__name__}', 'w').write(str(result.summary['rng'])); assert not result.valid"
    body = RUN.format(new="two").replace("assert not result.valid", used)
    pytester.makepyfile(test_a=body, test_b=body)
    pytester.makeconftest(f"import sys; sys.path.insert(0, {str(Path(tiny.__file__).parent)!r})")
    done = pytester.runpytest_subprocess(*CACHELESS, "-n", "2")
    done.assert_outcomes(failed=2)
    rngs = {(pytester.path / f"rng-test_{name}").read_text() for name in "ab"}
    assert len(rngs) == 1 and rngs == set(re.findall(r"--xplore-rng (\d+)", done.stdout.str()))
    for name in "ab":
        command = rf"^search as here: +pytest test_{name}.py::test_agree --xplore-rng {min(rngs)}$"
        assert re.search(command, done.stdout.str(), re.M)
    assert re.search(rf"^xplore: 2 campaigns, .*; --xplore-rng {min(rngs)}$", done.stdout.str(), re.M)
