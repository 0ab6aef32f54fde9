"""xplore: inputs on which models that should agree do not, and how much of each model the tests reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import checkout as _checkout
from xplore._util import forks as _forks  # noqa: F401 # sees forks from now on
from xplore._util import lazy as _lazy
from xplore._util import moved as _moved

if TYPE_CHECKING:
    from xplore import adapters as adapters
    from xplore import constraints as constraints
    from xplore import coverage as coverage
    from xplore import data as data
    from xplore import objectives as objectives
    from xplore import oracles as oracles
    from xplore import report as report
    from xplore import search as search
    from xplore._util.errors import InputError as InputError
    from xplore._util.errors import MissingExtraError as MissingExtraError
    from xplore._util.pytree import Number as Number
    from xplore._util.pytree import PyTreeNode as PyTreeNode
    from xplore._util.pytree import field as field
    from xplore.adapters import adapt as adapt
    from xplore.adapters.refit import refit as refit
    from xplore.campaign.merge import merge as merge
    from xplore.campaign.replay import replay as replay
    from xplore.campaign.result import Result as Result
    from xplore.campaign.run import run as run
    from xplore.campaign.settings import Budget as Budget
    from xplore.evaluation.coverage_report import Reach as Reach
    from xplore.evaluation.coverage_report import coverage_of as coverage_of
    from xplore.evaluation.coverage_report import curves as curves
    from xplore.evaluation.coverage_report import reach as reach
    from xplore.evaluation.inspection import inspect as inspect
    from xplore.model import Model as Model
    from xplore.panel import Panel as Panel
    from xplore.regression.gate import gate as gate
    from xplore.report.comparison import compare as compare

__version__ = "0.1.0"

_PUBLIC = {
    "InputError": "xplore._util.errors",
    "MissingExtraError": "xplore._util.errors",
    "Number": "xplore._util.pytree",
    "PyTreeNode": "xplore._util.pytree",
    "field": "xplore._util.pytree",
    "adapt": "xplore.adapters",
    "gate": "xplore.regression.gate",
    "Reach": "xplore.evaluation.coverage_report",
    "coverage_of": "xplore.evaluation.coverage_report",
    "curves": "xplore.evaluation.coverage_report",
    "reach": "xplore.evaluation.coverage_report",
    "Budget": "xplore.campaign.settings",
    "compare": "xplore.report.comparison",
    "inspect": "xplore.evaluation.inspection",
    "merge": "xplore.campaign.merge",
    "Model": "xplore.model",
    "Panel": "xplore.panel",
    "Result": "xplore.campaign.result",
    "refit": "xplore.adapters.refit",
    "replay": "xplore.campaign.replay",
    "run": "xplore.campaign.run",
}
__all__ = [
    "Budget",
    "InputError",
    "MissingExtraError",
    "Model",
    "Number",
    "Panel",
    "PyTreeNode",
    "Reach",
    "Result",
    "__version__",
    "adapt",
    "compare",
    "coverage_of",
    "curves",
    "field",
    "gate",
    "inspect",
    "merge",
    "reach",
    "refit",
    "replay",
    "run",
]

_SHOWN = (
    "adapters",
    "backends",
    "constraints",
    "coverage",
    "data",
    "errors",
    "models",
    "objectives",
    "oracles",
    "plan",
    "report",
    "search",
    "units",
    "weights",
)
"""Modules that the documentation names; the others are attributes, too."""

_moved.install()
_checkout.install()
__getattr__, _ = _lazy.attach(__name__, __path__, _PUBLIC, elsewhere=["models", *_moved.tops()])


def __dir__() -> list[str]:
    return sorted({*__all__, *_SHOWN})
