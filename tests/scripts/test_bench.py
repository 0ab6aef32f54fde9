"""The benchmarks ask for the campaign that `xplore run` would make; how fast it is, they say themselves."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xplore.campaign.backends import Backend

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.parametrize("name", ["mnist", "mnist_light"])
def test_the_campaign_of_a_config_is_prepared(name, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    bench = importlib.import_module("benches._prepared")
    campaign = bench.prepared(name, seeds=3, lanes=2)
    assert campaign.seeds.total == 3 and campaign.plan.lanes == 2
    gradient = np.asarray(bench.bare_gradient(campaign)())
    assert gradient.shape == (2, 28, 28, 1) and np.isfinite(gradient).all() and gradient.any()


def test_a_campaign_is_prepared_of_seeds_on_which_models_agree(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    bench = importlib.import_module("benches._prepared")
    for agreed in (False, True):
        campaign = bench.prepared("mnist", seeds=4000, lanes=64, agreed=agreed, settings=["search.steps=7"])
        said = campaign.judge.read(campaign.seeds.read(0, 4000).codes)
        assert campaign.judge.differ(said.outputs).any() != agreed
        assert campaign.method.search.steps == 7, "settings are taken"


def test_each_benchmark_is_listed(monkeypatch):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench.py", "--help"], capture_output=True, text=True, check=True
    )
    files = [path.stem for path in (SCRIPTS / "benches").glob("[!_]*.py")]
    assert len(files) >= 2 and all(f"\n    {name} " in done.stdout for name in files), done.stdout


def test_a_section_is_written_in_its_place(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    bench = importlib.import_module("bench")
    page = "# Speed\n\nAll.\n\n## One\n\nold\n\n## Two\n\nkept\n"
    assert bench.replaced(page, "One", "new") == "# Speed\n\nAll.\n\n## One\n\nnew\n\n## Two\n\nkept\n"
    assert bench.replaced(page, "Three", "more").endswith("kept\n\n## Three\n\nmore\n")
    assert bench.replaced(bench.replaced(page, "One", "new"), "One", "old") == page


def test_what_replays_results_is_a_backend(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    driver = importlib.import_module("benches.driver")
    assert isinstance(driver.Arriving({}, 1, lambda news: None), Backend)
