"""Shares with their 95 % intervals, and how much larger one is than another."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959964


def share(part: int, whole: int) -> dict[str, float] | None:
    """A share with its 95 % interval (Wilson, 1927), which stays in [0, 1] and is sound near its ends.

    >>> {key: round(value, 3) for key, value in share(8, 10).items()}
    {'share': 0.8, 'low': 0.49, 'high': 0.943}
    """
    if whole <= 0:
        return None
    p = min(part / whole, 1.0)
    scale = 1 + Z95**2 / whole
    centre = (p + Z95**2 / (2 * whole)) / scale
    half = Z95 / scale * math.sqrt(p * (1 - p) / whole + Z95**2 / (4 * whole**2))
    return {"share": p, "low": max(centre - half, 0.0), "high": min(centre + half, 1.0)}


def difference(one: dict[str, float], other: dict[str, float], correlation: float = 0.0) -> dict[str, float]:
    """How much larger a share is than another, with its 95 % interval, from both shares' Wilson intervals.

    Method 10 of Newcombe (1998a) for independent shares; with the `correlation` of pairs, method 10 of
    Newcombe (1998b) for paired ones. Statistics in Medicine 17, pages 873 and 2635.

    >>> {name: round(value, 4) for name, value in difference(share(56, 70), share(48, 80)).items()}
    {'difference': 0.2, 'low': 0.0524, 'high': 0.3339}
    """
    gap = one["share"] - other["share"]
    below, above = one["share"] - one["low"], one["high"] - one["share"]
    under, over = other["share"] - other["low"], other["high"] - other["share"]
    low = math.sqrt(max(below**2 - 2 * correlation * below * over + over**2, 0.0))
    high = math.sqrt(max(above**2 - 2 * correlation * above * under + under**2, 0.0))
    return {"difference": gap, "low": gap - low, "high": gap + high}


def prediction_interval(
    shares: Sequence[Sequence[float]], counts: Sequence[int], chance: float = 0.025
) -> list[float]:
    """The largest share of each group that one more training would have, but for a `chance` over all groups.

    `shares` has a row for each of k trainings and a column for each group; `counts` says how many seeds the
    new one has of each. The upper end of a prediction interval, `mean + t spread sqrt(1 + 1 / k)`, Student's
    t at `chance / groups` (Bonferroni), on the scale of `asin sqrt`, where chance over seeds alone deviates
    by `1 / (2 sqrt count)`. The spread is pooled over the groups, unless a group's own, or that by chance
    over its seeds, is larger.

    >>> [round(most, 2) for most in prediction_interval([[0.30], [0.36], [0.40], [0.33]], [1000])]
    [0.5]
    """
    import numpy as np
    from scipy.stats import t

    angles = np.arcsin(np.sqrt(np.asarray(shares, float)))
    k, groups = angles.shape
    own = angles.var(axis=0, ddof=1)
    by_chance = 0.25 / np.maximum(counts, 1)
    spread = np.sqrt(np.maximum(np.maximum(own, own.mean()), by_chance))
    quantile = t.ppf(1 - chance / groups, groups * (k - 1))
    upper = angles.mean(axis=0) + quantile * spread * math.sqrt(1 + 1 / k)
    return (np.sin(np.minimum(upper, np.pi / 2)) ** 2).tolist()


def correlation(pairs: dict[str, int]) -> float:
    """How alike two outcomes of the same seeds are, phi, corrected for continuity (Newcombe, 1998b).

    >>> correlation({"both": 40, "only_a": 10, "only_b": 10, "neither": 40})
    0.58
    """
    e, f, g, h = (pairs[name] for name in ("both", "only_a", "only_b", "neither"))
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    product = e * h - f * g
    product = max(product - (e + f + g + h) / 2, 0.0) if product > 0 else product
    return product / math.sqrt(margins) if margins else 0.0
