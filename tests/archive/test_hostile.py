"""An archive may come from anyone: whatever it holds is refused, or does no harm."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import META, READERS, altered, sound, used
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

from xplore.archive.records import content_hash
from xplore.archive.tables import FILE
from xplore.report import EXPORTS, FORMATS

ROOT = Path(__file__).parents[2]
MARK = "<script>alert(7)</script>"
EVIL = (
    MARK,
    "../../../gone",
    "/tmp/gone",
    "nul\0byte",
    "long" * 5_000,
    "a\n\n<script>alert(7)</script>",
    "`<script>alert(7)</script>",
)
CODE = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
"""A span of code in Markdown: text that is shown as it is."""
TEXTS = {
    "findings": ("id", "origin", "reasons", "measures"),
    "seeds": ("fate", "finding"),
    "artefacts": ("media",),
    "rounds": ("digest",),
    "shrunk": ("measures",),
    "answers": ("reviewer", "answer", "time"),
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return (sound(tmp_path_factory.mktemp("sound")) / FILE).read_bytes()


def test_a_sound_archive_takes_all_uses(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    came = used(altered(content, tmp_path / "run"), tmp_path / "out")
    assert {*came.values()} == {""} and len(came) == len(FORMATS) + len(EXPORTS) + 3


def everywhere(value: Any, text: str) -> Any:
    """The same value with this in every text, keys of the account itself aside."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [everywhere(item, text) for item in value]
    return {key: everywhere(item, text) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL, ids=lambda text: text[:12].encode().hex())
def test_text_stays_text(text: str, content: bytes, tmp_path: Path) -> None:
    """In every field at once where it may stand; no file is written but in the folder that was named."""
    kept = ("media", "decisions", "table", "gate")
    meta = {key: value if key in kept else everywhere(value, text) for key, value in META.items()}
    told = [("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(v), k)) for k, v in meta.items()]
    more = json.dumps({text: 1.0, "l2": 0.5, "why": text, "settings": {text: 1.0}})
    told += [("UPDATE findings SET measures = ? WHERE origin = 'search'", (more,))]
    told += [("UPDATE findings SET reasons = ? WHERE NOT valid", (json.dumps([text]),))]
    told += [("UPDATE answers SET reviewer = ?, answer = ?, time = ?", (text, text, text))]
    folder = altered(content, tmp_path / "in" / "deep" / "run", *told)
    before = sorted(tmp_path.rglob("*"))
    came = used(folder, tmp_path / "out" / "deep" / "er")
    new = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(path.is_relative_to(tmp_path / "out") for path in new) and not Path("/tmp/gone").exists()
    assert [name for name, error in came.items() if not error] != []
    for path in new:
        assert len(path.name) < 120
        if path.suffix in (".html", ".md"):
            page = path.read_text("utf-8")
            assert "<script>alert" not in (page if path.suffix == ".html" else CODE.sub("", page)), path
            assert "group" in page


@pytest.mark.slow
@pytest.mark.parametrize("text", EVIL, ids=lambda text: text[:12].encode().hex())
def test_rows_of_other_text_are_refused_or_harmless(text: str, content: bytes, tmp_path: Path) -> None:
    for table, columns in TEXTS.items():
        for column in columns:
            sql = f"UPDATE {table} SET {column} = ? WHERE rowid = 2 - (?2 IN ('rounds', 'shrunk', 'answers'))"
            folder = altered(content, tmp_path / table / column / "run", (sql, (text, table)))
            came = used(folder, tmp_path / table / column / "out", only=("csv", "export png", "merge"))
            if column == "id":
                assert "whole, got damage" in came["csv"] and "whole, got damage" in came["export png"]
            assert {path.name for path in (tmp_path / table / column).iterdir()} <= {"run", "out"}
    assert {path.name for path in tmp_path.iterdir()} == {*TEXTS} and not Path("/tmp/gone").exists()


ODD = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, -1, 2**40, 10**30, 1e308, float("nan"), "x", "values"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "kind", "units", "layers", "columns", "models", "x"]), inner
        )
    ),
    max_leaves=5,
)
CELLS = st.sampled_from(
    [0, -1, 2**62, -(2**63), 1.5, "x", b"\0\xff", b"", "[]", "{}", "[1]", "[true]", '["a"]']
)
CELLS |= st.sampled_from(['{"l2": "x"}', '{"l2": 1e999}', '{"settings": 5}', '{"settings": {"a": "b"}}'])
CELLS |= st.sampled_from(
    [
        '{"agreed": "x"}',
        '{"referee": []}',
        '{"doubts": "x"}',
        '{"doubts": [1]}',
        '{"doubts": ["x"]}',
        "[" * 5000,
        f"[{'9' * 40}]",
        '{"seed_values": 5}',
    ]
)
CELLS |= st.just(zlib.compress(np.full(4, np.nan, np.float16).tobytes()))
COLUMNS = [
    *(("findings", name) for name in ("campaign", "seed", "label", "decisions", "probabilities", "valid")),
    *(
        ("findings", name)
        for name in ("reasons", "measures", "steps", "covered", "hidden", "latents", "origin")
    ),
    *(("seeds", name) for name in ("round", "label", "decisions", "fate", "tries", "steps", "queries")),
    *(("rounds", name) for name in ("campaign", "round", "seeds", "digest", "seed_coverage")),
    *(("shrunk", name) for name in ("probabilities", "measures", "queries")),
    *(("artefacts", name) for name in ("media", "data")),
]
FEW = ("html", "md", "export jsonl", "export npz", "merge")


