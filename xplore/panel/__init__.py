"""Models that should agree, asked together on one input; imports `adapters`, `model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.panel.panel import Panel as Panel

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Panel": "xplore.panel.panel"})
