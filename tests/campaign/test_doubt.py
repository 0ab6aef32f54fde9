"""Evidence against a label puts a finding in doubt, apart from those that are valid."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

import xplore
from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.archive.tables import FILE
from xplore.campaign.doubt import ALL_SURE, NEARER, REFERENCE, SURE, doubts
from xplore.campaign.neighbours import Neighbours
from xplore.campaign.replay import rejudged
from xplore.constraints import Ball, Features
from xplore.data._base import Inputs
from xplore.inputs.media import from_png
from xplore.report import exporter, reporter

HOW: dict[str, Any] = {"constraint": Ball(0.4), "steps": 6, "tries": 2, "lanes": 8, "progress": False}
CLASS = st.integers(0, 2)


def run(**how: Any) -> xplore.Result:
    return xplore.run([tiny.one(), tiny.two()], tiny.images(), tiny.labels(), **(HOW | how))


@examples(60)
@given(data=st.data(), models=st.integers(1, 3), n=st.integers(1, 5))
def test_a_label_is_in_doubt_where_something_speaks_against_it(data: Any, models: int, n: int) -> None:
    def drawn(of: Any, *shape: int) -> np.ndarray:
        flat = data.draw(st.lists(of, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return np.array(flat).reshape(shape)

    expected, decisions = drawn(CLASS, n), drawn(CLASS, models, n)
    sure = drawn(st.sampled_from([0.3, SURE, 1.0, np.nan]), models, n)
    reference = data.draw(st.none() | st.just(drawn(CLASS, n)))
    nearer = data.draw(st.none() | st.just(drawn(st.booleans(), n)))
    for row, why in enumerate(doubts(expected, decisions, sure, reference, nearer)):
        others = [decisions[m, row] != expected[row] and sure[m, row] >= SURE for m in range(models)]
        assert (REFERENCE in why) == (reference is not None and reference[row] != expected[row])
        assert (NEARER in why) == (nearer is not None and bool(nearer[row]))
        assert (ALL_SURE in why) == all(others)


@examples(40)
@given(rng=st.integers(0, 2**32 - 1), n=st.integers(1, 12), d=st.integers(1, 4))
def test_nearer_inputs_of_another_class(rng: int, n: int, d: int) -> None:
    random = np.random.default_rng(rng)
    training, points = random.integers(0, 4, (n, d)), random.integers(0, 4, (5, d))
    classes, own = random.integers(-1, 3, n), random.integers(0, 3, 5)
    distance = np.sqrt(((points[:, None] - training) ** 2).sum(axis=-1))
    ours, others = classes == own[:, None], (classes != own[:, None]) & (classes >= 0)
    nearest = [np.where(of, distance, np.inf).min(axis=1) for of in (ours, others)]
    wanted = ours.any(axis=1) & others.any(axis=1) & (nearest[1] < nearest[0])
    known = Neighbours(training.astype(np.float32), classes)
    np.testing.assert_array_equal(known.nearer_another(points.astype(np.float32), own), wanted)
    assert not Neighbours(training.astype(np.float32)).nearer_another(points.astype(np.float32), own).any()


def contradicts(images: np.ndarray) -> np.ndarray:
    """A reference model that gives every changed image a class that none has, and seeds theirs."""
    known = {image.tobytes(): label for image, label in zip(tiny.images(), tiny.labels(), strict=True)}
    return np.array([known.get(image.tobytes(), tiny.CLASSES) for image in images])


def agrees(images: np.ndarray) -> np.ndarray:
    """A reference model that gives each image the label of the nearest seed."""
    apart = np.abs(tiny.images()[None] / 255 - images[:, None] / 255).max(axis=(2, 3, 4))
    return tiny.labels()[apart.argmin(axis=1)]


@pytest.mark.slow
def test_findings_that_the_reference_model_contradicts_are_apart(tmp_path: Path) -> None:
    told, free = run(reference_model=contradicts, out=tmp_path / "run"), run()
    figures, kept = told.summary, [f for f in told.findings if f.verdict == "in_doubt"]
    assert len(kept) == len(free.valid) > 3 and not told.valid
    assert all(finding.doubts == (REFERENCE,) and not finding.reasons for finding in kept)
    assert (figures["valid"], figures["in_doubt"]) == (0, len(kept))
    assert figures["in_doubt_by_reason"] == {REFERENCE: len(kept)}
    assert figures["evidence"] == ["reference_model"]
    assert figures["seeds_with_valid_finding"] == 0 and figures["groups"] == []
    assert figures["findings"] == figures["in_doubt"] + len([f for f in told.findings if f.reasons])
    assert not told.archive.coverage(valid=True).any() and told.archive.coverage().any()
    faults = rejudged(tmp_path / "run", [tiny.one(), tiny.two()]).faults
    assert all(faults[finding.id] == () for finding in kept)
    for kind in ("html", "md"):
        page = reporter(kind).write(told.archive, tmp_path / kind).read_text("utf-8")
        assert f"{len(kept)} findings are in doubt, and not counted as valid" in page
    with exporter("csv", every=True).write(told.archive, tmp_path).open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    verdicts = [(line["verdict"], line["doubts"]) for line in lines]
    assert verdicts.count(("in_doubt", REFERENCE)) == len(kept)
    with np.load(exporter("npz").write(told.archive, tmp_path)) as file:
        assert len(file["images"]) == 0


@pytest.mark.slow
def test_what_is_shown_decides_not_what_was_found() -> None:
    """A reference model that doubts large changes alone: findings are in doubt until they are shrunk."""
    far = 25.0

    def doubts_far(images: np.ndarray) -> np.ndarray:
        change = np.sqrt(((tiny.images()[None] / 255 - images[:, None] / 255) ** 2).sum(axis=(2, 3, 4)))
        return np.where(change.min(axis=1) > limit, tiny.CLASSES, tiny.labels()[change.argmin(axis=1)])

    limit = far
    sizes = [(f.measures["l2"], f.shrunk.measures["l2"]) for f in run().valid if f.shrunk]
    limit = float(np.median([small for _, small in sizes])) + 1e-3
    assert any(found > limit >= small for found, small in sizes) and any(small > limit for _, small in sizes)
    whole, as_found = run(reference_model=doubts_far), run(reference_model=doubts_far, shrink=False)
    for finding in whole.findings:
        assert finding.shrunk is not None
        if not finding.reasons:
            assert (finding.verdict == "in_doubt") == (finding.shrunk.measures["l2"] > limit)
    for finding in as_found.findings:
        if not finding.reasons:
            assert (finding.verdict == "in_doubt") == (finding.measures["l2"] > limit)
    assert whole.summary["valid_as_found"] == len(as_found.valid) < len(whole.valid)
    assert whole.summary["seeds_with_valid_finding"] == len(whole.valid)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pair", "data set"])
def test_training_inputs_of_another_class_put_a_finding_in_doubt(form: str) -> None:
    """The changed image itself, under another class, is the nearest that there can be."""
    free = run()
    changed = np.stack([from_png((f.shrunk or f).after) for f in free.valid])
    x = np.concatenate([tiny.images(), changed])
    y = np.concatenate([tiny.labels(), [(f.label + 1) % tiny.CLASSES for f in free.valid]])  # type: ignore[operator]
    training: Any = (x, y)
    if form == "data set":
        training = Inputs(x, y.astype(np.int64), "doubtful")
    told = run(training=training)
    assert not told.valid and told.summary["in_doubt_by_reason"][NEARER] == len(free.valid)
    assert told.summary["evidence"] == ["training"]
    same = run(training=(x, np.concatenate([tiny.labels(), [f.label for f in free.valid]])))  # type: ignore[list-item]
    assert len(same.valid) == len(free.valid) and run(training=x).summary["evidence"] == []


@pytest.mark.parametrize("labels", [[0] * 3, [9] * tiny.N, [0.5] * tiny.N, ["a"] * tiny.N], ids=range(4))
def test_labels_of_training_inputs_that_do_not_fit_are_refused(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels"):
        run(training=(tiny.images(), labels), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_evidence_only_the_bound_vouches(tmp_path: Path) -> None:
    told = run()
    assert told.summary["evidence"] == [] and told.summary["in_doubt"] == 0
    page = reporter("md").write(told.archive, tmp_path).read_text("utf-8")
    assert "Nothing but the bound vouches for the labels of these findings" in page


@pytest.mark.slow
def test_tables_have_doubts_too() -> None:
    pd = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(60, 3)).astype(np.float32), columns=list("abc"))

    def model(off: float) -> Any:
        kernel = np.array([[1, -1], [0.5 + off, 0], [0, 1]], np.float32)
        return xplore.Model(lambda w, x: x @ w, kernel, name=f"off{off}")

    y = (table.to_numpy() @ np.array([[1, -1], [0.5, 0], [0, 1]])).argmax(axis=1)
    how: dict[str, Any] = {"constraint": Features.infer(table), "steps": 6, "tries": 2, "progress": False}
    free = xplore.run([model(0), model(0.6)], table, y, **how)
    told = xplore.run(
        [model(0), model(0.6)], table, y, reference_model=lambda rows: np.full(len(rows), 7), **how
    )
    assert free.valid and not told.valid and told.summary["in_doubt"] == len(free.valid)


def altered(folder: Path, sql: str, *values: Any) -> None:
    with sqlite3.connect(folder / FILE) as db:
        db.execute(sql, values)


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [["x"], "x", [1], {"a": 1}, 5])
def test_a_record_that_contradicts_itself_is_damage(recorded: Any, tmp_path: Path) -> None:
    """Nobody makes a doubtful finding count by a byte, nor doubts by what is no text."""
    result = run(out=tmp_path / "run")
    finding = result.valid[0]
    measures = json.dumps({**(finding.shrunk or finding).measures, "doubts": recorded})
    result.archive.close()
    table, name = ("shrunk", "finding") if finding.shrunk else ("findings", "id")
    altered(tmp_path / "run", f"UPDATE {table} SET measures = ? WHERE {name} = ?", measures, finding.id)
    with pytest.raises(InputError, match="damage"):
        list(Archive.open(tmp_path / "run").findings())


@pytest.mark.slow
def test_doubts_that_do_not_hold_are_seen_by_a_replay(tmp_path: Path) -> None:
    result = run(reference_model=agrees, out=tmp_path / "run")
    finding: Finding = next(one for one in result.valid if one.shrunk)
    assert finding.shrunk is not None
    result.archive.close()
    recorded = {ALL_SURE: "all_sure_of_others is recorded", REFERENCE: "is said to give the label"}
    for doubt, told in recorded.items():
        measures = json.dumps({**finding.shrunk.measures, "doubts": [doubt]})
        altered(tmp_path / "run", "UPDATE shrunk SET measures = ? WHERE finding = ?", measures, finding.id)
        altered(tmp_path / "run", "UPDATE findings SET valid = 0 WHERE id = ?", finding.id)
        (why,) = rejudged(tmp_path / "run", [tiny.one(), tiny.two()], prefix=finding.id).faults.values()
        assert len(why) == 1 and told in why[0]
