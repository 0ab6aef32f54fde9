"""A small archive with all that one can hold, to be spoilt, and all that can be done with it; no JAX."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.migrate import migrate
from xplore.archive.records import Finding, SeedRecord, Shrunk, content_hash
from xplore.archive.tables import FILE
from xplore.campaign.merge import joined
from xplore.inputs.media import to_png
from xplore.report import EXPORTS, FORMATS, exporter, reporter

META: dict[str, Any] = {
    "id": "0a",
    "name": "digits",
    "created": "2026-01-02T03:04:05+00:00",
    "command": "xplore run mnist",
    "config": {"models": [{"use": "xplore.models.lenet:lenet1"}], "search": {"steps": 5}},
    "config_file": "mnist.toml",
    "models": [{"name": name, "digest": name * 32, "parameters": 9} for name in ("one", "two")],
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
    "gate": {"kind": "flips", "allow": 0.1, "trainings": 0, "decision": "failed", "flipped": [0], "lines": [
        {"where": "data", "of": None, "name": None, "flips": 1, "seeds": 2, "fails": True, "allowed": 0.1,
         "share": {"share": 0.5, "low": 0.2, "high": 0.8}, "void": "", "limit": "allow", "null": []}]},
    "runs": [],
    "merged": [],
}  # fmt: skip
MEASURES = {"l2": 0.5, "agreed": 1, "settings": {"turned": 1.0}}
READERS = ("html", "csv", "export png", "export npz", "merge", "migrate")


def sound(folder: Path) -> Path:
    """A small campaign with all that an archive can hold."""
    rng, found = np.random.default_rng(0), []
    for seed in range(6):
        before, after = (to_png(rng.integers(0, 256, (6, 6, 1), np.uint8)) for _ in range(2))
        found.append(
            Finding(
                *(content_hash(before + after)[:12], "search" if seed else "seed", seed, before, after),
                *("image/png", seed % 3, (seed % 3, (seed + 1) % 3), rng.random((2, 3)).astype(np.float32)),
                *(() if seed % 4 else ("already_differ",), MEASURES, 3),
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
