"""The names that people have written down: those of version 0.1 still work; documents show those of now."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import shown

import xplore
from xplore._util import moved

ROOT = Path(__file__).parents[1]
NAMES = Path(__file__).with_name("public_names.txt").read_text("utf-8").split()
"""Every name that documents, messages and the module list showed before modules became packages."""
DOCUMENTS = sorted(
    path
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/**/*.md",
        "docs/**/*.py",
        "docs/**/*.toml",
        "configs/*.toml",
    )
    for path in ROOT.glob(pattern)
)
MESSAGES = {"xplore.campaigns", "xplore.valid", "xplore.near.allowed", "xplore.near.share"}
"""Properties of a test in JUnit XML, which look like names."""


@pytest.mark.parametrize("name", NAMES)
def test_name_of_version_0_1_is_the_same_object(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        old, new = shown.resolved(name), shown.resolved(moved.home(name))
    assert old is new or old == new  # a bound method is made anew


def test_documents_show_names_of_now() -> None:
    wrong = []
    for path in DOCUMENTS:
        for name in sorted({*shown.names(path.read_text("utf-8"))} - MESSAGES):
            try:
                shown.resolved(name)
            except (AttributeError, ImportError, FutureWarning) as error:
                wrong.append(f"{path.relative_to(ROOT)}: {name}: {error}")
    assert wrong == []


def test_all_lists_every_public_name() -> None:
    assert set(xplore.__all__) == {*xplore._PUBLIC, "__version__"}
