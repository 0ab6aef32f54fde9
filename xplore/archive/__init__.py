"""Findings on disk, without JAX: the archive, its tables, records, metadata; imports `_util`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xplore._util import lazy

if TYPE_CHECKING:
    from xplore.archive.archive import Archive as Archive

__getattr__, __dir__ = lazy.attach(__name__, __path__, {"Archive": "xplore.archive.archive"})
