"""A campaign from Python and from a config is the same one, where both leave the same things out."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import small
import tiny

import xplore
from xplore.archive import Archive
from xplore.campaign.config.file import THRESHOLDS, load
from xplore.campaign.config.run import run_config
from xplore.cli.new import sample
from xplore.constraints import Ball
from xplore.coverage import NeuronCoverage

OWN = {"config", "config_file", "command", "created", "id", "seconds", "compile_seconds"}
"""What a campaign tells of when and how it was called."""
SHORT = """
seeds = {use = "tiny:seeds"}
models = [{use = "tiny:one"}, {use = "tiny:two"}]
constraint = {use = "xplore.constraints:Ball"}
"""


def told(folder: Path) -> dict[str, Any]:
    """The account of a campaign, but for when and how it was called, and all rows."""
    with closing(Archive.open(folder)) as archive:
        account = {key: value for key, value in archive.meta.items() if key not in OWN}
    rows = small.content(folder)
    rows["rounds"] = [row[:2] for row in rows["rounds"]]
    return {"account": account, "rows": rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ([], {}),
        (["search.steps=3"], {"steps": 3}),
        (["search.tries=1", "campaign.lanes=5", "campaign.rng=3"], {"tries": 1, "lanes": 5, "rng": 3}),
        (["campaign.findings=9999"], {"budget": xplore.Budget(findings=9999)}),
        (["campaign.shrink=false", "name=mine"], {"shrink": False, "name": "mine"}),
        (
            [f"criteria=[{{use='xplore.coverage:NeuronCoverage', t={t}}}]" for t in (0.1,)],
            {"criteria": [NeuronCoverage(0.1)]},
        ),
    ],
    ids=str,
)
def test_a_config_and_python_record_the_same(
    settings: list[str], how: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(SHORT)
    config = load(str(tmp_path / "mine.toml"), settings)
    run_config(config, tmp_path / "config", command="xplore run", progress=False)
    models, seeds = [tiny.one(), tiny.two()], (tiny.images(), tiny.labels())
    xplore.run(models, *seeds, constraint=Ball(), out=tmp_path / "python", progress=False, **how)
    of_config, of_python = (told(tmp_path / name) for name in ("config", "python"))
    assert of_config["account"] == of_python["account"]
    assert of_config["rows"] == of_python["rows"]


def test_the_criteria_of_the_example_are_those_of_a_config_without(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(sample(tmp_path / "example.toml"))
    (tmp_path / "short.toml").write_text(SHORT)
    example, short = (load(str(tmp_path / f"{name}.toml")) for name in ("example", "short"))
    assert [part["t"] for part in example.criteria] == [part["t"] for part in short.criteria] == [*THRESHOLDS]
    assert example.campaign == short.campaign
