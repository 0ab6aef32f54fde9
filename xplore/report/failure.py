"""What a test or a gate that fails tells: one finding a fault group, and where its picture lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from xplore.archive import Archive
from xplore.errors import InputError, visible
from xplore.finding import Finding
from xplore.report._base import store
from xplore.report.pictures import decode, png, triptych
from xplore.report.png import file_name
from xplore.report.reading import Group, Reading, read
from xplore.report.wording import changed, part
from xplore.report.words import plural

SHOWN = 6
"""Fault groups that are told."""


@runtime_checkable
class Found(Protocol):
    """What a campaign found: a result."""

    @property
    def archive(self) -> Archive: ...

    @property
    def folder(self) -> Path: ...

    @property
    def temporary(self) -> bool: ...

    @property
    def valid(self) -> Sequence[Finding]: ...


def failure(result: Found) -> list[str]:
    """A campaign's valid findings in lines, one finding a fault group, with its size and its picture.

    Pictures of a result that is temporary would be gone when somebody looks for them: none are written.
    """
    reading, kept = read(result.archive), {finding.id for finding in result.valid}
    groups = [group for group in reading.groups if any(row.id in kept for row in group.rows)]
    if not groups:
        return [f"no valid finding from {plural(reading.seeds.count, 'seed')}"]
    seeds = plural(reading.seeds.count, "seed")
    lines = [f"{len(kept)} valid findings from {seeds}, in {plural(len(groups), 'fault group')}"]
    for group in groups[:SHOWN]:
        lines.append(_told(result, reading, group, kept))
    if len(groups) > SHOWN:
        where = "result.save(FOLDER) keeps them" if result.temporary else str(result.folder / "report.html")
        lines.append(f"  and {plural(len(groups) - SHOWN, 'more group')}: {where}")
    return list(map(visible, lines))


def _told(result: Found, reading: Reading, group: Group, kept: set[str]) -> str:
    rows = [row for row in group.rows if row.id in kept]
    row = group.example if group.example.id in kept else rows[0]
    (finding,) = result.archive.take([row.id])
    answers = ", ".join(
        f"{name} {reading.class_name(d)}" for name, d in zip(reading.models, row.decisions, strict=True)
    )
    smallest = finding.shrunk.measures if finding.shrunk is not None else finding.measures
    size = f", L2 {smallest['l2']:.3g}" if "l2" in smallest else ""
    place = changed(row)
    if not reading.in_words and not result.temporary:
        after = finding.after if finding.shrunk is None else finding.shrunk.after
        picture = png(triptych(decode(finding.before), decode(after)))
        try:
            place = str(store(result.folder / "findings" / file_name(finding), picture))
        except InputError as error:  # a folder that is only read, a full disk
            place = f"no picture: {error}"
    said = f"expected {reading.class_name(row.expected)}; {answers}{part(group)}"
    head = f"  {row.id}  seed {reading.seed_name(row)}: {said}"
    return f"{head}  {plural(len(rows), 'finding')}{size}  {place}"
