"""A campaign on photographs: its findings hold, as files, for the models that the archive names."""

from __future__ import annotations

import pytest

import xplore
from xplore.campaign.config import file as config
from xplore.campaign.config.run import run_config
from xplore.data import photos

pytestmark = pytest.mark.slow


def test_a_campaign_on_photographs_and_its_replay(tmp_path, monkeypatch):
    """The shipped config with fewer models, layers, pixels and steps, on three photographs."""
    chosen = [8, 11, 24]  # a yurt, a Loafer, and a cat whose label is not known
    load = photos.load

    def fewer(**given):
        seeds = load(size=96, **given)
        return photos.Inputs(seeds.images[chosen], seeds.labels[chosen], "photos", seeds.classes)

    monkeypatch.setattr(photos, "load", fewer)
    whole = config.load("imagenet", ["constraint.height=30", "constraint.width=30", "campaign.lanes=3"])
    models = [{**part, "include": ["head", "pool"], "size": [96, 96]} for part in whole.models[:2]]
    small = whole.model_copy(update={"models": models, "criteria": whole.criteria[:1]})
    small.search.update(steps=3, tries=1)
    result = run_config(small, tmp_path / "run", command="xplore run imagenet", progress=False)
    replayed = xplore.replay(tmp_path / "run")
    assert replayed and all(replayed.values())
    assert len(replayed) == len(result.findings)
    assert {finding.label for finding in result.findings} <= {915, 630, None}
    assert all(finding.before != finding.after for finding in result.findings)
    assert "data:image" in (tmp_path / "run" / "report.html").read_text("utf-8")
