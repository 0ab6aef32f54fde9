"""What CI systems read: Markdown that a comment takes, and JUnit XML by its schema's rules."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xplore.report import reporter
from xplore.report.junit import NONE_FOUND, xml
from xplore.report.markdown import MOST_BYTES
from xplore.report.reading import read
from xplore.report.summary import summary

LONG = "a class whose name is long and says |so| *at* <length> " * 12
HUGE = {
    "many groups": {"seeds": 160, "found": 0.98},
    "long names": {"seeds": 60, "classes": tuple(f"{i}{LONG}" for i in range(10))},
    "long models": {"seeds": 60, "models": tuple(f"{LONG}{i}" for i in range(8))},
    "many models": {"seeds": 12, "models": tuple(f"{LONG}{i}" for i in range(40))},
    "long meta": {"seeds": 12, "meta": {"command": LONG * 99, "search": LONG * 99, "name": LONG * 99}},
}


@pytest.mark.parametrize("campaign", HUGE)
def test_markdown_is_no_longer_than_a_comment(build, tmp_path, campaign):
    archive = build(**HUGE[campaign])
    path = reporter("md").write(archive, tmp_path)
    text, modes = path.read_text("utf-8"), len(read(archive).failure_modes)
    assert len(text.encode()) <= MOST_BYTES
    order = [text.index(f"\n## {heading}") for heading in ("Failure modes", "From seeds to valid findings")]
    assert order == sorted(order) and text.index("**") < order[0]
    shown = len(re.findall(r"^\|.*!\[", text, re.M))
    assert len(list((tmp_path / "report_pictures").glob("*.png"))) == shown > 0
    left = re.search(r"^and ([\d,]+) smaller ones\.$", text, re.M)
    assert modes == shown + (int(left[1].replace(",", "")) if left else 0)


def test_markdown_names_the_sections_that_do_not_fit(build, tmp_path):
    names = {"models": tuple(f"{LONG}{i}" for i in range(400)), "classes": HUGE["long names"]["classes"]}
    models = {"seeds": 2, "found": 0.98, "units": (1, 1), **names}
    text = reporter("md").write(build(**models), tmp_path).read_text("utf-8")
    assert len(text.encode()) <= MOST_BYTES
    assert "## Failure modes" in text and "Fault groups: what" not in text, "400 answers do not fit"
    assert "Too long for here: who is wrong" in text and "## From seeds" in text


CAMPAIGNS = {
    "usual": {"seeds": 60},
    "shrunk": {"seeds": 60, "shrunk": True},
    "none found": {"seeds": 24, "found": 0.0},
    "no seeds": {"seeds": 0},
    "killed at once": {"seeds": 12, "missing": ("layout", "criteria", "models", "name", "config", "created")},
    "control characters": {"seeds": 60, "classes": tuple(f'\x00\x1b<{i}>&\ud800"' for i in range(10))},
}
ATTRIBUTES = {  # element: attributes that must be there, and that may
    "testsuites": ("", ""),
    "testsuite": ("name tests failures errors skipped time", "timestamp"),
    "properties": ("", ""),
    "property": ("name value", ""),
    "testcase": ("name classname time", ""),
    "failure": ("message type", ""),
    "skipped": ("message", ""),
    "system-out": ("", ""),
}
INSIDE = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "properties": {"property"},
    "testcase": {"failure", "skipped"},
}


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_junit_keeps_the_rules_of_its_schemas(build, tmp_path, campaign):
    archive = build(**CAMPAIGNS[campaign])
    root = ET.fromstring(reporter("junit").write(archive, tmp_path).read_bytes())
    assert root.tag == "testsuites" and len(root) == 1
    for element in root.iter():
        must, may = (set(names.split()) for names in ATTRIBUTES[element.tag])
        assert must <= set(element.attrib) <= must | may, element.tag
        assert {child.tag for child in element} <= INSIDE.get(element.tag, set())
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    suite, cases = root[0], root.findall("testsuite/testcase")
    assert suite.attrib.get("timestamp", "2026-03-14T09:26:53") == "2026-03-14T09:26:53"
    counts = {"tests": len(cases), "failures": len(root.findall(".//failure")), "errors": 0}
    counts["skipped"] = len(root.findall(".//skipped"))
    assert {name: int(suite.attrib[name]) for name in counts} == counts
    assert len({case.attrib["name"] for case in cases}) == len(cases)
    tags = [child.tag for child in suite]
    assert tags[0] == "properties" and tags[-1] == "system-out"


def test_junit_tells_each_failure_mode_and_the_figures(build, archives, tmp_path):
    criteria = ["KMNC(k=10, low=array([0.1, 0.2]))", *archives.CRITERIA[1:]]
    archive = build(seeds=60, shrunk=True, meta={"criteria": criteria})
    reading, told = read(archive), summary(archive)
    root = ET.fromstring(reporter("junit").write(archive, tmp_path).read_bytes())
    failures = root.findall(".//failure")
    assert 3 < len(failures) == len(reading.failure_modes) < len(reading.groups)
    for failure, mode, case in zip(failures, reading.failure_modes, root.iter("testcase"), strict=True):
        assert mode.example.id in failure.text and reading.replay(mode.example) in failure.text
        assert failure.attrib["message"].startswith(f"{len(mode.rows)} valid finding")
        assert case.attrib["name"] == f"{mode.expected} → {mode.answered} by {reading.models[mode.model]}"
        assert "smallest change that still shows it: " in failure.text
    properties = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    covered = [name.removeprefix("coverage.lenet1.") for name in properties if name.startswith("coverage.le")]
    assert covered[:2] == ["KMNC, k = 10", "neuron coverage, t = 0.25"]
    assert int(properties["valid"]) == told["valid"] and float(properties["sizes.l2.median"]) > 0
    assert float(properties["valid_share.low"]) == pytest.approx(told["valid_share"]["low"], abs=1e-6)


def test_junit_without_a_group_passes(build, tmp_path):
    root = ET.fromstring(reporter("junit").write(build(seeds=24, found=0.0), tmp_path).read_bytes())
    case = root.find("testsuite/testcase")
    assert (case.attrib["name"], len(case)) == (NONE_FOUND, 0)


@given(st.text())
def test_any_text_is_xml(text):
    element = ET.Element("a", {"b": xml(text)})
    element.text = xml(text)
    assert ET.fromstring(ET.tostring(element)).tag == "a"
