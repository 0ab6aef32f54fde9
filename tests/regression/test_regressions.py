"""Regression inputs in a folder: a line for each file and test, by one process at a time, nothing lost."""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import hostile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding, Shrunk
from xplore.inputs.media import NPY, PNG, from_npy, to_npy, to_png
from xplore.regression.committed import INDEX, CommittedInput, Regressions

ROOT = Path(__file__).parents[2]
HEAD = "file,test,expected,decisions\n"
TESTS = ("test_a.py::test_gate", 'test_b.py::test_mark["1,2"]', "test_a.py::test_=1")


def picture(fill: int) -> bytes:
    return to_png(np.full((6, 6, 1), fill, np.uint8))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    with closing(Archive.open(hostile.sound(tmp_path_factory.mktemp("base") / "run"))) as archive:
        return next(archive.findings())


@pytest.fixture(scope="module")
def found(base: Finding) -> dict[str, Finding]:
    """Pictures and a row; the same finding shrunk in two ways, and not at all."""
    plain = replace(base, id="a" * 12, after=picture(1), shrunk=None)
    small = Shrunk(picture(2), base.probabilities, {}, 1)
    row = to_npy(np.array([0.1, -3, 1e-30], np.float32))
    return {
        "plain": plain,
        "shrunk": replace(plain, shrunk=small),
        "otherwise": replace(plain, shrunk=replace(small, after=picture(3))),
        "other": replace(plain, id="b" * 12, after=picture(1)),
        "row": replace(plain, media=NPY, after=row),
    }


def read(kept: CommittedInput) -> tuple[str, bytes]:
    media, data = kept.read()
    return media, (data if media == PNG else from_npy(data).tobytes())


@given(st.lists(st.tuples(st.sampled_from(TESTS), st.lists(st.sampled_from(
    ["plain", "shrunk", "otherwise", "other", "row"]), max_size=3)), max_size=5))  # fmt: skip
def test_each_test_keeps_what_it_found(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, Finding], runs: list[tuple[str, list[str]]]
) -> None:
    kept = Regressions(tmp_path_factory.mktemp("kept") / "regressions")
    wanted: dict[str, set[tuple[str, bytes]]] = {test: set() for test in TESTS}
    for test, names in runs:
        kept.keep(test, [found[name] for name in names])
        for name in names:
            one = found[name]
            after = one.after if one.shrunk is None else one.shrunk.after
            wanted[test].add((one.media, after if one.media == PNG else from_npy(after).tobytes()))
    for test in TESTS:
        assert set(map(read, kept.of(test))) == wanted[test]
        names = [one.path.name for one in kept.of(test)]
        assert len(names) == len(set(names))
    assert kept.folder.exists() == any(names for _, names in runs)


def test_a_line_that_is_deleted_takes_nothing_from_another_test(
    tmp_path: Path, found: dict[str, Finding]
) -> None:
    kept = Regressions(tmp_path)
    for test in TESTS[:2]:
        kept.keep(test, [found["plain"], found["row"]])
    index = tmp_path / INDEX
    lines = index.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    index.write_text("".join(line for line in lines if TESTS[0] not in line))
    kept.keep(TESTS[2], [found["other"]])
    assert [len(kept.of(test)) for test in TESTS] == [0, 2, 1]
    assert all(read(one) for test in TESTS for one in kept.of(test))


def test_lines_of_before_stay_as_they_are(tmp_path: Path, found: dict[str, Finding]) -> None:
    before = HEAD + 'sub/x.png,"test_a.py::test_old[a,b]",2,1 2\nx.png,test_a.py::test_old,,0.5 -1.25\n'
    (tmp_path / INDEX).write_text("\ufeff" + before)
    kept = Regressions(tmp_path)
    expected = (str(found["plain"].expected), " ".join(map(str, found["plain"].decisions)))
    kept.keep(TESTS[0], [found["plain"]])
    rows = {tuple(row) for row in csv.reader((tmp_path / INDEX).read_text().splitlines())}
    assert rows == {
        *map(tuple, csv.reader(before.splitlines())),
        (f"{'a' * 12}.png", TESTS[0], *expected),
    }
    (old,) = kept.of("test_a.py::test_old[a,b]")
    assert old.path == tmp_path.resolve() / "sub" / "x.png" and old.expected == 2


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (HEAD + "<<<<<<< HEAD\nx.png,t,1,0 1\n", 2),
        (HEAD + "x.png,t,1,0 1\n=======\n", 3),
        (HEAD + "x.png,t,1\n", 2),
        (HEAD + "x.png,t,1,0 1,more\n", 2),
        (HEAD + 'x.png,"t,1,0 1\n', 2),
        (HEAD + "x.png,t,٣,0 1\n", 2),
        (HEAD + "x.png,t,--3,0 1\n", 2),
        (HEAD + f"x.png,t,{'9' * 5000},0 1\n", 2),
        ("file,test,expected\nx.png,t,1\n", 1),
        ("file;test;expected;decisions\n", 1),
    ],
)
def test_a_damaged_index_is_named_and_left(
    content: str, line: int, tmp_path: Path, found: dict[str, Finding]
) -> None:
    index = tmp_path / INDEX
    index.write_text(content, "utf-8")
    for use in (lambda kept: kept.of("t"), lambda kept: kept.keep("t", [found["plain"]])):
        with pytest.raises(InputError, match=rf"{INDEX}, line {line}: expected .*mend this line"):
            use(Regressions(tmp_path))
    assert index.read_text("utf-8") == content and [path.name for path in tmp_path.iterdir()] == [INDEX]


CHILD = """
import pickle, sys, time
from dataclasses import replace
from pathlib import Path
from xplore.regression.committed import Regressions
who, place = sys.argv[1], Path(sys.argv[2])
base = pickle.loads((place / "base").read_bytes())
(place / f"ready{who}").touch()
while len(list(place.glob("ready*"))) < 3: time.sleep(0.001)
for n in range(25):
    shared, own = (replace(base, id=name * 4) for name in ("abc", f"{who}{n:02}"))
    Regressions(place / "kept").keep(f"test_{who}[{n}]", [shared, own])
"""


@pytest.mark.slow
def test_what_processes_keep_at_once_is_kept_by_each(tmp_path: Path, found: dict[str, Finding]) -> None:
    (tmp_path / "base").write_bytes(pickle.dumps(found["plain"]))
    with ExitStack() as stack:
        each = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", CHILD, who, str(tmp_path)], cwd=ROOT))
            for who in "123"
        ]
    assert [one.returncode for one in each] == [0] * 3
    kept = Regressions(tmp_path / "kept")
    names = {f"test_{who}[{n}]": f"{who}{n:02}" for who in "123" for n in range(25)}
    for test, own in names.items():
        assert {one.path.stem for one in kept.of(test)} == {"abc" * 4, own * 4}
    assert {path.suffix for path in kept.folder.iterdir()} == {".png", ".csv"}
    assert len(list(kept.folder.iterdir())) == len(names) + 2
