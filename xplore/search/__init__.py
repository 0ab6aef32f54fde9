"""How the latents move, one search a file; imports `constraints`."""

from xplore._util import moved as _moved
from xplore._util.recipe import Recipe as Recipe
from xplore.search._base import GradientFree as GradientFree
from xplore.search._base import Search as Search
from xplore.search.gradient import Gradient as Gradient
from xplore.search.grid_search import GridSearch as GridSearch
from xplore.search.hill_climb import HillClimb as HillClimb
from xplore.search.original import Original as Original
from xplore.search.random import Random as Random

__getattr__ = _moved.attach(__name__)
