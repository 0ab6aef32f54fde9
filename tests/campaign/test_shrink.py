"""A finding's smallest change still shows it, keeps its bound, and has nothing in it that was not needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import CONSTRAINTS, examples, pictures, relatives

import xplore
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.campaign import run as api
from xplore.campaign.findings import packed, unpacked
from xplore.campaign.shrink import MOST_QUERIES, Shrinking, blocks, walk
from xplore.constraints import Affine, Ball, Chain, Features, Occlusion
from xplore.inputs.encoding import decode
from xplore.inputs.media import from_npy, from_png


def reduced(change: np.ndarray, pieces: list[np.ndarray], shows: Callable[[np.ndarray], bool]) -> np.ndarray:
    """What a walk ends with."""
    steps, best = walk(change, pieces), change
    tried = next(steps)
    while True:
        answer = shows(tried)
        best = tried if answer else best
        try:
            tried = steps.send(answer)
        except StopIteration:
            return best


@examples(60)
@given(
    needed=st.sets(st.integers(0, 19), min_size=1, max_size=5),
    size=st.floats(0.3, 1.0),
    least=st.floats(0.05, 0.29),
)
def test_only_what_is_needed_is_left(needed: set[int], size: float, least: float) -> None:
    """Where it takes some numbers of at least a size, those are left, hardly larger; no other is."""
    change, at = np.full(20, size), np.array(sorted(needed))
    tiles = [np.arange(20) // 8, np.arange(20) // 3, np.arange(20)]
    left = reduced(change, tiles, lambda tried: bool((tried[at] >= least).all()))
    assert set(np.flatnonzero(left).tolist()) == needed
    assert (left[at] >= least).all() and (left[at] <= least + size / 2**5).all()


@examples(30)
@given(rng=st.integers(0, 2**32 - 1), size=st.integers(1, 30))
def test_whatever_shows_it_the_walk_ends_with_what_shows_it(rng: int, size: int) -> None:
    """Also where a smaller change shows it less surely than a larger one."""
    random = np.random.default_rng(rng)
    change, asked = random.normal(size=size), []

    def shows(tried: np.ndarray) -> bool:
        asked.append(tried)
        return bool(random.random() < 0.5)

    best = reduced(change, [np.arange(size) // 4, np.arange(size)], shows)
    assert all(tried.any() and (np.abs(tried) <= np.abs(change)).all() for tried in asked)
    assert (np.sign(best) * np.sign(change) >= 0).all()


@given(size=st.integers(1, 3000))
def test_blocks_cover_every_number(size: int) -> None:
    for piece in blocks(size):
        assert len(piece) == size and set(piece.tolist()) == set(range(piece.max() + 1))
        assert piece.max() < 64 and (np.diff(piece) >= 0).all()


SHAPE = (10, 10, 1)
CHARTS = [
    pytest.param(chart, id=type(chart).__name__)
    for chart in (Occlusion(4, 4), Chain((Affine(), Occlusion(4, 4))))
]


@pytest.fixture(scope="module")
def panel() -> Any:
    return relatives(1, SHAPE, channels=())


@pytest.fixture
def campaigns(monkeypatch: pytest.MonkeyPatch) -> list[Campaign]:
    """The campaigns that `xplore.run` runs."""
    made: list[Campaign] = []

    class Kept(Campaign):
        def __init__(self, *parts: Any, **how: Any) -> None:
            super().__init__(*parts, **how)
            made.append(self)

    monkeypatch.setattr(api, "Campaign", Kept)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("chart", CHARTS)
def test_the_smallest_change_shows_the_same_within_the_bound(chart: Any, panel: Any, tmp_path: Path) -> None:
    images, out = pictures(0, 60, SHAPE), tmp_path / "run"
    result = xplore.run(panel.models, images, constraint=chart, lanes=16, out=out, progress=False)
    plain = jax.jit(panel.plain)
    smaller = 0
    for found in result.findings:
        less = found.shrunk
        assert less is not None and 1 <= less.queries <= MOST_QUERIES
        seed, after = decode(from_png(found.before)[None]), decode(from_png(less.after)[None])
        assert tuple(np.asarray(plain(after)).argmax(axis=-1)[:, 0].tolist()) == found.decisions
        assert (after != seed).any()
        if not chart.needs_latents:
            assert chart.within(seed, after)[0]
            np.testing.assert_allclose(
                less.measures["l2"], np.linalg.norm(np.asarray(after - seed)), rtol=1e-4
            )
        else:
            moved = {name: abs(value) for name, value in found.measures["settings"].items()}
            assert all(abs(v) <= moved[name] + 1e-4 for name, v in less.measures["settings"].items())
        smaller += less.after != found.after
    assert len(result.findings) > 3
    assert smaller > len(result.findings) / 2
    result.archive.close()


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped(panel: Any, tmp_path: Path, campaigns: list[Campaign]) -> None:
    images = pictures(0, 100, SHAPE)
    how: dict[str, Any] = {"constraint": Ball(0.3), "lanes": 8, "progress": False}
    whole = xplore.run(panel.models, images, **how, out=tmp_path / "whole")
    cut = xplore.run(panel.models, images, **how, out=tmp_path / "cut", shrink=False)
    assert [f.shrunk for f in cut.findings] == [None] * len(whole.findings)
    with closing(Archive.open(tmp_path / "cut", write=True)) as archive:
        done = sum(islice(Shrinking(campaigns[-1].judge, SHAPE).run(archive), 2))
        assert 0 < done < len(whole.findings) == done + len(archive.unshrunk())
        done += sum(Shrinking(campaigns[-1].judge, SHAPE).run(archive))
        assert done == len(whole.findings) and not archive.unshrunk()
    for one, other in zip(whole.findings, cut.findings, strict=True):
        assert (one.id, one.shrunk.after, one.shrunk.queries) == (
            other.id,
            other.shrunk.after,
            other.shrunk.queries,
        )


@pytest.mark.slow
def test_a_stop_ends_it_after_the_running_batch(
    panel: Any, tmp_path: Path, campaigns: list[Campaign]
) -> None:
    how: dict[str, Any] = {"constraint": Ball(0.3), "lanes": 8, "progress": False, "shrink": False}
    xplore.run(panel.models, pictures(0, 40, SHAPE), **how, out=tmp_path / "cut")
    with closing(Archive.open(tmp_path / "cut", write=True)) as archive:
        left = len(archive.unshrunk())
        assert list(Shrinking(campaigns[-1].judge, SHAPE).run(archive, lambda: True)) == []
        assert len(archive.unshrunk()) == left > 0


def rows(n: int = 80) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 10, (n, 6)).round(1).astype(np.float32)


def sums(name: str, weights: list[float]) -> xplore.Model:
    """Is a weighted sum above its mean?"""
    w = np.stack([np.zeros(6), np.array(weights)], axis=1).astype(np.float32)
    return xplore.Model(lambda p, x: (x - 5) @ p["w"], {"w": w}, name=name)


@pytest.mark.slow
def test_features_are_put_back_one_by_one(tmp_path: Path) -> None:
    """The models differ in one feature alone: what else changed was mostly not needed."""
    models = [sums("plain", [1, 1, 1, 1, 1, 0]), sums("also", [1, 1, 1, 1, 1, 0.9])]
    table, out = rows(), tmp_path / "run"
    chart = Features.infer(table, changes=4)
    result = xplore.run(models, table, constraint=chart, lanes=16, out=out, progress=False)
    fewer = 0
    assert len(result.findings) > 20
    for found in result.findings:
        seed, after, less = map(from_npy, (found.before, found.after, found.shrunk.after))
        changed, needed = set(np.flatnonzero(after != seed)), set(np.flatnonzero(less != seed))
        assert needed and needed <= changed
        assert found.shrunk.measures["changed"] == len(needed)
        decided = [int((less - 5) @ model.params["w"][:, 1] > 0) for model in models]
        assert tuple(decided) == found.decisions
        for at in needed if len(needed) > 1 else ():
            back = np.where(np.arange(6) == at, seed, less)
            assert tuple(int((back - 5) @ m.params["w"][:, 1] > 0) for m in models) != found.decisions
        fewer += needed < changed
    assert fewer > len(result.findings) / 3
    result.archive.close()


@pytest.mark.slow
def test_what_was_beyond_the_bound_shrinks_without_it(tmp_path: Path) -> None:
    """The original's way may leave the bound; then nothing keeps what is smaller inside."""
    how: dict[str, Any] = {"search": xplore.search.Original(), "steps": 20, "progress": False}
    models = [tiny.one(), tiny.two()]
    result = xplore.run(models, tiny.images(), constraint=Ball(0.02), out=tmp_path / "run", **how)
    beyond = [found for found in result.findings if "beyond_bound" in found.reasons]
    assert beyond and all(found.shrunk.measures["l2"] <= found.measures["l2"] + 1e-5 for found in beyond)
    assert any(found.shrunk.after != found.after for found in beyond)


@examples(40)
@given(data=st.binary(max_size=60))
def test_latents_of_other_shapes_are_refused(data: bytes) -> None:
    like = {"z": np.ones((2, 3), np.float32), "at": np.array([1, 2], np.int32)}
    assert all(
        np.array_equal(one, other)
        for one, other in zip(
            jax.tree.leaves(unpacked(packed(like), like)), jax.tree.leaves(like), strict=True
        )
    )
    with pytest.raises((ValueError, Exception)):
        unpacked(packed({"z": np.frombuffer(data, np.uint8)}) if len(data) != 32 else b"", like)


def test_every_chart_says_which_pieces_go_back_together() -> None:
    for chart in CONSTRAINTS:
        if chart.needs_latents:
            continue
        for piece in chart.shrink_groups((8, 8, 3)):
            assert piece.shape == (8, 8, 3) and piece.min() >= 0
