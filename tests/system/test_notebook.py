"""The notebooks run, on a kernel, and show what they promise."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import pytest
from jupyter_client.manager import KernelManager

import xplore

pytestmark = pytest.mark.slow

ROOT = Path(xplore.__file__).parents[1]
LARGEST = 200_000


def surroundings(folder: Path) -> dict[str, str]:
    """What a kernel finds: xplore, the tests' small models, a folder of its own."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "helpers")))
    told = {**os.environ, "PYTHONPATH": path, "IPYTHONDIR": str(folder / "ipython")}
    told.pop("XLA_FLAGS", None)
    return told


def executed(name: str, folder: Path) -> Any:
    book = jupytext.read(ROOT / "docs" / "notebooks" / f"{name}.py")
    environment = surroundings(folder)
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


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`coverage-of-a-test-set`, executed."""
    return executed("coverage-of-a-test-set", tmp_path_factory.mktemp("reached"))


def output(book: Any, source: str) -> str:
    """What the cell that begins so printed or showed as text."""
    (cell,) = (c for c in book.cells if c.cell_type == "code" and f"{c.source}\n".startswith(source))
    return "".join(
        o.get("text") or o["data"].get("text/html") or o["data"]["text/plain"] for o in cell.outputs
    )


@pytest.mark.parametrize("name", ["notebook", "yours", "reached"])
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


def test_coverage_of_two_test_sets_is_told(reached: Any) -> None:
    for cell in ("whole = xplore.reach(", "chosen ="):
        assert "<svg" in output(reached, cell)
    told = output(reached, 'print(f"{whole.share')
    shares = [int(share) for share in re.findall(r": +(\d+)%", told)]
    assert len(shares) == 4 and shares == sorted(shares) and shares[0] < shares[-1]
    alone = re.findall(r"alone: (\d+) neurons", output(reached, 'print(f"all digits alone'))
    assert int(alone[0]) > int(alone[1])
    before, after = re.findall(r"([\d.]+)%", output(reached, "from xplore.constraints"))
    assert float(before) <= float(after)


class Kernel:
    """A kernel of its own: what a person at a notebook sees."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=surroundings(folder), cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(
        self, code: str, seen: Callable[[dict[str, Any]], None] = lambda message: None
    ) -> list[dict[str, Any]]:
        """All that a cell puts out, in order; `seen` is told of each."""
        request, messages = self.client.execute(code), []
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            message = self.client.get_iopub_msg(timeout=240)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return messages
            if message["msg_type"] not in ("status", "execute_input"):
                messages.append(message)
                seen(message)
        raise TimeoutError(code)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    made = Kernel(tmp_path_factory.mktemp("kernel"))
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


HOW = "constraint=Ball(), steps=3, tries=2, lanes=8, plan=tiny.plan()"
RUN = f"""import itertools, tiny, xplore
from xplore.constraints import Ball
models = [tiny.one(), tiny.two()]
result = xplore.run(models, tiny.images(), tiny.labels(), {HOW})"""
ENDLESS = f"""result = xplore.run(models, lambda: itertools.cycle(tiny.images()), {HOW})
result"""


def plain(messages: list[dict[str, Any]], kind: str) -> list[str]:
    return [m["content"]["data"]["text/plain"] for m in messages if m["msg_type"] == kind]


def test_progress_is_written_anew_in_one_place(kernel: Kernel) -> None:
    messages = kernel.run(RUN)
    assert {message["msg_type"] for message in messages} == {"display_data", "update_display_data"}
    first = plain(messages, "display_data")
    assert first[0] == "campaign: 24 seeds; compiling" and first[1].startswith("shrinking findings: 0/")
    later = plain(messages, "update_display_data")
    assert any(text.startswith("campaign: 24/24 seeds  ") for text in later)
    told = kernel.run("print(result.summary['seeds'], result.summary['ended'] == '')")
    assert told[0]["content"]["text"] == "24 True\n"
    # Shown where a cell's display is, and nothing but the last state stays.
    places = {m["content"]["transient"]["display_id"] for m in messages}
    assert len(places) == 2
    assert all("<progress" in m["content"]["data"]["text/html"] for m in messages)


def test_an_interrupted_cell_has_what_was_found(kernel: Kernel) -> None:
    """The kernel's own interrupt (the button of a notebook), in the midst of a campaign without an end."""
    kernel.run(RUN)
    sent: list[str] = []

    def interrupt(message: dict[str, Any]) -> None:
        text = message["content"].get("data", {}).get("text/plain", "")
        if not sent and re.search(r"campaign: [1-9]\d+/", text):
            sent.append(text)
            kernel.manager.interrupt_kernel()

    messages = kernel.run(ENDLESS, interrupt)
    assert sent and [m for m in messages if m["msg_type"] == "error"] == []
    (shown,) = [m["content"]["data"]["text/html"] for m in messages if m["msg_type"] == "execute_result"]
    assert "interrupted: " in shown and len(shown) < LARGEST
    told = kernel.run(
        "print(result.summary['ended'], len(result.findings) > 0, result.summary['seeds'] > 10)"
    )
    assert told[0]["content"]["text"] == "interrupted True True\n"
