"""The campaign as Markdown, for a pull request, a wiki or a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from xplore._util.errors import visible
from xplore.archive import Archive
from xplore.report import gate as gates
from xplore.report import names, opening, wording, words
from xplore.report._base import Reporter, store
from xplore.report.failure_modes import SHOWN, FailureMode
from xplore.report.flipped import Flipped, flipped, picture
from xplore.report.flipped import words as holds
from xplore.report.pictures import decode, png, sheet, triptych
from xplore.report.png import file_name
from xplore.report.reading import Reading, read
from xplore.report.summary import figures

MOST_BYTES = 60_000
"""What a comment on a pull request takes."""
MOST_GROUPS = 5
"""Fault groups of a failure mode that are told."""
MOST_FLIPPED, SEEDS, MOST_COMPARED = 6, 6, 20
LONGEST_CELL, LONGEST_LINE, LONGEST_CODE = 120, 400, 600
PICTURE_SIDE = 112
PICTURES = (
    "Pictures: seed, finding, change (orange is brighter, blue darker). One finding of each failure mode, "
    "the one with the smallest change."
)
EXAMPLES = (
    "Change: feature, seed's value → finding's. One finding of each failure mode, the one with the smallest "
    "change."
)

SMALLEST = " Where it was shrunk, the smallest change that still shows it stands for the finding."


@dataclass(frozen=True)
class Markdown(Reporter):
    """`report.md`, at most 60 kB, with the pictures of at most a dozen failure modes in a folder beside it.

    Verdict, failure modes and funnel come first, of a gate also what it compared and found on the data: of
    the modes' fault groups, folded, as many are left out as it takes for these to fit, then what else does
    not.

    >>> Markdown().target(Path("runs/mine")).as_posix()
    'runs/mine/report.md'
    """

    file_name: ClassVar[str] = "report.md"

    def _write(self, archive: Archive, out: Path) -> Path:
        reading, path = read(archive), self.target(out)
        summary, folder = figures(reading), path.with_name(f"{path.stem}_pictures")
        shown, most = list(reading.failure_modes[:SHOWN]), MOST_GROUPS
        while _size(top := _top(reading, summary, shown, folder.name, most)) > MOST_BYTES and most:
            most -= 1
        for mode in () if reading.in_words else shown:
            _draw(reading, mode, folder)
        for number, group in enumerate(() if reading.in_words else flipped(reading)[:MOST_FLIPPED]):
            _draw_flipped(reading, group, folder, number)
        return store(path, _fitted(top, _rest(summary)))


def cell(value: Any, most: int = LONGEST_CELL) -> str:
    """Text that means itself in a table of Markdown, HTML included; at most so many characters of it.

    >>> cell("a|b <script> *x*")
    'a\\\\|b &lt;script&gt; \\\\*x\\\\*'
    """
    text = (
        words.cut(visible(" ".join(str(value).split())), most)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", text)


def table(head: list[str], rows: list[list[Any]], left: int = 1) -> list[str]:
    """A table whose first `left` columns are text."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return [f"| {' | '.join(map(str, line))} |" for line in (head, rule, *rows)]


def code(text: str) -> str:
    """A command or an id, whatever it holds, in one line; its fence is longer than any in it."""
    text = words.cut(visible(" ".join(text.split())), LONGEST_CODE)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _top(
    reading: Reading, summary: dict[str, Any], shown: list[FailureMode], folder: str, most: int
) -> list[list[str]]:
    """What comes first, with at most so many of each failure mode's fault groups."""
    state = [f"**{cell(wording.state(summary))}**", ""] if wording.state(summary) else []
    gate = reading.gate
    verdict = cell(opening.verdict(reading, summary), LONGEST_LINE)
    head = [f"# {cell(summary['name'] or 'campaign')}", "", f"**{verdict}**", "", *state]
    head += [
        f"- **{cell(value)}** {cell(means, LONGEST_LINE)}"
        for value, means, _ in opening.headline(reading, summary)
    ]
    head += ["", gates.NOT_FINISHED] if gate and gate.decision is None else []
    notes = [f"Note: {note}" for note in wording.first_notes(summary)]
    lines = [opening.terms(reading, summary), *wording.judged(summary), *notes]
    head += [line for one in lines for line in ("", cell(one, LONGEST_LINE))]
    parts = [head, *_gate(reading, folder)]
    if shown:
        more = len(reading.failure_modes) - len(shown)
        parts += [
            ["## Near the data: failure modes" if gate else "## Failure modes"],
            _modes(reading, shown, folder),
        ]
        parts += [[f"and {words.count(more)} smaller ones."]] if more > 0 else []
        parts += [[(EXAMPLES if reading.in_words else PICTURES) + (SMALLEST if summary["shrunk"] else "")]]
        parts += _groups(reading, shown, most)
    return [*parts, ["## From seeds to valid findings"], _funnel(summary)]


