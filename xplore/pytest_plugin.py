"""The pytest plugin: a fixture `campaign` whose failures tell what was found and how to see it again.

Nothing of xplore or JAX is imported until a test runs a campaign.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xplore.result import Result

SHOWN = 6
"""Findings told in a failure, one a fault group."""

_runs = pytest.StashKey[list["Result"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--xplore-replay DIR`."""
    group = parser.getgroup("xplore", "search for inputs on which models disagree")
    group.addoption(
        "--xplore-replay",
        metavar="DIR",
        action="append",
        help="judge the findings in DIR again by the test's models, instead of searching; once a campaign",
    )


class Campaigns:
    """What the fixture `campaign` is: `run` as `xplore.run`, its result kept for the failure's report."""

    def __init__(self, node: pytest.Item, folders: pytest.TempPathFactory) -> None:
        self._node, self._folders = node, folders
        node.stash[_runs] = []

    def run(self, models: Any, images: Any, labels: Any = None, **how: Any) -> Result:
        """`xplore.run`, into a folder of this test's own; quiet, unless asked for progress."""
        import xplore

        folders, number = self._node.config.getoption("--xplore-replay"), len(self._node.stash[_runs])
        if folders is not None:
            if number >= len(folders):
                raise xplore.InputError(
                    "--xplore-replay",
                    expected="a folder for each campaign of the test",
                    got=f"{len(folders)}",
                    fix="give the option once for each, in their order",
                )
            result = xplore.Result(Path(folders[number]))
            judged = xplore.replay(folders[number], models, as_tested=False)
            result.only(name for name, still in judged.items() if still)
        else:
            out = how.pop("out", None) or self._folders.mktemp("xplore") / "campaign"
            result = xplore.run(models, images, labels, out=out, **{"progress": False, **how})
        self._node.stash[_runs].append(result)
        return result


@pytest.fixture
def campaign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    """Run campaigns from a test: `assert not campaign.run(models, images, labels).valid`."""
    return Campaigns(request.node, tmp_path_factory)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test that ran campaigns tells what they found."""
    report = yield
    if report.failed and call.when == "call":
        results = item.stash.get(_runs, [])
        again = [word for result in results for word in ("--xplore-replay", str(result.folder))]
        for result in results:
            report.sections.append(("xplore", told(result, shlex.join(["pytest", item.nodeid, *again]))))
    return report


def told(result: Result, again: str) -> str:
    """A campaign's valid findings, one a fault group, their pictures and how to judge them again."""
    from xplore.report.png import Png, file_name
    from xplore.report.reading import read
    from xplore.report.wording import changed

    figures, valid = result.summary, result.valid
    if not valid:
        return f"no valid finding from {figures['seeds']} seeds; {result.folder}"
    meta = result.archive.meta
    rows = {row.id: row for row in read(result.archive).rows} if meta.get("table") else {}
    pictures = result.folder if rows else Png().write(result.archive, result.folder)
    classes, names = meta["classes"], [model["name"] for model in meta["models"]]
    lines = [
        f"{len(valid)} valid findings from {figures['seeds']} seeds, in {len(figures['groups'])} fault groups"
    ]
    first = {finding.disagreement: finding for finding in reversed(valid)}
    for finding in list(first.values())[::-1][:SHOWN]:
        answers = ", ".join(f"{n} {classes[d]}" for n, d in zip(names, finding.decisions, strict=True))
        expected = "?" if finding.expected is None else classes[finding.expected]
        picture = changed(rows[finding.id]) if rows else pictures / file_name(finding)
        lines.append(f"  {finding.id}  seed {finding.seed}: expected {expected}; {answers}  {picture}")
    if len(first) > SHOWN:
        lines.append(f"  and {len(first) - SHOWN} more groups: {result.folder / 'report.html'}")
    lines.append(f"judge them again:  {again}")
    return "\n".join(lines)
