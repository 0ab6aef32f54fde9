"""How an input may change and stay realistic: charts with a bound. One chart a file."""

from xplore.constraints._base import Constraint as Constraint
from xplore.constraints.additions import Additions as Additions
from xplore.constraints.ball import Ball as Ball
from xplore.constraints.blackout import Blackout as Blackout
from xplore.constraints.features import Features as Features
from xplore.constraints.lighting import Lighting as Lighting
from xplore.constraints.occlusion import Occlusion as Occlusion
