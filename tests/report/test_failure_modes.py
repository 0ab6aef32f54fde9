"""Failure modes: each valid finding is in exactly one, the model to blame is wrong, the worst come first."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xplore.archive.records import NO_ANSWER
from xplore.report import reporter, wording
from xplore.report.failure_modes import SHOWN, failure_modes
from xplore.report.html import fragment
from xplore.report.reading import Group, read
from xplore.report.rows import Row, Smallest, least_changed
from xplore.report.summary import summary

MODELS = 3


def row(name, expected, decisions, confidences, values=(), **measures):
    sure = tuple(confidences)
    return Row(
        name, "search", 0, None, expected, tuple(decisions), sure, (), measures, 1, values=tuple(values)
    )


part = st.one_of(st.none(), st.floats(0, 1))
answer = st.one_of(st.integers(0, 4), st.just(NO_ANSWER))


@st.composite
def fault_groups(draw, of_values=False):
    """Fault groups, largest first: each of one expected answer and one set of decisions, in clusters."""
    seen = draw(
        st.dictionaries(
            st.tuples(st.integers(0, 4), st.tuples(*[answer] * MODELS)).filter(lambda d: {*d[1]} != {d[0]}),
            st.lists(st.integers(1, 4), min_size=1, max_size=3),
            max_size=12,
        )
    )
    groups = []
    for (expected, decisions), sizes in seen.items():
        for place, size in enumerate(sizes):
            rows = []
            for i in range(size):
                said = [None if d == NO_ANSWER else draw(st.floats(-9, 9)) for d in decisions]
                told = {"seed_values": [draw(st.floats(-9, 9)) for _ in decisions]} if of_values else {}
                told |= {"truth": draw(st.floats(-9, 9))} if of_values and draw(st.booleans()) else {}
                sure = [None] * MODELS if of_values else [draw(part) for _ in decisions]
                name = f"{len(groups)}.{i}"
                rows.append(row(name, expected, decisions, sure, said if of_values else (), **told))
            groups.append(Group(expected, decisions, place, len(sizes), tuple(rows)))
    return sorted(groups, key=lambda group: -len(group.rows))


def test_the_example_is_the_one_whose_shown_change_is_smallest():
    wide, narrow, whole = (
        row(name, 1, (1, 2), [0.6, 0.7], l2=l2)
        for name, l2 in [("wide", 2.0), ("narrow", 1.0), ("whole", 0.3)]
    )
    wide = replace(wide, smallest=Smallest((), {"l2": 0.2}, 5))
    narrow = replace(narrow, smallest=Smallest((), {"l2": 0.4}, 5))
    assert least_changed([wide, narrow, whole]) is wide
    assert least_changed([narrow, whole]) is whole


@settings(deadline=None)
@given(st.data(), st.sampled_from(["labels", "angles", "values"]))
def test_each_finding_is_in_one_and_the_worst_come_first(data, kind):
    groups = data.draw(fault_groups(of_values=kind != "labels"))
    modes = failure_modes(groups, kind)
    kept = [row.id for mode in modes for row in mode.rows]
    assert sorted(kept) == sorted(row.id for group in groups for row in group.rows)
    assert Counter(id(group) for mode in modes for group in mode.groups) == Counter(map(id, groups))
    sizes = [len(mode.rows) for mode in modes]
    assert sizes == sorted(sizes, reverse=True) and all(sizes)
    assert len({(m.expected, m.answered, m.direction, m.model) for m in modes}) == len(modes)
    for mode in modes:
        assert mode.example in mode.rows
        assert list(mode.groups) == [group for group in groups if group in mode.groups], "largest first"
        for group in mode.groups:
            said = group.decisions[mode.model]
            lost = [i for i, decision in enumerate(group.decisions) if decision == NO_ANSWER]
            assert said != group.expected and (not lost or mode.model == lost[0])
            if kind == "values":
                assert mode.expected is None and (mode.answered, bool(mode.direction)) == (
                    (NO_ANSWER, False) if lost else (None, True)
                )
            else:
                assert (mode.expected, mode.answered, mode.direction) == (group.expected, said, 0)


@settings(deadline=None)
@given(st.data())
def test_to_blame_is_the_surest_of_those_that_are_wrong(data):
    """Told anew, by brute force; what no model is sure of is the first one's."""
    groups = data.draw(fault_groups())
    for mode in failure_modes(groups):
        for group in mode.groups:
            if NO_ANSWER in group.decisions:
                continue
            mean = {}
            for i, decision in enumerate(group.decisions):
                known = [r.confidences[i] for r in group.rows if r.confidences[i] is not None]
                mean[i] = (sum(known) / len(known) if known else 0.0) if decision != group.expected else -1.0
            assert mean[mode.model] == pytest.approx(max(mean.values()))