@examples(15)
@given(key=st.sampled_from(sorted(META)), value=ODD)
def test_an_account_of_any_kind_is_refused_or_told(
    key: str, value: Any, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("odd")
    statement = ("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))
    used(altered(content, place / "run", statement), place / "out", FEW)


@examples(15)
@given(at=st.sampled_from(COLUMNS), value=CELLS)
def test_a_cell_of_any_kind_is_refused_or_told(
    at: tuple[str, str], value: Any, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("odd")
    statement = (f"UPDATE {at[0]} SET {at[1]} = ? WHERE rowid IN (1, 2)", (value,))
    used(altered(content, place / "run", statement), place / "out", FEW)


def bomb(size: int) -> bytes:
    """Zeros, compressed a thousandfold; made of one block again and again."""
    press = zlib.compressobj(9)
    block = press.compress(bytes(2**24)) + press.flush(zlib.Z_FULL_FLUSH)
    again = press.compress(bytes(2**24)) + press.flush(zlib.Z_FULL_FLUSH)
    return block + again * (size // 2**24 - 1)


def png(width: int, height: int, second: tuple[int, int] | None = None, **more: bytes) -> bytes:
    """The start of a grey picture of this size, of zeros; a `second` head may say otherwise."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def head(width: int, height: int) -> bytes:
        return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))

    told = b"".join(chunk(name.encode(), data) for name, data in more.items())
    heads = head(width, height) + (head(*second) if second else b"")
    return (
        b"\x89PNG\r\n\x1a\n"
        + heads
        + told
        + chunk(b"IDAT", zlib.compress(bytes(2**20)))
        + chunk(b"IEND", b"")
    )


def picture(data: bytes) -> list[tuple[str, tuple[Any, ...]]]:
    """This is the second finding's picture, under the hash of its bytes."""
    return [
        ("INSERT INTO artefacts VALUES (?, 'image/png', ?)", (content_hash(data), data)),
        ("UPDATE findings SET artefact = ? WHERE rowid = 2", (content_hash(data),)),
    ]


BOMB = bomb(2**32)
LAYERS = '[{"name": "one", "layers": [{"units": %d}]}, {"name": "two", "layers": [{"units": 5}]}]'
BOMBS = {
    "covered": [("UPDATE findings SET covered = ? WHERE rowid = 2", (BOMB,))],
    "seed_coverage": [("UPDATE rounds SET seed_coverage = ?", (BOMB,))],
    "hidden": [("UPDATE findings SET hidden = ? WHERE rowid = 2", (BOMB,))],
    "pixels": picture(png(60_000, 60_000)),
    "pixels of a second head": picture(png(6, 6, second=(60_000, 60_000))),
    "some more pixels": picture(png(8193, 8192)),
    "text": picture(png(6, 6, zTXt=b"a\0\0" + BOMB)),
    "colours": picture(png(6, 6, iCCP=b"a\0\0" + BOMB)),
    "units": [("UPDATE meta SET value = ? WHERE key = 'layout'", (LAYERS % 10**12,))],
    "units and criteria": [
        ("UPDATE meta SET value = ? WHERE key = 'layout'", (LAYERS % (2**26 - 5),)),
        ("UPDATE meta SET value = ? WHERE key = 'criteria'", (json.dumps(["c"] * 1024),)),
    ],
    "cells": [("INSERT OR REPLACE INTO meta VALUES ('cells', '[1000000000000, 1]')", ())],
    "a long value": [("UPDATE meta SET value = json_quote(hex(zeroblob(40000000))) WHERE key = 'name'", ())],
    "deep": [("UPDATE meta SET value = ? WHERE key = 'classes'", ("[" * 10**6,))],
    "many digits": [("UPDATE findings SET decisions = ? WHERE rowid = 2", (f"[{'9' * 10**6}]",))],
    "latents of a number": [("UPDATE findings SET latents = ? WHERE rowid = 2", (2**62,))],
    "a table": [("CREATE TABLE more (x)", ())],
    "a view": [
        (
            "CREATE VIEW more AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c",
            (),
        )
    ],
    "a trigger": [("CREATE TRIGGER more AFTER UPDATE ON meta BEGIN DELETE FROM meta; END", ())],
    "a column": [("ALTER TABLE meta ADD COLUMN more", ())],
}
UNTOUCHED = {"pixels": {"csv", "merge", "migrate"}, "seed_coverage": {"csv", "export png", "export npz"}}
"""What reads no picture, or nothing of the seeds, is not harmed by it."""
CHILD = """
import json, resource, sys
from pathlib import Path
import hostile
from xplore._util.errors import InputError
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
for run in sys.argv[1:]:
    run = Path(run)
    try:
        print(json.dumps([run.parent.name, hostile.used(run, run.parent / "out", hostile.READERS)]))
    except BaseException as error:
        print(json.dumps([run.parent.name, repr(error)[:300]]))
"""


@pytest.mark.slow
def test_bombs_are_refused_before_they_go_off(content: bytes, tmp_path: Path) -> None:
    """In a process of its own with little memory: every use says what is wrong, and none dies."""
    runs = [altered(content, tmp_path / name / "run", *statements) for name, statements in BOMBS.items()]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers")))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, runs)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = dict(map(json.loads, done.stdout.splitlines()))
    assert {*told} == {*BOMBS}
    for name, came in told.items():
        assert isinstance(came, dict), (name, came)
        kind = "pixels" if picture(b"")[1][0] == BOMBS[name][-1][0] else name
        quiet = {use for use, error in came.items() if not error}
        assert quiet <= UNTOUCHED.get(kind, set()), (name, quiet)
        assert len(quiet) < len(came) == len(READERS)
