"""Where a campaign is computed, if not here. One backend a file."""

from xplore.campaign.backends._base import Backend as Backend
from xplore.campaign.backends._base import Backends as Backends
from xplore.campaign.backends.ray import Ray as Ray