def alone(decisions, sure=(0.5, 0.5, 0.5), values=(), expected=1, **measures):
    one = row("one", expected, decisions, sure, values, **measures)
    return failure_modes([Group(expected, tuple(decisions), 0, 1, (one,))], "values" if values else "labels")[
        0
    ]


def test_the_model_to_blame_and_to_which_side_it_is_off():
    assert (alone((2, 1, 1)).model, alone((2, 1, 1)).answered) == (0, 2)
    assert (alone((1, 2, 3), (0.9, 0.4, 0.8)).model, alone((1, 2, 3), (0.9, 0.4, 0.8)).answered) == (2, 3)
    assert alone((1, 2, 2)).model == 1, "of equally sure ones the first"
    assert alone((3, NO_ANSWER, 1), (0.99, None, 0.9)).model == 1
    told = alone((1, 4, 3), (None,) * 3, (1.1, 4.2, 3.5), seed_values=[1.0, 3.9, 1.2])
    assert (told.model, told.direction) == (2, 1), "it moved most, though another returns more"
    told = alone((1, 4, -3), (None,) * 3, (1.1, 4.2, -3.5), seed_values=[1.0, 3.9, 1.2], truth=1.0)
    assert (told.model, told.direction) == (2, -1)


CAMPAIGNS = {
    "usual": {"seeds": 160, "found": 0.9},
    "without labels": {"seeds": 160, "found": 0.9, "labelled": False},
    "few": {"seeds": 14},
    "two models": {"seeds": 60, "models": ("lenet1", "lenet4")},
    "shrunk": {"seeds": 60, "shrunk": True},
}


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_report_shows_at_most_a_dozen_with_their_counts(build, tmp_path, campaign):
    archive = build(**CAMPAIGNS[campaign])
    reading, told = read(archive), summary(archive)
    modes = told["failure_modes"]
    assert sum(mode["count"] for mode in modes) == told["valid"] > 0
    assert sorted(i for mode in modes for i in mode["groups"]) == list(range(len(told["groups"])))
    for mode in modes:
        inside = [told["groups"][i] for i in mode["groups"]]
        assert mode["count"] == sum(group["count"] for group in inside)
        assert {group["expected"] for group in inside} == {mode["expected"]}
        at = told["models"].index(mode["model"])
        assert {group["decisions"][at] for group in inside} == {mode["answered"]} != {mode["expected"]}
    assert all(one["count"] >= other["count"] for one, other in pairwise(modes))
    shown = [(m["expected_name"], m["answered_name"], m["model"], m["count"]) for m in modes[:SHOWN]]
    page = reporter("html").write(archive, tmp_path).read_text("utf-8")
    cards = re.findall(
        r'<article class="card".*?<span class="answer">(.*?)</span>.*?<span class="answer off">(.*?)</span>'
        r'.*?<small title="(.*?)">.*?<span class="count">(\d+) finding',
        page, re.S,
    )  # fmt: skip
    assert [(a, b, model, int(n)) for a, b, model, n in cards] == shown
    inside = re.findall(r'<article class="card".*?</article>', page, re.S)
    for card, mode in zip(inside, reading.failure_modes, strict=False):
        folded = re.search(r"<details class=\"inside\">.*?</details>", card, re.S)
        assert bool(folded) == (len(mode.groups) > 1)
        if folded:
            listed = [int(n) for n in re.findall(r"<b>(\d+)</b>", folded[0])]
            assert listed == [len(group.rows) for group in mode.groups]
    strips = re.findall(r'<div class="x-card">.*?(\d+) finding', fragment(archive), re.S)
    assert [int(n) for n in strips] == [n for *_, n in shown]
    rows = re.findall(
        r"^\| (\S+) \| \*\*(\S+)\*\* \| (\S+) \| !\[.*\| (\d+) \|$",
        Path(reporter("md").write(archive, tmp_path)).read_text("utf-8"), re.M,
    )  # fmt: skip
    assert [(a, b, model, int(n)) for a, b, model, n in rows] == shown
    assert re.findall(
        r"^ +(\d+) findings?  (\S+) → (\S+) by (\S+)$", "\n".join(wording.worst_modes(told)), re.M
    ) == [(str(n), a, b, model) for a, b, model, n in shown]
    assert wording.plural(len(modes), "failure mode") in wording.verdict(told)


def test_nothing_is_told_of_modes_where_nothing_is_valid(build, tmp_path):
    archive = build(seeds=24, found=0.0)
    told = summary(archive)
    assert told["failure_modes"] == [] == wording.worst_modes(told)
    assert "Failure modes" not in reporter("html").write(archive, tmp_path).read_text() + fragment(archive)
