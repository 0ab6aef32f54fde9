"""Archives of several campaigns as one: the union of what each holds.

Merging is a join: neither the order of the archives nor repetition matters, and merged archives merge.
Findings with the same content fall together, the one of the first campaign's first seed is kept; campaigns
are numbered in the order of their ids. Of two copies of one campaign each seed, each round and the account
of the whole are those of the copy that went on longer.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from xplore._util.errors import InputError, one_line, short
from xplore._util.folders import alone, whole
from xplore.archive import Archive, tables
from xplore.archive.merged_metadata import SAME, Meta, identity, later, merged, parts
from xplore.archive.metadata import differing
from xplore.archive.records import Finding, content_hash
from xplore.archive.rows import COLUMNS, DAMAGE, finding_row, pack, seed_row, shrunk_row, unpack
from xplore.campaign.result import Result, write_reports


def merge(folders: Sequence[str | Path], out: str | Path) -> Result:
    """Unite the archives of some folders in a new one, with its summary and report.

    The archives are read only, all of them as they are at one instant.

    >>> import tempfile
    >>> import xplore
    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> models, chart = [phishing1(), phishing2()], phishing.realistic()
    >>> one, other = (xplore.run(models, pages.images[at : at + 8], constraint=chart, **how) for at in (0, 8))
    >>> united = merge([one.folder, other.folder], Path(tempfile.mkdtemp(), "all"))
    >>> united.summary["seeds"], len(united.findings) == len(one.findings) + len(other.findings)
    (16, True)

    Raises:
        InputError: they have other models, layers, criteria or kinds of input, one is damaged, or `out`
            holds a campaign or cannot be written.
    """
    joined(folders, Path(out))
    write_reports(Path(out))
    return Result(Path(out))


def joined(folders: Sequence[str | Path], out: Path) -> None:
    """The new archive alone."""
    if not folders:
        raise InputError("archives to merge", expected="at least one", got="none", fix="name their folders")
    with ExitStack() as stack:
        stack.enter_context(alone(out))
        target = tables.unused(out, fix="choose a new folder with out=")
        archives = [stack.enter_context(closing(Archive.open(Path(folder)))) for folder in folders]
        for archive in archives:
            stack.enter_context(archive.snapshot())
        metadata = [_account(archive) for archive in archives]
        for archive, meta in zip(archives, metadata, strict=True):
            _alike(archives[0], metadata[0], archive, meta)
        known: dict[str, Meta] = {}
        for part in (part for meta in metadata for part in parts(meta)):
            known[identity(part)] = later(known.get(identity(part), part), part)
        numbers = {name: number for number, name in enumerate(sorted(known))}
        with whole(target) as partial, closing(tables.create(partial)) as db:
            for archive, meta in zip(archives, metadata, strict=True):
                with _naming(archive), db:
                    _join(db, archive, {i: numbers[identity(part)] for i, part in enumerate(parts(meta))})
            spent = {number: tuple(rest) for number, *rest in db.execute(_SPENT)}
            again = sum(seeds for (seeds,) in db.execute(_AGAIN))
            account = merged([known[name] for name in sorted(known)], spent, again)
            with db:
                rows = [(key, json.dumps(value)) for key, value in account.items()]
                db.executemany("INSERT INTO meta VALUES (?,?)", rows)
            db.execute("PRAGMA journal_mode=DELETE")


_AGAIN = (
    "SELECT (count(*) - 1) * max(seeds) FROM rounds WHERE digest != '' GROUP BY digest HAVING count(*) > 1"
)
"""Of rounds of the same seeds: how many seeds are there a second time, or more often."""
_SPENT = "SELECT campaign, sum(steps), sum(queries) FROM seeds GROUP BY campaign"


def _account(archive: Archive) -> Meta:
    """What an archive tells of its campaigns."""
    meta = archive.meta
    with _naming(archive):
        parts(meta)
    return meta


def _alike(first: Archive, one: Meta, archive: Archive, other: Meta) -> None:
    """An InputError that names what differs, if these cannot be united."""
    differ = [key for key in SAME if one.get(key) != other.get(key)]
    for key in (key for key in differing(one, other) if key in SAME and not differ):
        raise InputError(
            f"archive in {archive.path.parent}",
            expected=f"the {key} of {first.path.parent}",
            got=f"another one, which prints the same ({short(other.get(key))})",
            fix="merge campaigns with the same parts; nothing was written",
        )
    if differ:
        key = differ[0]
        more = f" (others: {', '.join(differ[1:])})" if differ[1:] else ""
        raise InputError(
            f"archive in {archive.path.parent}",
            expected=f"the {key} of {first.path.parent}: {short(one.get(key))}",
            got=short(other.get(key)) + more,
            fix="merge campaigns on the same models, criteria and kind of input; nothing was written",
        )


@contextmanager
def _naming(archive: Archive) -> Iterator[None]:
    """What does not fit together is this archive's damage."""
    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, IndexError, sqlite3.IntegrityError) as error:
        raise tables.damaged(archive.path, one_line(error)) from error


def _join(db: sqlite3.Connection, archive: Archive, numbers: dict[int, int]) -> None:
    """Join all of an archive, whose campaigns have these `numbers` here."""
    for finding in archive.findings(origin=None):
        _join_finding(db, replace(finding, campaign=numbers[finding.campaign]))
    for record in archive.seeds():
        db.execute(_SEED, seed_row(replace(record, campaign=numbers[record.campaign])))
    size = archive.size
    for campaign, index, seeds, digest, covered in archive.rows("rounds"):
        db.execute(_ROUND, (numbers[campaign], index, seeds, digest, pack(unpack(covered, *size))))
    for row in archive.rows("answers"):
        db.execute(_ANSWER, row)


def _join_finding(db: sqlite3.Connection, finding: Finding) -> None:
    small = finding.shrunk
    pictures = [finding.before, finding.after, *([small.after] if small else [])]
    db.executemany(_ARTEFACT, [(content_hash(data), finding.media, data) for data in pictures])
    db.execute(_FINDING, finding_row(finding))
    if small:
        db.execute(_SHRUNK, shrunk_row(finding.id, small))


def _best(table: str, columns: str, key: str, order: Sequence[str] = (), most: str = "<") -> str:
    """SQL that adds a row, or of two with one key keeps the first (`<`) or the last (`>`) of an order.

    After the columns of the `order` all others follow, so that no two rows are alike in it.
    """
    names, keys = columns.split(), key.split()
    rest = [name for name in names if name not in keys]
    every = [*order, *(f"ifnull({{}}.{name}, '')" for name in rest)]
    new, old = (", ".join(term.replace("{}", row) for term in every) for row in ("excluded", table))
    update = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT({', '.join(keys)}) DO UPDATE SET {update} WHERE ({new}) {most} ({old})"
    )


_ARTEFACT = _best("artefacts", "hash media data", "hash")
_FINDING = _best("findings", " ".join(COLUMNS), "id", ["{}.campaign", "{}.seed"])
_SEED = _best(
    "seeds",
    "campaign seed round label decisions fate tries steps queries finding",
    "campaign seed",
    ["{}.finding IS NULL", "{}.fate"],
)
_ROUND = _best("rounds", "campaign round seeds digest seed_coverage", "campaign round", ["-{}.seeds"])
_SHRUNK = _best("shrunk", "finding artefact probabilities measures queries", "finding", ["-{}.queries"])
_NEWEST = ["ifnull(julianday({}.time), 0)", "{}.time"]
_ANSWER = _best("answers", "finding reviewer answer time", "finding reviewer", _NEWEST, ">")
