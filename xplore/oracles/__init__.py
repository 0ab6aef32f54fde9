"""What counts as a disagreement. One judgement a file."""

from xplore.oracles._base import OfLabels as OfLabels
from xplore.oracles._base import OfValues as OfValues
from xplore.oracles._base import Oracle as Oracle
from xplore.oracles.angles import AnglesDiffer as AnglesDiffer
from xplore.oracles.flips import NegativeFlips as NegativeFlips
from xplore.oracles.labels import LabelsDiffer as LabelsDiffer
from xplore.oracles.values import ValuesDiffer as ValuesDiffer
