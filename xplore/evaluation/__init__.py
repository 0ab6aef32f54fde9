"""What models say of inputs without a search: accuracies, coverage; sources of inputs, and checks of them.

Imports `panel`, `coverage`, `constraints`, `report` and what lies below.
"""

from xplore._util import lazy

__getattr__, __dir__ = lazy.attach(__name__, __path__)
