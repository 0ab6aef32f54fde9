"""Parts that print the same and do otherwise are told apart, where a campaign goes on or two are merged."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small
import tiny

import xplore
from xplore._util.errors import InputError
from xplore._util.pytree import Number
from xplore._util.recipe import Recipe
from xplore.archive import Archive
from xplore.archive.tables import FILE
from xplore.archive.trusted import make
from xplore.campaign.merge import joined
from xplore.campaign.provenance import named, record
from xplore.campaign.resume import UNCOMPARED, resumed
from xplore.campaign.settings import Budget
from xplore.constraints import Chain, Features, Latent, Lighting
from xplore.coverage import NeuronCoverage
from xplore.model import Model
from xplore.oracles import LabelsDiffer
from xplore.search import Gradient

ROWS = np.random.default_rng(0).random((60, 4)).astype(np.float32)
MANY = np.arange(2000.0)


def limited(limit: float) -> Any:
    return lambda row: row.a <= limit


class Sure(LabelsDiffer):
    """An oracle of a user's own, which prints nothing of what it holds."""

    most: Number = 0.0

    def __repr__(self) -> str:
        return "Sure()"


class Half(NeuronCoverage):
    """A criterion of a user's own."""

    at: Number = 0.0

    def __repr__(self) -> str:
        return "Half()"


def encode(x: Any) -> Any:
    return x.reshape(len(x), -1)[:, :4]


def decode(factor: float) -> Any:
    def spread(z: Any) -> Any:
        return jnp.zeros((len(z), 8, 8, 1)) + factor * z.sum(axis=1)[:, None, None, None]

    return spread


def table(**more: Any) -> Features:
    return Features.infer(ROWS, list("abcd")).replace(**more)


def descent(scale: float) -> Any:
    def sgd(learning_rate: float) -> Any:
        return optax.sgd(learning_rate * scale)

    return sgd


def alike(n: int) -> dict[str, dict[str, Any]]:
    """Parts that print the same for all `n`."""
    return {
        "a rule that closes over another number": {"constraint": table().where(limited(2 + n))},
        "another rule": {"constraint": table().where((lambda row: row.a < 2, lambda row: row.b < 2)[n])},
        "what follows from others": {"constraint": table().follow("d", lambda row: row.a + row.b * n)},
        "another number's magnitude": {"constraint": table().magnitude("ab"[n])},
        "a decoder of the same name": {"constraint": Latent(decode(0.1 + n), encode)},
        "a part of a chain": {"constraint": Chain((Lighting(), Latent(decode(0.1 + n), encode)))},
        "an optimizer of the same name": {"search": Gradient(Recipe.of(descent(1.0 + n), learning_rate=0.1))},
        "one of many numbers": {"oracle": Sure(MANY + n * (MANY == 1000))},
        "a criterion's number": {"criteria": (NeuronCoverage(), Half(0.5, at=float(n)))},
        "a referee": {"reference_model": (lambda images: images[:, 0], lambda images: images[:, 1])[n]},
        "training inputs": {"training": ROWS + n},
    }


def account(**given: Any) -> dict[str, Any]:
    running = small.campaign(seeds=8)
    parts = {key: given[key] for key in ("constraint", "oracle", "search") if key in given}
    method, criteria = running.method.replace(**parts), given.get("criteria", running.judge.criteria)
    beside = {"referee": given.get("reference_model"), "training": given.get("training")}
    meta = record(method, running.layout, criteria, running.plan, 4, beside)
    return {**meta, "labelled": False, "seeds_total": 8, "classes": [], "notes": []}


def begun(folder: Path, meta: dict[str, Any]) -> Path:
    with closing(Archive.create(folder, meta)):
        return folder


