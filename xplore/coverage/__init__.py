"""Coverage criteria: which parts of a model did the tests reach? One a file; imports `model`."""

from xplore.coverage._base import CellCriterion as CellCriterion
from xplore.coverage._base import Criterion as Criterion
from xplore.coverage.neuron import NeuronCoverage as NeuronCoverage
