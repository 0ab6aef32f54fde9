"""The campaign as Markdown, for a pull request, a wiki or a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from xplore.archive import Archive
from xplore.report import wording, words
from xplore.report._base import Reporter, store
from xplore.report.pictures import decode, png, triptych
from xplore.report.png import file_name
from xplore.report.reading import Group, Reading, read
from xplore.report.summary import figures

MOST_GROUPS = 20
PICTURE_SIDE = 112
PICTURES = (
    "Pictures: seed, finding, change (orange is brighter, blue darker). One finding of each group, the one "
    "with the smallest change."
)
EXAMPLES = (
    "Change: feature, seed's value → finding's. One finding of each group, the one with the smallest change."
)


@dataclass(frozen=True)
class Markdown(Reporter):
    """`report.md`, with the pictures of its groups in a folder beside it."""

    file_name: ClassVar[str] = "report.md"

    def write(self, archive: Archive, out: Path) -> Path:
        reading, path = read(archive), self.target(out)
        folder = path.with_name(f"{path.stem}_pictures")
        shown = () if reading.in_words else reading.groups[:MOST_GROUPS]
        links = {group.example.id: _picture(reading, group, folder) for group in shown}
        text = "\n".join(line for part in _parts(reading, links) for line in [*part, ""])
        return store(path, text)


def cell(value: Any) -> str:
    """Text that means itself in a table of Markdown, HTML included.

    >>> cell("a|b <script> *x*")
    'a\\\\|b &lt;script&gt; \\\\*x\\\\*'
    """
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", text)


def table(head: list[str], rows: list[list[Any]], left: int = 1) -> list[str]:
    """A table whose first `left` columns are text."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return [f"| {' | '.join(map(str, line))} |" for line in (head, rule, *rows)]


def code(text: str) -> str:
    """A command or an id, whatever it holds; its fence is longer than any in it."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _parts(reading: Reading, links: dict[str, str]) -> list[list[str]]:
    told = figures(reading)
    state = [f"**{wording.state(told)}**", ""] if wording.state(told) else []
    head = [f"# {cell(told['name'] or 'campaign')}", "", f"**{cell(wording.verdict(told))}**", "", *state]
    head += [f"- **{value}** {cell(means)}" for value, means in wording.headline(told)]
    head += ["", cell(wording.precision(told["precision"]))] if told["precision"] else []
    parts = [head]
    if reading.groups:
        parts += [["## Fault groups"], _groups(reading, links)]
        more = len(reading.groups) - MOST_GROUPS
        parts += [[f"and {words.count(more)} smaller ones."]] if more > 0 else []
        parts += [[EXAMPLES if reading.in_words else PICTURES]]
    parts += [["## From seeds to valid findings"], _funnel(told)]
    if told["valid"]:
        off = "wrong" if told["labelled"] else "leaves the agreed answer"
        rows = [[cell(m), t["alone"], t["with_others"], t["right_alone"]] for m, t in told["wrong"].items()]
        parts += [
            ["## Who is wrong"],
            table(["model", f"{off} alone", f"{off} with others", "right alone"], rows),
        ]
    parts += [["## Against other searches"], _searches(told)]
    parts += [[cell(words)] for words in wording.compared(told)]
    if len(wording.searches(told)) == 1:
        parts += [[f"{wording.NO_BASELINE} To run one, add {code(wording.BASELINE)} to the config."]]
    if told["coverage"]:
        parts += [["## Coverage"], _coverage(told)]
        parts += [["By the inputs on which models differ (by valid findings; by the seeds as they are)."]]
    made = [
        f"- {key}: {code(wording.spoken(told[key]))}"
        for key in ("command", "constraint", "search", "device")
        if told[key]
    ]
    made += (
        [f"- versions: {cell(', '.join(f'{k} {v}' for k, v in told['versions'].items()))}"]
        if told["versions"]
        else []
    )
    return [*parts, ["## How this was made"], made, ["## Limits"], [f"- {limit}" for limit in wording.LIMITS]]


def _groups(reading: Reading, links: dict[str, str]) -> list[str]:
    rows = []
    for group in reading.groups[:MOST_GROUPS]:
        answers = [
            f"**{cell(reading.class_name(d))}**" if d != group.expected else cell(reading.class_name(d))
            for d in group.decisions
        ]
        picture = cell(wording.changed(group.example))
        if not reading.in_words:
            picture = f"![{cell(wording.told(reading, group.example))}]({links[group.example.id]})"
        ident = code(reading.short_ids[group.example.id])
        rows.append(
            [
                cell(reading.class_name(group.expected) + wording.part(group)),
                *answers,
                picture,
                ident,
                words.count(len(group.rows)),
            ]
        )
    models = list(map(cell, words.short_names(reading.models)))
    shown = "change" if reading.in_words else "seed, finding, change"
    return table(
        [
            "expected",
            *models,
            shown,
            "example",
            "findings",
        ],
        rows,
        left=len(models) + 3,
    )


def _funnel(told: dict[str, Any]) -> list[str]:
    rows = [
        [step["label"], cell(" · ".join(step["left_out"])), words.count(step["count"])]
        for step in wording.funnel(told)
    ]
    return table(["step", "left out before it", "seeds"], rows, left=2)


def _searches(told: dict[str, Any]) -> list[str]:
    rows = []
    for row in wording.searches(told):
        share = row["share"]
        part = f"{words.percent(share['share'], 1)} ({words.interval(share)})" if share else "–"
        counts = [words.count(row[key]) for key in ("valid", "groups", "queries", "seeds")]
        label = wording.search_name(row) + (" (this campaign)" if row["own"] else "")
        rows.append([cell(label), counts[0], part, *counts[1:], words.duration(row["seconds"])])
    return table(
        ["search", "valid findings", "share of seeds (95 %)", "fault groups", "queries", "seeds", "time"],
        rows,
    )


def _coverage(told: dict[str, Any]) -> list[str]:
    models, kinds = list(told["coverage"]), ("coverage", "coverage_valid", "coverage_seeds")
    rows = []
    for name in told["criteria"]:
        reached = [[words.percent(told[kind][model][name]) for kind in kinds] for model in models]
        rows.append([cell(wording.criterion(name)), *(f"{a} ({b}; {c})" for a, b, c in reached)])
    return table(["criterion", *map(cell, words.short_names(models))], rows)


def _picture(reading: Reading, group: Group, folder: Path) -> str:
    finding = next(reading.archive.findings(prefix=group.example.id))
    path = store(
        folder / file_name(finding),
        png(triptych(decode(finding.before), decode(finding.after), PICTURE_SIDE)),
    )
    return f"{folder.name}/{path.name}".replace(" ", "%20")
