"""Numbers of parts that make no sense are refused before anything is computed, whatever the part."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from laws.parts import CONSTRAINTS, CRITERIA, DIVERGE, OBJECTIVES, ORACLES, SEARCHES

import xplore
from xplore import InputError
from xplore._util.intervals import check_numbers
from xplore._util.pytree import Number, field
from xplore.campaign.settings import RunOptions
from xplore.constraints import Affine, Ball, Chain, Constraint, Lighting, Noise, Photometric
from xplore.coverage import CellCriterion, NeuronCoverage
from xplore.evaluation.checks import checked_chart, checked_part
from xplore.model import Model
from xplore.objectives import Joint, Objective
from xplore.oracles import Oracle
from xplore.search import Gradient, Search

KINDS = [
    (Constraint, CONSTRAINTS),
    (CellCriterion, CRITERIA),
    (Objective, [*OBJECTIVES, *DIVERGE]),
    (Oracle, ORACLES),
    (Search, [search for search, *_ in SEARCHES] if isinstance(SEARCHES[0], tuple) else SEARCHES),
]
PARTS = [(kind, part) for kind, parts in KINDS for part in parts]


def numbers(part: Any) -> list[str]:
    """The fields of a part that hold a number."""
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return [name for name, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]


CASES = [(kind, part, name) for kind, part in PARTS for name in numbers(part)]


@pytest.mark.parametrize(("kind", "part"), PARTS, ids=lambda x: getattr(type(x), "__name__", ""))
def test_every_part_of_the_laws_is_fit_for_use(kind: Any, part: Any) -> None:
    assert checked_part("part", part, kind) == part


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e6, 1e300, 10**400, "0.1", True])
def test_no_part_has_a_number_that_makes_no_sense(bad: Any) -> None:
    taken = []
    for kind, part, name in CASES:
        if bad == -1e6 and (name in ("t", "deviate") or isinstance(part, NeuronCoverage)):
            continue  # any finite threshold of raw activations is one; a model's index is held to the panel
        if name in ("deviate", "steps", "tries"):
            continue  # held to the panel, and to whole numbers
        try:
            checked_part("part", part.replace(**{name: bad}), kind)
        except InputError as error:
            assert f"{type(part).__name__}.{name}" in str(error)
        else:
            taken.append((type(part).__name__, name))
    assert taken == []


@pytest.mark.parametrize(
    "part",
    [
        Lighting(0.0), Lighting(1.5), Ball(0.0), Ball(-0.1), Ball(norm="1"), Affine(border="x"),
        Affine(0, 0, 0, 0), Photometric(0, 0, 0, 0, 0), Photometric(0.1, 1.2), Noise(0.3, 0.1),
        Chain((Ball(0.1), Lighting(math.nan))), Chain((Affine(0, 0, 0, 0),)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_bound_by_which_nothing_or_anything_moves_is_refused(part: Constraint) -> None:
    with pytest.raises(InputError):
        checked_chart(part, np.zeros((2, 12, 12, 3), np.uint8))


def test_no_bound_is_one_where_a_part_says_so() -> None:
    assert checked_part("constraint", Ball(None), Constraint).bound is None


def test_a_part_of_a_users_own_has_finite_numbers() -> None:
    class Own(NeuronCoverage):
        more: Number = 1.0
        many: tuple[float, ...] = field(pytree_node=False, default=(1.0,))

    assert checked_part("criteria", Own(), CellCriterion).more == 1.0
    for bad in (Own(more=math.nan), Own(many=(1.0, math.inf))):
        with pytest.raises(InputError, match=r"Own\.(more|many)"):
            check_numbers("criteria", bad)


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)


def net(**reading: Any) -> Model:
    return Model(lambda p, x: x.reshape(len(x), -1) @ p, np.ones((16, 2), np.float32), **reading)


@pytest.mark.parametrize(
    "reading",
    [
        {"std": 0.0},
        {"std": math.nan},
        {"scale": 0.0},
        {"scale": math.inf},
        {"mean": math.nan},
        {"std": (0.0,)},
    ],
    ids=repr,
)
def test_a_model_that_can_read_nothing_is_refused(reading: dict[str, Any]) -> None:
    for call in (xplore.run, xplore.inspect):
        with pytest.raises(InputError, match="model"):
            call([net(**reading), net()], IMAGES, constraint=Ball(0.1))


BUDGETS = [{"seconds": math.nan}, {"seconds": -1.0}, {"findings": 0}, {"findings": 1.5}, {"coverage": 1.5}]


@pytest.mark.parametrize(
    "how",
    [
        *({"budget": xplore.Budget(**of)} for of in BUDGETS),
        {"criteria": [NeuronCoverage(math.nan)]},
        {"objective": Joint(lambda1=math.nan)},
        {"objective": Joint(on="nothing")},
        {"constraint": Lighting(-0.1)},
        {"search": Gradient().replace(steps=0)},
        {"plan": RunOptions(lag=0)},
    ],
    ids=repr,
)
def test_no_campaign_begins_with_such_numbers(how: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(InputError):
        xplore.run([net(), net()], IMAGES, **{"constraint": Ball(0.1), **how}, out=tmp_path / "run")
    assert list(itertools.chain(tmp_path.iterdir())) == []
