"""Folders of campaigns: one writer at a time, archives that are whole, reports of one instant."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import tiny

import xplore
from xplore._util.errors import InputError
from xplore._util.folders import alone
from xplore.archive import Archive
from xplore.archive.migrate import migrate
from xplore.archive.records import SeedRecord, content_hash
from xplore.archive.tables import _TABLES, FILE, holds
from xplore.campaign import Campaign
from xplore.campaign.merge import joined
from xplore.campaign.result import Result
from xplore.constraints import Ball
from xplore.inputs.media import to_png
from xplore.report import EXPORTS, FORMATS, exporter, reporter
from xplore.report.compare import write as compare
from xplore.report.html import fragment

ROOT = Path(__file__).parents[2]
DIES = """
import os, pathlib, signal, sqlite3, sys
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
AT = {
    "no tables": "from xplore.archive import tables; tables._TABLES = type('', (str,), {'__radd__': die})()",
    "no account": "import xplore.archive.archive as a; a.noted = die",
    "not in its place": "pathlib.Path.replace = die",
}
OLDER = {
    "empty": "pathlib.Path(sys.argv[1]).touch(); die()",
    "no tables": "sqlite3.connect(sys.argv[1]).executescript('PRAGMA journal_mode=WAL'); die()",
    "no account": "db = sqlite3.connect(sys.argv[1]); "
    f"db.executescript('PRAGMA journal_mode=WAL;' + {_TABLES!r}); die()",
}


def python(code: str, *arguments: str | Path) -> None:
    """Run code that is killed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def run(folder: Path, **how: Any) -> Result:
    models = [tiny.one(), tiny.two()]
    return xplore.run(
        models, tiny.images(4), constraint=Ball(0.2), steps=1, tries=1, lanes=8, out=folder, **how,
        progress=False, shrink=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("instant", AT)
def test_what_is_killed_while_an_archive_is_made_leaves_none(instant: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make = "from xplore.archive import Archive; Archive.create(pathlib.Path(sys.argv[1]), {'name': 'x'})"
    python(f"{DIES}\n{AT[instant]}\n{make}", folder)
    assert list(folder.iterdir()) and not (folder / FILE).exists()
    Archive.create(folder, {"name": "x"}).close()
    assert [path.name for path in folder.iterdir()] == [FILE]


@pytest.mark.slow
@pytest.mark.parametrize("left", OLDER)
def test_what_older_versions_left_half_made_is_begun_anew(left: str, tmp_path: Path) -> None:
    place = tmp_path / "run" / FILE
    place.parent.mkdir()
    python(f"{DIES}\n{OLDER[left]}", place)
    assert place.exists() and not holds(place)
    shutil.copytree(place.parent, tmp_path / "again")
    Archive.create(place.parent, {"name": "x"}).close()
    with closing(Archive.open(place.parent)) as archive:
        assert archive.meta == {"name": "x"}
    assert len(list(run(tmp_path / "again", resume=True).archive.seeds())) == 4


@pytest.mark.parametrize("content", [b"mine", b"SQLite format 3\0" + bytes(84), b"\xff" * 5000])
def test_no_other_file_is_taken_for_half_an_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match="nothing was overwritten"):
        Archive.create(tmp_path, {})
    assert (tmp_path / FILE).read_bytes() == content


def test_tables_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("CREATE TABLE mine (x)")
    assert holds(tmp_path / FILE)


@contextmanager
def writing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes into a folder."""
    code = "import sys; from pathlib import Path; from xplore._util.folders import alone\n"
    code += "with alone(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "in\n"
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.slow
def test_a_second_writer_is_refused_before_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, refused = tmp_path / "run", "another one that writes there.*nothing was changed"
    run(folder)
    content = (folder / FILE).read_bytes()

    def computes(*_: object) -> None:
        raise AssertionError("compute was spent")

    with writing(folder) as child, monkeypatch.context() as patch:
        patch.setattr(Campaign, "run", computes)
        for resume in (True, False):
            with pytest.raises(InputError, match=refused):
                run(folder, resume=resume)
        for write in (lambda: joined([folder], folder), lambda: migrate(folder, folder)):
            with pytest.raises(InputError, match=refused):
                write()
        with pytest.raises(InputError, match=refused), alone(folder):
            pass
        assert (folder / FILE).read_bytes() == content
        child.kill()
        child.wait()
    with alone(folder), pytest.raises(InputError, match=refused), alone(folder):  # of one process, too
        pass
    run(folder, resume=True)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_who_waits_is_alone_in_turn(tmp_path: Path) -> None:
    """Each counts one up many times; the lock is removed by each, while others wait for that very file."""
    code = "import sys; from pathlib import Path; from xplore._util.folders import alone\n"
    code += "folder = Path(sys.argv[1])\nfor _ in range(150):\n    with alone(folder, wait=60):\n"
    code += "        count = int((folder / 'n').read_text()); (folder / 'n').write_text(str(count + 1))"
    (tmp_path / "n").write_text("0")
    command = [sys.executable, "-c", code, str(tmp_path)]
    with ExitStack() as stack:
        each = [stack.enter_context(subprocess.Popen(command, cwd=ROOT)) for _ in range(4)]
    assert [one.returncode for one in each] == [0] * 4
    assert (tmp_path / "n").read_text() == "600" and [path.name for path in tmp_path.iterdir()] == ["n"]


