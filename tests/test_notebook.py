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


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`first-findings`, executed."""
    folder = tmp_path_factory.mktemp("notebook")
    book = jupytext.read(ROOT / "docs" / "notebooks" / "first-findings.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}
    environment.pop("XLA_FLAGS", None)
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return book


def output(book: Any, source: str) -> str:
    """What the cell that begins so printed or showed as text."""
    (cell,) = (c for c in book.cells if c.cell_type == "code" and f"{c.source}\n".startswith(source))
    return "".join(
        o.get("text") or o["data"].get("text/html") or o["data"]["text/plain"] for o in cell.outputs
    )


def test_no_cell_fails_or_complains(notebook: Any) -> None:
    kinds = [
        o
        for c in notebook.cells
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
