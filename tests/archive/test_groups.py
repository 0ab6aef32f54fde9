"""Fault groups: the same disagreement, parted only where the hidden layers fall into clusters."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from archives import build
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score

from xplore.archive import Archive
from xplore.archive.fault_groups import REASONABLE, clusters, fault_groups, silhouette
from xplore.archive.records import Finding, SeedRecord, content_hash
from xplore.inputs.media import to_png
from xplore.report.reading import read
from xplore.report.summary import figures


def blobs(rng: int, centres: int, apart: float, each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rng)
    labels = np.repeat(np.arange(centres), each)
    places = np.eye(max(centres, 2), 6) * apart
    return places[labels] + random.normal(0, 0.1, (len(labels), 6)), labels


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Are two clusterings equal but for their numbers?"""
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


@examples(30)
@given(rng=st.integers(0, 2**32 - 1), centres=st.integers(2, 6))
def test_clusters_far_apart_are_found(rng: int, centres: int) -> None:
    points, labels = blobs(rng, centres, apart=3.0)
    order = np.random.default_rng(rng).permutation(len(points))
    assert same(clusters(points[order]), labels[order])


@examples(30)
@given(rng=st.integers(0, 2**32 - 1), count=st.integers(2, 40))
def test_one_cloud_is_one_cluster(rng: int, count: int) -> None:
    points = np.random.default_rng(rng).normal(size=(count, 12))
    assert not clusters(points).any()


def test_points_that_are_equal_are_one_cluster() -> None:
    assert not clusters(np.ones((20, 3))).any() and not clusters(np.zeros((20, 0))).any()


@examples(30)
@given(rng=st.integers(0, 2**32 - 1), count=st.integers(2, 5))
def test_the_silhouette_and_the_linkage_are_those_of_scikit_learn(rng: int, count: int) -> None:
    points, _ = blobs(rng, 3, apart=1.0)
    cut = AgglomerativeClustering(count, linkage="average").fit_predict(points)
    between = np.linalg.norm(points[:, None] - points, axis=-1)
    assert silhouette(between, cut) == pytest.approx(silhouette_score(points, cut))
    scores = []
    for k in range(2, 11):
        labels = AgglomerativeClustering(k, linkage="average").fit_predict(points)
        scores.append((silhouette_score(points, labels), labels))
    best = max(scores, key=lambda scored: scored[0])
    expected = best[1] if best[0] >= REASONABLE else np.zeros(len(points), int)
    assert same(clusters(points), expected)


def archive(folder: Path, hidden: np.ndarray, widths: list[int]) -> Archive:
    """One disagreement, with these hidden layers; one finding of another."""
    layers = [{"name": "fc", "kind": "dense", "units": 4}]
    meta = {
        "layout": [{"name": name, "layers": layers} for name in "ab"],
        "criteria": ["NC"],
        "hidden": widths,
    }
    made, rng = Archive.create(folder, meta), np.random.default_rng(0)
    for seed, row in enumerate([*hidden, hidden[0]]):
        before, after = (to_png(rng.integers(0, 256, (8, 8, 1), np.uint8)) for _ in range(2))
        name, odd = content_hash(before + after)[:12], seed == len(hidden)
        judged = ((0, 2) if odd else (0, 1), np.full((2, 3), 1 / 3, np.float32), (), {"l2": 1.0}, 1)
        rest = (np.ones((1, 8), bool), row.astype(np.float16))
        found = Finding(name, "search", seed, before, after, "image/png", 0, *judged, *rest)
        made.commit([SeedRecord(seed, 0, 0, (0, 0), "found", 1, 1, 2, name)], [found])
    return made


def test_a_disagreement_with_two_clusters_is_two_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only some are clustered, and the others join them; a second model's numbers are larger."""
    points, labels = blobs(0, 2, apart=3.0, each=15)
    points[:5] = points[15:20]  # ten of the one, twenty of the other
    labels[:5] = 1
    hidden = np.concatenate([points, 10 * points], axis=1)
    for most in (1000, 12):
        monkeypatch.setattr("xplore.archive.fault_groups.MOST", most)
        with closing(archive(tmp_path / str(most), hidden, [6, 6])) as made:
            part = fault_groups(made)
            reading = read(made)
            found = np.array([part[row.id] for row in reading.rows])[:-1]
            assert same(found, labels) and part[reading.rows[-1].id] == 0
            if most == 1000:
                told = [
                    (group.decisions, group.part, group.parts, len(group.rows)) for group in reading.groups
                ]
                assert told == [((0, 1), 0, 2, 20), ((0, 1), 1, 2, 10), ((0, 2), 0, 1, 1)]
                assert [group["parts"] for group in figures(reading)["groups"]] == [2, 2, 1]


def test_each_model_counts_alike(tmp_path: Path) -> None:
    """A model whose numbers are large, and say nothing, does not drown one that tells two faults apart."""
    points, labels = blobs(1, 2, apart=3.0)
    loud = 100 + np.random.default_rng(1).normal(0, 1, (20, 6))
    hidden = np.concatenate([points, loud], axis=1)
    with closing(archive(tmp_path, hidden, [6, 6])) as made:
        found = np.array([fault_groups(made)[row.id] for row in read(made).rows])[:-1]
    assert same(found, labels)


@pytest.mark.slow
def test_findings_without_hidden_layers_are_parted_by_disagreement_alone(tmp_path: Path) -> None:
    with closing(build(tmp_path, seeds=60)) as made:
        reading = read(made)
        disagreements = {(row.expected, row.decisions) for row in reading.valid}
        assert {group.parts for group in reading.groups} == {1} and len(reading.groups) == len(
            disagreements
        ) > 5
