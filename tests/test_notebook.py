"""The notebooks run, on a kernel, and show what they promise."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import pytest

import xplore

ROOT = Path(xplore.__file__).parents[1]
LARGEST = 200_000


def executed(name: str, folder: Path) -> Any:
    book = jupytext.read(ROOT / "docs" / "notebooks" / f"{name}.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}
    environment.pop("XLA_FLAGS", None)
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return book


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`first-findings`, executed."""
    return executed("first-findings", tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def yours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`your-model`, executed."""
    return executed("your-model", tmp_path_factory.mktemp("yours"))


def output(book: Any, source: str) -> str:
    """What the cell that begins so printed or showed as text."""
    (cell,) = (c for c in book.cells if c.cell_type == "code" and f"{c.source}\n".startswith(source))
    return "".join(
        o.get("text") or o["data"].get("text/html") or o["data"]["text/plain"] for o in cell.outputs
    )


@pytest.mark.parametrize("name", ["notebook", "yours"])
def test_no_cell_fails_or_complains(name: str, request: pytest.FixtureRequest) -> None:
    kinds = [
        o
        for c in request.getfixturevalue(name).cells
        for o in c.get("outputs", [])
        if o.output_type not in ("display_data", "execute_result")
    ]
    assert [o for o in kinds if o.output_type == "error" or o.name == "stderr"] == []


def test_result_shows_itself(notebook: Any) -> None:
    html = output(notebook, "result\n")
    assert html.lstrip().startswith("<") and len(html) < LARGEST
    assert re.search(r"\d+ valid|disagree", html)
    pictures = re.findall(r'<img[^>]* src="data:image/png;base64,[A-Za-z0-9+/=]+"', html)
    assert len(pictures) >= 3


def test_finding_coverage_and_files_are_told(notebook: Any) -> None:
    assert re.match(
        r"seed \d+, a \d, read as \(\d, \d, \d\)\nhidden: \d+% of the ink", output(notebook, "finding")
    )
    assert [line.split()[0] for line in output(notebook, "for model").splitlines()] == [
        "lenet1",
        "lenet4",
        "lenet5",
    ]
    assert output(notebook, "folder =") == "['archive.sqlite', 'report.html', 'summary.json']"


def test_models_of_every_library_are_searched(yours: Any) -> None:
    told = output(yours, "old, new =")
    assert told.startswith("2 models, 40 seeds [28 28 1], 10 classes") and "warning" not in told
    for cell in ("result = xplore.run(", "hidden ="):
        html = next(c for c in yours.cells if c.source.startswith(cell) or f"\n{cell}" in c.source)
        assert any("data:image/png;base64" in str(o.get("data")) for o in html.outputs)
    torch = output(yours, "if importlib")
    assert re.match(r"[1-9]\d* valid findings by a panel|torch is not installed", torch)
    assert "changes" in output(yours, "from sklearn") and "→" in output(yours, "from sklearn")
