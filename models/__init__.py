"""The zoo: one family of models a file, its weights (safetensors) and cards beside it."""

from xplore._util import lazy as _lazy

__getattr__, __dir__ = _lazy.attach(__name__, __path__)
