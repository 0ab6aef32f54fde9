"""A campaign from its arguments to its result: run, judge, resume, replay; imports `engine`, `evaluation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.campaign.campaign import Campaign as Campaign

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Campaign": "xplore.campaign.campaign"})
