"""The pytest plugin: `campaign` runs campaigns and gates from a test; what failed is judged first next time.

Nothing of xplore or JAX is imported until a test uses it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xplore.campaign.result import Result
    from xplore.regression.fixture import Campaigns

_campaigns = pytest.StashKey["Campaigns"]()
_rng = pytest.StashKey[int]()
OPTIONS = {
    "--xplore-replay": ("DIR", "judge the findings in DIR again instead of searching; once a campaign"),
    "--xplore-keep": (
        "DIR",
        "write what a failing test found into DIR, as inputs to be committed",
    ),
    "--xplore-seeds": ("N", "use the first N seeds alone"),
    "--xplore-time": ("TIME", "end each search after TIME (90s, 10m, 2h), without compilation"),
    "--xplore-rng": ("N", "the random state; 0 under CI=true, else another one in each run"),
    "--xplore-out": ("DIR", "where findings are kept for the next run (.xplore)"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--xplore-...`, and where regression inputs lie."""
    group = parser.getgroup("xplore", "search for inputs on which models disagree")
    for name, (what, help) in OPTIONS.items():
        group.addoption(
            name, metavar=what, help=help, action="append" if name == "--xplore-replay" else "store"
        )
    parser.addini("xplore_regressions", "folder of regression inputs", default="tests/regressions")


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and one random state for the run, on all of its workers."""
    config.addinivalue_line("markers", "xplore(config, **settings): the campaign of `campaign_result`")
    given, ci = config.getoption("--xplore-rng"), os.environ.get("CI", "").lower() in ("1", "true", "yes")
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    if given is not None and not (given.isascii() and given.isdigit() and int(given) < 2**31):
        raise pytest.UsageError(
            f"--xplore-rng: expected a whole number >= 0, got {given!r}; use --xplore-rng 0"
        )
    drawn = 0 if ci else random.SystemRandom().randrange(2**31)
    config.stash[_rng] = int(given) if given is not None else worker.get("xplore_rng", drawn)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist gets the run's random state."""
    node.workerinput["xplore_rng"] = node.config.stash[_rng]


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaigns]:
    """Campaigns, gates and coverage from a test: `campaign.gate(old, new, images, labels, allow=0.02)`."""
    from xplore.regression.fixture import Campaigns

    made = Campaigns(request.node, request.config.stash[_rng])
    request.node.stash[_campaigns] = made
    yield made
    made.close()


@pytest.fixture
def campaign_result(request: pytest.FixtureRequest, campaign: Campaigns) -> Result:
    """The result of the campaign that the test's marker names, as in `@pytest.mark.xplore("mnist.toml")`."""
    marker = request.node.get_closest_marker("xplore")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError('campaign_result needs @pytest.mark.xplore("configs/mnist.toml", seeds=200)')
    return campaign.configured(str(marker.args[0]), **marker.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test's campaigns found: kept where it failed, told in its report, forgotten where it passed."""
    report = yield
    made = item.stash.get(_campaigns, None)
    if made is not None and (call.when == "call" or (call.when == "setup" and not report.passed)):
        for text in made.ended(passed=report.passed, failed=report.failed):
            report.sections.append(("xplore", text))
    if made is not None and call.when == "call" and not report.skipped:
        item.user_properties += made.properties  # of the teardown's report, which JUnit XML reads
        report.user_properties = list(item.user_properties)
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was searched, what was found, the random state; and what each gate said."""
    reports = [r for of in terminalreporter.stats.values() for r in of if getattr(r, "when", "") == "call"]
    rows = [(report.nodeid, dict(report.user_properties)) for report in reports]
    rows = [(test, figures) for test, figures in rows if "xplore.campaigns" in figures]
    if rows:
        keys = "xplore.campaigns", "xplore.valid"
        made, valid = (sum(figures[key] for _, figures in rows) for key in keys)
        line = f"xplore: {made} campaign{'s' * (made != 1)}, {valid} valid finding{'s' * (valid != 1)}"
        terminalreporter.write_line(f"{line}; --xplore-rng {config.stash[_rng]}")
        for test, figures in rows:
            if "xplore.verdict" in figures:
                terminalreporter.write_line(f"{test}: {figures['xplore.verdict']}")
