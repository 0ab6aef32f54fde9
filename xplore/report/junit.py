"""A campaign as JUnit XML, which CI systems show as tests: a failure mode is a test that fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from xplore.archive import Archive
from xplore.archive.gate_record import GateRecord, Line, undecided
from xplore.report import gate as gates
from xplore.report import names, wording, words
from xplore.report._base import Reporter, store
from xplore.report.failure_modes import SHOWN, FailureMode
from xplore.report.flipped import flipped
from xplore.report.reading import Group, Reading, read
from xplore.report.summary import figures

NONE_FOUND = "no valid finding"
_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SIZES = ("margin", "changed", "l1", "l2", "linf", "ssim")


@dataclass(frozen=True)
class Junit(Reporter):
    """`junit.xml`: one suite; a failure mode is a case that fails with its example; without any, one passes.

    Of a gate a case is a comparison: it passes, fails with what was found there, or is an error where it
    leaves the gate undecided; a gate that did not finish is an error. A campaign in which no seed was judged
    skips its case. Figures are properties of the suite.

    >>> Junit().target(Path("runs/mine")).as_posix()
    'runs/mine/junit.xml'
    """

    file_name: ClassVar[str] = "junit.xml"

    def _write(self, archive: Archive, out: Path) -> Path:
        reading = read(archive)
        root = ET.Element("testsuites")
        root.append(_suite(reading, figures(reading)))
        ET.indent(root)
        data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return store(self.target(out), data + b"\n")


def xml(text: Any) -> str:
    """Text without the characters that XML 1.0 cannot hold, or that a terminal obeys.

    >>> xml("a\\x00b")
    'a\N{REPLACEMENT CHARACTER}b'
    """
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(text))


def _element(tag: str, text: str = "", **attributes: Any) -> ET.Element:
    element = ET.Element(tag, {name: xml(value) for name, value in attributes.items()})
    element.text = xml(text) if text else None
    return element


def _suite(reading: Reading, summary: dict[str, Any]) -> ET.Element:
    name, seconds = summary["name"] or "campaign", {"time": f"{summary['seconds'] or 0:.3f}"}
    suite_name = f"xplore.{name}"
    if reading.gate is not None:
        cases = _gate(reading, reading.gate, suite_name)
        lines = [gates.verdict(reading.gate), *gates.lines(reading.gate), wording.state(summary)]
    else:
        cases = [_failed(reading, mode, suite_name) for mode in reading.failure_modes]
        cases = cases or [_none_found(summary, suite_name, seconds)]
        lines = [wording.verdict(summary), wording.state(summary)]
    counts = {"tests": len(cases)}
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[key] = sum(case.find(tag) is not None for case in cases)
    suite = _element("testsuite", name=suite_name, **counts, **seconds, **_timestamp(summary["created"]))
    properties = _element("properties")
    properties.extend(_element("property", name=key, value=value) for key, value in _properties(summary))
    suite.append(properties)
    suite.extend(cases)
    suite.append(_element("system-out", "\n".join(filter(None, lines))))
    return suite


def _none_found(summary: dict[str, Any], suite: str, seconds: dict[str, str]) -> ET.Element:
    case = _element("testcase", name=NONE_FOUND, classname=suite, **seconds)
    case.extend([] if summary["seeds"] else [_element("skipped", message="no seed was judged")])
    return case


def _gate(reading: Reading, record: GateRecord, suite: str) -> list[ET.Element]:
    """A case for each comparison of a gate."""
    if record.decision is None:
        case = _element("testcase", name=f"gate: {record.kind}", classname=suite, time="0.000")
        case.append(_element("error", message=gates.verdict(record), type="unfinished"))
        return [case]
    void, cases = {id(line) for line in undecided(record.lines)}, []
    for line in record.lines:
        case = _element("testcase", name=f"gate: {gates.name(line)}", classname=suite, time="0.000")
        text = gates.line_text(line)
        if line.fails:
            case.append(_element("failure", _found(reading, line), message=text, type="gate"))
        elif id(line) in void:
            case.append(_element("error", message=f"undecided: {text}", type="undecided"))
        elif line.void:
            case.append(_element("skipped", message=text))
        cases.append(case)
    return cases


def _found(reading: Reading, line: Line) -> str:
    """What was found where a comparison failed: seeds that flip, or failure modes, with examples."""
    if line.where == "data":
        groups = [group for group in flipped(reading) if line.of is None or group.before == line.name]
        return "\n".join(
            f"{group.before or 'old'} -> {group.after or 'new'}: {words.plural(len(group.rows), 'seed')}, "
            + ", ".join(str(reading.seed_name(row)) for row in group.rows[: gates.MOST_SEEDS])
            for group in groups
        )
    near = [mode for mode in reading.failure_modes if line.of is None or mode.expected == line.of]
    return "\n".join(
        f"{words.plural(len(mode.rows), 'valid finding')}: {wording.named(reading, mode)}; "
        f"{reading.replay(mode.example)}"
        for mode in near
    )


def _answers(reading: Reading, group: Group) -> str:
    answers = zip(reading.models, map(reading.class_name, group.decisions), strict=True)
    text = ", ".join(f"{model} says {answer}" for model, answer in answers)
    return f"{words.plural(len(group.rows), 'finding')}: {text}{wording.part(group)}"


def _failed(reading: Reading, mode: FailureMode, suite: str) -> ET.Element:
    row = mode.example
    sentence, title = wording.sentence(reading, row), wording.named(reading, mode)
    case = _element("testcase", name=title, classname=suite, time="0.000")
    count, seed = words.plural(len(mode.rows), "valid finding"), reading.seed_name(row)
    sizes = [f"{name} {words.number(row.measure(name))}" for name in _SIZES if row.measure(name) is not None]
    smallest = [
        f"{name} {words.number(row.smallest.measure(name))}"
        for name in _SIZES
        if row.smallest and row.smallest.measure(name) is not None
    ]
    lines = [
        f"{count} of this failure mode; the one with the smallest change is {row.id}, from seed {seed}",
        sentence,
        f"as found: {', '.join(sizes)}" if sizes else "",
        f"smallest change that still shows it: {', '.join(smallest)}" if smallest else "",
        wording.changed(row.shown),
        reading.replay(row),
        f"in {words.plural(len(mode.groups), 'fault group')}:",
        *(f"  {_answers(reading, group)}" for group in mode.groups[:SHOWN]),
        f"  and {words.count(len(mode.groups) - SHOWN)} more" if len(mode.groups) > SHOWN else "",
    ]
    case.append(
        _element("failure", "\n".join(filter(None, lines)), message=f"{count}: {title}", type="disagreement")
    )
    return case


def _properties(summary: dict[str, Any]) -> list[tuple[str, Any]]:
    share = summary["valid_share"] or {}
    called = dict(zip(summary["criteria"], names.criteria(summary["criteria"]), strict=True))
    known = [
        (key, summary[key]) for key in ("seeds", "findings", "valid", "steps", "queries", "rng", "device")
    ]
    known += [("failure_modes", len(summary["failure_modes"])), ("groups", len(summary["groups"]))]
    known += [(f"valid_share.{key}", round(value, 6)) for key, value in share.items()]
    known += [
        (f"sizes.{name}.median", spread["median"]) for name, spread in summary["sizes"].items() if spread
    ]
    known += [
        (f"coverage.{model}.{called[criterion]}", round(part, 6))
        for model, covered in summary["coverage"].items()
        for criterion, part in covered.items()
    ]
    return [(key, value) for key, value in known if value is not None]


def _timestamp(created: str | None) -> dict[str, str]:
    """ISO 8601 without a zone: some readers take no other."""
    try:
        return {"timestamp": datetime.fromisoformat(created or "").strftime("%Y-%m-%dT%H:%M:%S")}
    except (ValueError, TypeError):
        return {}
