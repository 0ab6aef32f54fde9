"""What an archive holds of a campaign that was cut off: all that a later run needs to go on."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xplore._util.errors import InputError, short
from xplore.archive import Archive
from xplore.archive.metadata import comparable, differing
from xplore.campaign.scheduling import Rounds
from xplore.campaign.settings import Totals
from xplore.evaluation.sources import Block

SAME = (
    *("models", "constraint", "search", "objective", "oracle", "rng", "round_size", "lag", "criteria"),
    *("cells", "main_criterion", "layout", "media", "labelled", "classes", "table", "lowering", "dtype"),
)
"""What makes a campaign that campaign; lanes, the device and versions may change."""

UNCOMPARED = "Gone on with by another version of Python or xplore: parts were compared by what they print."


@dataclass
class Held:
    """A round that was read before: how many seeds it had, their digest, and those whose fate is known."""

    seeds: int = 0
    digest: str = ""
    closed: set[int] = field(default_factory=set)

    def done(self, size: int) -> bool:
        """Was a whole round of this size read, and are all its fates known?"""
        return self.seeds == len(self.closed) == size

    def same(self, block: Block) -> None:
        """An InputError if these seeds are not those that the archive began with."""
        if len(block) < self.seeds or (self.digest and block.digest(self.seeds) != self.digest):
            raise InputError(
                "seeds",
                expected="those that this campaign began with",
                got="others, or others in their order",
                fix="give the same seeds, or choose a new folder with out=",
            )


def resumed(folder: Path, meta: dict[str, Any]) -> Archive:
    """The archive of a campaign that is to go on, open to write.

    Raises:
        InputError: it holds another campaign: what differs is told, and the archive is not altered.
    """
    with closing(Archive.open(folder)) as archive:
        before, now = archive.meta, json.loads(json.dumps(meta))
        read = sum(seeds for _, seeds, _ in archive.rounds())
    if before.get("merged"):
        fix = "go on with one of those that it was merged from; nothing was changed"
        raise InputError(f"campaign in {folder}", expected="one campaign", got="several, merged", fix=fix)
    _same(folder, before, now)
    if now["seeds_total"] is not None and now["seeds_total"] < read:
        raise InputError("seeds", expected=f"at least the {read} that were read", got=str(now["seeds_total"]))
    archive = Archive.open(folder, write=True)
    more = before.get("seeds_total") != now["seeds_total"]
    runs, notes = (before.get(key) or [] for key in ("runs", "notes"))
    again = {key: now.get(key) for key in ("created", "command", "device", "lanes")}
    anew: dict[str, Any] = {"finished": False} if more else {}
    if before.get("gate") or now.get("gate"):  # what an earlier gate said is not what this one says
        anew["gate"] = now.get("gate")
    archive.note(runs=[*runs, again], seeds_total=now["seeds_total"], **anew)
    if "digests" in before and not comparable(before, now) and UNCOMPARED not in notes:
        archive.note(notes=[*notes, UNCOMPARED])
    return archive


def _same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """An InputError that names what differs, if two accounts are not of one campaign."""
    fix = "give what it was begun with, or choose a new folder with out=; nothing was changed"
    same = (*SAME, "programs") if _same_compiler(before, now) else SAME
    if differ := [key for key in same if before.get(key) != now.get(key)]:
        key, *others = differ
        more = f" (others: {', '.join(others)})" if others else ""
        wanted = f"the one that was begun there: {key} = {short(before.get(key))}"
        raise InputError(f"campaign in {folder}", expected=wanted, got=short(now.get(key)) + more, fix=fix)
    for key, names in differing(before, now).items():
        wanted = f"the one that was begun there: the same {key}"
        wanted += f", in its {' and '.join(names)}" if names else ""
        alike = f", which prints the same ({short(now[key])})" if key in now else ""
        raise InputError(f"campaign in {folder}", expected=wanted, got=f"another one{alike}", fix=fix)


def _same_compiler(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Can what the models' functions were traced to be compared? Each version of JAX words it otherwise."""
    versions = before.get("versions")
    return (
        "programs" in before and isinstance(versions, dict) and versions.get("jax") == now["versions"]["jax"]
    )


def restore(archive: Archive, tally: Totals, rounds: Rounds, round_size: int) -> dict[int, Held]:
    """The rounds of an archive by number; what was counted and covered goes into `tally` and `rounds`."""
    held: dict[int, Held] = defaultdict(Held)
    for index, seeds, digest in archive.rounds():
        held[index] = Held(seeds, digest)
    tally.seconds = float(archive.meta.get("seconds") or 0.0)
    for record in archive.seeds():
        held[record.round].closed.add(record.seed)
        tally.closed += 1
        tally.steps += record.steps
        tally.already_differ += record.fate == "already_differ"
        tally.found += record.fate in ("found", "rejudged_away")
        tally.rejudged_away += record.fate == "rejudged_away"
    for finding in archive.findings():
        tally.count([finding])
    for due, covered in archive.due(round_size):
        rounds.reach(due, covered)
    return dict(held)
