"""Inputs and labels to start a campaign from: one data set a file, each with a function `load`."""

from xplore._util import lazy as _lazy

__getattr__, __dir__ = _lazy.attach(__name__, __path__)
