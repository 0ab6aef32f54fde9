"""The report: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from markupsafe import Markup

from xplore.archive import Archive
from xplore.report import gate as gates
from xplore.report import names, opening, wording, words
from xplore.report._base import Reporter, store
from xplore.report._page import environment, script_data, script_hash, text
from xplore.report.cards import card, mode_named
from xplore.report.charts import coverage_curve, histogram
from xplore.report.coverage_map import LEGEND, MOST_CELLS, coverage_map
from xplore.report.failure_modes import SHOWN, FailureMode
from xplore.report.flipped import flipped, shown
from xplore.report.gallery import gallery
from xplore.report.gate import NOT_FINISHED
from xplore.report.reading import Reading, read
from xplore.report.summary import figures

FLIPPED, SEEDS = 6, 12
"""Groups of seeds that flip as they are, and seeds of each, that are shown."""
GALLERY_PICTURES = 700
MOST_LISTED = 200
SIZES = (
    ("L2", "l2", "distance between seed and finding"),
    ("L1", "l1", "sum of all changes, each in shares of its feature's range"),
    ("L∞", "linf", "largest change of one value"),
    ("SSIM", "ssim", "likeness to the seed, 1 is the same"),
)


@dataclass(frozen=True)
class Html(Reporter):
    """`report.html`: verdict, a dozen failure modes, funnel, blame, comparison, sizes; the rest folded.

    Of a gate first what it said and compared, and the seeds that flip as they are. Always one file, that is
    mailed, kept by a CI system and opened from disk: pages opened from disk may not read the pixels of
    pictures beside them, and a folder beside a file gets lost. A thousand findings take less than 2 MB, ten
    thousand less than 10 MB; the gallery's data are text to the browser until the gallery is opened, and of
    its sheets it decodes those of the findings in sight. More than `most_pictured` are not in the gallery,
    which says so, valid findings first.

    >>> Html().target(Path("runs/mine")).as_posix()
    'runs/mine/report.html'
    """

    file_name: ClassVar[str] = "report.html"
    most_pictured: int = 10_000

    def _write(self, archive: Archive, out: Path) -> Path:
        reading = read(archive)
        script = text("html.js")
        shared = _shared(reading)
        context = {
            **shared,
            "style": Markup(text("html.css")),
            "script": Markup(script),
            "script_hash": script_hash(script),
            "gallery": script_data(gallery(reading, self.most_pictured, GALLERY_PICTURES)),
            "histograms": _histograms(reading),
            "shrunk": wording.shrunk(shared["f"]),
            "modes": [mode_named(reading, mode) for mode in _ordered(reading)[SHOWN:MOST_LISTED]],
            "map": coverage_map(reading),
            "map_of": "neuron" if len(reading.hits) == 1 else "cell",
            "map_pictures": reading.hits.size > MOST_CELLS,
            "legend": LEGEND,
            "curve": coverage_curve(reading, _criterion(reading))
            if reading.spans and reading.criteria
            else "",
            "agree_wrongly": [_agreed(reading, seed) for seed in reading.seeds.agree_wrongly],
            "config": json.dumps(reading.meta.get("config"), indent=2, ensure_ascii=False, default=str),
        }
        return store(self.target(out), environment().get_template("html.jinja").render(context))


def fragment(archive: Archive) -> str:
    """A part of a page for a notebook: verdict, a dozen failure modes, funnel; no script, its own style."""
    with archive.snapshot():
        context = _shared(read(archive), three=False)
    return environment().get_template("fragment.jinja").render(context)


def _shared(reading: Reading, *, three: bool = True) -> dict[str, Any]:
    summary, gate = figures(reading), _gate(reading)
    cards = [card(reading, mode, three=three) for mode in _ordered(reading)[:SHOWN]]
    return {
        "f": summary,
        "gate": gate,
        "meta": {"models": reading.meta.get("models")},
        "models": reading.models,
        "short": words.short_names(reading.models),
        "verdict": opening.verdict(reading, summary),
        "searched": wording.verdict(summary),
        "state": wording.state(summary),
        "headline": opening.headline(reading, summary),
        "judged": wording.judged(summary),
        "funnel": wording.funnel(summary),
        "searches": wording.searches(summary),
        "gradient_steps": wording.gradient_steps(summary),
        "cards": cards,
        "shown_modes": wording.shown_modes(summary),
        "is_table": bool(reading.in_words),
        "wordy": any(len(answer["answer"]) > 4 for card in cards for answer in card["answers"]),
        "compared": wording.compared(summary),
        "no_baseline": wording.NO_BASELINE,
        "baseline": wording.baseline(summary),
        "limits": wording.LIMITS,
        "criteria": names.criteria(summary["criteria"]),
        "first_notes": wording.first_notes(summary),
        "terms": opening.terms(reading, summary),
        "leaves": wording.leaves(summary),
        "blames": wording.blames(summary),
        "deviates": "wrong" if reading.label_stands else "leaves",
    }


def _ordered(reading: Reading) -> list[FailureMode]:
    """Failure modes, the largest first; in a gate those of the classes that broke."""
    broken = {line.of for line in reading.gate.broken} if reading.gate else set()
    return sorted(reading.failure_modes, key=lambda mode: mode.expected not in broken)


def _gate(reading: Reading) -> dict[str, Any] | None:
    """What a gate said, where the campaign is one's."""
    record = reading.gate
    if record is None:
        return None
    groups = flipped(reading)
    return {
        "decision": record.decision or "unfinished",
        "kind": record.kind,
        "counted": gates.counted(record),
        "rows": gates.table(record),
        "note": "" if record.decision else NOT_FINISHED,
        "flipped": len(record.flipped),
        "more": len(groups) - len(groups[:FLIPPED]),
        "groups": [(group, shown(reading, group.rows[:SEEDS])) for group in groups[:FLIPPED]],
    }


def _histograms(reading: Reading) -> list[tuple[str, str, Markup]]:
    charts = []
    for label, name, means in SIZES:
        values = [value for row in reading.valid if (value := row.measure(name)) is not None]
        if values:
            charts.append((label, means, histogram(values, label, means)))
    return charts


def _agreed(reading: Reading, seed: Any) -> tuple[int | str, str, str]:
    return reading.seed_name(seed), reading.class_name(seed.label), reading.class_name(seed.decisions[0])


def _criterion(reading: Reading) -> str:
    return names.criterion(reading.criteria[reading.main])
