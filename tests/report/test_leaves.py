"""A model is wrong where the label stands; of a changed row it leaves its label."""

from __future__ import annotations

import pytest

from xplore.report import reporter
from xplore.report.summary import summary
from xplore.report.wording import why

FORMATS = ("html", "md")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("evidence", "stands"),
    [(None, False), ([], False), (["training"], False), (["reference_model", "training"], True)],
    ids=str,
)
def test_of_rows_a_reference_model_says_who_is_wrong(archives, tmp_path, format, evidence, stands):
    archive = archives.rows(tmp_path / "run", labelled=True, evidence=evidence)
    text = reporter(format).write(archive, tmp_path).read_text("utf-8")
    assert summary(archive)["label_stands"] is stands
    assert ("Who is wrong" in text, "wrong alone" in text) == (stands, stands)
    assert ("Who leaves the label" in text, "alone leaves it" in text) == (not stands, not stands)
    assert ("is wrong in" in text, "leaves the label in" in text) == (stands, not stands)


@pytest.mark.parametrize("format", FORMATS)
def test_of_pictures_the_bound_says_so(build, tmp_path, format):
    text = reporter(format).write(build(seeds=40), tmp_path).read_text("utf-8")
    assert "Who is wrong" in text and "leaves the label" not in text


@pytest.mark.parametrize("format", FORMATS)
def test_without_labels_nobody_is_wrong(archives, tmp_path, format):
    archive = archives.rows(tmp_path / "run", labelled=False, evidence=["reference_model"])
    text = reporter(format).write(archive, tmp_path).read_text("utf-8")
    assert summary(archive)["label_stands"] is False
    assert "is wrong in" not in text and "leaves the agreed answer" in text


def test_what_breaks_a_rule_says_which(build):
    from dataclasses import replace

    from xplore.report.reading import read

    row = read(build(seeds=20)).rows[0]
    one = replace(row, reasons=("beyond_bound",), measures={"breaks": "low is below high; no debt"})
    assert why(one) == "beyond the bound (breaks: low is below high; no debt)"
    assert why(replace(one, measures={})) == "beyond the bound"
    both = replace(one, reasons=("seed_wrong", "beyond_bound"))
    assert why(both).startswith("seed answered wrongly, beyond the bound (breaks: ")
