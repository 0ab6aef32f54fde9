"""Every format: written, read again, equal; and what it does with hostile or odd input."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xplore._util.errors import InputError
from xplore.report import FORMATS, reporter
from xplore.report.csv import safe
from xplore.report.markdown import cell
from xplore.report.pictures import decode, difference, enlarge, png, sheet, triptych
from xplore.report.summary import summary
from xplore.report.words import short_names

CAMPAIGNS = {
    "usual": {},
    "none found": {"found": 0.0},
    "none valid": {"valid": False},
    "no labels": {"labelled": False},
    "two models": {"models": ("float32", "int8")},
    "six models": {"models": tuple(f"a-model-with-a-long-name-{i}/tuned" for i in range(6))},
    "photographs": {"seeds": 6, "photographs": 80, "classes": tuple(f"class {i}" for i in range(1000))},
    "no seeds": {"seeds": 0},
    "killed": {"missing": ("seconds", "finished", "versions", "queries", "steps", "models", "classes")},
    "killed at once": {"missing": ("layout", "criteria", "models", "name", "config")},
}


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_every_campaign(build, tmp_path, format, campaign):
    archive = build(**{"seeds": 12, **CAMPAIGNS[campaign]})
    path = reporter(format).write(archive, tmp_path / "out")
    assert path.exists()
    assert path.parent == tmp_path / "out"
    before = path.read_bytes() if path.is_file() else sorted(p.name for p in path.iterdir())
    reporter(format).write(archive, tmp_path / "out")
    after = path.read_bytes() if path.is_file() else sorted(p.name for p in path.iterdir())
    assert before == after, "written twice, the same"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("format", ["html", "md", "json"])
def test_what_was_noticed_of_the_models_is_said(build, tmp_path, format):
    archive = build(seeds=12, meta={"notes": ["int8 is judged alone, as its answers depend on a batch"]})
    path = reporter(format).write(archive, tmp_path / "out")
    assert "int8 is judged alone, as its answers depend on a batch" in path.read_text()


def test_a_path_of_the_kind_is_taken_as_the_file(build, tmp_path):
    archive = build(seeds=24)
    assert reporter("json").write(archive, tmp_path / "a.json") == tmp_path / "a.json"
    assert reporter("md").write(archive, tmp_path / "a.md") == tmp_path / "a.md"
    assert (tmp_path / "a_pictures").is_dir()


def test_an_unknown_format_names_the_known():
    with pytest.raises(InputError, match=r"html, md, png, json, csv, junit.*'pdf'"):
        reporter("pdf")


def test_a_place_that_cannot_be_written_is_told(build, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can be written"):
        reporter("json").write(build(seeds=24), tmp_path / "file" / "x")


def test_json_read_again_is_the_summary(build, tmp_path):
    archive = build(seeds=24)
    assert json.loads(reporter("json").write(archive, tmp_path).read_text()) == summary(archive)


def test_csv_read_again_is_the_findings(build, tmp_path):
    archive = build(seeds=60)
    path = reporter("csv").write(archive, tmp_path)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    findings = list(archive.findings(origin=None))
    assert [line["id"] for line in lines] == [f.id for f in findings]
    for line, f in zip(lines, findings, strict=True):
        assert int(line["seed"]) == f.seed
        assert float(line["l2"]) == f.measures["l2"]
        assert tuple(line["reasons"].split()) == f.reasons
        assert int(line["valid"]) == (f.valid and f.origin == "search")
        assert int(line["decision:lenet4"]) == f.decisions[1]
        assert float(line["confidence:lenet1"]) == pytest.approx(f.probabilities[0, f.decisions[0]])


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text):
    start = str(safe(text)).lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not start or re.fullmatch(r"[+-][\d.]+", text)


def test_class_names_in_csv_are_no_formulas(build, tmp_path):
    archive = build(seeds=24, classes=tuple(f"=HYPERLINK({i})" for i in range(10)))
    text = reporter("csv").write(archive, tmp_path).read_text()
    assert "'=HYPERLINK" in text
    assert not re.search(r'(^|,|")=HYPERLINK', text)


@given(st.text(max_size=30))
def test_a_markdown_cell_stays_a_cell(text):
    shown = cell(text)
    assert "<" not in shown and "\n" not in shown
    assert not re.search(r"(?<!\\)\|", shown.replace("\\\\", ""))


def test_markdown_links_lead_to_pictures(build, tmp_path):
    path = reporter("md").write(build(seeds=60), tmp_path)
    text = path.read_text()
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert links
    assert len(text) < 60_000
    for link in links:
        with Image.open(tmp_path / link) as image:
            image.verify()


def test_png_writes_one_picture_a_valid_finding(build, tmp_path):
    archive = build(seeds=60)
    folder = reporter("png").write(archive, tmp_path)
    valid = [f for f in archive.findings() if f.valid]
    written = sorted(p.name for p in folder.glob("*-*.png"))
    assert len(written) == len(valid)
    assert all(any(name.startswith(f"{f.seed:07d}-{f.id}") for name in written) for f in valid)
    with Image.open(folder / written[0]) as image:
        assert image.size == (3 * 224 + 2 * 8, 224)
    with Image.open(folder / "overview.png") as image:
        assert image.width > 300


def test_a_difference_shows_direction_and_place():
    before = np.full((20, 20), 100, np.uint8)
    after = before.copy()
    after[2, 3], after[10, 11] = 140, 60
    change, times = difference(Image.fromarray(before), Image.fromarray(after))
    pixels = np.asarray(change).astype(int)
    assert times == pytest.approx(255 / 40)
    assert pixels[2, 3, 0] > pixels[2, 3, 2], "brighter is orange"
    assert pixels[10, 11, 2] > pixels[10, 11, 0], "darker is blue"
    assert (pixels[5, 5] > 200).all()


def test_no_difference_is_no_error():
    same = Image.new("RGB", (5, 4), "red")
    assert difference(same, same)[1] == 1.0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_mode_are_read(mode):
    image = decode(png(Image.new(mode, (6, 5))))
    assert image.mode in ("L", "RGB")
    assert image.size == (6, 5)
    assert triptych(image, image).height == enlarge(image, 224).height


def test_a_damaged_picture_is_told():
    with pytest.raises(InputError, match="PNG"):
        decode(b"\x89PNG no")


def test_a_sheet_keeps_every_picture():
    images = [Image.new("L", (4, 3), i) for i in range(7)]
    page = sheet(images, columns=3)
    assert page.size == (12, 9)
    assert [page.getpixel((i % 3 * 4, i // 3 * 3)) for i in range(7)] == list(range(7))


@given(st.lists(st.text("abc-/12", min_size=1, max_size=60), min_size=1, max_size=6), st.integers(8, 20))
def test_short_names_are_short(names, most):
    assert all(len(name) <= most for name in short_names(names, most))


@given(st.text("abc-", max_size=40), st.text("abc-", max_size=40), st.integers(2, 6))
def test_short_names_tell_models_apart(head, tail, models):
    names = [f"{head}{i}{tail}" for i in range(models)]
    assert len(set(short_names(names))) == models
