"""xplore: inputs on which models that should agree do not, and how much of each model the tests reached."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore import forks as _forks  # noqa: F401 # sees forks from now on

if TYPE_CHECKING:
    from xplore.adapters import adapt as adapt
    from xplore.api import run as run
    from xplore.errors import InputError as InputError
    from xplore.gating import gate as gate
    from xplore.inspection import inspect as inspect
    from xplore.measuring import Reach as Reach
    from xplore.measuring import coverage_of as coverage_of
    from xplore.measuring import curves as curves
    from xplore.measuring import reach as reach
    from xplore.merging import merge as merge
    from xplore.model import Model as Model
    from xplore.panel import Panel as Panel
    from xplore.peers import refit as refit
    from xplore.plan import Budget as Budget
    from xplore.rejudge import replay as replay
    from xplore.report.comparison import compare as compare
    from xplore.result import Result as Result

__version__ = "0.1.0"

_PUBLIC = {
    "InputError": "xplore.errors",
    "adapt": "xplore.adapters",
    "gate": "xplore.gating",
    "Reach": "xplore.measuring",
    "coverage_of": "xplore.measuring",
    "curves": "xplore.measuring",
    "reach": "xplore.measuring",
    "Budget": "xplore.plan",
    "compare": "xplore.report.comparison",
    "inspect": "xplore.inspection",
    "merge": "xplore.merging",
    "Model": "xplore.model",
    "Panel": "xplore.panel",
    "Result": "xplore.result",
    "refit": "xplore.peers",
    "replay": "xplore.rejudge",
    "run": "xplore.api",
}
__all__ = [*_PUBLIC, "__version__"]

_checkout = Path(__file__).parents[1]
if not Path(__file__).with_name("models").is_dir() and (_checkout / "models" / "lenet.py").is_file():
    __path__.append(
        str(_checkout)
    )  # models/ travels inside a wheel; in a checkout it stands beside the package


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): importing xplore costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'xplore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
