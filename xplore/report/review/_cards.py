"""What a reviewer sees of a finding: pictures, or in words what changed; and the question."""

from __future__ import annotations

from typing import Any

from PIL import Image

from xplore.archive.records import Finding
from xplore.inputs.columns import changes
from xplore.inputs.media import NPY, PNG, from_npy, from_set
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


def blind(finding: Finding) -> dict[str, Any]:
    """A picture and the question what it is: the smallest change, where there is one."""
    shown = decode(finding.shrunk.after if finding.shrunk is not None else finding.after)
    return {
        "question": "What is it?",
        "pictures": [("finding", "the picture that is asked about", _embedded(shown))],
        "small": max(shown.size) <= SMALL,
        "blind": True,
    }


def card(
    reading: Reading, row: Row, finding: Finding, answer: str = "", read_as: int | None = None
) -> dict[str, Any]:
    """A finding as the template shows it; with what was `said`, where a class was asked for, all of it."""
    smallest = finding.shrunk.after if finding.shrunk is not None else finding.after
    view = _pictures(finding, smallest) if finding.media == PNG else _words(reading, row, finding, smallest)
    return {
        "question": _outcome(reading, row, answer, read_as) if answer else question(reading, row),
        "answers": _answers(reading, row) if answer else (),
        "blind": False,
        "asked": "smallest change" if answer and smallest != finding.after else "finding",
        "expected": reading.class_name(row.expected),
        "id": reading.short_ids[row.id],
        "seed": reading.seed_name(row),
        "settings": row.settings,
        "pictures": (),
        "changes": (),
        "others": (),
        "smallest": smallest != finding.after,
        **view,
    }


def _outcome(reading: Reading, row: Row, answer: str, read_as: int | None) -> str:
    """What was answered, beside what is expected."""
    expected = reading.class_name(row.expected)
    answered = (
        "could not tell"
        if answer == "unsure"
        else "called it valid"
        if answer == "valid"
        else "called it invalid"
    )
    answered = answered if read_as is None else f"said {reading.class_name(read_as)}"
    return f"You {answered}; expected: {expected}"


def _answers(reading: Reading, row: Row) -> list[tuple[str, str, bool]]:
    """What each model answers, and whether that is not what is expected."""
    pairs = zip(reading.models, row.decisions, strict=True)
    return [(model, reading.class_name(decision), decision != row.expected) for model, decision in pairs]


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
        others = [(str(c.name), c.text(code)) for c, code in codes if str(c.name) not in changed]
    else:
        least = {name for name in from_set(smallest)[0].values()}
        rows = [(name, old, new, new if name in least else "–") for name, old, new in row.changes]
        others = [(name, "") for name in from_set(finding.before)[0].values()]
    return {"changes": rows, "others": others[:MOST_LISTED], "more": max(len(others) - MOST_LISTED, 0)}
