"""Fault groups: findings that seem to show one fault.

Findings with the same disagreement (expected label and decisions) are one group, unless what the models make
of them falls into clusters: each model's last hidden layer, scaled to length one, end to end; average
linkage, cut where the mean silhouette is greatest (Rousseeuw, 1987), and only if that shows a reasonable
structure (0.5: Kaufman & Rousseeuw, 1990). Clusters of failing inputs in a network's features estimate faults
(HUDD: Fahmy et al., 2021; Aghababaeyan et al., 2023); they are not faults.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from xplore.archive import Archive

REASONABLE = 0.5
"""The mean silhouette from which clusters are told apart."""
FEWEST = 8
"""Findings of one disagreement that are looked into; fewer are one group."""
MOST = 1000
"""Findings of one disagreement that are clustered; the others join the cluster whose mean is nearest."""
MOST_CLUSTERS = 10


def fault_groups(archive: Archive) -> dict[str, int]:
    """Which cluster of its disagreement each valid finding is in, by id: 0 for the largest."""
    by_group: dict[object, list[Float[np.ndarray, " h"]]] = defaultdict(list)
    widths = _widths(archive)
    for _, key, hidden in _hidden(archive):
        if len(by_group[key]) < MOST:
            by_group[key].append(unit_lengths(hidden, widths))
    means = {key: _means(np.stack(rows)) for key, rows in by_group.items() if len(rows) >= FEWEST}
    found: dict[str, int] = {}
    for name, key, hidden in _hidden(archive):
        centres = means.get(key)
        found[name] = 0
        if centres is not None and len(centres) > 1:
            found[name] = int(((centres - unit_lengths(hidden, widths)) ** 2).sum(axis=1).argmin())
    return found


def _hidden(archive: Archive) -> Iterator[tuple[str, object, Float[np.ndarray, " h"]]]:
    """Valid findings' ids, disagreements and hidden layers; a finding without these has none."""
    for name, key, hidden in archive.hidden():
        yield name, (key, len(hidden)), hidden.astype(np.float32)


def _widths(archive: Archive) -> list[int]:
    """How wide each model's part is, as campaigns since recorded it; one part, where that is not known."""
    return [int(width) for width in archive.meta.get("hidden") or ()]


def unit_lengths(hidden: Float[np.ndarray, " h"], widths: Sequence[int]) -> Float[np.ndarray, " h"]:
    """Each model's part scaled to length one, and all of them to length one together.

    >>> unit_lengths(np.array([3.0, 4.0, 2.0]), [2, 1]).round(3).tolist()
    [0.424, 0.566, 0.707]
    """
    known = widths if sum(widths) == len(hidden) else [len(hidden)]
    ends = np.cumsum([0, *known])
    parts = [hidden[a:b] / max(float(np.linalg.norm(hidden[a:b])), 1e-12) for a, b in pairwise(ends)]
    return np.concatenate([*parts, hidden[:0]]) / max(len(parts), 1) ** 0.5


def _means(rows: Float[np.ndarray, "n h"]) -> Float[np.ndarray, "k h"]:
    """The clusters' means, the largest cluster first."""
    labels = clusters(rows)
    sizes = np.bincount(labels)
    return np.stack([rows[labels == k].mean(axis=0) for k in np.argsort(-sizes, kind="stable")])


def clusters(rows: Float[np.ndarray, "n h"]) -> Int[np.ndarray, " n"]:
    """The cluster of each point; one cluster, where no cut shows a reasonable structure.

    >>> clusters(np.array([[0.0], [0.1], [0.2], [5.0], [5.1]])).tolist()
    [0, 0, 0, 1, 1]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform

    one = np.zeros(len(rows), int)
    if len(rows) < 3 or not rows.shape[1]:
        return one
    apart = pdist(rows)
    if not apart.any():
        return one
    tree, between = linkage(apart, "average"), squareform(apart)
    cuts = [fcluster(tree, k, "maxclust") - 1 for k in range(2, min(MOST_CLUSTERS, len(rows) - 1) + 1)]
    scores = [silhouette(between, cut) for cut in cuts]
    best = int(np.argmax(scores))
    return _in_order(cuts[best]) if scores[best] >= REASONABLE else one


def silhouette(between: Float[np.ndarray, "n n"], labels: Int[np.ndarray, " n"]) -> float:
    """The mean silhouette of a clustering, in [-1, 1]: how much nearer points are to their own cluster.

    That is, than to the next one (Rousseeuw, 1987). A point alone in its cluster has 0; so has one cluster.
    """
    count = int(labels.max()) + 1
    if count < 2:
        return 0.0
    member = np.eye(count)[labels]
    sizes = member.sum(axis=0)
    sums = between @ member
    at = np.arange(len(labels))
    own = sums[at, labels] / np.maximum(sizes[labels] - 1, 1)
    others = sums / np.maximum(sizes, 1)
    others[at, labels] = np.inf
    nearest = others.min(axis=1)
    score = (nearest - own) / np.maximum(np.maximum(nearest, own), 1e-12)
    return float(np.where(sizes[labels] > 1, score, 0).mean())


def _in_order(labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The same clusters, numbered as they first occur."""
    first: dict[int, int] = {}
    return np.array([first.setdefault(label, len(first)) for label in labels.tolist()])
