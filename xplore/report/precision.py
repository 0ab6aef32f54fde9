"""How many of the findings mean something, as people judged a sample of them.

The sample is stratified: a review takes one finding of each fault group before a second of any, so that each
group counts by its size, not by how often it was looked at.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Int

ANSWERS = ("valid", "invalid", "unsure")
Z95 = NormalDist().inv_cdf(0.975)
_ROUNDS, _PLACES = 6, 129


def precision(
    groups: Sequence[Sequence[str]], answers: Mapping[str, Mapping[str, str]]
) -> dict[str, Any] | None:
    """The share of the findings that keep their label, with its 95 % interval; None where none was judged.

    `groups` are the ids of the valid findings of each fault group, `answers` is
    `{finding: {reviewer: answer}}`. Of several reviewers the majority counts (`majority`). The share speaks
    of the findings of the groups that were reviewed, the part `of_findings` of all. `unsure` counts as
    invalid in the share and in the interval's lower end, as valid in its upper end (bounds without an
    assumption on what is not known: Manski, 1989).

    >>> told = precision([["a", "b"], ["c"]], {"a": {"kim": "valid"}, "c": {"kim": "invalid"}})
    >>> told["reviewed"], round(told["share"], 3), round(told["low"], 3), round(told["high"], 3)
    (2, 0.667, 0.333, 0.667)
    """
    known = {
        name: {who: said for who, said in answers[name].items() if said in ANSWERS}
        for name in (name for group in groups for name in group)
        if name in answers
    }
    known = {name: said for name, said in known.items() if said}
    if not known:
        return None
    judged = [
        Counter(majority([*known[name].values()]) for name in group if name in known) for group in groups
    ]
    kept = [index for index, tally in enumerate(judged) if tally]
    sizes = np.array([len(groups[index]) for index in kept])
    looked = np.array([judged[index].total() for index in kept])
    surely = np.array([judged[index]["valid"] for index in kept])
    perhaps = surely + np.array([judged[index]["unsure"] for index in kept])
    share, low, _ = stratified(sizes, looked, surely)
    _, _, high = stratified(sizes, looked, perhaps)
    told = sum(judged, Counter())
    return {
        "reviewed": len(known),
        **{answer: told[answer] for answer in ANSWERS},
        "reviewers": len({who for said in known.values() for who in said}),
        "groups": len(kept),
        "of_findings": float(sizes.sum() / sum(map(len, groups))),
        "share": share,
        "low": low,
        "high": high,
        "agreement": agreement([*known.values()]),
    }


def majority(answers: Sequence[str]) -> str:
    """What more than half of the reviewers say, else `unsure`.

    >>> majority(["valid", "valid", "invalid"]), majority(["valid", "invalid"])
    ('valid', 'unsure')
    """
    said, times = Counter(answers).most_common(1)[0]
    return said if 2 * times > len(answers) else "unsure"


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
    weights = sizes / sizes.sum()
    share = min(float(weights @ (valid / looked)), 1.0)
    least, most = valid / sizes, (valid + sizes - looked) / sizes
    spread = weights**2 / looked * (sizes - looked) / np.maximum(sizes - 1, 1)
    if not (left := spread > 0).any():
        return share, share, share

    # Where it is largest, each slope a (1 - 2 q) is t W, or q is at an end of what fits; p falls with t.
    slope = np.where(left, weights / np.where(left, 2 * spread, 1), 0.0)
    farthest = 0.5 / float(slope[left].min())

    def fit(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The p that belong to some t, and the largest variances that go with them."""
        q = np.clip(0.5 - t[:, None] * slope, least, most)
        return q @ weights, (q * (1 - q)) @ spread

    def allowed(t: np.ndarray) -> np.ndarray:
        p, variance = fit(t)
        return (share - p) ** 2 <= Z95**2 * variance

    middle = _last(lambda t: fit(t)[0] > share, -farthest, farthest)
    ends = np.array([_last(allowed, middle, end) for end in (farthest, -farthest)])
    low, high = fit(ends)[0].tolist()
    return share, max(min(low, share), 0.0), min(max(high, share), 1.0)


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
    shared = [said for said in answers if len(said) > 1]
    if not shared:
        return None
    people = sorted({who for said in shared for who in said})
    kappas = []
    for one, other in combinations(people, 2):
        both = [(said[one], said[other]) for said in shared if one in said and other in said]
        kappas += [cohen(*zip(*both, strict=True))] if both else []
    kappas = [kappa for kappa in kappas if kappa is not None]
    return {
        "judged": len(shared),
        "agree": sum(len(set(said.values())) == 1 for said in shared),
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
