"""The pytest plugin: what a failure tells, that its command works, and that it costs nothing unused."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import dm_pix  # noqa: F401
import pytest
import tiny  # noqa: F401

import xplore.campaign.replay
import xplore.campaign.run
import xplore.report.html  # noqa: F401

pytestmark = pytest.mark.slow

TEST = """
import tiny
from xplore.constraints import Ball

def test_agree(campaign):
    models = [tiny.one(), tiny.{other}()]
    result = campaign.run(models, tiny.images(), tiny.labels(), constraint=Ball(), steps=5, tries=2, lanes=8)
    assert not result.valid
"""
QUIET = ("-p", "no:cacheprovider", "--xplore-rng", "0")
"""Else each run draws another random state, by which another campaign finds nothing now and then."""


def findings(output: str) -> dict[str, str]:
    """The told findings' ids, each with its line."""
    lines = re.findall(r"^  \S.*, as ([0-9a-f]{12}) from (seed \d+: .*)$", output, flags=re.MULTILINE)
    return dict(lines)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Inner runs on one set of modules: what they import is imported here already."""
    monkeypatch.setenv("COLUMNS", "200")
    return pytester


def test_failure_tells_findings_pictures_and_a_command_that_works(pytester: pytest.Pytester) -> None:
    test = pytester.makepyfile(test_models=TEST.format(other="two"))
    failed = pytester.runpytest_inprocess(*QUIET)
    failed.assert_outcomes(failed=1)
    output = failed.stdout.str()
    told = findings(output)
    assert told
    assert re.search(r"\d+ valid findings from 24 seeds, in \d+ failure modes", output)
    for line in told.values():
        assert re.match(r"seed \d+: expected \d; one says \d, two says \d, L2 [\d.]+  ", line), line
        assert Path(line.rsplit("  ", 1)[1]).read_bytes().startswith(b"\x89PNG"), line

    found = re.search(r"^judge them again:  (pytest .*)$", output, flags=re.MULTILINE)
    assert found, output
    program, nodeid, *how = shlex.split(found[1])
    assert (program, nodeid) == ("pytest", "test_models.py::test_agree")
    again = pytester.runpytest_inprocess(*QUIET, nodeid, *how)
    again.assert_outcomes(failed=1)
    assert findings(again.stdout.str()) == told

    test.write_text(TEST.format(other="mended"))
    mended = pytester.runpytest_inprocess(*QUIET, nodeid, *how)
    mended.assert_outcomes(passed=1)


def test_each_campaign_of_a_test_replays_its_own_folder(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_models="""
import tiny
from xplore.constraints import Ball

def test_agree(campaign):
    for constraint in (Ball(0.1), Ball(0.3)):
        models = [tiny.one(), tiny.two()]
        campaign.run(models, tiny.images(), constraint=constraint, steps=5, tries=2, lanes=8)
    raise AssertionError
"""
    )
    output = pytester.runpytest_inprocess(*QUIET).stdout.str()
    sections = output.split(" xplore ")[1:]
    assert len(sections) == 2 and findings(sections[0]).keys() != findings(sections[1]).keys()
    found = re.search(r"^judge them again:  pytest (.*)$", output, flags=re.MULTILINE)
    assert found, output
    nodeid, *how = shlex.split(found[1])
    again = pytester.runpytest_inprocess(*QUIET, nodeid, *how).stdout.str()
    assert [findings(part) for part in again.split(" xplore ")[1:]] == [findings(p) for p in sections]
    fewer = pytester.runpytest_inprocess(*QUIET, nodeid, *how[:2]).stdout
    fewer.fnmatch_lines(["*InputError: --xplore-replay: expected a folder for each campaign*got 1*"])


def test_passing_test_prints_one_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_models=TEST.format(other="mended"))
    passed = pytester.runpytest_inprocess(*QUIET, "-rA", "-s")
    passed.assert_outcomes(passed=1)
    printed = passed.stdout.str().split("collected", 1)[1]
    printed = printed.replace(sys.prefix.lstrip("/"), "python")  # a warning of pytest's own names its path
    told = re.findall(r"^xplore: .*$", printed, flags=re.MULTILINE)
    assert len(told) == 1 and re.fullmatch(r"xplore: 1 campaign, 0 valid findings; --xplore-rng \d+", told[0])
    assert not re.search(r"xplore\b.*\n|seeds|fault|judge them", printed.replace(told[0], ""))
    assert passed.stderr.str() == ""


def test_bad_input_is_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_models=TEST.format(other="four_classes"))
    failed = pytester.runpytest_inprocess(*QUIET)
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["*InputError: models: expected the same number of classes each*"])


def test_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys

        def pytest_sessionfinish():
            print("LOADED", sorted(m for m in sys.modules if m.split(".")[0] in ("xplore", "jax", "flax")))
        """
    )
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess("--co", "-s", "-p", "no:cacheprovider")
    assert done.ret == 0
    util = (f"xplore._util.{name}" for name in ("checkout", "errors", "forks", "lazy", "moved"))
    loaded = ["xplore", "xplore._util", *util, "xplore.regression", "xplore.regression.plugin"]
    assert f"LOADED {loaded}\n" in done.stdout.str()
