"""Folders and files that may not be read or written are told as such, and nothing is altered."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hostile import META, sound

from xplore.archive.tables import FILE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHILD = """
import json, os, sys
from contextlib import closing
from pathlib import Path
import xplore.campaign.resume, xplore.campaign.merge, xplore.archive.migrate
import xplore.report.html, xplore.report.csv
from PIL import PngImagePlugin, WebPImagePlugin
from xplore.archive import Archive
from xplore._util.errors import InputError
from xplore.archive.records import SeedRecord
place, meta = Path(sys.argv[1]), json.loads(sys.argv[2])
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
def read(folder):
    with closing(Archive.open(folder)) as archive:
        return len(list(archive.findings(origin=None)))
def write(folder):
    with closing(Archive.open(folder, write=True)) as archive:
        archive.commit([SeedRecord(77, 2, None, (0, 0), "not_found")], [])
def report(folder, out):
    with closing(Archive.open(folder)) as archive:
        xplore.report.reporter("csv").write(archive, out)
calls = {
    "read": lambda: read(place / "shut"), "read locked": lambda: read(place / "locked"),
    "read logged": lambda: read(place / "logged"), "read secret": lambda: read(place / "secret"),
    "write": lambda: write(place / "shut"), "write locked": lambda: write(place / "locked"),
    "resume": lambda: xplore.campaign.resume.resumed(place / "shut", meta).close(),
    "resume locked": lambda: xplore.campaign.resume.resumed(place / "locked", meta).close(),
    "create": lambda: Archive.create(place / "shut" / "new", {}),
    "merge": lambda: xplore.campaign.merge.joined([place / "shut"], place / "shut" / "new"),
    "migrate": lambda: xplore.archive.migrate.migrate(place / "shut", place / "shut" / "new"),
    "report": lambda: report(place / "shut", place / "shut"),
    "report elsewhere": lambda: report(place / "shut", place / "open"),
}
told = {}
for name, call in calls.items():
    try:
        told[name] = repr(call())
    except InputError as error:
        told[name] = "refused: " + str(error)
print(json.dumps(told))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A place that another user may enter; what lies in it may not be written."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        sound(place / "shut")
        for name in ("locked", "secret", "logged"):
            shutil.copytree(place / "shut", place / name)
        with closing(sqlite3.connect(place / "logged" / FILE)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("UPDATE seeds SET tries = 2")
            db.commit()
            shutil.copytree(place / "logged", place / "cut")  # as a kill leaves it
        shutil.rmtree(place / "logged")
        shutil.copytree(place / "cut", place / "logged", ignore=shutil.ignore_patterns("*-shm"))
        (place / "open").mkdir()
        for name in ("open", "locked"):
            (place / name).chmod(0o777)
        (place / "secret" / FILE).chmod(0o000)
        for name in ("shut", "logged"):
            (place / name).chmod(0o555)
        yield place
        for name in ("shut", "logged"):
            (place / name).chmod(0o755)


def test_rights_that_are_missing_are_told(place: Path) -> None:
    if os.getuid() != 0:
        for file in place.rglob(FILE):
            file.chmod(0o000 if file.parent.name == "secret" else 0o444)
    kept = [file for file in place.rglob("*") if file.is_file() and not file.name.endswith("-shm")]
    before = {file: file.read_bytes() for file in kept if os.access(file, os.R_OK)}
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(place), json.dumps(META)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "PermissionError" in done.stderr and "setuid" in done.stderr:
        pytest.skip("this process may not become another user")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["read"] == told["read locked"] == "6" and told["report elsewhere"] == "None"
    for name in ("write", "write locked", "resume", "resume locked"):
        assert told[name].startswith("refused:") and "take a copy" in told[name], (name, told[name])
    for name in ("create", "merge", "migrate", "report"):
        assert told[name].startswith("refused:") and "written" in told[name], (name, told[name])
    assert "can be read" in told["read secret"] and "can be read" in told["read logged"]
    assert {file: file.read_bytes() for file in before} == before
    assert not (place / "shut" / "new").exists()
