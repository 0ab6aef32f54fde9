"""What is known of several campaigns as a whole, told as of one.

Each campaign keeps its own account under `merged`, in the order of the identities.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xplore.archive.records import content_hash
from xplore.archive.trusted import from_zoo

SAME = ("models", "layout", "criteria", "cells", "media", "classes", "oracle", "decisions", "table")
"""What campaigns must have in common."""
_BEGUN = ("created", "name", "command", "rng", "constraint", "search", "config", "models")
_LISTED = ("name", "command", "device", "constraint", "bound", "search", "objective")
_SUMMED = ("seconds", "compile_seconds", "seeds_total")

_AGAIN = (
    "Several campaigns searched the same seeds: {:,} are counted once more, shares are of searches and not of"
    " seeds, and their intervals are too narrow."
)
Meta = dict[str, Any]


def identity(meta: Meta) -> str:
    """Which campaign it is, whatever became of it; those of older versions have no `id`."""
    begun = json.dumps([meta.get(key) for key in _BEGUN], sort_keys=True)
    return str(meta.get("id") or content_hash(begun.encode()))


def parts(meta: Meta) -> list[Meta]:
    """The campaigns of an archive, by number.

    Raises:
        ValueError: what the archive tells of them is no account.
    """
    each = meta.get("merged") or [meta]
    if not isinstance(each, list) or not all(isinstance(part, dict) for part in each):
        raise ValueError("`merged` is no list of accounts")
    return each


def later(one: Meta, other: Meta) -> Meta:
    """Of two accounts of one campaign that of the copy which went on longer."""
    return max(one, other, key=_length)


def merged(campaigns: Sequence[Meta], spent: Mapping[int, tuple[int, int]], again: int = 0) -> Meta:
    """The accounts of campaigns, in the order of their identities, as one; `spent` are steps and queries
    of the campaigns' seeds by number, for those that were cut off before they told. So many seeds were
    searched `again` by another of them.
    """
    if len(campaigns) == 1:
        return campaigns[0]
    first, *others = campaigns
    shared = {key: value for key, value in first.items() if all(key in c and c[key] == value for c in others)}
    of = _Of(campaigns)
    steps = [_number(c.get("steps"), spent.get(i, (0, 0))[0]) for i, c in enumerate(campaigns)]
    queries = [_number(c.get("queries"), spent.get(i, (0, 0))[1]) for i, c in enumerate(campaigns)]
    unfinished = [c.get("ended") for c in campaigns if not c.get("finished")]
    return {
        **shared,
        **{key: first.get(key) for key in (*SAME, "main_criterion")},
        **{key: of.listed(key) for key in _LISTED},
        **{key: of.total(key) for key in _SUMMED},
        "id": content_hash("".join(map(identity, campaigns)).encode())[:32],
        "created": max(str(c.get("created") or "") for c in campaigns),
        "versions": of.versions(),
        "lanes": of.only("lanes"),
        "rng": of.only("rng"),
        "labelled": any(c.get("labelled") for c in campaigns),
        "steps": sum(steps),
        "queries": sum(queries),
        "finished": not unfinished,
        "ended": _ended(unfinished) if unfinished else " and ".join(of.words("ended")),
        "baselines": of.baselines(),
        "notes": [
            *([_AGAIN.format(again)] * (again > 0)),
            *of.notes(),
            f"Merged from {len(campaigns)} campaigns: {'; '.join(map(_note, campaigns))}",
        ],
        "gate": None,  # what gates said is of their own seeds alone; it stays beside each campaign
        "digests": _same_digests(campaigns),
        **_config(campaigns),
        "merged": list(campaigns),
    }


class _Of:
    """What campaigns tell, key by key."""

    def __init__(self, campaigns: Sequence[Meta]) -> None:
        self._campaigns = campaigns

    def _all(self, key: str) -> list[Any]:
        return [campaign.get(key) for campaign in self._campaigns]

    def words(self, key: str) -> list[str]:
        return list(dict.fromkeys(str(value) for value in self._all(key) if value))

    def listed(self, key: str) -> str | None:
        return "; ".join(self.words(key)) or None

    def only(self, key: str) -> Any:
        """The value, if there is one alone."""
        first, *others = self._all(key)
        return first if all(other == first for other in others) else None

    def total(self, key: str) -> float | None:
        """The sum, if every campaign tells its part."""
        numbers = [_number(value, math.nan) for value in self._all(key)]
        return None if any(map(math.isnan, numbers)) else sum(numbers)

    def versions(self) -> dict[str, str]:
        versions = [value for value in self._all("versions") if isinstance(value, dict)]
        names = dict.fromkeys(name for one in versions for name in one)
        return {
            name: ", ".join(sorted({str(one[name]) for one in versions if name in one})) for name in names
        }

    def notes(self) -> list[str]:
        lists = [value for value in self._all("notes") if isinstance(value, list)]
        return list(dict.fromkeys(str(note) for notes in lists for note in notes))

    def baselines(self) -> list[Meta]:
        """Searches that every campaign was compared with, their figures added; groups do not add up."""
        baselines: list[dict[str, Meta]] = [
            {str(b.get("search")): b for b in value if isinstance(b, dict)} if isinstance(value, list) else {}
            for value in self._all("baselines")
        ]
        added = []
        for search in (name for name in baselines[0] if all(name in other for other in baselines)):
            each = [other[search] for other in baselines]
            keys = ("seeds", "queries", "found", "findings", "valid", "seconds")
            sums = {key: _Of(each).total(key) for key in keys}
            added.append({"search": search, **sums, "groups": None, "note": _Of(each).listed("note") or ""})
        return added


def _config(campaigns: Sequence[Meta]) -> Meta:
    """The configs, and of the models' the one that a replay needs least for."""
    configs = [c.get("config") if isinstance(c.get("config"), dict) else {} for c in campaigns]
    rank: Callable[[Meta], tuple[bool, bool]] = lambda c: (not from_zoo(c), not c.get("config_file"))  # noqa: E731
    best = min(campaigns, key=rank)
    models = (best.get("config") or {}).get("models") if isinstance(best.get("config"), dict) else None
    merged: Meta = {"campaigns": configs} if any(configs) else {}
    if all(config == configs[0] for config in configs):
        merged = dict(configs[0] or {})
    merged |= {"models": models} if models else {}
    return {"config": merged, **({"config_file": best["config_file"]} if best.get("config_file") else {})}


