"""Exports: what retraining reads is what was found, with the labels that are expected."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tables
from PIL import Image
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from xplore._util.errors import InputError, MissingExtraError
from xplore.archive import Archive
from xplore.archive.labels import account
from xplore.archive.records import Finding, SeedRecord, Shrunk, content_hash
from xplore.cli import app
from xplore.data import photos
from xplore.inputs.media import NPY, SETS, from_png, to_npy, to_png, to_set
from xplore.inputs.table import Table
from xplore.report import EXPORTS, exporter

Build = Callable[..., Archive]
CLASSES = tuple("9876543210")
FRAME = tables.frame(3, 40)
WRONG = (("seed_wrong",), ())


def chosen(archive: Archive, every: bool = False) -> list[Finding]:
    return [f for f in archive.findings(origin=None if every else "search") if every or f.valid]


def vectors(folder: Path, media: str, columns: pd.DataFrame | None = None) -> Archive:
    """A campaign on rows of a table, or on sets."""
    table = None if columns is None else Table.infer(columns)
    layout = [{"name": name, "layers": [{"name": "fc", "kind": "dense", "units": 2}]} for name in "ab"]
    meta = {"models": [{"name": name} for name in "ab"], "layout": layout, "criteria": ["one"]}
    meta |= {"media": media, "classes": ["no", "yes"], "table": table and table.described()}
    if table is not None and columns is not None:
        inputs = [to_npy(row) for row in table.encode_inputs(columns)]
    else:
        inputs = [to_set(ones, [f"f{i}" for i in ones], 9) for ones in ([0, 4], [0, 4, 8], [1], [1, 2, 3])]
    archive = Archive.create(folder, meta)
    for seed, (before, after) in enumerate(zip(inputs[::2], inputs[1::2], strict=True)):
        told = Finding(
            *(content_hash(before + after)[:12], "search", seed, before, after, media, seed % 2, (0, 1)),
            *(np.full((2, 2), 0.5, np.float32), WRONG[seed % 5 > 0], {"l2": 0.5, "rule": "x"}, 3),
            covered=np.ones((1, 4), bool),
        )  # fmt: skip
        archive.commit([SeedRecord(seed, 0, seed % 2, (0, 0), "found", finding=told.id)], [told])
    return archive


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Archive]:
    with closing(vectors(tmp_path / "table", NPY, FRAME)) as archive:
        yield archive


@pytest.mark.parametrize("every", [False, True])
def test_pictures_are_read_back_as_seeds(every: bool, build: Build, tmp_path: Path) -> None:
    archive = build(seeds=40, classes=CLASSES)
    folder = exporter("png", every=every).write(archive, tmp_path)
    findings = chosen(archive, every)
    if every:
        assert any(not f.valid for f in findings) and any(f.origin == "seed" for f in findings)
        findings = [f for f in findings if f.expected is not None]
    read = photos.load(folder, size=28, crop=1.0, classes=list(CLASSES))
    assert read.images.shape[1:] == (28, 28, 1)
    assert photos.load(folder, size=28, channels=3, classes=list(CLASSES)).images.shape[1:] == (28, 28, 3)
    assert read.labels is not None and len(read.images) == len(chosen(archive, every)) > 10
    assert {*folder.glob("*.png")} | {folder / "labels.csv"} == {*folder.iterdir()}
    for image, label, f in zip(read.images, read.labels, findings, strict=True):
        np.testing.assert_array_equal(image, from_png(f.after))
        assert int(label) == f.expected
    assert len(set(read.labels.tolist())) > 3
    with Image.open(next(folder.glob("*.png"))) as image:
        assert image.mode == "L" and not image.info


def test_classes_with_names_that_tell_nothing_are_told_by_their_numbers(build: Build, tmp_path: Path) -> None:
    classes = ("", "=SUM(A1)", "a cat", "A_Cat", "dog", "x", "y", "z", "v", "w")
    archive = build(seeds=40, classes=classes)
    with (exporter("png").write(archive, tmp_path) / "labels.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    assert {line["label"] for line in told} <= {"0", "1", "2", "3", *classes[4:]}
    assert any(line["label"] in classes[4:] for line in told) and any(
        line["label"] in "0123" for line in told
    )
    assert [int(line["number"]) for line in told] == [f.expected for f in chosen(archive)]


@pytest.mark.parametrize(
    "traits", [{"seeds": 40}, {"seeds": 40, "labelled": False}, {"seeds": 8, "photographs": 20}]
)
def test_arrays_load_in_one_line(traits: dict[str, int], build: Build, tmp_path: Path) -> None:
    archive = build(**traits)
    path, findings = exporter("npz").write(archive, tmp_path), chosen(archive)
    with np.load(path) as data:
        assert data["images"].dtype == np.uint8
        np.testing.assert_array_equal(data["images"], np.stack([from_png(f.after) for f in findings]))
        assert data["labels"].tolist() == [f.expected for f in findings] != []
        assert data["ids"].tolist() == [f.id for f in findings]
        assert data["decisions"].tolist() == [list(f.decisions) for f in findings]
        assert data["seeds"].tolist() == [f.seed for f in findings] and {*data["campaigns"].tolist()} == {1}
    before = path.read_bytes()
    assert exporter("npz").write(archive, tmp_path).read_bytes() == before


def test_a_table_is_its_columns_in_their_dtypes(table: Archive, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path, valid = exporter("parquet").write(table, tmp_path), chosen(table)
    data, meta = pd.read_parquet(path), pd.read_parquet(path.with_name("findings.meta.parquet"))
    kept = FRAME.iloc[[2 * f.seed + 1 for f in valid]].reset_index(drop=True)
    assert len(valid) == 16 and [*data] == [*map(str, FRAME), "label"]
    expected = pd.DataFrame({str(name): kept[name] for name in FRAME.columns})
    pd.testing.assert_frame_equal(data[list(expected)], expected, check_exact=False)
    assert data["label"].tolist() == meta["label"].tolist() == [f.expected for f in valid]
    assert meta["rule"].tolist() == ["x"] * 16 and meta["id"].tolist() == [f.id for f in valid]
    model = LogisticRegression().fit(data[["age", "rate", "small"]], data["label"])  # retraining
    assert model.classes_.tolist() == [0, 1]


def test_a_table_in_lines(table: Archive, tmp_path: Path) -> None:
    valid = chosen(table)
    told = pd.read_json(exporter("jsonl").write(table, tmp_path), lines=True)
    path = exporter("csv").write(table, tmp_path)
    cells, meta = pd.read_csv(path), pd.read_csv(path.with_name("findings.meta.csv"), dtype={"id": str})
    assert told["id"].tolist() == meta["id"].tolist() == [f.id for f in valid]
    assert [*cells] == [*map(str, FRAME), "label"] and not {*FRAME} & {*meta}
    for lines in (told, cells):
        assert lines["label"].tolist() == [f.expected for f in valid]
        for name in ("age", "rate", "job", "level", "flag"):
            came = FRAME[name].iloc[[2 * f.seed + 1 for f in valid]].tolist()
            assert lines[name].tolist() == (pytest.approx(came, rel=1e-6) if name == "rate" else came)


LABELS = {
    "words": pd.Series(["yes", "no"], name="bought"),
    "an object": pd.Series(["yes", "no"], name="bought", dtype=object),
    "categories": pd.Series(pd.Categorical(["yes", "no"], ["yes", "no", "maybe"], ordered=True), name="c"),
    "truth": pd.Series([True, False], name="owner"),
    "numbers": pd.Series([1, 0], name="y", dtype="int8"),
    "numbers of their own": pd.Series([2, 1], name=3),
    "no series": np.array(["yes", "no"]),
    "none": None,
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("frame", [FRAME, tables.gappy(3, 40)], ids=["plain", "gaps"])
def test_rows_go_below_the_table_that_they_came_from(kind: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Whatever the labels are called and made of; what is missing stays so, and dates are dates."""
    pytest.importorskip("pyarrow")
    y = LABELS[kind]
    names = ["no", "yes"] if y is None else [y[1], y[0]]
    with closing(vectors(tmp_path / "a", NPY, frame)) as archive:
        archive.note(label=account(y, names, 2))
        path, valid = exporter("parquet").write(archive, tmp_path), chosen(archive)
        lines = pd.read_json(exporter("jsonl").write(archive, tmp_path), lines=True)
    rows, name = pd.read_parquet(path), str(getattr(y, "name", None) or "label")
    words = [["no", "yes"][f.expected] if y is None else [y[1], y[0]][f.expected] for f in valid]
    assert rows[name].tolist() == words and lines["label"].tolist() == words
    table = frame.rename(columns=str)
    table[name] = (
        pd.Series(["yes", "no"] * 20) if y is None else pd.concat([pd.Series(y)] * 20, ignore_index=True)
    )
    together = pd.concat([table, rows], ignore_index=True)
    assert [*together] == [*table] and (together.dtypes == table.dtypes).all()
    kept = table.drop(columns=name).iloc[[2 * f.seed + 1 for f in valid]].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows.drop(columns=name), kept, check_exact=False, rtol=1e-6)
    with (
        closing(Archive.open(tmp_path / "a")) as again,
        np.load(exporter("npz").write(again, tmp_path)) as data,
    ):
        assert data["labels"].tolist() == words
        assert np.isnan(data["rows"]).any() == (frame is not FRAME)


