"""Seeds and findings as rows of the archive's tables, and back.

What is read may come from anyone: sizes are limited, and what does not fit together is a ValueError.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32

from xplore.archive.records import Finding, SeedRecord, Shrunk, content_hash

LONGEST_HIDDEN = 2**20
"""Bytes of a finding's hidden layers."""
PLAIN_ID = re.compile("[0-9A-Za-z_-]{1,64}")
"""A finding's id: it is told in file names and commands."""
DAMAGE = (zlib.error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What is raised where a file is not what it says: told as an `InputError`."""

_SELECT = (
    "SELECT f.id, f.origin, f.seed, s.data, a.data, f.label, f.decisions, f.probabilities, f.reasons,"
    " f.measures, f.steps, f.covered, f.hidden, f.latents, f.campaign, s.hash, a.hash, a.media,"
    " t.data, t.hash, m.probabilities, m.measures, m.queries, f.valid FROM findings f"
    " JOIN artefacts a ON a.hash = f.artefact JOIN artefacts s ON s.hash = f.seed_artefact"
    " LEFT JOIN shrunk m ON m.finding = f.id LEFT JOIN artefacts t ON t.hash = m.artefact"
)
_ORDER = " ORDER BY f.campaign, f.seed, f.id"
FINDINGS = f"{_SELECT} WHERE :origin IN (f.origin, '') AND substr(f.id, 1, length(:id)) = :id{_ORDER}"
"""Findings of an origin (or all) whose id starts so, with their inputs."""
NAMED = f"{_SELECT} WHERE f.id IN (SELECT value FROM json_each(?)){_ORDER}"
"""Findings by a JSON list of their ids."""
WITH_VALID = (
    "SELECT count(*) FROM (SELECT s.campaign, s.seed FROM seeds s JOIN findings f ON f.id = s.finding"
    " WHERE f.valid AND f.origin = 'search' UNION"
    " SELECT campaign, seed FROM findings WHERE valid AND origin = 'search')"
)
"""How many seeds led to a valid finding."""

STANDS = "UPDATE findings SET valid = (reasons = '[]' AND ?) WHERE id = ?"
"""A finding is valid whose smallest change is not in doubt, if nothing else speaks against it."""

Statement = tuple[str, list[tuple[Any, ...]]]
"""SQL, and the rows to run it with."""
COLUMNS = (
    *("id", "origin", "campaign", "seed", "seed_artefact", "artefact", "label", "decisions"),
    *("probabilities", "valid", "reasons", "measures", "steps", "covered", "hidden", "latents"),
)
FIRST = (
    f"INSERT INTO findings VALUES ({','.join('?' * len(COLUMNS))}) ON CONFLICT(id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
    + " WHERE (excluded.campaign, excluded.seed) < (findings.campaign, findings.seed)"
)
"""Findings with the same content fall together: the one of the first seed is kept."""
LED_TO = "UPDATE seeds SET finding = ? WHERE campaign = ? AND seed = ?"


def pack(covered: Bool[np.ndarray, "rows u"]) -> bytes:
    """Bits, compressed.

    >>> unpack(pack(np.eye(3, dtype=bool)), 3, 3).astype(int).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    return zlib.compress(np.packbits(covered, axis=1).tobytes())


def unpack(data: bytes, units: int, rows: int) -> Bool[np.ndarray, "rows u"]:
    width = -(-units // 8)
    if not width:  # models without neurons
        return np.zeros((rows, 0), bool)
    packed = np.frombuffer(_inflated(data, width * rows), np.uint8).reshape(rows, width)
    return np.unpackbits(packed, axis=1, count=units).astype(bool)


def _inflated(data: bytes, most: int) -> bytes:
    """What was compressed, at most so many bytes; a ValueError for more, or for less than was begun."""
    inflate = zlib.decompressobj()
    content = inflate.decompress(data, most + 1)
    if len(content) > most or not inflate.eof:
        raise ValueError(f"{len(data)} compressed bytes that are not at most {most}")
    return content


_READER = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 19 else float(digits))


def loaded(text: str) -> Any:
    """JSON from a file that may come from anyone: no whole number is longer than 64 bits.

    >>> loaded("[1, 1e3, 99999999999999999999]")
    [1, 1000.0, 1e+20]
    """
    return _READER.decode(text)


def clean(value: Any) -> Any:
    """The same value with every number finite: JSON has no NaN, None stands for it.

    >>> clean({"margin": float("nan"), "values": (1.0, float("inf"))})
    {'margin': None, 'values': [1.0, None]}
    """
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> str:
    return json.dumps(clean(value), allow_nan=False)


def _whole(*values: Any) -> None:
    """A ValueError unless all of these are whole numbers."""
    if not all(type(value) is int for value in values):
        raise ValueError(f"{', '.join(map(str, values))[:80]}: not all of them whole numbers")


def seed_of(row: Sequence[Any]) -> SeedRecord:
    """A seed as its row says; a ValueError where the row does not fit together."""
    number, index, label, decisions, fate, *spent, finding, campaign = row
    decided = tuple(loaded(decisions))
    if type(fate) is not str:
        raise ValueError(f"the fate of seed {number} is no text")
    _whole(number, index, campaign, *spent, *decided, *(() if label is None else (label,)))
    tries, steps, queries = spent
    return SeedRecord(number, index, label, decided, fate, tries, steps, queries, finding, campaign)


def seed_row(s: SeedRecord) -> tuple[Any, ...]:
    spent = (s.tries, s.steps, s.queries, s.finding)
    return (s.campaign, s.seed, s.round, s.label, json.dumps(s.decisions), s.fate, *spent)


def finding_row(f: Finding) -> tuple[Any, ...]:
    judged = (f.label, json.dumps(f.decisions), floats(f.probabilities), f.valid, json.dumps(f.reasons))
    rest = (_json(f.measures), f.steps, pack(f.covered), zlib.compress(f.hidden.tobytes()), f.latents)
    return (f.id, f.origin, f.campaign, f.seed, content_hash(f.before), content_hash(f.after), *judged, *rest)


def shrunk_row(finding: str, s: Shrunk) -> tuple[Any, ...]:
    return finding, content_hash(s.after), floats(s.probabilities), _json(s.measures), s.queries


def floats(values: Float[np.ndarray, "m c"]) -> bytes:
    return values.astype(np.float32).tobytes()


def layers_of(hidden: bytes) -> Float16[np.ndarray, " h"]:
    """A finding's last hidden layers; none, of an archive that was migrated."""
    layers = np.frombuffer(_inflated(hidden, LONGEST_HIDDEN) if hidden else b"", np.float16)
    if not np.isfinite(layers).all():
        raise ValueError("hidden layers that are not finite")
    return layers


def finding_of(row: Sequence[Any], size: tuple[int, int]) -> Finding:
    """A finding as its row says; a ValueError where the row does not fit together."""
    name, source, seed, before, after, label, decided, probable, reasons, measures, steps, covered = row[:12]
    hidden, latents, campaign, *hashes, media = row[12:18]
    smallest, smallest_hash, shown, sizes, queries, valid = row[18:]
    if [content_hash(before), content_hash(after)] != hashes:
        raise ValueError(f"an input of finding {name} does not have the hash it lies under")
    decisions, why, measured = tuple(loaded(decided)), tuple(loaded(reasons)), loaded(measures)
    _whole(seed, steps, campaign, *decisions, *(() if label is None else (label,)))
    words = {*map(type, (source, media, *why))} == {str}
    if not (PLAIN_ID.fullmatch(name) and words and type(measured) is dict and type(latents) is bytes):
        raise ValueError(f"finding {name[:80]!r} is none of xplore's")
    shrunk = None
    if smallest is not None:
        if content_hash(smallest) != smallest_hash:
            raise ValueError(f"the smallest change of {name} does not have the hash it lies under")
        _whole(queries)
        shrunk = Shrunk(smallest, _scores(shown, decisions), dict(loaded(sizes)), queries)
    judged = (
        decisions,
        _scores(probable, decisions),
        why,
        measured,
        steps,
    )
    for of in (measured, shrunk.measures if shrunk else {}):
        doubts = of.get("doubts", [])
        if type(doubts) is not list or {*map(type, doubts)} - {str}:
            raise ValueError(f"the doubts of finding {name[:80]!r} are no texts")
    rest = (unpack(covered, *size), layers_of(hidden), latents, shrunk, campaign)
    finding = Finding(name, source, seed, before, after, media, label, *judged, *rest)
    if bool(valid) != finding.valid:
        counts = f"{len(why)} reasons and {len(finding.doubts)} doubts"
        raise ValueError(f"finding {name[:80]!r} is{'' if valid else ' not'} valid, for {counts}")
    return finding


def _scores(data: bytes, decisions: Sequence[int]) -> Float32[np.ndarray, "m c"]:
    return np.frombuffer(data, np.float32).reshape(len(decisions), -1)


def noted(meta: dict[str, Any]) -> Statement:
    """What adds to, or replaces in, what is known of the campaign as a whole."""
    rows = [(key, _json(value)) for key, value in meta.items()]
    return "INSERT OR REPLACE INTO meta VALUES (?, ?)", rows


def batch(seeds: Sequence[SeedRecord], findings: Sequence[Finding]) -> list[Statement]:
    """Findings with the same content fall together: the one of the first seed is kept.

    What a seed led to is written last: while some reference leads nowhere yet, SQLite would look for each
    finding that comes in all seeds.
    """
    inputs = {content_hash(data): (f.media, data) for f in findings for data in (f.before, f.after)}
    return [
        ("INSERT OR IGNORE INTO artefacts VALUES (?,?,?)", [(k, *v) for k, v in inputs.items()]),
        (
            f"INSERT INTO seeds VALUES ({','.join('?' * 10)})",
            [seed_row(replace(s, finding=None)) for s in seeds],
        ),
        (FIRST, [finding_row(f) for f in findings]),
        (LED_TO, [(s.finding, s.campaign, s.seed) for s in seeds if s.finding is not None]),
    ]
