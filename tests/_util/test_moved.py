"""Old names of version 0.1 work and say what to write; a part that overrides an old name still does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tiny

import xplore
from xplore._util import moved
from xplore.campaign.config.file import load
from xplore.constraints import Ball, Constraint
from xplore.search import HillClimb
from xplore.search._base import Search


def test_an_old_module_is_the_one_of_now() -> None:
    with pytest.warns(FutureWarning, match=r"xplore\.media is xplore\.inputs\.media now"):
        moved.Finder().find_spec("xplore.media").loader.exec_module(type(xplore)("xplore.media"))  # type: ignore
    from xplore.inputs import media

    assert xplore.media is media


def test_the_warning_is_at_the_line_of_who_wrote_it() -> None:
    with pytest.warns(FutureWarning, match="xplore.search.Flips is xplore.search.HillClimb") as caught:
        from xplore.search import Flips

    assert Flips is HillClimb and {Path(one.filename).name for one in caught} == {Path(__file__).name}


@pytest.mark.parametrize(("old", "new"), [("reach", "radius"), ("words", "description")])
def test_an_old_attribute_is_read(old: str, new: str) -> None:
    with pytest.warns(FutureWarning, match=f"Ball.{old} is Ball.{new} now"):
        assert getattr(Ball(0.1), old) == getattr(Ball(0.1), new)


def test_other_attributes_are_missing_as_ever() -> None:
    with pytest.raises(AttributeError, match="'Ball' object has no attribute 'aim'"):
        _ = Ball(0.1).aim  # type: ignore[attr-defined]  # what an objective had


@pytest.mark.slow
def test_a_part_of_version_0_1_runs_as_it_did(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning) as caught:

        class Fade(Constraint):
            """A constraint whose methods have the names of version 0.1."""

            @property
            def reach(self) -> float:
                return 0.5

            @property
            def words(self) -> str:
                return "faded"

            def init(self, key: Any, x0: Any, slope: Any, turn: Any) -> Any:
                z, fixed = self.sample(key, x0)
                return jnp.where(turn > 0, z, 0), fixed

            def sample(self, key: Any, x0: Any) -> Any:
                return jax.vmap(lambda k: jax.random.uniform(k, dtype=x0.dtype))(key) / 2, ()

            def render(self, z: Any, fixed: Any, x0: Any) -> Any:
                return x0 + z[:, None, None, None] * (0.5 - x0)

            def project(self, z: Any, fixed: Any, x0: Any) -> Any:
                return jnp.clip(z, 0, 0.5)

            def within(self, before: Any, after: Any, latents: Any = None) -> Any:
                return (abs(after - before) <= 0.5).all(axis=(1, 2, 3))

    assert {str(one.message).split(" is ")[0] for one in caught} == {"Fade.reach", "Fade.words"}
    assert Fade().radius == 0.5 and Fade().description == "faded"
    how: dict[str, Any] = {"constraint": Fade(), "steps": 2, "tries": 2, "lanes": 8, "progress": False}
    models = [tiny.one(), tiny.two()]
    assert xplore.run(models, tiny.images(8), tiny.labels()[:8], **how).summary["seeds"] == 8


def test_every_attribute_of_the_table_is_one_of_now() -> None:
    from xplore.objectives import Objective
    from xplore.oracles import Oracle
    from xplore.regression.gate import Verdict
    from xplore.search._base import Feedback, Start

    kinds = (Constraint, Search, Objective, Oracle, Feedback, Start, Verdict)
    names = {name for kind in kinds for name in (*vars(kind), *getattr(kind, "__annotations__", {}))}
    assert {new for news in moved.ATTRIBUTES.values() for new in news} <= names


@pytest.mark.slow
def test_an_old_argument_and_an_old_key_are_those_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"steps": 2, "tries": 1, "lanes": 8, "progress": False}
    models = [tiny.one(), tiny.two()]
    with pytest.warns(FutureWarning, match="referee= is reference_model= now"):
        result = xplore.run(models, tiny.images(8), tiny.labels()[:8], referee=tiny.doubter(), **how)
    assert result.archive.meta["evidence"] == ["reference_model"]
    monkeypatch.chdir(tmp_path)
    Path("old.toml").write_text(tiny.CONFIG + '[referee]\nuse = "tiny:doubter"\n')
    with pytest.warns(FutureWarning, match="the config key referee is reference_model now"):
        assert load("old.toml").reference_model == {"use": "tiny:doubter"}
    with pytest.warns(FutureWarning, match="the config key referee is reference_model now"):
        assert load("mnist", ["referee=none"]).reference_model is None