def test_a_label_that_is_not_known_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with closing(vectors(tmp_path / "a", NPY, FRAME)) as archive:
        archive.note(label=account(np.array([1, 0]), (), 2))
        first = next(archive.findings(origin="search"))
        path = exporter("parquet", every=True).write(archive, tmp_path)
        assert pd.read_parquet(path)["label"].dtype == "int64" and first.expected in (0, 1)


def test_a_column_whose_name_is_taken_is_told_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": np.arange(8.0) / 3, "seed": np.arange(8) % 5, "x": np.arange(8) % 3})
    with closing(vectors(tmp_path / "a", NPY, frame)) as archive:
        line = json.loads(exporter("jsonl").write(archive, tmp_path).read_text().splitlines()[0])
        f = chosen(archive)[0]
        assert (line["label"], line["seed"], line["x"]) == (f.label, f.seed, frame["x"][2 * f.seed + 1])
        assert line["feature:seed"] == frame["seed"][2 * f.seed + 1]
        cells = pd.read_csv(exporter("csv").write(archive, tmp_path))
        assert [*cells] == ["label", "seed", "x", "expected"] and cells["expected"][0] == f.expected
        with np.load(exporter("npz").write(archive, tmp_path)) as data:
            assert data["columns"].tolist() == ["label", "seed", "x"]
            np.testing.assert_array_equal(data["rows"][0], frame.iloc[2 * f.seed + 1].to_numpy(np.float32))


