"""Where a campaign is computed, if not here. One backend a file."""

from xplore.backends._base import Backend as Backend
from xplore.backends._base import Backends as Backends
from xplore.backends.ray import Ray as Ray
