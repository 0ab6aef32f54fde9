"""The precision that a review tells: against known truth, brute force, scikit-learn; and where it is said."""

from __future__ import annotations

import json
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import many
from scipy.stats import hypergeom
from sklearn.metrics import cohen_kappa_score

from xplore.report import reporter, wording
from xplore.report.html import fragment
from xplore.report.precision import (
    ANSWERS,
    MARGIN,
    Z95,
    agreement,
    cohen,
    needed,
    precision,
    stratified,
    turns,
    widest,
)
from xplore.report.reading import read
from xplore.report.review import order
from xplore.report.summary import share, summary

RNG = 20260314
POPULATIONS = {
    "thirty, alike": lambda rng: (falling(30, 200), [rng.uniform(0.6, 1)] * 30, 60),
    "thirty, each its own": lambda rng: (falling(30, 200), rng.beta(4, 0.6, 30), 60),
    "one judged of each": lambda rng: (falling(12, 90), rng.beta(4, 0.6, 12), 12),
    "nearly all judged": lambda rng: (falling(40, 12), rng.beta(4, 0.6, 40), 50),
    "ended early": lambda rng: (falling(60, 100), rng.beta(4, 0.6, 60), 20),
}


def falling(groups, largest):
    """Sizes that fall as those of fault groups do: few large ones, many small ones."""
    return [max(largest // (i + 1), 1) for i in range(groups)]


def reviewed(sizes, judged):
    """How many of each group a review of so many looks at."""
    groups = [[f"{g} {i}" for i in range(size)] for g, size in enumerate(sizes)]
    seen = order(groups)[:judged]
    return np.array([sum(name.startswith(f"{g} ") for name in seen) for g in range(len(sizes))])


@pytest.mark.parametrize("population", POPULATIONS)
def test_the_interval_holds_the_truth_as_often_as_it_says(population):
    rng, held, runs, told = np.random.default_rng(RNG), 0, 200, []
    for _ in range(runs):
        sizes, valid, judged = POPULATIONS[population](rng)
        looked = reviewed(sizes, judged)
        findings = [rng.random(size) < part for size, part in zip(sizes, valid, strict=True)]
        kept = np.flatnonzero(looked)
        truth = np.concatenate([findings[g] for g in kept]).mean()
        sample = np.array([findings[g][: looked[g]].sum() for g in kept])
        part, low, high = stratified(np.array(sizes)[kept], looked[kept], sample)
        held += low - 1e-9 <= truth <= high + 1e-9
        told.append(part - truth)
    assert held / runs >= 0.93
    assert abs(np.mean(told)) < 4 * np.std(told) / runs**0.5, "the share is right on average"


@pytest.mark.parametrize("judged", [8, 20, 45])
def test_of_one_group_it_holds_the_truth_as_often_exactly(judged):
    """Over all that a sample may show, by the hypergeometric law, and all truths from a half to all."""
    size, seen = 400, np.arange(judged + 1)
    ends = np.array([stratified(np.array([size]), np.array([judged]), np.array([k]))[1:] for k in seen])
    held = []
    for valid in range(size // 2, size + 1):
        inside = (ends[:, 0] - 1e-9 <= valid / size) & (valid / size <= ends[:, 1] + 1e-9)
        held.append(hypergeom.pmf(seen, size, valid, judged)[inside].sum())
    assert 0.945 <= np.mean(held) <= 0.965


def test_one_large_group_has_wilsons_interval():
    for valid in range(11):
        told = stratified(np.array([10**12]), np.array([10]), np.array([valid]))
        assert told == pytest.approx([*share(valid, 10).values()], abs=1e-5)


def test_the_interval_is_what_trying_all_shares_gives():
    """Brute force: of all shares q on a grid, those that fit what was seen and pass the test."""
    sizes, looked, valid = np.array([40, 20, 9]), np.array([3, 2, 1]), np.array([2, 2, 1])
    part, low, high = stratified(sizes, looked, valid)
    fits = [np.linspace(v / n, (v + n - k) / n, 91) for n, k, v in zip(sizes, looked, valid, strict=True)]
    q, weights = np.array(list(product(*fits))), sizes / sizes.sum()
    p = q @ weights
    variance = (q * (1 - q)) @ (weights**2 / looked * (sizes - looked) / (sizes - 1))
    passed = p[(p - part) ** 2 <= Z95**2 * variance]
    assert (low, high) == pytest.approx((passed.min(), passed.max()), abs=0.003)
    assert 0 < low < part < high < 1


sized = st.lists(st.one_of(st.integers(1, 6), st.integers(1, 200)), min_size=1, max_size=13)


@settings(deadline=None, max_examples=many(25))
@given(sized, st.data())
def test_as_many_as_are_needed_are_enough_whatever_is_answered(sizes, data):
    enough, order = needed(sizes), turns(sizes)
    assert sorted(order) == [group for group, size in enumerate(sizes) for _ in range(size)]
    assert len(sizes) <= enough <= sum(sizes)
    looked = np.bincount(order[:enough], minlength=len(sizes))
    valid = np.array([data.draw(st.integers(0, int(n))) for n in looked])
    share, low, high = stratified(np.array(sizes), looked, valid)
    assert max(share - low, high - share) <= MARGIN + 1e-3
    if enough > len(sizes):
        fewer = np.bincount(order[: enough - 1], minlength=len(sizes))
        assert widest(np.array(sizes), fewer) > MARGIN, "and one fewer is not"


def test_what_is_needed_of_one_group_is_what_all_answers_need():
    """By trying every answer that a sample may give: the rule is at most two findings above."""
    for size in (20, 200, 10_000):
        worst = {}
        for looked in range(max(needed([size]) - 3, 1), min(needed([size]) + 1, size) + 1):
            every = (
                stratified(np.array([size]), np.array([looked]), np.array([k])) for k in range(looked + 1)
            )
            worst[looked] = max(max(share - low, high - share) for share, low, high in every)
        least = min(n for n in worst if all(worst[m] <= MARGIN for m in worst if m >= n))
        assert least <= needed([size]) <= least + 2
    assert (needed([]), needed([1]), needed([0, 3]), needed([1] * 50)) == (0, 1, 3, 50)


@settings(deadline=None, max_examples=many(60))
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_interval_keeps_to_what_was_seen(groups):
    sizes = np.array([size for size, _, _ in groups])
    looked = np.minimum([judged for _, judged, _ in groups], sizes)
    valid = np.minimum([right for _, _, right in groups], looked)
    part, low, high = stratified(sizes, looked, valid)
    assert valid.sum() / sizes.sum() - 1e-9 <= low <= part <= high
    assert high <= (valid + sizes - looked).sum() / sizes.sum() + 1e-9
    if (looked == sizes).all():
        assert low == part == high == pytest.approx(valid.sum() / sizes.sum())


def test_what_was_not_judged_is_never_taken_for_sure():
    sizes, looked = np.array([12, 6, 4, 3, 2, 1]), np.array([9, 5, 3, 2, 1, 1])
    for valid, part in ((looked, 1.0), (0 * looked, 0.0)):
        told, low, high = stratified(sizes, looked, valid)
        assert told == pytest.approx(part) and 0.05 < high - low < 0.4


answers = st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)), min_size=1, max_size=30)


