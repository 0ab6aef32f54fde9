"""Inputs and labels to start from, one data set a file with a function `load`; imports `constraints`."""

from xplore._util import lazy as _lazy

__getattr__, __dir__ = _lazy.attach(__name__, __path__)
