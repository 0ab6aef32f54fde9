"""A campaign from its arguments to its result: validation, the outer loop, judging, resume, replay, merge.

Imports `engine`, `evaluation` and what lies below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.campaign.campaign import Campaign as Campaign

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Campaign": "xplore.campaign.campaign"})
