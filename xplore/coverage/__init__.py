"""Coverage criteria: which parts of each model did the tests reach? One criterion a file."""

from xplore.coverage._base import CellCriterion as CellCriterion
from xplore.coverage._base import Criterion as Criterion
from xplore.coverage.neuron import NeuronCoverage as NeuronCoverage
