"""A campaign that was cut off goes on with nothing lost and nothing twice, or says why it cannot."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import small
import tiny
from laws.parts import double
from small import ran

import xplore
from xplore._util.errors import InputError
from xplore._util.statistics import share
from xplore.archive import Archive
from xplore.archive.tables import FILE
from xplore.campaign.settings import Budget
from xplore.constraints import Ball
from xplore.report.summary import summary
from xplore.report.wording import headline, verdict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    whole = ran(tmp_path_factory.mktemp("unbroken"))
    assert {row[5] for row in whole["seeds"]} == {"already_differ", "found", "not_found"}
    assert len(whole["findings"]) > 100 and len(whole["rounds"]) > 10
    return whole


def test_two_kills_lose_nothing(
    unbroken: dict[str, list[tuple[object, ...]]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A dozen, and each campaign of its own: `python scripts/kills.py 12`."""
    instant, cache = random.Random(5), tmp_path_factory.getbasetemp() / "compiled"
    ended = [small.killed(tmp_path / "cut", cache, instant, most=25) for _ in range(2)]
    closed = len(small.content(tmp_path / "cut")["seeds"])
    assert not all(ended) and closed > 20
    assert ran(tmp_path / "cut") == unbroken


@pytest.mark.parametrize("news", [0, 1, 7, 30, 90])
def test_a_run_that_is_let_go_anywhere_goes_on(
    news: int, unbroken: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    running = small.campaign()
    with closing(small.archive(running, tmp_path)) as kept:
        for _ in islice(running.run(kept), news):
            pass
    assert len(small.content(tmp_path)["seeds"]) < small.SEEDS
    assert ran(tmp_path) == unbroken
    assert ran(tmp_path) == unbroken, "a campaign that is complete stays as it is"


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_disk_that_was_full_and_has_room_again_loses_nothing(
    share: float, unbroken: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    ran(tmp_path / "whole")
    size = (tmp_path / "whole" / FILE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    running = small.campaign()
    kept = small.archive(running, tmp_path / "full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), hard))  # no file can grow beyond
    try:
        with pytest.raises(InputError, match="room and the right to write"), closing(kept):
            for _ in running.run(kept):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < len(small.content(tmp_path / "full")["seeds"]) < small.SEEDS
    assert ran(tmp_path / "full") == unbroken


def test_more_seeds_are_as_if_there_had_been_as_many(
    unbroken: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    """The last round of 100 seeds is no whole one."""
    fewer = ran(tmp_path, seeds=100)
    assert fewer["seeds"] == unbroken["seeds"][:100]
    assert ran(tmp_path) == unbroken


def test_lanes_may_change_on_the_way(tmp_path: Path) -> None:
    with double():
        whole = ran(tmp_path / "whole", seeds=150, dtype=np.float64)
        cut = ran(tmp_path / "cut", seeds=150, dtype=np.float64, budget=Budget(findings=2))
        assert 0 < len(cut["seeds"]) < 150
        assert ran(tmp_path / "cut", seeds=150, dtype=np.float64, lanes=5) == whole


@pytest.mark.parametrize(
    ("limit", "least"),
    [({"findings": 20}, 20), ({"queries": 3000}, 3000), ({"coverage": 0.5}, 0.5), ({"seconds": 0.2}, 0.2)],
)
def test_a_budget_ends_it_and_a_later_run_goes_on(
    limit: dict[str, float], least: float, unbroken: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    running = small.campaign(budget=Budget(**limit))
    with closing(small.archive(running, tmp_path)) as kept:
        for _ in running.run(kept):
            pass
    (name,) = limit
    tally = running.tally
    came = {"findings": tally.valid, "queries": tally.queries, "seconds": tally.seconds}
    came["coverage"] = min(tally.coverage.values())
    assert running.ended == name and came[name] >= least
    assert tally.closed < small.SEEDS
    assert ran(tmp_path) == unbroken


HOW = {"steps": 3, "tries": 2, "constraint": Ball(), "plan": tiny.plan(), "progress": False}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder in which a campaign ended with its first finding."""
    models, folder = [tiny.one(), tiny.two()], tmp_path / "begun"
    result = xplore.run(models, tiny.images(), tiny.labels(), out=folder, budget=Budget(findings=1), **HOW)
    assert result.summary["ended"] == "findings" and 0 < result.summary["seeds"] < tiny.N
    assert "ended by its budget of findings" in (folder / "report.html").read_text("utf-8")
    return folder


def test_xplore_run_resumes_and_says_so(begun: Path) -> None:
    models = [tiny.one(), tiny.two()]
    result = xplore.run(models, tiny.images(), tiny.labels(), out=begun, resume=True, **HOW)
    told = result.summary
    assert (told["seeds"], told["ended"], told["finished"]) == (tiny.N, "", True)
    assert len(result.archive.meta["runs"]) == 1
    before = (begun / FILE).read_bytes()
    again = xplore.run(models, tiny.images(), tiny.labels(), out=begun, resume=True, **HOW)
    assert again.summary["findings"] == told["findings"] and len(before) == (begun / FILE).stat().st_size


def other_seeds() -> np.ndarray:
    return tiny.images() ^ 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": [tiny.one(), tiny.dense("two", shift=0.4)]}, "models = one [0-9a-f]{12}, two"),
        ({"models": [tiny.two(), tiny.one()]}, "models"),
        ({"constraint": Ball(0.1)}, r"constraint = .*Ball.*0\.2"),
        ({"steps": 4}, "search"),
        ({"rng": 1}, "rng = 0, got 1"),
        ({"inputs": other_seeds()}, "seeds: expected those that this campaign began with"),
        ({"inputs": tiny.images()[::-1]}, "seeds: expected those that this campaign began with"),
        ({"inputs": tiny.images()[:2], "labels": tiny.labels()[:2]}, "at least the"),
        ({"labels": None}, "labelled = true, got false"),
        ({"resume": False}, "without a campaign.*resume=True; nothing was overwritten"),
    ],
)
def test_another_campaign_is_refused_and_nothing_altered(
    changes: dict[str, object], words: str, begun: Path
) -> None:
    given = {"models": [tiny.one(), tiny.two()], "inputs": tiny.images(), "labels": tiny.labels()}
    before = small.content(begun)
    with pytest.raises(InputError, match=words):
        xplore.run(**{**given, "out": begun, "resume": True, **HOW, **changes})
    assert small.content(begun) == before


def test_two_runs_at_once_write_nothing_twice(begun: Path) -> None:
    running = small.campaign(seeds=60)
    folder = begun.parent / "shared"
    with closing(small.archive(running, folder)) as kept:
        half = running.run(kept)
        next(half)
        other = small.campaign(seeds=60)
        with closing(small.archive(other, folder)) as also:
            for _ in other.run(also):
                pass
        with pytest.raises(InputError, match="one run at a time"):
            for _ in half:
                pass
    assert small.content(folder) == ran(begun.parent / "alone", seeds=60)


CLI = """
import signal, sys
sys.path.insert(0, {tests!r})
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
from xplore import cli
cli.main()
"""


def interrupted(folder: Path, times: int) -> tuple[int, str, str]:
    """`xplore run` on far more seeds than it gets to, interrupted once it has begun: exit code and output."""
    (folder / "tiny.toml").write_text(tiny.CONFIG)
    slow = ["--seeds", "100000", "--set", "campaign.round_size=256", "--out", "out"]
    child = subprocess.Popen(
        [sys.executable, "-c", CLI.format(tests=str(Path(tiny.__file__).parent)), "run", "tiny.toml", *slow],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(small.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None and not _closed(folder / "out"):
            time.sleep(0.2)
        for _ in range(times):
            child.send_signal(signal.SIGINT)
            time.sleep(0.05)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
    return child.returncode, out, err


def _closed(folder: Path) -> int:
    if not (folder / FILE).is_file():
        return 0
    try:
        with closing(Archive.open(folder)) as archive:
            return len(list(archive.seeds()))
    except InputError:  # it is being created
        return 0


def test_ctrl_c_ends_with_a_report_of_what_is_there(tmp_path: Path) -> None:
    code, out, err = interrupted(tmp_path, times=1)
    assert code == 130, err
    assert "ending after this step" in err
    assert "\ninterrupted; xplore run" in out and "--resume goes on" in out
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "interrupted: " in report and "of 100,000 seeds" in report


def test_a_second_ctrl_c_ends_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    code, _, err = interrupted(tmp_path, times=2)
    assert code == 130 and "Traceback" not in err, err
    assert _closed(tmp_path / "out") > 0 and small.content(tmp_path / "out")["seeds"]


def test_a_notebook_or_thread_can_be_stopped_by_the_campaign(tmp_path: Path) -> None:
    running = small.campaign()
    with closing(small.archive(running, tmp_path)) as kept:
        for tally in running.run(kept):
            if tally.closed > 50:
                running.stop("enough")
    assert running.ended == "enough" and 50 < running.tally.closed < 250


def test_the_share_of_a_campaign_that_was_cut_off_is_of_whole_rounds(tmp_path: Path) -> None:
    """Seeds that are divided end first: a share of what has ended says too much."""
    for name, budget in (("cut", Budget(findings=3)), ("whole", Budget())):
        running = small.campaign(150, budget=budget)
        with closing(small.archive(running, tmp_path / name)) as kept:
            for _ in running.run(kept):
                pass
            figures, records, rounds = summary(kept), list(kept.seeds()), list(kept.rounds())
            valid = {finding.id for finding in kept.findings() if finding.valid}
        of = {index: [r for r in records if r.round == index] for index, *_ in rounds}
        counted = [r for index, seeds, _ in rounds if len(of[index]) == seeds for r in of[index]]
        with_valid = sum(record.finding in valid for record in counted)
        assert figures["share_of_seeds"] == len(counted) and figures["seeds"] == len(records)
        expected = share(with_valid, len(counted))
        assert figures["valid_share"] == (expected and pytest.approx(expected))
        assert (len(counted) < len(records) < 150) == (name == "cut")
        told = dict((means, value) for value, means in headline(figures))
        assert any("whole rounds" in means for means in told) == (name == "cut")
        assert ("seeds so far" in verdict(figures)) == (name == "cut")
