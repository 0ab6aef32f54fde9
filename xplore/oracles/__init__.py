"""What counts as a disagreement, one rule a file; imports `model`, `archive`."""

from xplore._util import moved as _moved
from xplore.oracles._base import ClassificationOracle as ClassificationOracle
from xplore.oracles._base import Oracle as Oracle
from xplore.oracles._base import RegressionOracle as RegressionOracle
from xplore.oracles.angles import AnglesDiffer as AnglesDiffer
from xplore.oracles.flips import NegativeFlips as NegativeFlips
from xplore.oracles.labels import LabelsDiffer as LabelsDiffer
from xplore.oracles.values import ValuesDiffer as ValuesDiffer

__getattr__ = _moved.attach(__name__)
