"""The command line as a user meets it: by subprocess, from another folder, on the zoo."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

import xplore
from xplore import cli
from xplore.archive import Archive
from xplore.campaign.replay import AS_RECORDED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
XPLORE = [str(Path(sysconfig.get_path("scripts")) / "xplore")]
SCRIPT = [sys.executable, str(ROOT / "scripts" / "run_campaign.py")]
SMALL = ["mnist", "--seeds", "20", "--steps", "3", "--lanes", "16"]
SMALL += [word for part in ("baseline", "reference_model", "training") for word in ("--set", f"{part}=none")]


@dataclass(frozen=True)
class Shell:
    """Runs commands in a folder that is no checkout."""

    cwd: Path

    @property
    def environment(self) -> dict[str, str]:
        """Without the test run's two devices; compiled programs are kept for the next command."""
        kept = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
        return kept | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.cwd / "cache"), "COLUMNS": "100"}

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def finished(shell: Shell) -> subprocess.CompletedProcess[str]:
    """One campaign for all tests here, in the folder `first`."""
    done = shell(*XPLORE, "run", *SMALL, "--out", "first")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def first(finished: subprocess.CompletedProcess[str], shell: Shell) -> Path:
    return shell.cwd / "first"


def ids(folder: Path) -> list[str]:
    with closing(Archive.open(folder)) as archive:
        return [finding.id for finding in archive.findings()]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((*XPLORE, "--help"), ("run", "report", "replay", "--debug")),
        ((*XPLORE, "run", "--help"), ("--seeds", "--steps", "--lanes", "--rng", "--out", "--set")),
        ((*XPLORE, "report", "--help"), ("--format", "--out", "folder")),
        ((*XPLORE, "replay", "--help"), ("--finding", "--config", "folder")),
        ((*SCRIPT, "--help"), ("--seeds", "--steps", "--lanes", "--rng", "--out", "--set")),
    ],
    ids=lambda value: " ".join(value[1:]) if value[0] in (*XPLORE, sys.executable) else "",
)
def test_help_names_every_option(shell: Shell, command: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = shell(*command)
    assert done.returncode == 0, done.stderr
    assert [word for word in words if word not in done.stdout] == []


def test_run_writes_archive_summary_and_report_and_names_the_report(
    finished: subprocess.CompletedProcess[str], first: Path
) -> None:
    assert sorted(path.name for path in first.iterdir()) == ["archive.sqlite", "report.html", "summary.json"]
    assert finished.stdout.splitlines()[-1] == "report: first/report.html"
    assert (first / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_summary_has_what_a_program_needs(finished: object, first: Path) -> None:
    told = json.loads((first / "summary.json").read_text("utf-8"))
    assert told["seeds"] == 20
    assert told["found"] == told["findings"] + told["rejudged_away"] > 0
    assert told["already_differ"] + told["found"] + told["not_found"] == told["seeds"]
    assert told["valid"] == told["findings"] - len([f for f in Archive.open(first).findings() if f.reasons])
    assert sum(told["invalid_by_reason"].values()) >= told["findings"] - told["valid"]
    assert told["steps"] > 0 and told["seconds"] > 0 and told["compile_seconds"] > 0
    assert told["seeds_per_second"] == pytest.approx(20 / told["seconds"])
    assert set(told["coverage"]) == {"lenet1", "lenet4", "lenet5"}
    assert all(len(each) == 4 and max(each.values()) > 0 for each in told["coverage"].values())
    assert told["lanes"] == 16 and "cpu" in told["device"] and {"xplore", "jax"} <= set(told["versions"])
    config = told["config"]
    assert config["search"]["steps"] == 3 and config["campaign"]["lanes"] == 16
    assert (config["baseline"], config["reference_model"], config["training"]) == (None, None, None)
    assert told["baselines"] == []
    assert told["command"].startswith("xplore run mnist --seeds 20 ")


def test_progress_is_plain_lines_where_there_is_no_terminal(
    finished: subprocess.CompletedProcess[str],
) -> None:
    lines = finished.stderr.splitlines()
    assert "\x1b" not in finished.stderr
    assert lines[0] == "mnist: 20 seeds; compiling"
    last = r"mnist: 20/20 seeds  \d+ findings \(\d+ valid as found\)  [\d.]+ seeds/s  \d+ steps/s  "
    last += r"coverage lenet1 \d+% lenet4 \d+% lenet5 \d+%  0 s left"
    searched = [line for line in lines if line.startswith("mnist: ")]
    assert re.fullmatch(last, searched[-1]), searched[-1]
    assert re.fullmatch(r"shrinking findings: (\d+)/\1", lines[-1]), lines[-1]


def test_script_finds_the_same_again(shell: Shell, first: Path) -> None:
    done = shell(*SCRIPT, *SMALL, "--out", "second")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "report: second/report.html"
    assert ids(shell.cwd / "second") == ids(first)
    one, other = (json.loads((shell.cwd / name / "summary.json").read_text()) for name in ("first", "second"))
    for key in ("seeds", "found", "findings", "valid", "steps", "coverage", "config", "fates"):
        assert one[key] == other[key], key


def test_terminal_shows_live_progress_and_another_rng_finds_others(shell: Shell, first: Path) -> None:
    command = [*XPLORE, "run", *SMALL, "--rng", "1", "--out", "third"]
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        command, cwd=shell.cwd, env=shell.environment | {"TERM": "xterm"}, stdout=-1, stderr=terminal
    ) as running:
        os.close(terminal)
        shown = b""
        while part := _read(screen):
            shown += part
        assert running.stdout is not None
        printed = running.stdout.read().decode()
    os.close(screen)
    text = shown.decode()
    assert running.returncode == 0, text
    assert "\x1b[" in text and "compiling" in text
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).split("compiling")[-1]
    words = ("20 of 20", "findings", "valid", "steps", "/s", "coverage", "lenet5", "left")
    assert [word for word in words if word not in last] == [], last
    assert printed.splitlines()[-1] == "report: third/report.html"
    assert set(ids(shell.cwd / "third")) != set(ids(first))


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