@settings(deadline=None)
@given(answers)
def test_kappa_is_that_of_scikit_learn(pairs):
    one, other = zip(*pairs, strict=True)
    ours = cohen(one, other)
    if len({*one, *other}) == 1:  # by chance alone they agree
        assert ours is None
    else:
        assert ours == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)


def test_of_three_reviewers_the_mean_over_pairs_is_told():
    said = [("valid", "valid", None), ("invalid", "invalid", "valid"), ("valid", "unsure", "valid")] * 4
    said += [("valid", "valid", "valid"), ("invalid", "valid", "invalid"), ("valid", None, None)]
    people = ("ann", "bo", "cy")
    told = agreement([{w: a for w, a in zip(people, row, strict=True) if a} for row in said])
    pairs = [[(r[i], r[j]) for r in said if r[i] and r[j]] for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = np.mean([cohen_kappa_score(*zip(*pair, strict=True)) for pair in pairs])
    assert told == {"judged": 14, "agree": 5, "kappa": pytest.approx(expected)}
    assert abs(expected) > 0.01
    assert agreement([{"ann": "valid"}]) is None
    assert agreement([{"ann": "valid", "bo": "valid"}]) == {"judged": 1, "agree": 1, "kappa": None}


def test_unsure_counts_against_below_and_for_above():
    groups = [[f"a{i}" for i in range(6)], [f"b{i}" for i in range(4)]]
    said = {"a0": "valid", "a1": "unsure", "b0": "valid", "b1": "invalid"}
    told = precision(groups, {name: {"kim": answer} for name, answer in said.items()})
    sizes, looked = np.array([6, 4]), np.array([2, 2])
    below, above = (stratified(sizes, looked, np.array(valid)) for valid in ([1, 1], [2, 1]))
    assert (told["share"], told["low"], told["high"]) == (*below[:2], above[2])
    assert told["share"] == pytest.approx(0.5) and above[0] == pytest.approx(0.8)
    assert (told["valid"], told["invalid"], told["unsure"]) == (2, 1, 1)


def test_the_majority_counts_and_what_is_no_answer_does_not():
    groups, both = [["a", "b", "c"], ["d"]], {"kim": "valid", "lee": "invalid"}
    told = precision(groups, {"a": both | {"ann": "valid"}, "b": both, "gone": {"kim": "valid"}})
    assert (told["reviewed"], told["valid"], told["unsure"], told["reviewers"]) == (2, 1, 1, 3)
    assert (told["groups"], told["of_findings"]) == (1, 0.75)
    assert told["agreement"]["judged"] == 2 and told["agreement"]["agree"] == 0
    assert precision(groups, {"a": {"kim": "no such answer"}, "gone": {"kim": "valid"}}) is None
    assert precision([], {}) is None


@pytest.fixture
def judged(archives, tmp_path):
    """A campaign of which two people judged the half."""
    archive = archives.build(tmp_path / "run", seeds=60)
    names = order(read(archive).strata)
    for i, name in enumerate(names[: len(names) // 2]):
        archive.answer(name, "kim", "invalid" if i % 7 == 2 else "valid", "2026-03-14")
        archive.answer(
            name, "<b>lee", "unsure" if i == 5 else "invalid" if i % 14 == 2 else "valid", "2026-03-14"
        )
    yield archive
    archive.close()


def test_every_report_states_it(judged, tmp_path):
    told = summary(judged)["precision"]
    assert told["reviewers"] == 2 and told["unsure"] > 0 and told["agreement"]["kappa"] > 0
    assert 0 < told["low"] < told["share"] < told["high"] <= 1
    words = wording.precision(told)
    assert f"{told['valid']} of {told['reviewed']} reviewed findings keep their label" in words
    assert "(judged by 2 people). Each failure mode counted by its size, that is" in words
    assert f"(95\xa0% interval {100 * told['low']:.0f} to {100 * told['high']:.0f}\xa0%)" in words
    assert f"Cohen's kappa {told['agreement']['kappa']:.2f}" in words
    plain = lambda text: re.sub(r"\\|&#39;|'", "", text.replace("\xa0", " "))  # noqa: E731
    for name in ("html", "md"):
        assert plain(words) in plain(reporter(name).write(judged, tmp_path).read_text()), name
    assert plain(words) in plain(fragment(judged))
    assert json.loads(reporter("json").write(judged, tmp_path).read_text())["precision"] == told


def test_no_report_speaks_of_a_review_that_was_not(build, tmp_path):
    archive = build(seeds=60)
    assert summary(archive)["precision"] is None
    assert "keep their label" not in reporter("html").write(archive, tmp_path).read_text() + fragment(archive)
