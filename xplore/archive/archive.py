"""Findings on disk: one SQLite file a campaign, which holds all of it.

A batch of judged inputs commits in one transaction: seeds' fates, findings, what they covered and their
inputs. Coverage is not stored apart: it is the union of the findings' rows, so that archives merge
and a file killed at any instant holds what was committed, and nothing that contradicts it.

NumPy and the standard library only: a report can be drawn where JAX is not installed.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float16

from xplore._util.errors import InputError, one_line
from xplore._util.folders import whole
from xplore.archive import tables
from xplore.archive.metadata import checked, current
from xplore.archive.records import Disagreement, Finding, SeedRecord, Shrunk, content_hash
from xplore.archive.rows import (
    DAMAGE,
    FINDINGS,
    NAMED,
    STANDS,
    WITH_VALID,
    batch,
    finding_of,
    layers_of,
    loaded,
    noted,
    pack,
    seed_of,
    shrunk_row,
    unpack,
)
from xplore.archive.tables import FILE, unused

MOST_UNITS, MOST_CRITERIA, MOST_CELLS = 2**26, 2**10, 2**28
"""Limits of what a file may say of itself; cells are those of all units and criteria."""
READ_AS = "\tread as"
"""What follows a reviewer's name where a class lies that was answered; no reviewer's name has a tab."""
_CLASS = re.compile("[0-9]{1,9}")


class Archive:
    """A campaign on disk. `meta` holds what was run: config, models, layout, criteria, versions, device."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, writes: bool = False) -> None:
        self._db = connection
        self.path = path
        self._writes = writes

    @classmethod
    def create(cls, folder: Path, meta: dict[str, Any]) -> Archive:
        """A new archive in a folder that holds none.

        Raises:
            InputError: the folder already holds a campaign, or cannot be written.
        """
        path = unused(folder, fix="choose a new folder with out=, or go on with resume=True")
        with whole(path) as partial, closing(tables.create(partial)) as db:
            with db:
                db.executemany(*noted(meta))
            db.execute("PRAGMA journal_mode=DELETE")
        return cls(tables.connect(path, write=True), path, writes=True)

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> Archive:
        """An archive that exists: read only, or to `write` more into it.

        Raises:
            InputError: there is none, it is damaged, or another version of xplore wrote it.
        """
        path = Path(folder)
        path = path / FILE if path.is_dir() else path
        return cls(tables.connect(path, write=write), path, writes=write)

    def close(self) -> None:
        """Close; what was written is one file from now on, without a log beside it."""
        # Without room, or while someone reads, the log stays, and nothing is lost.
        with closing(self._db), suppress(sqlite3.OperationalError):
            if self._writes:
                self._db.execute("PRAGMA journal_mode=DELETE")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside is of one instant, though a campaign goes on writing."""
        if self._db.in_transaction:
            yield
            return
        with self._reading():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.commit()

    def note(self, **meta: Any) -> None:
        """Add to, or replace in, what is known of the campaign as a whole."""
        self._write([noted(meta)])

    def commit(self, seeds: Sequence[SeedRecord], findings: Sequence[Finding], **meta: Any) -> None:
        """One batch, whole or not at all; `meta` is noted with it."""
        self._write([*batch(seeds, findings), noted(meta)])

    def commit_round(
        self,
        index: int,
        seeds: int,
        seed_coverage: Bool[np.ndarray, "rows u"],
        digest: str = "",
        records: Sequence[SeedRecord] = (),
        findings: Sequence[Finding] = (),
    ) -> None:
        """The seeds of a round were read: what they cover as they are, and those on which models differ.

        `digest` tells a later run whether its seeds are the same.
        """
        row = (0, index, seeds, digest, pack(seed_coverage))
        sql = "INSERT OR REPLACE INTO rounds VALUES (?,?,?,?,?)"
        self._write([(sql, [row]), *batch(records, findings)])

    def keep_shrunk(self, shrunk: dict[str, Shrunk]) -> None:
        """The smallest changes that still show findings, by the findings' ids: these are what is counted."""
        artefacts = [(content_hash(one.after), one.after, name) for name, one in shrunk.items()]
        rows = [shrunk_row(name, one) for name, one in shrunk.items()]
        as_found = (
            "INSERT OR IGNORE INTO artefacts SELECT ?, a.media, ? FROM findings f"
            " JOIN artefacts a ON a.hash = f.artefact WHERE f.id = ?"
        )
        self._write(
            [
                (as_found, artefacts),
                ("INSERT OR REPLACE INTO shrunk VALUES (?,?,?,?,?)", rows),
                (STANDS, [(not one.measures.get("doubts"), name) for name, one in shrunk.items()]),
            ]
        )

    def answer(
        self, finding: str, reviewer: str, answer: str | None, time: str, read_as: int | None = None
    ) -> None:
        """A person calls a finding `valid`, `invalid` or `unsure`; None takes it back.

        `read_as` is the class that the person took it for. It lies in a row of its own, of the same time and
        of a reviewer whose name nobody can have (`READ_AS`), and is no answer that an older version counts.
        """
        named = f"{reviewer}{READ_AS}"
        rows = [(finding, reviewer, answer, time)] if answer is not None else []
        rows += [(finding, named, str(read_as), time)] if rows and read_as is not None else []
        took_back = (
            "DELETE FROM answers WHERE finding = ? AND reviewer IN (?, ?)",
            [(finding, reviewer, named)],
        )
        self._write([took_back, ("INSERT INTO answers VALUES (?,?,?,?)", rows)])

    def _write(self, statements: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
        try:
            with self._db:
                for sql, rows in statements:
                    self._db.executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            raise InputError(
                str(self.path),
                expected="one run at a time",
                got=f"seeds that another one has ended ({error})",
                fix="let that one end; nothing was written twice",
            ) from error
        except sqlite3.OperationalError as error:
            raise InputError(
                str(self.path),
                expected="room and the right to write",
                got=str(error),
                fix="free some disk or choose another folder with out=; what was committed before is kept",
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Damage that is met on the way is told as such; the file is never altered."""
        try:
            yield
        except InputError:
            raise
        except (sqlite3.Error, *DAMAGE) as error:
            fix = "take a copy of it, or run the campaign again into another folder"
            raise tables.damaged(self.path, one_line(error), fix) from error

    @property
    def meta(self) -> dict[str, Any]:
        with self._reading():
            pairs = self._db.execute("SELECT key, value FROM meta")
            return current(checked({key: loaded(value) for key, value in pairs}))

    def seeds(self) -> Iterator[SeedRecord]:
        """Every seed whose fate is known, in order."""
        sql = (
            "SELECT seed, round, label, decisions, fate, tries, steps, queries, finding, campaign FROM seeds"
        )
        with self._reading():
            for row in self._db.execute(f"{sql} ORDER BY campaign, seed"):
                yield seed_of(row)

    def rounds(self) -> Iterator[tuple[int, int, str]]:
        """Of each round that was read: its number, how many seeds it had, and their digest."""
        with self._reading():
            yield from self._db.execute("SELECT round, seeds, digest FROM rounds ORDER BY campaign, round")

    def whole_rounds(self) -> dict[tuple[int, int], int]:
        """How many seeds each round had of which all have ended, by campaign and number."""
        query = (
            "SELECT r.campaign, r.round, r.seeds FROM rounds r JOIN seeds s USING (campaign, round)"
            " GROUP BY r.campaign, r.round HAVING count(*) = r.seeds"
        )
        with self._reading():
            return {(campaign, index): seeds for campaign, index, seeds in self._db.execute(query)}

    def rows(self, table: Literal["rounds", "answers"]) -> Iterator[tuple[Any, ...]]:
        """A table's rows as they lie there."""
        with self._reading():
            yield from self._db.execute(f"SELECT * FROM {table}")

    def findings(self, *, origin: str | None = "search", prefix: str = "") -> Iterator[Finding]:
        """Findings in the order of their seeds; `prefix` selects by the start of the id.

        Raises:
            InputError: the archive is damaged; inputs must have the hash under which they lie.
        """
        with self._reading():
            size = self.size
            for row in self._db.execute(FINDINGS, {"origin": origin or "", "id": prefix}):
                yield finding_of(row, size)

    def take(self, ids: Sequence[str]) -> Iterator[Finding]:
        """Some findings by their whole ids, in the order of their seeds."""
        with self._reading():
            size = self.size
            for row in self._db.execute(NAMED, (json.dumps(list(ids)),)):
                yield finding_of(row, size)

    def hidden(self) -> Iterator[tuple[str, Disagreement, Float16[np.ndarray, " h"]]]:
        """Of each valid finding of the search its id, its disagreement and its last hidden layers."""
        query = (
            "SELECT id, coalesce(label, json_extract(measures, '$.agreed')), decisions, hidden FROM findings"
            " WHERE valid AND origin = 'search' ORDER BY campaign, seed, id"
        )
        with self._reading():
            for name, expected, decisions, hidden in self._db.execute(query):
                yield name, (expected, tuple(loaded(decisions))), layers_of(hidden)

    def seeds_with_valid(self) -> int:
        """How many seeds led to a valid finding; several may lead to one, as where archives were merged."""
        with self._reading():
            return self._db.execute(WITH_VALID).fetchone()[0]

    def unshrunk(self) -> list[str]:
        """The ids of findings of the search that were not shrunk yet, in the order of their seeds."""
        query = (
            "SELECT f.id FROM findings f LEFT JOIN shrunk m ON m.finding = f.id"
            " WHERE m.finding IS NULL AND f.origin = 'search' ORDER BY f.campaign, f.seed, f.id"
        )
        with self._reading():
            return [name for (name,) in self._db.execute(query)]

    @property
    def units(self) -> int:
        with self._reading():
            units = [layer["units"] for model in self.meta["layout"] for layer in model["layers"]]
            if not min(units, default=0) >= 0 or sum(units) > MOST_UNITS:
                raise ValueError(f"{sum(units)} units")
            return sum(units)

    @property
    def cells(self) -> list[int]:
        """How many cells a unit each criterion has: one, where nothing else is recorded."""
        with self._reading():
            meta = self.meta
            cells = meta.get("cells") or [1] * len(meta["criteria"])
            if len(cells) != len(meta["criteria"]) or min(cells, default=1) < 1:
                raise ValueError(f"{cells} cells of {len(meta['criteria'])} criteria")
            return cells

    @property
    def size(self) -> tuple[int, int]:
        """How many units what is covered has, and how many rows: one for each cell of each criterion."""
        with self._reading():
            units, cells = self.units, self.cells
            rows = sum(cells)
            if len(cells) > MOST_CRITERIA or max(units, 1) * rows > MOST_CELLS:
                raise ValueError(f"{len(cells)} criteria of {rows} cells for {units} units")
            return units, rows

    def seed_coverage(self) -> Bool[np.ndarray, "rows u"]:
        """What the seeds cover as they are, all of them together."""
        return self._union("SELECT seed_coverage FROM rounds")

    def coverage(self, *, valid: bool = False) -> Bool[np.ndarray, "rows u"]:
        """What was covered by inputs on which models differ; with `valid`, by valid findings alone."""
        where = " WHERE valid AND origin = 'search'" if valid else ""
        return self._union("SELECT covered FROM findings" + where)

    def due(self, round_size: int) -> Iterator[tuple[int, Bool[np.ndarray, "rows u"]]]:
        """What guides later rounds: the round from which it counts as known, and what was covered by then."""
        query = (
            "SELECT s.seed / ? + max(s.tries - 1, 0), f.covered FROM seeds s"
            " JOIN findings f ON f.id = s.finding"
        )
        with self._reading():
            size = self.size
            for index, data in self._db.execute(query, (round_size,)):
                yield index, unpack(data, *size)

    def answers(self) -> dict[str, dict[str, str]]:
        """`{finding: {reviewer: answer}}`."""
        by_finding: dict[str, dict[str, str]] = {}
        for finding, reviewer, answer, _ in self.rows("answers"):
            if not str(reviewer).endswith(READ_AS):
                by_finding.setdefault(finding, {})[reviewer] = answer
        return by_finding

    def read_as(self) -> dict[str, dict[str, int]]:
        """`{finding: {reviewer: class}}`: what those took findings for who were asked for a class.

        A class counts beside the answer that was given with it alone: copies that were answered apart may
        have been merged since.
        """
        rows = list(self.rows("answers"))
        times = {(finding, reviewer): time for finding, reviewer, _, time in rows}
        by_finding: dict[str, dict[str, int]] = {}
        for finding, named, number, time in rows:
            reviewer = str(named).removesuffix(READ_AS)
            beside = reviewer != named and times.get((finding, reviewer)) == time
            if beside and _CLASS.fullmatch(str(number)):
                by_finding.setdefault(finding, {})[reviewer] = int(number)
        return by_finding

    def _union(self, query: str) -> Bool[np.ndarray, "rows u"]:
        with self._reading():
            size = self.size
            covered = np.zeros(size[::-1], bool)
            for (data,) in self._db.execute(query):
                covered |= unpack(data, *size)
            return covered
