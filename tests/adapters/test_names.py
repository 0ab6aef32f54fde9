"""What models without a name are called: by the variable that holds them, their factory, or their class."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

import xplore
from xplore.adapters import adapt
from xplore.campaign.config.instantiate import build_model
from xplore.constraints import Ball
from xplore.evaluation.inspection import Inspected, Inspection, read_as
from xplore.model import Model


def torch_net() -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))


def equinox_net() -> Any:
    eqx = pytest.importorskip("equinox")
    return eqx.nn.MLP(16, 3, 8, 1, key=jax.random.key(0))


def nnx_net() -> Any:
    from flax import nnx

    return nnx.Linear(16, 3, rngs=nnx.Rngs(0))


MADE = {"torch": torch_net, "equinox": equinox_net, "nnx": nnx_net}


@pytest.mark.parametrize("library", MADE)
def test_a_module_is_called_as_the_variable_that_holds_it(library: str) -> None:
    released = MADE[library]()
    nets = {"candidate": MADE[library]()}
    assert adapt(released).name == "released"
    assert adapt(released, name="mine").name == "mine"
    assert adapt(nets["candidate"]).name == type(nets["candidate"]).__name__.lower()

    def called(candidate: Any) -> str:
        return adapt(candidate).name

    assert called(nets["candidate"]) == "candidate", (
        "the nearest variable, not the one of a caller further out"
    )


@pytest.mark.slow
def test_a_panel_of_torch_modules_has_names_that_tell_them_apart() -> None:
    released, candidate = torch_net(), torch_net()
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1), np.uint8)
    seen = xplore.inspect([released, candidate], x, constraint=Ball(0.1))
    assert [model.name for model in seen.models] == ["released", "candidate"]


@pytest.mark.parametrize("library", MADE)
def test_what_a_factory_made_is_called_as_the_factory(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("made_models")
    module.new = MADE[library]  # type: ignore[attr-defined]
    module.named = lambda: Model(abs, name="its own")  # type: ignore[attr-defined]
    module.plain = lambda: lambda x: x.reshape(len(x), -1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_models", module)
    assert build_model({"use": "made_models:new"}).name == "new"
    assert build_model({"use": "made_models:plain"}).name == "plain"
    assert build_model({"use": "made_models:named"}).name == "its own"
    assert build_model({"use": "made_models:new", "name": "given"}).name == "given"


@pytest.mark.parametrize("n", [5, 135])
def test_many_means_are_not_told_one_by_one(n: int) -> None:
    told = read_as(Model(abs, mean=tuple(np.arange(n)), std=tuple(np.ones(n)), output="logits"))
    assert f"{n} numbers, 0 to {n - 1}" in told and len(told) < 90
    assert "(1, 2, 3)" in read_as(Model(abs, mean=(1.0, 2.0, 3.0), output="logits"))


def test_an_inspection_shows_itself_and_speaks_of_no_neurons_of_a_black_box() -> None:
    mark = "<script>alert(7)</script>"
    black = Inspected(mark, 0, (), "x", "mean", 0.25, (0.5, None))
    seen = Inspection((black,), (4,), 10, (mark, "b"), True, (mark,))
    html = seen._repr_html_()
    assert "<script>" not in html and html.count("alert(7)") >= 3
    assert "accuracy 25.0%" in html and "a black box" in html and "warning: " in html
    for text in (html.partition("</style>")[2], str(seen)):
        assert "neurons" not in text and "parameters" not in text
