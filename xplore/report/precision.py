"""How many of the findings mean something, as people judged a sample of them.

The sample is stratified: a review takes one finding of each group before a second of any, then of each as
many as its size asks for (`turns`), and each group counts by its size, not by how often it was looked at.
The groups are the failure modes that reports show first, and all other findings (`Reading.strata`).
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float, Int

ANSWERS = ("valid", "invalid", "unsure")
MARGIN = 0.1
"""How far the ends of an interval may lie from the share, for a review that is large enough."""
Z95 = NormalDist().inv_cdf(0.975)
_ROUNDS, _PLACES = 6, 129
_SHARES = np.linspace(0.5, 0.8, 16).tolist()
"""Among these the interval is widest: it is as wide for the share of the others, and narrower beyond."""


def precision(
    groups: Sequence[Sequence[str]], answers: Mapping[str, Mapping[str, str]]
) -> dict[str, Any] | None:
    """The share of the findings that keep their label, with its 95 % interval; None where none was judged.

    `groups` are the ids of the findings of each group that was sampled from, `answers` is
    `{finding: {reviewer: answer}}`. Of several reviewers the majority counts (`majority`). The share speaks
    of the findings of the groups that were reviewed, the part `of_findings` of all. `unsure` counts as
    invalid in the share and in the interval's lower end, as valid in its upper end (bounds without an
    assumption on what is not known: Manski, 1989).

    >>> told = precision([["a", "b"], ["c"]], {"a": {"kim": "valid"}, "c": {"kim": "invalid"}})
    >>> told["reviewed"], round(told["share"], 3), round(told["low"], 3), round(told["high"], 3)
    (2, 0.667, 0.333, 0.667)
    """
    known = {
        name: {who: given for who, given in answers[name].items() if given in ANSWERS}
        for name in (name for group in groups for name in group)
        if name in answers
    }
    known = {name: given for name, given in known.items() if given}
    if not known:
        return None
    judged = [
        Counter(majority([*known[name].values()]) for name in group if name in known) for group in groups
    ]
    counted = [index for index, tally in enumerate(judged) if tally]
    sizes = np.array([len(groups[index]) for index in counted])
    looked = np.array([judged[index].total() for index in counted])
    surely = np.array([judged[index]["valid"] for index in counted])
    perhaps = surely + np.array([judged[index]["unsure"] for index in counted])
    share, low, _ = stratified(sizes, looked, surely)
    _, _, high = stratified(sizes, looked, perhaps)
    counts = sum(judged, Counter())
    return {
        "reviewed": len(known),
        **{answer: counts[answer] for answer in ANSWERS},
        "reviewers": len({who for given in known.values() for who in given}),
        "groups": len(counted),
        "of_findings": float(sizes.sum() / sum(map(len, groups))),
        "share": share,
        "low": low,
        "high": high,
        "agreement": agreement([*known.values()]),
    }


def turns(sizes: Sequence[int]) -> list[int]:
    """Which group each finding of a review is from: of each one first, then in proportion to their sizes.

    The next is of the group with the largest `size / (2 taken + 1)` (Webster's method, 1832), so that any
    beginning is nearly a proportional sample.

    >>> turns([1, 6, 2])
    [0, 1, 2, 1, 1, 1, 1, 2, 1]
    """
    order = [group for group, size in enumerate(sizes) if size]
    left = [(-size / 3, group, 1) for group, size in enumerate(sizes) if size > 1]
    heapq.heapify(left)
    while left:
        _, group, taken = heapq.heappop(left)
        order.append(group)
        if taken + 1 < sizes[group]:
            heapq.heappush(left, (-sizes[group] / (2 * taken + 3), group, taken + 1))
    return order


def needed(sizes: Sequence[int], within: float = MARGIN) -> int:
    """How many findings are enough, in the order of `turns`: the interval's ends are `within` of the share.

    That holds whatever is answered, as long as nobody is unsure: it is asked of the share at which the
    interval (`stratified`) is widest, found by trying, and nothing that the answers would rule out is ruled
    out. Of one large group about `z^2 / (4 within^2)` findings are needed (Cochran, 1977, chapter 4), of a
    smaller one fewer.

    >>> needed([10_000]), needed([200]), needed([5, 4, 3])
    (96, 66, 12)
    """
    order, known = turns(sizes), np.array([size for size in sizes if size], int)
    place = {group: at for at, group in enumerate(group for group, size in enumerate(sizes) if size)}
    at = np.array([place[group] for group in order], int)

    def narrow(count: int) -> bool:
        return widest(known, np.bincount(at[:count], minlength=len(known))) <= within

    return bisect_left(range(len(order)), True, lo=min(len(known), len(order)), key=narrow)


def widest(sizes: Int[np.ndarray, " g"], looked: Int[np.ndarray, " g"]) -> float:
    """How far the ends of `stratified` may be from the share, over all shares: each group was looked at."""
    weights, spread = _weights(sizes, looked)
    if not (spread > 0).any():
        return 0.0
    none, whole = np.zeros(len(sizes)), np.ones(len(sizes))
    sides = [(share, *_ends(share, weights, spread, none, whole)) for share in _SHARES]
    return max(max(share - low, high - share) for share, low, high in sides)


def majority(answers: Sequence[str]) -> str:
    """What more than half of the reviewers say, else `unsure`.

    >>> majority(["valid", "valid", "invalid"]), majority(["valid", "invalid"])
    ('valid', 'unsure')
    """
    answer, times = Counter(answers).most_common(1)[0]
    return answer if 2 * times > len(answers) else "unsure"


def stratified(
    sizes: Int[np.ndarray, " g"], looked: Int[np.ndarray, " g"], valid: Int[np.ndarray, " g"]
) -> tuple[float, float, float]:
    """The share of valid findings, told from a random sample of each group, and its 95 % interval.

    Of `sizes` findings `looked` (at least one) were judged and `valid` of them are. The estimate is the
    stratified mean `sum W k / n` with `W = N / sum N`; its variance is `sum a q (1 - q)` with
    `a = W^2 / n (N - n) / (N - 1)` (Cochran, 1977, chapter 5: without replacement, so that a group which was
    judged whole adds nothing). The interval holds each `p` that a score test does not reject (Wilson, 1927).
    A group of which one finding was judged tells nothing of its own variance: the test takes the largest that
    any shares `q` have whose mean is `p` and which fit what was seen. For one large group that is Wilson's
    interval; for groups that differ it is wider than it need be. As with Wilson's, what it covers falls below
    95 % where almost all hangs on a few answers.

    >>> share, low, high = stratified(np.array([10**9]), np.array([10]), np.array([8]))
    >>> round(share, 3), round(low, 3), round(high, 3)
    (0.8, 0.49, 0.943)
    """
    weights, spread = _weights(sizes, looked)
    share = min(float(weights @ (valid / looked)), 1.0)
    least, most = valid / sizes, (valid + sizes - looked) / sizes
    if not (spread > 0).any():
        return share, share, share
    low, high = _ends(share, weights, spread, least, most)
    return share, max(min(low, share), 0.0), min(max(high, share), 1.0)


def _weights(
    sizes: Int[np.ndarray, " g"], looked: Int[np.ndarray, " g"]
) -> tuple[Float[np.ndarray, " g"], Float[np.ndarray, " g"]]:
    """The weight of each group, and what its variance `q (1 - q)` counts in that of the share."""
    weights = sizes / sizes.sum()
    return weights, weights**2 / looked * (sizes - looked) / np.maximum(sizes - 1, 1)


def _ends(
    share: float,
    weights: Float[np.ndarray, " g"],
    spread: Float[np.ndarray, " g"],
    least: Float[np.ndarray, " g"],
    most: Float[np.ndarray, " g"],
) -> tuple[float, float]:
    """The least and the largest mean of shares, each in its limits, that a score test does not reject."""
    left = spread > 0
    # Where it is largest, each slope a (1 - 2 q) is t W, or q is at an end of what fits; p falls with t.
    rise = np.where(left, weights / np.where(left, 2 * spread, 1), 0.0)
    farthest = 0.5 / float(rise[left].min())

    def fit(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The p that belong to some t, and the largest variances that go with them."""
        q = np.clip(0.5 - t[:, None] * rise, least, most)
        return q @ weights, (q * (1 - q)) @ spread

    def allowed(t: np.ndarray) -> np.ndarray:
        p, variance = fit(t)
        return (share - p) ** 2 <= Z95**2 * variance

    middle = _last(lambda t: fit(t)[0] > share, -farthest, farthest)
    ends = np.array([_last(allowed, middle, end) for end in (farthest, -farthest)])
    low, high = fit(ends)[0].tolist()
    return low, high


def _last(holds: Callable[[np.ndarray], np.ndarray], inside: float, outside: float) -> float:
    """The last place on the way from inside to outside where a condition holds, that ends to hold once."""
    for _ in range(_ROUNDS):
        at = np.linspace(inside, outside, _PLACES)
        last = int(np.flatnonzero(holds(at)).max(initial=0))  # not the first: inside it may fail by rounding
        if last == _PLACES - 1:
            return outside
        inside, outside = at[last : last + 2].tolist()
    return inside


def agreement(answers: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """How far reviewers agree on what at least two of them judged; None where there is nothing such.

    `agree` counts the findings on which all of their reviewers say the same. `kappa` is Cohen's (1960), with
    more than two reviewers its mean over pairs (Light, 1971); None where chance alone would make all agree.

    >>> agreement([{"kim": "valid", "lee": "valid"}, {"kim": "invalid", "lee": "invalid"}, {"kim": "valid"}])
    {'judged': 2, 'agree': 2, 'kappa': 1.0}
    """
    shared = [given for given in answers if len(given) > 1]
    if not shared:
        return None
    people = sorted({who for given in shared for who in given})
    kappas = []
    for one, other in combinations(people, 2):
        both = [(given[one], given[other]) for given in shared if one in given and other in given]
        kappas += [cohen(*zip(*both, strict=True))] if both else []
    kappas = [kappa for kappa in kappas if kappa is not None]
    return {
        "judged": len(shared),
        "agree": sum(len(set(given.values())) == 1 for given in shared),
        "kappa": math.fsum(kappas) / len(kappas) if kappas else None,
    }


def cohen(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Cohen's kappa (1960): agreement beyond chance, 1 at most; None where chance alone would give all of it.

    >>> cohen(["valid", "valid", "invalid", "invalid"], ["valid", "valid", "invalid", "valid"])
    0.5
    """
    total, first, second = len(one), Counter(one), Counter(other)
    same = sum(a == b for a, b in zip(one, other, strict=True)) * total
    chance = sum(times * second[answer] for answer, times in first.items())
    return (same - chance) / (total**2 - chance) if chance < total**2 else None