def test_where_an_error_comes_no_folder_is_left_behind(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        with alone(folder):
            raise InputError("x", expected="y", got="z")

    for fail in (fails, lambda folder: joined([tmp_path / "none"], folder), lambda f: migrate(tmp_path, f)):
        with pytest.raises(InputError):
            fail(tmp_path / "a" / "b")
        assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"folder a\\x00b: .*null"):
        fails(Path("a\0b"))


def writes(name: str) -> Callable[[Archive, Path], object]:
    """Write an archive into a folder, by a report, an export, or what else reads one."""

    def result(archive: Archive, out: Path) -> None:
        told = Result.__new__(Result)
        told.archive, told._only = archive, None
        (out / "told").write_text(str(told.summary) if name == "summary" else told.frame().to_csv())

    def other(archive: Archive, out: Path) -> None:
        if not (out.parent / "b").exists():
            hostile.sound(out.parent / "b")
        with closing(Archive.open(out.parent / "b")) as b:
            compare(archive, b, out, "json")

    if name in FORMATS:
        return reporter(name).write
    if name in EXPORTS:
        return exporter(name, every=True).write
    page = lambda archive, out: (out / "page").write_text(fragment(archive))  # noqa: E731
    return {"summary": result, "frame": result, "page": page, "compare": other}[name]


@pytest.mark.parametrize(
    "name", [*FORMATS, *sorted(set(EXPORTS) - {"parquet", *FORMATS}), "summary", "frame", "page", "compare"]
)
def test_whatever_reads_tells_of_one_instant(name: str, tmp_path: Path) -> None:
    """With a finding committed between any two of its statements it writes what it wrote without."""
    folder, rng, n = hostile.sound(tmp_path / "run"), np.random.default_rng(5), 6
    told: list[dict[str, bytes]] = []
    with closing(Archive.open(folder, write=True)) as writer:
        base = next(writer.findings())

        def commit() -> None:
            nonlocal n
            data = to_png(rng.integers(0, 256, (6, 6, 1), np.uint8))
            found = replace(base, id=content_hash(data)[:12], seed=n, after=data, shrunk=None)
            writer.commit([SeedRecord(n, 0, found.label, (1, 1), "found", 1, 3, 6, found.id)], [found])
            n += 1

        for meanwhile in (False, True):
            out, begun = tmp_path / f"out{int(meanwhile)}", False
            out.mkdir()

            def trace(statement: str) -> None:
                nonlocal begun
                if begun:
                    commit()
                begun |= "SELECT" in statement

            with closing(Archive.open(folder)) as archive:
                if meanwhile:
                    archive._db.set_trace_callback(trace)
                writes(name)(archive, out)
                archive._db.set_trace_callback(None)
            files = [path for path in sorted(out.rglob("*")) if path.is_file()]
            told.append({path.relative_to(out).as_posix(): path.read_bytes() for path in files})
    assert n > 7 and told[0]
    assert told[0] == told[1]