def _gate(reading: Reading, folder: str) -> list[list[str]]:
    """What a gate compared, and the seeds that flip as they are."""
    if reading.gate is None or not reading.gate.lines:
        return []
    every = gates.table(reading.gate)
    rows = [row for row in every if row["whole"] or row["fails"]]
    rows = (rows if any(row["fails"] for row in rows) else every)[:MOST_COMPARED]
    head = [
        "seeds",
        gates.counted(reading.gate),
        "share (95 % interval)",
        "allowed",
        "outcome",
        "where the limit comes from",
    ]
    body = [
        [
            cell(row["name"]),
            row["flips"],
            f"{row['share']} ({row['interval']})",
            row["allowed"],
            f"**{row['outcome']}**" if row["fails"] or row["void"] else row["outcome"],
            cell("; ".join(filter(None, (row["limit"], row["why"]))), LONGEST_LINE),
        ]
        for row in rows
    ]
    parts = [["## What the gate compared"], table(head, body), [f"Of {cell(reading.gate.kind)}."]]
    if len(every) > len(rows):
        parts[-1][0] += (
            f" {words.plural(len(every) - len(rows), 'more comparison')} of single classes: none is above."
        )
    groups = flipped(reading)
    if groups:
        more = len(groups) - MOST_FLIPPED
        parts += [["## Seeds as they are"], _seeds(reading, groups[:MOST_FLIPPED], folder)]
        parts += [[f"and {words.plural(more, 'smaller group')}."]] if more > 0 else []
    return parts


def _seeds(reading: Reading, groups: list[Flipped], folder: str) -> list[str]:
    rows = []
    for number, group in enumerate(groups):
        seeds = ", ".join(str(reading.seed_name(row)) for row in group.rows[:SEEDS])
        seeds += f" and {len(group.rows) - SEEDS} more" if len(group.rows) > SEEDS else ""
        if reading.in_words:
            stored = next(reading.archive.take([group.rows[0].id]))
            held = cell(holds(reading, stored), LONGEST_LINE)
        else:
            held = f"![seeds {cell(seeds)}]({quote(folder)}/{_strip(number)})"
        answers = [f"{cell(group.before or '–')}", f"**{cell(group.after or '–')}**"]
        rows.append([*answers, words.count(len(group.rows)), held, seeds])
    shown = "the first of them" if reading.in_words else "some of them"
    return table(["old", "new", "seeds", shown, "their numbers"], rows, left=2)


def _strip(number: int) -> str:
    return f"seeds-{number + 1}.png"


def _draw_flipped(reading: Reading, group: Flipped, folder: Path, number: int) -> None:
    stored = reading.archive.take([row.id for row in group.rows[:SEEDS]])
    strip = sheet([picture(reading, finding) for finding in stored], SEEDS, gap=6)
    store(folder / _strip(number), png(strip))