def _same_digests(campaigns: Sequence[Meta]) -> Meta:
    """The digests of the parts that all campaigns share."""
    first, *others = [c["digests"] if isinstance(c.get("digests"), dict) else {} for c in campaigns]
    return {key: digest for key, digest in first.items() if all(other.get(key) == digest for other in others)}


def _ended(unfinished: Sequence[Any]) -> str:
    """Why campaigns are not finished, where all of these say the same."""
    return str(unfinished[0] or "") if len({str(why) for why in unfinished}) == 1 else ""


def _note(campaign: Meta) -> str:
    rng = f", rng {campaign['rng']}" if campaign.get("rng") is not None else ""
    gate = campaign.get("gate")
    gate_text = f", gate: {gate.get('decision') or 'not finished'}" if isinstance(gate, dict) else ""
    return f"{campaign.get('name') or 'campaign'}{rng} ({identity(campaign)[:8]}{gate_text})"


def _length(meta: Meta) -> tuple[Any, ...]:
    """How far a campaign is: its seconds only grow, and so does the number of its runs."""
    runs = meta.get("runs")
    begun = len(runs) if isinstance(runs, list) else 0
    text = json.dumps(meta, sort_keys=True)
    return _number(meta.get("seconds"), 0.0), begun, bool(meta.get("finished")), len(meta), text


def _number(value: Any, otherwise: Any) -> Any:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else otherwise
