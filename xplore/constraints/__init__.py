"""How an input may change and stay realistic: charts with a bound, one a file; imports `inputs`."""

from xplore.constraints._base import Constraint as Constraint
from xplore.constraints.additions import Additions as Additions
from xplore.constraints.affine import Affine as Affine
from xplore.constraints.ball import Ball as Ball
from xplore.constraints.blackout import Blackout as Blackout
from xplore.constraints.blur import Blur as Blur
from xplore.constraints.chain import Chain as Chain
from xplore.constraints.features import Features as Features
from xplore.constraints.fog import Fog as Fog
from xplore.constraints.latent import Latent as Latent
from xplore.constraints.lighting import Lighting as Lighting
from xplore.constraints.noise import Noise as Noise
from xplore.constraints.occlusion import Occlusion as Occlusion
from xplore.constraints.patches import Patches as Patches
from xplore.constraints.photometric import Photometric as Photometric
from xplore.constraints.rain import Rain as Rain
from xplore.constraints.snow import Snow as Snow
