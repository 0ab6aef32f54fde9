"""The benchmark asks for the campaign that `xplore run` would make; how fast it is, it says itself."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "bench.py"


@pytest.mark.parametrize("name", ["mnist", "mnist_light"])
def test_the_campaign_of_a_config_is_prepared(name):
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    campaign = bench.prepared(name, seeds=3, lanes=2)
    assert campaign.seeds.total == 3 and campaign.plan.lanes == 2
    gradient = np.asarray(bench.bare_gradient(campaign)())
    assert gradient.shape == (2, 28, 28, 1) and np.isfinite(gradient).all() and gradient.any()
