"""How many examples a property is tried on: few in `make check`, ten times as many in `make release`.

A profile is chosen by `--hypothesis-profile dev`; a test says `examples(25)`, or `many(25)` in its settings.
"""

from hypothesis import settings

USUAL, LEAST = 100, 2

settings.register_profile("dev", max_examples=10, deadline=None, derandomize=True)
settings.register_profile("release", max_examples=1000, deadline=None)


def many(count: int) -> int:
    """So many examples in `make test`; a tenth of them, or ten times as many, under another profile."""
    return max(LEAST, count * settings.default.max_examples // USUAL)
