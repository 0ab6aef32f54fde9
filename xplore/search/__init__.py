"""How the latents move, one search a file; imports `constraints`."""

from xplore._util.recipe import Recipe as Recipe
from xplore.search._base import Blind as Blind
from xplore.search._base import Search as Search
from xplore.search.flips import Flips as Flips
from xplore.search.gradient import Gradient as Gradient
from xplore.search.original import Original as Original
from xplore.search.random import Random as Random
from xplore.search.sweep import Sweep as Sweep
