"""Are a campaign's models all of xplore's own zoo?"""

from __future__ import annotations

import json
from typing import Any


def from_zoo(meta: dict[str, Any]) -> bool:
    """Are the models of a campaign all of xplore's own zoo? No other code that an archive names is imported.

    >>> from_zoo({"config": {"models": [{"use": "xplore.models.lenet:lenet1"}]}}), from_zoo({})
    (True, False)
    """
    config = meta.get("config")
    parts = config.get("models") if isinstance(config, dict) else None
    named = [str(part.get("use")) for part in parts or ()]
    arguments = [[value for key, value in part.items() if key != "use"] for part in parts or ()]
    nested = '"use"' in json.dumps(arguments)
    return bool(named) and not nested and all(name.startswith("xplore.models.") for name in named)
