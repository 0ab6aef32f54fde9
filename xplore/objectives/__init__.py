"""What the search climbs, one objective a file; imports `panel`, `model`."""

from xplore.objectives._base import Objective as Objective
from xplore.objectives.diverge import Diverge as Diverge
from xplore.objectives.joint import Joint as Joint
