"""The compiled step, its loops, and what follows from the devices; imports `panel` and the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.engine.engine import Engine as Engine

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Engine": "xplore.engine.engine"})
