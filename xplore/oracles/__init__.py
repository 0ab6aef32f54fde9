"""What counts as a disagreement, one rule a file; imports `model`, `archive`."""

from xplore.oracles._base import OfLabels as OfLabels
from xplore.oracles._base import OfValues as OfValues
from xplore.oracles._base import Oracle as Oracle
from xplore.oracles.angles import AnglesDiffer as AnglesDiffer
from xplore.oracles.flips import NegativeFlips as NegativeFlips
from xplore.oracles.labels import LabelsDiffer as LabelsDiffer
from xplore.oracles.values import ValuesDiffer as ValuesDiffer
