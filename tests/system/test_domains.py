"""The configs of PDF files, phishing websites and Android apps, run as a user would: findings that replay."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import xplore
from xplore.archive import Archive
from xplore.cli import app
from xplore.report.reading import read

pytestmark = pytest.mark.slow

CONTAGIO = os.environ.get("XPLORE_DATA", "")
WITHOUT = ("--set", "baseline=none")


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


def run(folder, *words):
    done = CliRunner().invoke(app, ["run", *words, *WITHOUT, "--out", str(folder)])
    assert done.exit_code == 0, done.output
    archive = Archive.open(folder)
    reading = read(archive)
    archive.close()
    assert all(xplore.replay(folder).values())
    return reading, (Path(folder) / "report.html").read_text("utf-8")


def test_phishing(tmp_path):
    reading, page = run(tmp_path / "out", "phishing", "--seeds", "40")
    assert sum(row.valid for row in reading.rows) > 20
    for row in reading.rows:
        assert len(row.changes) <= 2 and all(before != after for _, before, after in row.changes)
    assert any("https" in name for row in reading.rows for name, *_ in row.changes)
    assert "https" in page


def test_drebin(tmp_path):
    reading, page = run(tmp_path / "out", "drebin", "--seeds", "30")
    assert sum(row.valid for row in reading.rows) > 5
    for row in reading.rows:
        kinds = {name.split("::")[0] for name, *_ in row.changes}
        manifest = {"activity", "feature", "intent", "permission", "provider", "service_receiver"}
        assert (kinds <= manifest and 1 <= len(row.changes) <= 5) or row.origin == "seed"
        assert {(before, after) for _, before, after in row.changes} <= {("", "added")}
    assert "seeds: drebin, synthetic/test" in page and "features added" in page


@pytest.mark.skipif(not CONTAGIO, reason="XPLORE_DATA names no folder with the files of Contagio")
def test_pdf(tmp_path):
    reading, page = run(tmp_path / "out", "pdf", "--seeds", "40", "--set", f"seeds.path={CONTAGIO}")
    assert sum(row.valid for row in reading.rows) > 20
    assert any(len(row.changes) > 3 for row in reading.rows), "what follows is told, too"
    assert all((row.measure("changed") or 0) <= 3 for row in reading.rows)
    assert "49 frozen" in page


def test_pdf_without_its_files_says_what_is_missing():
    done = CliRunner().invoke(app, ["run", "pdf"])
    assert done.exit_code != 0
    assert "contagio-ben.csv" in str(done.exception or done.output)
