"""One model under test: its outputs, neurons, weights, capture and lowering; imports `_util`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.model.model import Model as Model

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Model": "xplore.model.model"})
