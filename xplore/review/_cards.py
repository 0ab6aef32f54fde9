"""What a reviewer sees of a finding: pictures, or in words what changed; and the question."""

from __future__ import annotations

from typing import Any

from PIL import Image

from xplore.columns import changes
from xplore.finding import Finding
from xplore.media import NPY, PNG, from_npy, from_set
from xplore.report.pictures import SMALL, decode, difference, embed, png, reduce, webp
from xplore.report.reading import Reading, Row

EXACT, SIDE, QUALITY = 2**20, 1024, 92
"""Pictures of up to so many bytes are shown as they are stored; others so large, as WebP of this quality."""
MOST_LISTED = 500


def question(reading: Reading, row: Row) -> str:
    """What a reviewer is asked: is the expected answer still right for the finding?"""
    expected = reading.class_name(row.expected)
    if row.expected is None:
        return "Is what the models answered on the seed still right for the finding?"
    if reading.in_words or reading.decides.get("kind") in ("angles", "values"):
        return f"Is “{expected}” still right for the finding?"
    name = expected.partition(",")[0]
    return f"Does the finding still show {article(name)} {name}?"


def article(name: str) -> str:
    """
    >>> article("4"), article("8"), article("18"), article("80"), article("owl"), article("cat")
    ('a', 'an', 'an', 'an', 'an', 'a')
    """
    return "an" if name[:1].lower() in "aeiou8" or name in ("11", "18") else "a"


def card(reading: Reading, row: Row, finding: Finding) -> dict[str, Any]:
    """A finding as the template shows it."""
    smallest = finding.shrunk.after if finding.shrunk is not None else finding.after
    told = _pictures(finding, smallest) if finding.media == PNG else _words(reading, row, finding, smallest)
    return {
        "question": question(reading, row),
        "expected": reading.class_name(row.expected),
        "id": reading.short_ids[row.id],
        "seed": reading.seed_name(row),
        "settings": row.settings,
        "pictures": (),
        "changes": (),
        "others": (),
        "smallest": smallest != finding.after,
        **told,
    }


def _pictures(finding: Finding, smallest: bytes) -> dict[str, Any]:
    seed, found = decode(finding.before), decode(finding.after)
    change, times = difference(seed, found)
    pictures = [("seed", "the seed", seed), ("finding", "the finding", found)]
    amplified = f"what changed, amplified {times:.1f} times: orange is brighter, blue darker"
    pictures += [(f"change × {times:.1f}", amplified, change)]
    if smallest != finding.after:
        words = "the smallest change that still divides the models"
        pictures += [("smallest change", words, decode(smallest))]
    return {
        "pictures": [(title, words, _embedded(image)) for title, words, image in pictures],
        "small": max(seed.size) <= SMALL,
    }


def _embedded(image: Image.Image) -> str:
    exact = png(image)
    return embed(exact, "png") if len(exact) <= EXACT else embed(webp(reduce(image, SIDE), QUALITY), "webp")


def _words(reading: Reading, row: Row, finding: Finding, smallest: bytes) -> dict[str, Any]:
    """Each changed feature: its name, before, after, and after the smallest change; and what stayed."""
    if finding.media == NPY:
        before = from_npy(finding.before)
        least = {name: new for name, _, new in changes(reading.columns, before, from_npy(smallest))}
        rows = [(name, old, new, least.get(name, old)) for name, old, new in row.changes]
        changed = {name for name, *_ in rows}
        codes = zip(reading.columns, before.tolist(), strict=True)
        others = [(str(c.name), c.told(code)) for c, code in codes if str(c.name) not in changed]
    else:
        least = {name for name in from_set(smallest)[0].values()}
        rows = [(name, old, new, new if name in least else "–") for name, old, new in row.changes]
        others = [(name, "") for name in from_set(finding.before)[0].values()]
    return {"changes": rows, "others": others[:MOST_LISTED], "more": max(len(others) - MOST_LISTED, 0)}
