"""What a test or a gate that fails tells: one finding a failure mode, and where its picture lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from xplore._util.errors import InputError, visible
from xplore.archive import Archive
from xplore.archive.records import Finding
from xplore.report._base import store
from xplore.report.failure_modes import FailureMode
from xplore.report.pictures import decode, png, triptych
from xplore.report.png import file_name
from xplore.report.reading import Reading, read
from xplore.report.rows import Row, least_changed
from xplore.report.wording import changed, named, sentence
from xplore.report.words import plural

SHOWN = 6
"""Failure modes that are told."""


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
    """A campaign's valid findings in lines, one finding a failure mode, with its size and its picture.

    Pictures of a result that is temporary would be gone when somebody looks for them: none are written.
    """
    reading, valid = read(result.archive), {finding.id for finding in result.valid}
    modes = [(mode, [row for row in mode.rows if row.id in valid]) for mode in reading.failure_modes]
    modes = [(mode, rows) for mode, rows in modes if rows]
    seeds = plural(reading.seeds.count, "seed")
    if not modes:
        return [f"no valid finding from {seeds}"]
    lines = [f"{plural(len(valid), 'valid finding')} from {seeds}, in {plural(len(modes), 'failure mode')}"]
    lines += [_line(result, reading, mode, rows) for mode, rows in modes[:SHOWN]]
    if len(modes) > SHOWN:
        where = "result.save(FOLDER) keeps them" if result.temporary else str(result.folder / "report.html")
        lines.append(f"  and {plural(len(modes) - SHOWN, 'more failure mode')}: {where}")
    return list(map(visible, lines))


def _line(result: Found, reading: Reading, mode: FailureMode, rows: Sequence[Row]) -> str:
    row = least_changed(rows)
    length = row.shown.measure("l2")
    size = "" if length is None else f", L2 {length:.3g}"
    place = changed(row.shown)
    if not reading.in_words and not result.temporary:
        (finding,) = result.archive.take([row.id])
        picture = png(triptych(decode(finding.before), decode((finding.shrunk or finding).after)))
        try:
            place = str(store(result.folder / "findings" / file_name(finding), picture))
        except InputError as error:  # a folder that is only read, a full disk
            place = f"no picture: {error}"
    head = f"  {named(reading, mode)}: {plural(len(rows), 'finding')}, as {row.id} from seed"
    return f"{head} {reading.seed_name(row)}: {sentence(reading, row)}{size}  {place}"
