"""A campaign as a TOML file: read, checked, made into objects, and run."""

from xplore._util import lazy

__getattr__, __dir__ = lazy.attach(__name__, __path__)
