"""One browser for all tests of this folder, and the campaigns of the reporters' tests."""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from pathlib import Path

import archives as builder
import chromium
import pytest


@pytest.fixture(scope="session")
def browser():
    if not chromium.PROGRAM:
        pytest.skip("no chromium on PATH: the report was not opened in a browser")
    running = chromium.Browser()
    yield running
    running.close()


@pytest.fixture(scope="session")
def archives():
    return builder


@pytest.fixture(scope="session")
def report(archives, tmp_path_factory):
    """The page of a synthetic campaign by its traits, written once."""
    written: dict[str, Path] = {}

    def write(**traits):
        from xplore.report import reporter

        key = repr(sorted(traits.items()))
        if key not in written:
            folder = tmp_path_factory.mktemp("browser") / "mnist"
            written[key] = reporter("html").write(archives.build(folder, **traits), folder)
        return written[key]

    return write


@pytest.fixture(scope="session")
def accessible():
    """What axe-core has against the page that a browser shows, of any impact: rules, and where."""
    if importlib.util.find_spec("axe_core_python") is None:
        pytest.skip("axe-core-python is not installed: the pages' accessibility was not checked")
    axe = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    ask = """axe.run(document, { resultTypes: ['violations'] }).then((r) => [r.passes.length,
      r.violations.map((v) => [`${v.impact} ${v.id}:`, ...v.nodes.slice(0, 3)
        .map((n) => `${n.target.join(' ')} ${n.failureSummary}`)].join(' '))])"""

    def faults(browser) -> list[str]:
        browser.run(f"{axe};0")
        passed, against = browser.run(ask)
        assert passed > 10, "the rules were run"
        return against

    return faults
