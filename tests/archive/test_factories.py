"""What an archive may name: all of it is there, takes what it may be given, and nothing else does."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples

from xplore._util.errors import InputError
from xplore.archive.trusted import FACTORIES, READING, fault, make
from xplore.campaign.config.file import load
from xplore.campaign.config.instantiate import READING as OF_ANY_MODEL

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
FILES = {"path", "folder", "file", "filename", "weights", "out", "recipe", "tree"}


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_a_factory_is_there_and_takes_what_it_may_be_given(name: str) -> None:
    factory = FACTORIES[name]
    taken = inspect.signature(getattr(importlib.import_module(factory.module), factory.name)).parameters
    if factory.gives == "model":
        assert all(parameter.default is not parameter.empty for parameter in taken.values())
        assert {*factory.arguments} == {*OF_ANY_MODEL} - {"weights"} == {*READING}
    else:
        assert {*factory.arguments} <= {*taken}
    assert not FILES & {*factory.arguments}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_configs_need_nothing_else(path: Path) -> None:
    config = load(str(path))
    assert [fault(part, "model") for part in config.models] == [""] * len(config.models)
    assert fault(config.constraint, "constraint") == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("none"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("use"), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({key for factory in FACTORIES.values() for key in factory.arguments}))


@examples(80)
@given(part=JSON | st.dictionaries(KEYS | st.just("use") | st.text(), JSON | st.sampled_from([*FACTORIES])))
def test_any_json_is_refused_or_made_by_the_dictionary(part: Any) -> None:
    for gives in ("model", "constraint", "function"):
        if why := fault(part, gives):
            assert why.isprintable() and len(why) < 300
            with pytest.raises(InputError, match="nothing else that an archive names is run"):
                make(part, gives)
        else:
            assert part["use"] in FACTORIES


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ({"use": "xplore.constraints:Ball", "bound": 0.1, "norm": "2"}, "L2 change of at most 0.1"),
        ({"use": "xplore.constraints:Occlusion", "height": 2, "width": 3, "bound": "none"}, "2x3 rectangle"),
        (
            {"use": "xplore.constraints:Chain", "parts": [{"use": "xplore.constraints:Lighting"}]},
            "every pixel lighter",
        ),
    ],
)
def test_what_is_made_is_what_was_named(part: dict[str, Any], wanted: str) -> None:
    assert wanted in make(part, "constraint").description


@pytest.mark.parametrize(
    "part",
    [
        {"use": "xplore.constraints:Ball", "bound": float("nan")},
        {"use": "xplore.constraints:Ball", "bound": "0.1"},
        {"use": "xplore.constraints:Ball", "norm": "1"},
        {"use": "xplore.constraints:Occlusion", "height": 10**9},
        {"use": "xplore.constraints:Occlusion", "height": True},
        {"use": "xplore.constraints:Chain", "parts": [{"use": "xplore.models.lenet:lenet1"}]},
        {"use": "xplore.constraints:Latent", "decode": {"use": "os:getcwd"}, "encode": {"use": "os:getcwd"}},
        {"use": "xplore.constraints:Patches", "boxes": [[0, 0, 1]]},
        {"use": "xplore.constraints:Constraint"},
        {"use": "xplore.data.drebin:additions", "path": "/etc"},
    ],
)
def test_arguments_of_other_kinds_are_refused(part: dict[str, Any]) -> None:
    assert fault(part, "constraint")