@pytest.mark.parametrize(
    ("format", "name"),
    [("md", "report.md"), ("png", "findings"), ("json", "summary.json"), ("csv", "findings.csv")],
)
def test_report_in_every_format(shell: Shell, first: Path, tmp_path: Path, format: str, name: str) -> None:
    done = shell(*XPLORE, "report", str(first), "--format", format, "--out", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / name}\n"
    assert (tmp_path / name).stat().st_size > 0


def test_it_tells_its_version(shell: Shell) -> None:
    done = shell(*XPLORE, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"xplore {xplore.__version__}\n", "")


@pytest.mark.parametrize(
    ("format", "name", "wanted"),
    [
        ("junit", "x.junit", "a folder, or a path that ends in .xml"),
        ("md", "x.html", "a folder, or a path that ends in .md"),
        ("png", "x.png", "a folder"),
    ],
)
def test_a_file_of_another_kind_is_no_folder_to_write_into(
    shell: Shell, first: Path, tmp_path: Path, format: str, name: str, wanted: str
) -> None:
    done = shell(*XPLORE, "report", str(first), "--format", format, "--out", str(tmp_path / name))
    assert (done.returncode, done.stdout) == (2, "") and f"out: expected {wanted}, got " in done.stderr
    assert done.stderr.rstrip().endswith("choose --out") and not (tmp_path / name).exists()


def test_a_report_goes_to_the_file_that_is_named(shell: Shell, first: Path, tmp_path: Path) -> None:
    done = shell(*XPLORE, "report", str(first), "--format", "md", "--out", str(tmp_path / "summary.md"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'summary.md'}\n")
    assert (tmp_path / "summary.md").is_file()


def test_report_html_is_written_anew(shell: Shell, first: Path) -> None:
    page = first / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = shell(*XPLORE, "report", "first")
    assert (done.returncode, done.stdout) == (0, "first/report.html\n")
    assert page.read_bytes() == before


NOT_LOOKED_AT = f"not checked: {AS_RECORDED}\n"


def test_replay_reproduces_every_finding(shell: Shell, first: Path) -> None:
    done = shell(*XPLORE, "replay", "first")
    n = len(ids(first))
    assert (done.returncode, done.stdout) == (0, f"{n} findings, {n} reproduce\n{NOT_LOOKED_AT}")


def test_replay_notices_an_altered_decision(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    altered, spared = ids(first)[:2]
    shutil.copy(first / "archive.sqlite", tmp_path)
    with closing(sqlite3.connect(tmp_path / "archive.sqlite")) as copy:
        (stored,) = copy.execute("SELECT decisions FROM findings WHERE id = ?", [altered]).fetchone()
        other = json.dumps([(decision + 1) % 10 for decision in json.loads(stored)])
        copy.execute("UPDATE findings SET decisions = ? WHERE id = ?", [other, altered])
        copy.commit()
    n = len(ids(first))

    def replayed(*more: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["xplore", "replay", str(tmp_path), *more])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, capsys.readouterr().out

    code, out = replayed()
    assert code == 1
    first_line, why, rest = out.split("\n", 2)
    assert first_line == f"{n} findings, {n - 1} reproduce" and rest == NOT_LOOKED_AT
    assert why.startswith(f"does not reproduce: {altered}: decisions ") and ", recorded " in why
    assert replayed("--finding", spared) == (0, f"1 findings, 1 reproduce\n{NOT_LOOKED_AT}")
