"""What models say without a search: accuracies, coverage, sources, checks; imports `panel` and the parts."""

from xplore._util import lazy

__getattr__, __dir__ = lazy.attach(__name__, __path__)
