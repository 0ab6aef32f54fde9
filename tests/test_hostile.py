"""An archive may come from anyone: whatever it holds is refused, or does no harm."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

from xplore.archive import Archive
from xplore.errors import InputError
from xplore.finding import Finding, SeedRecord, Shrunk, content_hash
from xplore.media import to_png
from xplore.merging import joined
from xplore.report import EXPORTS, FORMATS, exporter, reporter
from xplore.schema import FILE
from xplore.upgrade import migrate

ROOT = Path(__file__).parents[1]
META: dict[str, Any] = {
    "id": "0a",
    "name": "digits",
    "created": "2026-01-02T03:04:05+00:00",
    "command": "xplore run mnist",
    "config": {"models": [{"use": "xplore.models.lenet:lenet1"}], "search": {"steps": 5}},
    "config_file": "mnist.toml",
    "models": [{"name": name, "digest": name * 32, "parameters": 9, "unit": "mean"} for name in ("one", "two")],
    "layout": [
        {"name": name, "layers": [{"name": "fc", "kind": "dense", "units": 5}]} for name in ("one", "two")
    ],
    "criteria": ["NeuronCoverage(t=0.25)", "NeuronCoverage(t=0.5)"],
    "main_criterion": 0,
    "classes": ["zero", "one", "two"],
    "versions": {"xplore": "0.1.0", "jax": "0.10"},
    "device": "cpu",
    "lanes": 4,
    "rng": 0,
    "round_size": 32,
    "constraint": "Ball()",
    "bound": "0.2",
    "search": "Gradient()",
    "objective": "Joint()",
    "oracle": "LabelsDiffer()",
    "decisions": {"kind": "labels"},
    "media": "image/png",
    "table": None,
    "labelled": True,
    "seeds_total": 6,
    "seconds": 2.0,
    "compile_seconds": 1.0,
    "steps": 20,
    "queries": 40,
    "finished": True,
    "ended": "",
    "notes": ["a note"],
    "baselines": [{"search": "Random", "seeds": 6, "queries": 40, "found": 1, "findings": 1, "valid": 1,
                   "groups": 1, "seconds": 1.0, "note": "as many"}],
    "runs": [],
    "merged": [],
}  # fmt: skip
MARK = "<script>alert(7)</script>"
EVIL = (
    MARK,
    "../../../gone",
    "/tmp/gone",
    "nul\0byte",
    "long" * 30_000,
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


def sound(folder: Path) -> Path:
    """A small campaign with all that an archive can hold."""
    rng, found = np.random.default_rng(0), []
    for seed in range(6):
        before, after = (to_png(rng.integers(0, 256, (6, 6, 1), np.uint8)) for _ in range(2))
        found.append(
            Finding(
                *(content_hash(before + after)[:12], "search" if seed else "seed", seed, before, after),
                *("image/png", seed % 3, (seed % 3, (seed + 1) % 3), rng.random((2, 3)).astype(np.float32)),
                *(() if seed % 4 else ("already_differ",), {"l2": 0.5, "agreed": 1, "settings": {"turned": 1.0}}, 3),
                covered=rng.random((2, 10)) < 0.5,
                hidden=rng.random(4).astype(np.float16),
            )
        )  # fmt: skip
    with closing(Archive.create(folder, META)) as archive:
        records = [SeedRecord(f.seed, 0, f.label, (1, 1), "found", 1, 3, 6, f.id) for f in found]
        archive.commit_round(0, 6, rng.random((2, 10)) < 0.5, "d", records, found)
        archive.keep_shrunk({found[1].id: Shrunk(found[2].after, found[1].probabilities, {"l2": 0.25}, 9)})
        archive.answer(found[1].id, "ann", "valid", "2026-03-01")
    return folder


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return (sound(tmp_path_factory.mktemp("sound")) / FILE).read_bytes()


def uses(folder: Path, out: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """All that can be done with an archive that models are not needed for."""

    def writing(writer: Any, place: Path) -> Callable[[], object]:
        def write() -> object:
            with closing(Archive.open(folder)) as archive:
                return writer.write(archive, place)

        return write

    for name in FORMATS:
        yield name, writing(reporter(name), out / name)
    for name in EXPORTS:
        if name != "parquet" or "pyarrow" in sys.modules:
            yield f"export {name}", writing(exporter(name, every=True), out / f"export {name}")
    yield "shrunk", writing(exporter("png", shrunk=True), out / "shrunk")
    yield "merge", lambda: joined([folder, folder], out / "merged")
    yield "migrate", lambda: migrate(folder, out / "new")


def used(folder: Path, out: Path, only: tuple[str, ...] = ()) -> dict[str, str]:
    """What comes of each use: nothing, or the InputError."""
    came = {}
    for name, use in uses(folder, out):
        if only and name not in only:
            continue
        try:
            use()
            came[name] = ""
        except InputError as error:
            came[name] = str(error)
    return came


def altered(content: bytes, folder: Path, *statements: tuple[str, tuple[Any, ...]]) -> Path:
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(content)
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        for sql, values in statements:
            db.execute(sql, values)
    return folder


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


@pytest.mark.parametrize("text", EVIL, ids=lambda text: text[:12].encode().hex())
def test_text_stays_text(text: str, content: bytes, tmp_path: Path) -> None:
    """In every field at once where it may stand; no file is written but in the folder that was named."""
    kept = ("media", "decisions", "table")
    meta = {key: value if key in kept else everywhere(value, text) for key, value in META.items()}
    told = [("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(v), k)) for k, v in meta.items()]
    more = json.dumps({text: 1.0, "l2": 0.5, "why": text, "settings": {text: 1.0}})
    told += [
        ("UPDATE findings SET reasons = ?, measures = ? WHERE origin = 'search'", (json.dumps([text]), more))
    ]
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
