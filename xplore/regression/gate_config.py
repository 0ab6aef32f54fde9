"""A gate as a config says: its seeds, constraint, search and evidence, between two models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xplore.campaign.config.file import Config
from xplore.campaign.config.run import evidence, method, seeds
from xplore.regression.gate import Verdict, gate


def gate_config(
    config: Config,
    old: Any,
    new: Any,
    *,
    allow: float | None,
    null: Sequence[Any],
    out: Path | None,
    command: str,
    resume: bool = False,
) -> Verdict:
    """A gate by a config: its seeds, constraint, search and evidence; its models are left out."""
    images, labels, classes, notes = seeds(config)
    recorded = {"command": command, "notes": notes}
    how = {"classes": classes, "recorded": recorded, "resume": resume, **method(config), **evidence(config)}
    return gate(old, new, images, labels, allow=allow, null=null, out=out, **how)
