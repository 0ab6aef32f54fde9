"""Where the pytest plugin keeps what a test found: folders that last, are one session's, or cannot be had."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
from regression.test_plugin_gate import GATE, QUIET, entries

from xplore._util.folders import alone
from xplore.archive.tables import FILE
from xplore.regression.fixture import _slug
from xplore.regression.folders import Entry

RUN = """
import tiny
from xplore.constraints import Ball

HOW = dict(constraint=Ball(), steps=5, tries=2, lanes=8)

def test_agree(campaign):
    assert not campaign.run([tiny.one(), tiny.two()], tiny.images(), tiny.labels(), **HOW).valid

def test_after():
    pass
"""


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "200")
    return pytester


def campaign(folder: Path) -> Path:
    """A folder with something for an archive in it."""
    folder.mkdir(parents=True)
    (folder / FILE).write_text(folder.name)
    return folder


class TestEntry:
    def test_what_is_kept_stays_until_the_test_passes_or_fails_anew(self, tmp_path: Path) -> None:
        place = tmp_path / "entry"
        for number in (0, 10):
            campaign(place / str(number))
        entry = Entry(place)
        assert entry.folder == place and entry.saved(0) == [place / "0"] and not entry.saved(1)
        new = campaign(entry.new(0))
        assert entry.saved(0) == [place / "0"] and new.parent == place
        entry.end(passed=False, failed=False)  # it was skipped
        assert {path.name for path in place.iterdir()} == {"0", "10"}

        entry = Entry(place)
        first, second = (campaign(entry.new(0)) for _ in range(2))  # one ended by an error
        entry.only(0, second)
        entry.end(passed=False, failed=True)
        assert {path.name for path in place.iterdir()} == {second.name, "10"} and first != second

        entry = Entry(place)
        assert entry.saved(0) == [second]
        entry.end(passed=True, failed=False)
        assert not place.exists()

    def test_one_session_has_it_and_the_other_a_temporary_folder(self, tmp_path: Path) -> None:
        campaign(tmp_path / "entry" / "0")
        first, second = Entry(tmp_path / "entry"), Entry(tmp_path / "entry")
        assert not first.why and "another one that writes there" in second.why
        assert second.folder not in (first.folder, tmp_path) and not second.saved(0)
        campaign(second.new(0))
        second.end(passed=True, failed=False)
        assert not second.folder.exists() and first.saved(0)
        first.end(passed=False, failed=True)
        assert not Entry(tmp_path / "entry").why

    def test_a_folder_that_is_gone_is_no_error(self, tmp_path: Path) -> None:
        entry = Entry(tmp_path / "entry")
        shutil.rmtree(tmp_path / "entry")
        assert not entry.saved(0)
        entry.end(passed=True, failed=False)


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    """Something mounted on a folder, where the system allows it."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *how, str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mount is not allowed: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def blocked(kind: str, place: Path, slug: str) -> Iterator[None]:
    """`.xplore` cannot be written, or another session runs the test."""
    if kind == "a file":
        place.write_text("mine")
        yield
        assert place.read_text() == "mine"
    elif kind == "another session":
        with alone(place / slug):
            campaign(place / slug / "0")
            yield
            assert (place / slug / "0" / FILE).read_text() == "0"
    elif kind == "a full disk":
        with mounted(place, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
            yield
            assert not list(place.iterdir())
    else:
        with mounted(place, "-t", "tmpfs", "-o", "ro", "tmpfs"):
            yield


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a file", "another session", "a full disk", "read-only"])
def test_where_nothing_can_be_kept_a_temporary_folder_stays(kind: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_models=RUN)
    with blocked(kind, pytester.path / ".xplore", _slug("test_models.py::test_agree")):
        done = pytester.runpytest_inprocess(*QUIET)
        done.assert_outcomes(failed=1, passed=1)
    output = done.stdout.str()
    found = re.search(r"^kept in (\S+), for this run alone: output folder .*\.xplore", output, re.M)
    assert found and "INTERNALERROR" not in output
    try:
        pictures = re.findall(r"  (/\S*\.png)$", output, re.M)
        assert pictures and all(Path(path).is_relative_to(found[1]) for path in pictures)
        assert all(Path(path).is_file() for path in pictures)
        assert f"--xplore-replay {found[1]}" in output and (Path(found[1]) / "0" / FILE).is_file()
    finally:
        shutil.rmtree(found[1])


@pytest.mark.slow
def test_only_folders_that_last_are_named_from_wherever_a_test_is(pytester: pytest.Pytester) -> None:
    """Not those that pytest deletes; paths of options start where pytest did."""
    test = RUN.replace("(campaign):", "(campaign, tmp_path, monkeypatch):\n    monkeypatch.chdir(tmp_path)")
    pytester.makepyfile(test_models=test)
    (pytester.path / "taken").write_text("mine")
    done = pytester.runpytest_inprocess(*QUIET, "--xplore-out", "out", "--xplore-keep", "taken")
    done.assert_outcomes(failed=1, passed=1)
    output = done.stdout.str()
    (named,) = set(re.findall(r"<xplore.Result: [^;]*; ([^>\s]+)>", output))
    places = [Path(named), *map(Path, re.findall(r"  (/\S*\.(?:png|html))$", output, re.M))]
    assert len(places) > 1 and all(path.exists() for path in places)
    assert all(path.is_relative_to(pytester.path / "out") for path in places)
    assert "not kept as regression inputs: InputError: output folder" in output
    pytester.runpytest_inprocess(*QUIET, "--xplore-out", "out", "--xplore-keep", "kept")
    assert (pytester.path / "kept" / "regressions.csv").is_file()


@pytest.mark.slow
def test_an_input_that_several_tests_found_is_judged_first_by_each(pytester: pytest.Pytester) -> None:
    gate = GATE.format(new="two")
    marked = '\n\n@pytest.mark.xplore("tiny.toml")\ndef test_marked(campaign_result):\n'
    marked += "    assert not campaign_result.valid\n"
    (pytester.path / "tiny.toml").write_text(tiny.CONFIG)
    again = RUN.replace("test_agree", "test_again").replace("test_after", "test_later")
    pytester.makepyfile(test_models="import pytest\n" + gate + RUN + again + marked)
    keep = ("--xplore-keep", "tests/regressions")
    pytester.runpytest_inprocess(*QUIET, *keep).assert_outcomes(failed=4, passed=2)
    rows = (pytester.path / "tests" / "regressions" / "regressions.csv").read_text().splitlines()[1:]
    files = {row.split(",")[0] for row in rows}
    assert len(files) < len(rows)
    shutil.rmtree(pytester.path / ".xplore")
    done = pytester.runpytest_inprocess(*QUIET, *keep)
    done.assert_outcomes(failed=3, errors=1, passed=2)
    for name in ("test_release", "test_agree", "test_again", "test_marked"):
        n = sum(row.split(",")[1].endswith(name) for row in rows)
        assert n and f"{n} of {n} regression inputs are still answered wrongly" in done.stdout.str()
    assert not entries(pytester)


@pytest.mark.slow
def test_a_skipped_test_forgets_its_own_and_an_interrupted_one_does_not(pytester: pytest.Pytester) -> None:
    run = "campaign.run([tiny.one(), tiny.two()], tiny.images(), tiny.labels(), **HOW)"
    head = RUN.split("def test_agree", maxsplit=1)[0] + "import pytest\n\ndef test_it(campaign):\n"
    pytester.makepyfile(test_models=f"{head}    {run}\n    pytest.skip()\n")
    pytester.runpytest_inprocess(*QUIET).assert_outcomes(skipped=1)
    assert not entries(pytester)
    path = pytester.path / "test_models.py"
    path.write_text(path.read_text().replace("pytest.skip()", "raise KeyboardInterrupt"))
    pytester.runpytest_inprocess(*QUIET, no_reraise_ctrlc=True)
    assert len(entries(pytester)) == 1


SESSION = """
import sys, pytest
sys.path.insert(0, sys.argv[1])
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_models.py"]))
"""


@pytest.mark.slow
def test_two_sessions_at_once_leave_each_other_what_they_found(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_models=RUN)
    command = [sys.executable, "-c", SESSION, str(Path(tiny.__file__).parent)]
    each = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for output in [one.communicate()[0] for one in each]:
        assert "1 failed, 1 passed" in output, output
        pictures = re.findall(r"  (/\S*\.png)$", output, re.M)
        assert pictures and all(Path(path).is_file() for path in pictures)
        for kept in re.findall(r"^kept in (\S+),", output, re.M):
            shutil.rmtree(kept)
    assert len(entries(pytester)) == 1
