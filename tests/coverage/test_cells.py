"""Criteria of several cells a unit: campaigns, archives and reports count cells, as `reach` does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many

import xplore
from xplore._util.errors import InputError
from xplore._util.pytree import Number, field
from xplore.archive import Archive
from xplore.archive.records import rows_of
from xplore.archive.tables import FILE
from xplore.campaign.scheduling import Rounds
from xplore.campaign.settings import RunOptions
from xplore.constraints import Ball
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.inputs.encoding import decode
from xplore.inputs.media import from_png
from xplore.model.neurons import Layer, Layout
from xplore.panel import Panel
from xplore.report.comparison import compare
from xplore.report.coverage_map import coverage_map
from xplore.report.reading import read


class Sections(CellCriterion):
    """Which of `k` equal parts of [-reach, reach] a unit's value lies in (DeepGauge's sections)."""

    reach: Number = 4.0
    k: int = field(pytree_node=False, default=4)

    @property
    def n_cells(self) -> int:
        return self.k

    def locate(self, activations: Any) -> Any:
        at = jnp.floor((activations.values + self.reach) * self.k / (2 * self.reach)).astype(int)
        return jnp.where((at >= 0) & (at < self.k), at, -1)

    def closeness(self, activations: Any, unit: Any, cell: Any) -> Any:
        value = jnp.take_along_axis(activations.values, unit[:, None], axis=1)[:, 0]
        width = 2 * self.reach / self.k
        return width / 2 - abs(value + self.reach - (cell + 0.5) * width)


class Corners(CellCriterion):
    """Was a unit seen below `-by`, around 0, above `by`? Three cells, by the value scaled over its layer."""

    by: Number = 0.4

    @property
    def n_cells(self) -> int:
        return 3

    def locate(self, activations: Any) -> Any:
        centred = 2 * activations.scaled - 1
        return jnp.where(centred > self.by, 2, jnp.where(centred < -self.by, 0, 1))

    def closeness(self, activations: Any, unit: Any, cell: Any) -> Any:
        raise NotImplementedError("no campaign asks for it")


KINDS = [Sections(3.0, 5), Corners(), NeuronCoverage(0.6), Sections(2.0, 1)]
MODELS = (tiny.one(), tiny.two())
PANEL = Panel.of(MODELS)


def cells_of(criterion: CellCriterion, images: np.ndarray) -> np.ndarray:
    """The cells that images reach, one image after the other, `[u k]`, by the definition."""
    reached = set()
    for image in images:
        located = np.asarray(criterion.locate(PANEL(decode(image[None])).activations))[0]
        reached |= {(unit, cell) for unit, cell in enumerate(located.tolist()) if cell >= 0}
    table = np.zeros((PANEL.check(images.shape[1:]).n_units, criterion.n_cells), bool)
    for unit, cell in reached:
        table[unit, cell] = True
    return table


def shares(criterion: CellCriterion, images: np.ndarray) -> dict[str, float]:
    table, spans = cells_of(criterion, images), PANEL.check(images.shape[1:]).spans()
    return {name: table[span].mean() for name, span in spans.items()}


def ran(folder: Path, criteria: list[CellCriterion], **how: Any) -> Any:
    """A campaign on the tiny models."""
    plan = RunOptions(lanes=8, round_size=6, main_criterion=how.pop("main", 0))
    given = {"constraint": Ball(), "steps": 5, "tries": 2, "plan": plan, "progress": False, "shrink": False}
    return xplore.run(MODELS, tiny.images(), criteria=criteria, out=folder, **given | how)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: Any) -> Any:
    return ran(tmp_path_factory.mktemp("cells") / "run", KINDS)


def stored(result: Any, *, valid: bool = False) -> np.ndarray:
    with closing(Archive.open(result.folder)) as archive:
        found = [f for f in archive.findings(origin=None) if not valid or (f.valid and f.origin == "search")]
    return np.stack([from_png(finding.after) for finding in found])


@pytest.mark.slow
@pytest.mark.parametrize("criterion", KINDS, ids=repr)
def test_summary_reach_and_a_plain_count_agree_to_the_cell(campaign: Any, criterion: CellCriterion) -> None:
    told, name = campaign.summary, repr(criterion)
    wanted = {
        "coverage_seeds": shares(criterion, tiny.images()),
        "coverage": shares(criterion, stored(campaign)),
        "coverage_valid": shares(criterion, stored(campaign, valid=True)),
    }
    for key, by_model in wanted.items():
        assert {m: told[key][m][name] for m in by_model} == pytest.approx(by_model), key
    assert {m: values[name] for m, values in campaign.coverage.items()} == pytest.approx(wanted["coverage"])
    for model, share in wanted["coverage_seeds"].items():
        alone = MODELS[PANEL.names.index(model)]
        assert xplore.coverage_of(alone, tiny.images(), criterion) == pytest.approx(share)
        counted = (xplore.reach(alone, tiny.images(), criterion).first > 0).sum()
        assert (
            counted
            == cells_of(criterion, tiny.images())[PANEL.check(tiny.images().shape[1:]).span(model)].sum()
        )


@pytest.mark.slow
def test_the_report_counts_cells(campaign: Any) -> None:
    with closing(Archive.open(campaign.folder)) as archive:
        reading = read(archive)
        models = coverage_map(reading)
    table = cells_of(KINDS[0], stored(campaign))
    assert reading.hits.shape == (5, len(table)) and ((reading.hits > 0) == table.T).all()
    assert [(m["reached"], m["count"]) for m in models] == [
        (table[span].sum(), table[span].size)
        for span in PANEL.check(tiny.images().shape[1:]).spans().values()
    ]
    assert ", cell 4: " in models[0]["layers"][0]["cells"]
    page = (campaign.folder / "report.html").read_text()
    assert f"of {models[0]['reached']}" not in page and f"{models[0]['count']} cells reached" in page


@pytest.mark.slow
@pytest.mark.parametrize("main", range(len(KINDS)))
def test_a_budget_of_coverage_ends_where_that_share_of_cells_is_reached(main: int, tmp_path: Path) -> None:
    least = min(shares(KINDS[main], stored(whole := ran(tmp_path / "all", KINDS, main=main))).values())
    if least < 1:
        over = ran(tmp_path / "over", KINDS, main=main, budget=xplore.Budget(coverage=least + 1e-6))
        assert over.summary["ended"] == "" and over.summary["findings"] == whole.summary["findings"]
    half = ran(tmp_path / "half", KINDS, main=main, budget=xplore.Budget(coverage=least / 2))
    assert half.summary["ended"] == "coverage" and half.summary["queries"] <= whole.summary["queries"]
    assert min(model[repr(KINDS[main])] for model in half.coverage.values()) >= least / 2


@pytest.mark.slow
def test_resumed_and_merged_campaigns_hold_the_same_cells(campaign: Any, tmp_path: Path) -> None:
    cut = ran(tmp_path / "cut", KINDS, budget=xplore.Budget(findings=1))
    assert cut.summary["ended"] == "findings"
    whole = ran(tmp_path / "cut", KINDS, resume=True)
    assert whole.coverage == campaign.coverage
    other = ran(tmp_path / "other", KINDS, rng=1)
    merged = xplore.merge([campaign.folder, other.folder], tmp_path / "united")
    for criterion in KINDS:
        both = np.concatenate([stored(campaign), stored(other)])
        came = {model: values[repr(criterion)] for model, values in merged.coverage.items()}
        assert came == pytest.approx(shares(criterion, both))
    for criteria in ([KINDS[0].replace(k=6), *KINDS[1:]], KINDS[1:]):
        with pytest.raises(InputError, match="criteria"):
            ran(tmp_path / "cut", criteria, resume=True)
        apart = ran(tmp_path / f"of {len(criteria)}", criteria)
        with pytest.raises(InputError, match="the criteria of"):
            xplore.merge([campaign.folder, apart.folder], tmp_path / "none")


class Twins(Corners):
    """Called the same whatever its cells."""

    cells: int = field(pytree_node=False, default=3, repr=False)

    @property
    def n_cells(self) -> int:
        return self.cells


def test_criteria_of_one_name_with_other_cells_are_not_taken_for_each_other(tmp_path: Path) -> None:
    one, other = (ran(tmp_path / str(cells), [Twins(cells=cells)]) for cells in (3, 7))
    assert one.summary["criteria"] == other.summary["criteria"]
    with pytest.raises(InputError, match=r"the cells of .*: \[3\], got \[7\]"):
        xplore.merge([one.folder, other.folder], tmp_path / "none")
    with pytest.raises(InputError, match=r"cells = \[3\], got \[7\]"):
        ran(tmp_path / "3", [Twins(cells=7)], resume=True)
    assert compare(one, other)["coverage"] == {}


@pytest.mark.slow
def test_criteria_of_one_cell_are_recorded_as_ever(tmp_path: Path) -> None:
    result = ran(tmp_path / "run", [NeuronCoverage(0.6)])
    with closing(Archive.open(result.folder)) as archive:
        assert "cells" not in archive.meta and archive.cells == [1]
        assert all(f.covered.shape == (1, archive.units) for f in archive.findings())


@pytest.mark.parametrize(
    ("criterion", "said"),
    [
        (
            Sections(1.0, 10**6),
            r"criterion Sections: expected at most 4,194,304 cells .* 1,000,000 cells for each",
        ),
        (Sections(1.0, 0), "Sections.n_cells: expected a whole number >= 1"),
        (Sections(1.0, 2.5), "Sections.n_cells: expected a whole number >= 1"),
    ],
)
def test_cells_that_no_finding_can_keep_are_refused(criterion: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        ran(tmp_path / "run", [criterion])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "cells", ["[5]", "[5, 3, 1, 0]", "[5, 3, 1, -1]", '["a", 3, 1, 1]', "[10000000000, 3, 1, 1]"]
)
def test_an_archive_that_says_other_cells_is_damaged(campaign: Any, cells: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((campaign.folder / FILE).read_bytes())
    with closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'cells'", (cells,))
    with closing(Archive.open(tmp_path)) as archive, pytest.raises(InputError, match="damage"):
        archive.coverage()


LAYOUT = Layout((("a", (Layer("fc", "dense", (3,)),)), ("b", (Layer("fc", "dense", (4,)),))))


@settings(max_examples=many(30), deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
def test_a_unit_is_aimed_at_while_one_of_its_cells_is_left(seed: int, cells: list[int], lag: int) -> None:
    rng = np.random.default_rng(seed)
    main = int(rng.integers(len(cells)))
    rounds, came = Rounds(LAYOUT, cells, main, lag), []
    for due in range(5):
        covered = rng.random((sum(cells), 7)) < 0.4
        rounds.reach(due, covered)
        came.append(covered[rows_of(cells)[main]])
        known = np.any([np.zeros_like(came[0]), *came[: max(due - lag + 1, 0)]], axis=0)
        np.testing.assert_array_equal(np.concatenate(rounds.known(due)), known.all(axis=0))
        union = np.any(came, axis=0)
        assert rounds.coverage == pytest.approx({"a": union[:, :3].mean(), "b": union[:, 3:].mean()})