@pytest.mark.parametrize("kind", alike(0))
def test_a_campaign_does_not_go_on_with_another_part(kind: str, tmp_path: Path) -> None:
    told, other = (account(**alike(n)[kind]) for n in (0, 1))
    (key,) = alike(0)[kind]
    assert told.get(key) == other.get(key), "they print the same"
    folder = begun(tmp_path / "run", told)
    before = small.content(folder)
    with pytest.raises(InputError, match=f"the same {key}.* got another one.*nothing was changed"):
        resumed(folder, other)
    assert small.content(folder) == before
    resumed(folder, account(**alike(0)[kind])).close()


@pytest.mark.parametrize("kind", ["one of many numbers", "a criterion's number"])
def test_campaigns_with_other_parts_are_not_merged(kind: str, tmp_path: Path) -> None:
    told, same, other = (account(**alike(n)[kind]) for n in (0, 0, 1))
    (key,) = alike(0)[kind]
    folders = [begun(tmp_path / str(i), meta) for i, meta in enumerate((told, same, other))]
    joined(folders[:2], tmp_path / "both")
    for first in (folders[0], tmp_path / "both"):
        with pytest.raises(InputError, match=f"the {key} of .*which prints the same.*nothing was written"):
            joined([first, folders[2]], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_what_differs_is_named_by_its_field(tmp_path: Path) -> None:
    told, other = (account(**alike(n)["a rule that closes over another number"]) for n in (0, 1))
    with pytest.raises(InputError, match="the same constraint, in its rules"):
        resumed(begun(tmp_path / "run", told), other)


@pytest.mark.parametrize("older", ["no digests", "another Python", "another xplore"])
def test_an_archive_of_another_version_is_compared_by_what_parts_print(older: str, tmp_path: Path) -> None:
    told, other = (account(**alike(n)["another rule"]) for n in (0, 1))
    if older == "no digests":
        del told["digests"], told["parts"]
    else:
        key, value = {"another Python": ("python", "3.9.1"), "another xplore": ("xplore", "0.0.9")}[older]
        told["versions"] = {**told["versions"], key: value}
    folder = begun(tmp_path / "run", told)
    with closing(resumed(folder, other)) as archive:
        assert archive.meta["notes"] == ([] if older == "no digests" else [UNCOMPARED])
    with closing(resumed(folder, other)) as archive:
        assert len(archive.meta["notes"]) < 2, "it is said once"


@pytest.mark.slow
def test_a_table_s_campaign_goes_on_under_the_same_rule_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    kernel, other = random.normal(size=(2, 4, 2)).astype(np.float32)
    models = [
        Model(lambda p, x: x @ p, kernel + far * other, name=name) for name, far in (("a", 0), ("b", 0.3))
    ]
    how: dict[str, Any] = {"out": tmp_path / "run", "progress": False, "plan": tiny.plan(), "shrink": False}
    first = xplore.run(models, ROWS, constraint=table().where(limited(2)), budget=Budget(findings=1), **how)
    assert first.summary["ended"] == "findings"
    content = (tmp_path / "run" / FILE).read_bytes()
    with pytest.raises(InputError, match="the same constraint, in its rules"):
        xplore.run(models, ROWS, constraint=table().where(limited(3)), resume=True, **how)
    assert (tmp_path / "run" / FILE).read_bytes() == content
    again = xplore.run(models, ROWS, constraint=table().where(limited(2)), resume=True, **how)
    assert again.summary["finished"] and again.summary["seeds"] == len(ROWS)


def test_what_is_recorded_of_a_constraint_makes_it_again() -> None:
    made = [Lighting(0.1), Chain((Lighting(0.2), Lighting(0.1))), table(changes=2)]
    for constraint in made:
        part = named(constraint)
        assert part is not None
        given = {"table": constraint.described()} if isinstance(constraint, Features) else {}
        again = make({**part, **given}, "constraint")
        assert repr(again) == repr(constraint) and again.description == constraint.description
    unnamed = [Latent(decode(1.0), encode), table().where(limited(2)), Chain((Latent(decode(1.0), encode),))]
    assert [named(constraint) for constraint in unnamed] == [None] * 3
