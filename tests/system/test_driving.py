"""The driving campaign, end to end, on frames of the published drive."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xplore
from xplore.campaign.config import file as config
from xplore.campaign.config.run import run_config
from xplore.report.steering import COLOURS, arrows

pytestmark = pytest.mark.slow


def test_a_campaign_on_frames_is_replayed_and_told(tmp_path: Path) -> None:
    if "XPLORE_DATA" not in os.environ:
        pytest.skip("XPLORE_DATA does not say where the drive lies")
    settings = {
        "seeds.path": Path(os.environ["XPLORE_DATA"], "udacity_ch2"),
        "campaign.seeds": 12,
        "campaign.lanes": 4,
        "search.tries": 1,
        "search.steps": 6,
        "baseline": "none",
    }
    chosen = config.load("driving", [f"{key}={value}" for key, value in settings.items()])
    result = run_config(chosen, tmp_path / "out", command="test", progress=False)
    assert len(result.findings) >= 3
    for found in result.findings:
        angles = found.probabilities[:, 0]
        assert np.ptp(angles) > 0.2 and angles.min() < 0 < angles.max()
        assert len(found.measures["seed_values"]) == 3
    again = xplore.replay(tmp_path / "out")
    assert len(again) == len(result.findings) and all(again.values())
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert " rad" in page and "straight on" in page and COLOURS[0] in page


def test_an_arrow_points_where_a_model_steers() -> None:
    road = Image.new("RGB", (160, 120), "white")
    drawn = np.asarray(arrows(road, [0.6])).astype(int)
    orange = np.abs(drawn - np.array([0xE6, 0x9F, 0x00])).sum(axis=-1) < 30
    rows, columns = np.nonzero(orange)
    assert orange.sum() > 100
    tip, foot = columns[rows == rows.min()].mean(), columns[rows == rows.max()].mean()
    assert tip < 160 - 30 and abs(foot - 160) < 8, "to the left, from the middle below"