def _rest(summary: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """What comes after the funnel, each with its heading."""
    parts = []
    if summary["valid"]:
        rows = [
            [cell(m), t["alone"], t["with_others"], t["right_alone"]] for m, t in summary["wrong"].items()
        ]
        head = ["model", *wording.blames(summary)[:3]]
        parts.append((f"Who {wording.leaves(summary)}", [table(head, rows)]))
    if sizes := wording.shrunk(summary):
        rows = [
            [f"{s['label']} ({s['means']})", words.number(s["found"]), words.number(s["smallest"])]
            for s in sizes
        ]
        head = ["median", "as found", "smallest change that still shows it"]
        parts.append(("How large the changes are", [table(head, rows)]))
    searches = [_searches(summary), *([cell(line, LONGEST_LINE)] for line in wording.compared(summary))]
    if len(wording.searches(summary)) == 1:
        how, given = wording.baseline(summary)
        searches += [[f"{wording.NO_BASELINE} To run one, {how} {code(given)}."]]
    parts.append(("Against other searches", searches))
    if summary["coverage"]:
        note = "By the inputs on which models differ (by valid findings; by the seeds as they are)."
        parts.append(("Coverage", [_coverage(summary), [note]]))
    made = [
        f"- {key}: {code((names.command if key == 'command' else names.spoken)(summary[key]))}"
        for key in ("command", "constraint", "search", "device")
        if summary[key]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in (summary["versions"] or {}).items())
    made += [f"- versions: {cell(versions, LONGEST_LINE)}"] if versions else []
    made += [f"- note: {cell(note, LONGEST_LINE)}" for note in summary["notes"] or ()]
    limits = [f"- {limit}" for limit in wording.LIMITS]
    return [*parts, ("How this was made", [made]), ("Limits", [limits])]


def _text(parts: list[list[str]]) -> str:
    return "\n".join(line for part in parts for line in [*part, ""])


def _size(parts: list[list[str]]) -> int:
    return len(_text(parts).encode()) + LONGEST_LINE  # what is left out is told


def _fitted(top: list[list[str]], rest: list[tuple[str, list[list[str]]]]) -> str:
    """As many sections as there is room for; others are named."""
    left_out = []
    for heading, parts in rest:
        longer = [*top, [f"## {heading}"], *parts]
        if _size(longer) <= MOST_BYTES:
            top = longer
        else:
            left_out.append(heading.lower())
    return _text([*top, [f"Too long for here: {', '.join(left_out)}."]] if left_out else top)


def _modes(reading: Reading, shown: list[FailureMode], folder: str) -> list[str]:
    rows = []
    for mode in shown:
        expected, answered = wording.confusion(reading, mode)
        picture = cell(wording.changed(mode.example.shown), LONGEST_LINE)
        if not reading.in_words:
            link = f"{quote(folder)}/{file_name(mode.example)}"
            picture = f"![{cell(wording.sentence(reading, mode.example), LONGEST_LINE)}]({link})"
        model = cell(words.short_names(reading.models)[mode.model])
        named = [cell(expected), f"**{cell(answered)}**", model, picture]
        ident = code(reading.short_ids[mode.example.id])
        rows.append([*named, ident, words.count(len(mode.groups)), words.count(len(mode.rows))])
    pictured = "change" if reading.in_words else "seed, finding, change"
    head = ["expected", "answered", "by", pictured, "example", "fault groups", "findings"]
    return table(head, rows, left=5)


def _groups(reading: Reading, shown: list[FailureMode], most: int) -> list[list[str]]:
    """The largest fault groups of each failure mode, folded: what each model answers."""
    rows = []
    for mode in shown if most else ():
        title = " → ".join(wording.confusion(reading, mode))
        for place, group in enumerate(mode.groups[:most]):
            answers = [
                f"**{cell(reading.class_name(d))}**" if d != group.expected else cell(reading.class_name(d))
                for d in group.decisions
            ]
            expected = cell(reading.class_name(group.expected) + wording.part(group))
            ident = code(reading.short_ids[group.example.id])
            first = cell(title) if not place else ""
            rows.append([first, expected, *answers, ident, words.count(len(group.rows))])
    if not rows:
        return []
    models = list(map(cell, words.short_names(reading.models)))
    heading = "Fault groups: what each model answers"
    if any(len(mode.groups) > most for mode in shown):
        heading += (
            f", the {most} largest of each failure mode" if most > 1 else ", the largest of each failure mode"
        )
    head = ["failure mode", "expected", *models, "example", "findings"]
    fold = [f"<details><summary>{heading}</summary>"]
    return [fold, table(head, rows, left=len(models) + 3), ["</details>"]]


def _funnel(summary: dict[str, Any]) -> list[str]:
    rows = [
        [step["label"], cell(" · ".join(step["left_out"]), LONGEST_LINE), words.count(step["count"])]
        for step in wording.funnel(summary)
    ]
    return table(["step", "left out before it", "seeds"], rows, left=2)


def _searches(summary: dict[str, Any]) -> list[str]:
    rows = []
    for row in wording.searches(summary):
        share = row["share"]
        part = f"{words.percent(share['share'], 1)} ({words.interval(share)})" if share else "–"
        counts = [words.count(row[key]) for key in ("valid", "groups", "queries", "seeds")]
        label = wording.search_name(row) + (" (this campaign)" if row["own"] else "")
        rows.append([cell(label), counts[0], part, *counts[1:], words.duration(row["seconds"])])
    return table(
        [
            "search",
            "valid findings" + ", as found" * (len(rows) > 1),
            "share of seeds (95 %)",
            "fault groups",
            "queries",
            "seeds",
            "time",
        ],
        rows,
    )


def _coverage(summary: dict[str, Any]) -> list[str]:
    models, kinds = list(summary["coverage"]), ("coverage", "coverage_valid", "coverage_seeds")
    rows = []
    for name, called in zip(summary["criteria"], names.criteria(summary["criteria"]), strict=True):
        reached = [[words.percent(summary[kind][model][name]) for kind in kinds] for model in models]
        rows.append([cell(called), *(f"{a} ({b}; {c})" for a, b, c in reached)])
    return table(["criterion", *map(cell, words.short_names(models))], rows)


def _draw(reading: Reading, mode: FailureMode, folder: Path) -> None:
    """The example of a failure mode: the smallest change that shows it, where there is one."""
    finding = next(reading.archive.take([mode.example.id]))
    after = finding.shrunk.after if finding.shrunk else finding.after
    picture = triptych(decode(finding.before), decode(after), PICTURE_SIDE)
    store(folder / file_name(mode.example), png(picture))