def test_sets_by_where_they_are_one(tmp_path: Path) -> None:
    with closing(vectors(tmp_path / "a", SETS)) as archive:
        with np.load(exporter("npz", every=True).write(archive, tmp_path)) as data:
            assert data["indices"].tolist() == [0, 4, 8, 1, 2, 3] and data["indptr"].tolist() == [0, 3, 6]
            assert data["shape"].tolist() == [2, 9]
        pytest.importorskip("pyarrow")
        frame = pd.read_parquet(exporter("parquet", every=True).write(archive, tmp_path))
        assert [list(ones) for ones in frame["features"]] == [[0, 4, 8], [1, 2, 3]]
        with pytest.raises(InputError, match="a campaign on images"):
            exporter("png").write(archive, tmp_path)


def test_images_as_parquet(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("xplore.report.parquet.GROUP", 7)
    archive = build(seeds=60, labelled=False)
    frame, every = (
        pd.read_parquet(exporter("parquet", every=True).write(archive, tmp_path)),
        chosen(archive, True),
    )
    assert frame["image"].tolist() == [f.after for f in every] and len(every) > 14
    assert frame["label"].isna().tolist() == [f.expected is None for f in every]
    assert frame["l2"].tolist() == [f.measures["l2"] for f in every]
    assert frame["valid"].tolist() == [f.valid and f.origin == "search" for f in every]
    assert frame["decision:lenet4"].tolist() == [f.decisions[1] for f in every]


@pytest.mark.parametrize("format", EXPORTS)
def test_the_smallest_change_in_place_of_the_first(
    format: str, build: Build, archives, tmp_path: Path
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    small = to_png(np.full((28, 28, 1), 7, np.uint8))
    with closing(archives.build(tmp_path / "run", seeds=20)) as archive:
        first, second, *_ = chosen(archive)
        archive.keep_shrunk({first.id: Shrunk(small, first.probabilities, {"l2": 0.125}, 9)})
        found = exporter(format).write(archive, tmp_path / "a")
        least = exporter(format, shrunk=True).write(archive, tmp_path / "b")
    if format == "png":
        one, two = (next(folder.glob(f"*{first.id}.png")).read_bytes() for folder in (found, least))
        assert (from_png(one) == from_png(first.after)).all() and (from_png(two) == 7).all()
    elif format == "npz":
        assert (np.load(found)["images"][0] == from_png(first.after)).all() and (
            np.load(least)["images"][0] == 7
        ).all()
        assert (np.load(least)["images"][1] == from_png(second.after)).all()
    else:
        read = {
            "csv": pd.read_csv,
            "parquet": pd.read_parquet,
            "jsonl": lambda path: pd.read_json(path, lines=True),
        }
        one, two = read[format](found), read[format](least)
        assert two["l2"][0] == 0.125 != one["l2"][0] and two["l2"][1] == one["l2"][1]


@pytest.mark.parametrize("format", EXPORTS)
@pytest.mark.parametrize(
    "traits", [{"found": 0.0}, {"seeds": 0}, {"missing": ("layout", "criteria", "models")}]
)
def test_nothing_to_export_is_no_error(format: str, traits: dict, build: Build, tmp_path: Path) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    path = exporter(format).write(build(**{"seeds": 12, **traits}), tmp_path)
    assert path.exists() and not list(tmp_path.rglob("*.part"))
    if format == "npz":
        assert len(np.load(path)["labels"]) == len(np.load(path)["images"]) == 0
    if format == "parquet":
        assert len(pd.read_parquet(path)) == 0


def test_the_command(archives, tmp_path: Path) -> None:
    archives.build(tmp_path / "run", seeds=20).close()
    invoke = CliRunner().invoke
    for format, name in {"csv": "findings.csv", "png": "images", "npz": "findings.npz"}.items():
        done = invoke(app, ["export", str(tmp_path / "run"), "--format", format])
        assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "run" / "export" / name))
    one, every = (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (
        invoke(app, ["export", str(tmp_path / "run"), "--format", "jsonl", "--out", str(one)]).exit_code == 0
    )
    assert (
        invoke(
            app, ["export", str(tmp_path / "run"), "--format", "jsonl", "--all", "--out", str(every)]
        ).exit_code
        == 0
    )
    assert 0 < len(one.read_text().splitlines()) < len(every.read_text().splitlines())
    done = invoke(app, ["export", str(tmp_path / "run"), "--format", "pdf"])
    assert isinstance(done.exception, InputError) and "one of png, npz, parquet, csv, jsonl" in str(
        done.exception
    )


def test_parquet_names_its_extra(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pyarrow.*xplore-tests\[parquet"):
        exporter("parquet").write(build(seeds=12), tmp_path)


MEMORY = """
import gc, json, sys, tracemalloc
from contextlib import closing
from pathlib import Path
from xplore.archive import Archive
from xplore.report import EXPORTS, exporter, parquet
parquet.GROUP = 4
gc.set_threshold(50)
def peak(name, archive, out):
    tracemalloc.start()
    exporter(name).write(archive, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak

told = {}
for folder in map(Path, sys.argv[2:]):
    with closing(Archive.open(folder)) as archive:
        for name in sys.argv[1].split():  # Python's own tables grow at times
            told.setdefault(name, []).append(min(peak(name, archive, folder / "out") for _ in range(2)))
print(json.dumps(told))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_findings(archives, tmp_path: Path) -> None:
    formats = [name for name in EXPORTS if name != "parquet" or importlib.util.find_spec("pyarrow")]
    folders = [tmp_path / "few", tmp_path / "many"]
    for folder, seeds in zip(folders, (20, 150), strict=True):
        archives.build(folder, seeds=seeds, photographs=64).close()
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, " ".join(formats), *map(str, folders)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert {*told} == {*formats}
    for name, (few, many) in told.items():
        assert 0 < many < few + 300_000, (name, few, many)
