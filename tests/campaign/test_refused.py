"""What is refused leaves nothing behind: no folder, no file, wherever it was to be written."""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import xplore
from xplore import cli
from xplore._util.errors import InputError
from xplore.archive.migrate import migrate
from xplore.archive.tables import FILE
from xplore.campaign.merge import merge
from xplore.campaign.settings import Budget
from xplore.constraints import Ball, Occlusion


class Fails:
    """A referee, a backend, that fails when it is asked."""

    def __call__(self, *what: Any, **how: Any) -> Any:
        raise RuntimeError("asked")


@pytest.fixture
def nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Is what lies here as it was? The process is in an empty folder, beside one for temporary files."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    Path("file").write_text("mine")
    Path("mine.toml").write_text(tiny.CONFIG)
    before = sorted(tmp_path.rglob("*"))
    return lambda: sorted(tmp_path.rglob("*")) == before


def run(**how: Any) -> xplore.Result:
    given = {"constraint": Ball(0.2), "steps": 1, "tries": 1, "lanes": 8, "progress": False, "out": "new/run"}
    return RUN([tiny.one(), tiny.two()], tiny.images(4), **(given | how))


RUN, GATE = inspect.unwrap(xplore.run), inspect.unwrap(xplore.gate)
"""As users call them: without the checks of types that the tests add."""
REFUSED: list[dict[str, Any]] = [
    {"budget": "x"},
    {"budget": Budget(findings=-1)},
    {"budget": Budget(queries="9")},  # pyright: ignore[reportArgumentType]
    {"budget": Budget(seconds=float("nan"))},
    {"budget": Budget(coverage=2.0)},
    {"backend": "ray"},
    {"name": 3},
    {"classes": 3},
    {"classes": "ab"},
    {"reference_model": 3},
    {"plan": "p"},
    {"criteria": 3},
    {"criteria": [3]},
    {"lanes": 0},
    {"rng": -1},
    {"labels": [99] * 4},
    {"training": np.zeros((2, 3))},
    {"constraint": Occlusion(99, 99)},
    {"out": 3},
    {"out": "file/run"},
    {"out": "a\0b"},
]


@pytest.mark.parametrize("how", REFUSED, ids=str)
def test_a_refused_run_leaves_nothing(how: dict[str, Any], nothing_new: Callable[[], bool]) -> None:
    for out in ({}, {"out": None}) if "out" not in how else ({},):
        with pytest.raises(InputError):
            run(**{**out, **how})
        assert nothing_new()


@pytest.mark.parametrize(
    "how", [{"reference_model": Fails()}, {"backend": Fails()}], ids=lambda how: next(iter(how))
)
def test_a_run_that_fails_before_any_seed_leaves_nothing(
    how: dict[str, Any], nothing_new: Callable[[], bool]
) -> None:
    for out in ("new/run", None):
        with pytest.raises(RuntimeError, match="asked"):
            run(**how, out=out)
        assert nothing_new()
    Path("empty").mkdir()
    with pytest.raises(RuntimeError, match="asked"):
        run(**how, out="empty")
    assert [*Path("empty").iterdir()] == [], "the folder was there"


def test_what_was_found_stays_though_a_run_fails(nothing_new: Callable[[], bool]) -> None:
    run(out="new/run", budget=Budget(queries=1))
    before = Path("new/run", FILE).read_bytes()
    with pytest.raises(RuntimeError, match="asked"):
        run(out="new/run", resume=True, backend=Fails())
    assert Path("new/run", FILE).stat().st_size >= len(before) and xplore.Result(Path("new/run")).summary


def test_other_calls_that_are_refused_leave_nothing(nothing_new: Callable[[], bool]) -> None:
    models, seeds = (tiny.one(), tiny.two()), tiny.images(4)
    how: dict[str, Any] = {"out": "new/gate", "constraint": Ball(), "progress": False}
    calls: list[Callable[[], Any]] = [
        lambda: GATE(*models, seeds, allow=2.0, **how),
        lambda: GATE(*models, seeds, null=[tiny.one()], **how),
        lambda: GATE(*models, seeds, labels=[99] * 4, **how),
        lambda: merge(["nowhere", "nowhere either"], "new/merged"),
        lambda: merge(["file"], "new/merged"),
        lambda: migrate(Path("nowhere"), Path("new")),
        lambda: migrate(Path("file"), Path("new")),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(InputError):
            call()
        assert nothing_new(), number


@pytest.mark.parametrize(
    "command",
    [
        "run nowhere.toml --out new/run",
        "run file --out new/run",
        "run mine.toml --out new/run --set search.steps=0",
        "run mine.toml --out new/run --set campaign.lanes=0",
        "run mine.toml --out new/run --set models.0.use=nowhere:none",
        'run mine.toml --out new/run --set reference_model={use="math:pi"}',
        "run mine.toml --out file/run",
        "merge nowhere other --out new/merged",
        "migrate nowhere --out new",
        "export nowhere --format csv --out new/rows.csv",
        "report nowhere --out new",
        "report file",
        "replay nowhere",
        "compare nowhere other --out new/page.html",
        "gate nowhere:none tiny:two --config mine.toml --out new/gate",
    ],
)
def test_refused_commands_leave_nothing(
    command: str,
    nothing_new: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["xplore", *command.split()])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2 and capsys.readouterr().err.startswith("error: ")
    assert nothing_new()
