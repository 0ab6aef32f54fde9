"""What a card says to run shows that finding again, for models of any origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from xplore.archive import Archive
from xplore.archive.trusted import from_zoo
from xplore.report.reading import read

OURS = [{"use": "xplore.models.lenet:lenet1"}, {"use": "xplore.models.lenet:lenet4"}]
OWN_FILE = "--config 'my own.toml' --finding {}"
OWN = [OURS[0], {"use": "mymodels:net"}]


@pytest.mark.parametrize(
    ("told", "begins", "ends"),
    [
        ({"config": {"models": OURS}, "config_file": "mnist.toml"}, "xplore replay ", "/mnist --finding {}"),
        ({"config": {"models": OWN}, "config_file": "my own.toml"}, "xplore replay ", OWN_FILE),
        ({"config": {}}, "xplore.replay('", "/mnist', models, prefix='{}')"),
        ({}, "xplore.replay('", "/mnist', models, prefix='{}')"),
    ],
)
def test_the_way_back(build: Callable[..., Archive], told: dict[str, Any], begins: str, ends: str) -> None:
    reading = read(build())
    kept = {key: value for key, value in reading.meta.items() if not key.startswith("config")}
    reading = replace(reading, meta=kept | told)
    row = reading.rows[0]
    line = reading.replay(row)
    assert line.startswith(begins) and line.endswith(ends.format(reading.short_ids[row.id])), line


@pytest.mark.parametrize(
    "part",
    [
        {"use": "os:system", "command": "true"},
        {"use": "xplore.model.weights:save", "path": "/tmp/x", "tree": {}},
        {"use": "xplore.adapters.torch:load", "path": "x.pt", "architecture": {"use": "mymodels:net"}},
        {"use": "xplore.models.lenet:lenet1", "name": {"use": "mymodels:net"}},
        {"use": "xplore.models.lenet:lenet1", "classes": [{"use": "mymodels:net"}]},
        {"use": "xplore.models.hdf5:save_file", "tensor_dict": {}, "filename": "/tmp/x"},
        {"use": "xplore.models.efficientnet:lite0", "weights": "/tmp/x.pth"},
        {"use": "xplore.models.drebin:drebin1", "path": "/tmp", "folder": "/tmp"},
        {"use": "xplore.models.lenet:lenet1.__globals__"},
        {"use": "xplore.constraints:Ball", "bound": 0.1},
        {"use": "xplore.models.lenet:lenet1", "scale": float("inf")},
        {"use": "xplore.models.lenet:lenet1", "size": [10**6, 10**6]},
        {"use": "xplore.models.lenet:lenet1", "name": "a\x1b[2J"},
        {"use": "xplore.models.lenet:lenet1", "output": "html"},
        {"use": ["xplore.models.lenet:lenet1"]},
        {},
    ],
)
def test_only_the_zoo_is_built_from_what_an_archive_names(part: dict[str, Any]) -> None:
    assert from_zoo({"config": {"models": OURS}})
    assert from_zoo({"config": {"models": [*OURS, {**OURS[0], "classes": ["0", "1"], "scale": 1.0}]}})
    assert not from_zoo({"config": {"models": [*OURS, part]}})
    assert not from_zoo({"config": {"models": []}}) and not from_zoo({"config": "none"})
