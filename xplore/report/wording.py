"""What the reports say: the same figures in the same words, whatever the format."""

from __future__ import annotations

from typing import Any

from xplore._util.statistics import share
from xplore.report.failure_modes import SHOWN, FailureMode
from xplore.report.names import CALLS, spoken
from xplore.report.precision import MARGIN
from xplore.report.reading import Group, Reading
from xplore.report.rows import Row, Smallest
from xplore.report.words import (
    count,
    interval,
    numeral,
    percent,
    plural,
)

_REASONS = {
    "seed_wrong": "seed answered wrongly",
    "beyond_bound": "beyond the bound",
    "unstable_alone": "not the same when judged alone",
}
_DOUBTS = {
    "reference_model": "the reference model gives another label",
    "nearer_other_class": "nearer to a training input of another class",
    "all_sure_of_others": "every model is sure of another label",
}
_EVIDENCE = {"reference_model": "a reference model", "training": "the training inputs' classes"}
NO_BASELINE = "No other search was run at this budget: how much of this chance would find is not known."
LIMITS = (
    "That a finding keeps the label of its seed while it stays within the bound is an assumption, "
    "not proven: xplore review shows a sample to a person.",
    "Fault groups estimate faults: findings with one expected label and the same answers, parted where the "
    "models' last hidden layers fall into clusters, may have several causes, and one cause several groups.",
    "Coverage measures reach, not quality: a neuron that was hit has not been shown to be right.",
    "Margin, SSIM and distances are shown, not filtered on.",
)


def partial(figures: dict[str, Any]) -> bool:
    """Are some seeds in rounds that did not end? Those that are divided end first: a share misleads."""
    return bool(figures["share_of_seeds"] < figures["seeds"])


def state(summary: dict[str, Any]) -> str:
    """Why a campaign is not all that it was to be; nothing, where it is.

    >>> state({"finished": True, "ended": "findings", "seeds": 300, "seeds_total": 1000})
    'ended by its budget of findings: 300 of 1,000 seeds'
    """
    ended = summary.get("ended") or ""
    if summary["finished"] and not ended:
        return ""
    of = f" of {count(summary['seeds_total'])}" if summary.get("seeds_total") else ""
    why = f"ended by its budget of {ended}" if summary["finished"] else ended or "unfinished"
    return f"{why}: {count(summary['seeds'])}{of} seeds{'' if ended else ' so far'}"


def not_finite(models: dict[str, dict[str, int]], seeds: int) -> list[str]:
    """Which models returned NaN or infinity on some of so many seeds, or in findings; a line a model.

    >>> not_finite({"new": {"seeds": 3, "findings": 1}}, 40)
    ['new returned NaN or infinity on 3 of 40 seeds and in 1 finding: no answer, and never a right one']
    """
    lines = []
    for name, of in models.items():
        found = f" and in {plural(of['findings'], 'finding')}" if of["findings"] else ""
        where = f"{count(of['seeds'])} of {plural(seeds, 'seed')}{found}"
        lines.append(f"{name} returned NaN or infinity on {where}: no answer, and never a right one")
    return lines


def never_valid(reasons: dict[str, int], seeds: int) -> list[str]:
    """Of how many of so many seeds nothing valid could come, and why; a line a reason.

    >>> never_valid({"agree_wrongly": 3}, 40)
    ['of 3 of 40 seeds no valid finding can come, and they are searched last: all models agree, and wrongly']
    """
    why = {"agree_wrongly": "all models agree, and wrongly", "no_answer": "no model gives an answer"}
    how = "no valid finding can come, and they are searched last"
    return [f"of {count(n)} of {plural(seeds, 'seed')} {how}: {why[name]}" for name, n in reasons.items()]


def part(group: Group) -> str:
    """Which of the clusters of one disagreement a group is; nothing, where it is all of it."""
    return f", cluster {group.part + 1} of {group.parts}" if group.parts > 1 else ""


def reason(name: str) -> str:
    return _REASONS.get(name, name.replace("_", " "))


def doubt(name: str) -> str:
    """Why a finding is in doubt."""
    return _DOUBTS.get(name, name.replace("_", " "))


def why(row: Row) -> str:
    """Why a finding does not count: what makes it invalid, which rules it breaks, what puts it in doubt."""
    broken = row.measures.get("breaks")
    rules = f" (breaks: {broken})" if broken else ""
    reasons = [reason(name) + (rules if name == "beyond_bound" else "") for name in row.reasons]
    return ", ".join([*reasons, *map(doubt, row.doubts)])


def evidence(figures: dict[str, Any]) -> str:
    """What vouches for the labels of findings, beside the bound; nothing, where that is not recorded.

    >>> evidence({"evidence": [], "in_doubt": 0})
    'Nothing but the bound vouches for the labels of these findings: no reference model was given.'
    >>> evidence({"evidence": ["reference_model"], "in_doubt": 3})
    'Labels were held against a reference model: 3 findings are in doubt, and not counted as valid.'
    """
    given: list[str] | None = figures["evidence"]
    n = figures["in_doubt"]
    if given is None:
        return ""
    if not given:
        text = "Nothing but the bound vouches for the labels of these findings: no reference model was given"
        also = f", and {plural(n, 'finding')} {'is' if n == 1 else 'are'} in doubt" if n else ""
        return f"{text}{also}."
    names = " and ".join(_EVIDENCE.get(name, name.replace("_", " ")) for name in given)
    left = f"{plural(n, 'finding')} {'is' if n == 1 else 'are'} in doubt, and not counted as valid"
    return f"Labels were held against {names}: {left if n else 'no finding is in doubt'}."


def verdict(figures: dict[str, Any]) -> str:
    """The campaign in one sentence."""
    seeds, valid = figures["seeds"], figures["valid"]
    models = f"the {numeral(len(figures['models']))} models" if figures["models"] else "the models"
    tried = plural(seeds, "seed")
    if not seeds and not figures["findings"]:
        return "No seed has been judged yet."
    if not valid:
        left_out, doubtful = figures["findings"], figures["in_doubt"]
        tail = f"; {plural(left_out, 'finding')} did not count" if left_out else ""
        tail += f", {count(doubtful)} of them in doubt" if doubtful else ""
        return f"No valid finding near {tried}: within this budget {models} were not divided{tail}."
    near = f"{count(figures['seeds_with_valid_finding'])} of {tried}"
    near = f"{plural(figures['seeds_with_valid_finding'], 'seed')} so far" if partial(figures) else near
    groups = plural(len(figures["failure_modes"]), "failure mode")
    name, times = worst(figures)
    blame = f"; {name} {leaves(figures)} in {percent(times / valid)} of the findings" if times else ""
    differ = figures["already_differ"]
    before = f" On {count(differ)} more they differ before any change." if differ else ""
    return f"{models.capitalize()} disagree near {near}, in {groups}{blame}.{before}"


def baseline(figures: dict[str, Any]) -> tuple[str, str]:
    """How another search is run beside one: what is to be done, and the code."""
    if figures["command"] in CALLS:
        return "pass", "baseline=xplore.search.Random()"
    return "add to the config", '[baseline] use = "xplore.search:Random"'


def first_notes(figures: dict[str, Any]) -> list[str]:
    """The notes that a reader sees first: what was chosen, and what is doubtful; not what is counted below.

    >>> first_notes({"notes": ["seeds: mnist/test", "small is right on 4 of 20 seeds"]})
    ['small is right on 4 of 20 seeds']
    """
    return [note for note in figures["notes"] or () if not note.startswith(("seeds: ", "of "))][:4]


def judged(figures: dict[str, Any]) -> list[str]:
    """What vouches for the labels of findings: what people say, and what they were held against."""
    lines = [precision(figures["precision"]), precision(figures["precision_in_doubt"], "in doubt")]
    lines += [evidence(figures)] if figures["findings"] else []
    return list(filter(None, lines))


def terms(figures: dict[str, Any]) -> str:
    """What the words of a report mean, for somebody to whom it was forwarded."""
    one = {"images": "an image", "rows": "a row", "sets": "a set of features"}[figures["inputs"]]
    return (
        f"A seed is {one} as it came. A valid finding is a small change of a seed, within the bound, on "
        "which the models disagree. A failure mode is one model that takes one answer for another."
    )


def precision(measured: dict[str, Any] | None, of: str = "valid") -> str:
    """How many findings `of` a verdict keep their label, as people judged; nothing, where no one did."""
    if not measured:
        return ""
    valid = of == "valid"
    reviewed = plural(measured["reviewed"], "reviewed finding") + ("" if valid else f" {of}")
    people = plural(measured["reviewers"], "person", "people")
    part = measured["of_findings"] < 1
    share = percent(measured["share"])
    if measured["low"] < measured["high"]:
        share += f" (95\xa0% interval {100 * measured['low']:.0f} to {100 * measured['high']:.0f}\xa0%)"
    words = f"{count(measured['valid'])} of {reviewed} keep their label (judged by {people})."
    counted = "Each failure mode counted by its size, that is" if valid else "That is"
    whole = "the valid findings" if valid else f"those {of}"
    words += f" {counted} {share} of {'the failure modes that were looked at' if part else whole}."
    if part:
        words += f" They hold {percent(measured['of_findings'])} of {whole}."
    if measured["unsure"]:
        words += (
            f" {count(measured['unsure'])} unsure: not valid in the share, valid in the interval's upper end."
        )
    if both := measured["agreement"]:
        kappa = "" if both["kappa"] is None else f" (Cohen's kappa {both['kappa']:.2f})"
        shared = plural(both["judged"], "finding")
        words += f" Of {shared} that several judged they agree on {count(both['agree'])}{kappa}."
    return words


def enough(what: str, needed: int, findings: int) -> str:
    """How many findings are to be looked at for a narrow interval.

    >>> enough("valid", 90, 972), enough("in doubt", 5, 5)
    ('90 of 972 findings that are valid', 'all 5 findings that are in doubt')
    """
    some = f"{count(needed)} of {count(findings)}" if needed < findings else f"all {count(findings)}"
    return f"{some} findings that are {what}"


def reached(coverage: dict[str, Any] | None, left: int) -> str:
    """How far the ends of an interval are from the share, and how many more findings would do.

    >>> reached({"share": 0.8, "low": 0.72, "high": 0.86, "unsure": 0}, 12)
    'The interval ends 8 points below the share and 6 above it: it is within 10 points.'
    >>> print(reached({"share": 0.8, "low": 0.62, "high": 0.9, "unsure": 0}, 12)[-64:])
    look at 12 more for at most 10 points, whatever the answers are.
    """
    if not coverage:
        return ""
    below, above = coverage["share"] - coverage["low"], coverage["high"] - coverage["share"]
    words = f"The interval ends {100 * below:.0f} points below the share and {100 * above:.0f} above it: "
    if max(below, above) <= MARGIN:
        return f"{words}it is within {100 * MARGIN:.0f} points."
    if left:
        most = f"at most {100 * MARGIN:.0f} points, whatever the answers are"
        return f"{words}look at {count(left)} more for {most}."
    return f"{words}those that nobody is sure of make it wide."


def counted(figures: dict[str, Any]) -> str:
    """What was found, in a line."""
    doubtful = f", {figures['in_doubt']} in doubt," if figures["in_doubt"] else ""
    found = f"{figures['valid']} valid{doubtful} of {figures['findings']} findings"
    modes = plural(len(figures["failure_modes"]), "failure mode")
    return f"{found} in {modes}, from {figures['seeds']} seeds"


def confusion(reading: Reading, mode: FailureMode) -> tuple[str, str]:
    """What is expected and what the model to blame answers; of values, to which side it is off."""
    if reading.decides.get("kind") != "values":
        return reading.class_name(mode.expected), reading.class_name(mode.answered)
    sides = ("too low", "too high") if reading.labelled else ("falls", "rises")
    return "value", sides[mode.direction > 0] if mode.direction else reading.class_name(mode.answered)


def named(reading: Reading, mode: FailureMode) -> str:
    """What names a failure mode in every run: what is expected, what is answered, and by which model."""
    return f"{' → '.join(confusion(reading, mode))} by {reading.models[mode.model]}"


def worst_modes(figures: dict[str, Any]) -> list[str]:
    """The failure modes that are shown first, a line each, and what they hold.

    >>> one = {"expected_name": "9", "answered_name": "7", "model": "lenet1", "count": 7, "groups": [0, 3]}
    >>> print(*worst_modes({"failure_modes": [one], "valid": 7}), sep="\\n")
    failure modes, worst first:
      7 findings  9 → 7 by lenet1
    """
    modes = figures["failure_modes"]
    if not modes:
        return []
    counts = [plural(mode["count"], "finding") for mode in modes[:SHOWN]]
    wide = max(map(len, counts))
    lines = [
        f"  {count:>{wide}}  {mode['expected_name']} → {mode['answered_name']} by {mode['model']}"
        for count, mode in zip(counts, modes, strict=False)
    ]
    return [f"failure modes, {shown_modes(figures)}:", *lines]


def shown_modes(figures: dict[str, Any]) -> str:
    """Which failure modes are shown first, and how many of the findings they hold.

    >>> shown_modes({"failure_modes": [{"count": 9 - i // 2} for i in range(14)], "valid": 90})
    'the 12 worst of 14, with 78 of 90 findings'
    """
    modes = figures["failure_modes"]
    if len(modes) <= SHOWN:
        return "worst first"
    held = sum(mode["count"] for mode in modes[:SHOWN])
    findings = plural(figures["valid"], "finding")
    return f"the {SHOWN} worst of {count(len(modes))}, with {count(held)} of {findings}"


def leaves(figures: dict[str, Any]) -> str:
    """What a model does that answers otherwise than is expected of a valid finding."""
    if not figures["labelled"]:
        return "leaves the agreed answer"
    return "is wrong" if figures["label_stands"] else "leaves the label"


def blames(figures: dict[str, Any]) -> list[str]:
    """What is counted of each model: how often it leaves what is expected, how often it alone keeps it."""
    if figures["label_stands"]:
        return ["wrong alone", "wrong with others", "right alone", "wrong in total"]
    return ["alone leaves it", "with others leaves it", "alone keeps it", "leaves it in total"]


def worst(figures: dict[str, Any]) -> tuple[str, int]:
    """The model that most often answers otherwise than expected, and how often."""
    times = {name: tally["alone"] + tally["with_others"] for name, tally in figures["wrong"].items()}
    name = max(times, key=lambda key: times[key], default="")
    return name, times.get(name, 0)


def headline(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The three numbers under the verdict, each with what it means."""
    valid = figures["valid_share"]
    spread = f" (95\xa0% interval {interval(valid)})" if valid else ""
    by_reason, left_out = dict(figures["invalid_by_reason"]), figures["findings"] - figures["valid"]
    by_reason |= {"in_doubt": figures["in_doubt"]} if figures["in_doubt"] else {}
    reasons = [
        f"{reason(name)} ({count(n)})" if len(by_reason) > 1 else reason(name)
        for name, n in by_reason.items()
    ]
    why = f": {', '.join(reasons)}" if reasons else ""
    third = (count(left_out), f"{'finding does' if left_out == 1 else 'findings do'} not count{why}")
    return [
        (percent(valid and valid["share"], 1), f"of {_counted(figures)} have a valid finding{spread}"),
        (
            count(len(figures["failure_modes"])),
            f"failure mode{'s' * (len(figures['failure_modes']) != 1)} in "
            f"{plural(figures['valid'], 'valid finding')}",
        ),
        third,
    ]


def _counted(figures: dict[str, Any]) -> str:
    """Of which seeds the share is."""
    if not partial(figures):
        return "seeds"
    if not figures["share_of_seeds"]:
        return "the seeds of whole rounds, of which none has ended yet,"
    return f"{plural(figures['share_of_seeds'], 'seed')} in whole rounds"


def funnel(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """From seeds to valid findings: what is left at each step, and what was left out before it and why."""
    seeds, differ = figures["seeds"], figures["already_differ"]
    agree, found, gone = seeds - differ, figures["found"], figures["rejudged_away"]
    none = max(agree - found, 0)
    reasons = [f"{reason(name)} ({count(n)})" for name, n in figures["invalid_by_reason"].items()]
    doubtful = figures["in_doubt_by_reason"].items()
    reasons += [f"{count(n)} in doubt: {doubt(name)}" for name, n in doubtful]
    steps = [
        ("seeds", seeds, []),
        (
            "models agree on the seed",
            agree,
            [f"{count(differ)} already differ as they are"] if differ else [],
        ),
        ("found by the search", found, [f"{count(none)} not divided within the budget"] if none else []),
        ("differ as stored", found - gone, [f"{count(gone)} gone once stored"] if gone else []),
        ("valid", figures["seeds_with_valid_finding"], reasons),
    ]
    return [
        {"label": label, "count": left, "share": min(left / seeds, 1) if seeds else 0.0, "left_out": out}
        for label, left, out in steps
    ]


def searches(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """This campaign and the searches it is compared with, one row each."""
    own = {key: figures[key] for key in ("seeds", "queries", "found", "findings", "valid", "seconds")}
    own |= {"search": figures["search"] or "this campaign", "groups": len(figures["groups"])}
    own |= {"note": "this campaign" if figures["search"] else "", "own": True}
    own |= {"valid": figures["valid_as_found"], "share": figures["valid_share"]}  # others are not shrunk
    if figures["baselines"] and not partial(figures):
        own["share"] = share(min(own["valid"], own["seeds"]), own["seeds"])
    rows = [own]
    for other in figures["baselines"] or []:
        seeds, valid = other.get("seeds"), other.get("valid")
        part = share(min(valid, seeds), seeds) if seeds and valid is not None else None
        rows.append({**dict.fromkeys(own), **other, "share": part, "own": False})
    return rows


def compared(figures: dict[str, Any]) -> list[str]:
    """What the other searches found, in words, where they had about as many queries.

    More and fewer queries are not compared: a search that is given more finds more.
    """
    own, *others = searches(figures)
    words = []
    for other in others:
        queries, valid = other["queries"], other["valid"]
        if valid is None or not queries or not 0.8 <= queries / max(own["queries"] or 0, 1) <= 1.25:
            continue
        times = f", {own['valid'] / valid:.1f} times as many" if 0 < valid < own["valid"] else ""
        found = f"{search_name(other)} has {plural(valid, 'valid finding')}"
        words.append(
            f"With about as many model queries, {found}; this campaign has {count(own['valid'])}{times}."
        )
    return words


def shrunk(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The sizes of changes before and after shrinking, medians; nothing where none was shrunk."""
    record = figures["shrunk"]
    if not record:
        return []
    changed = "pixels changed" if figures["inputs"] == "images" else "features changed"
    sizes = [("changed", "L0", changed), ("l1", "L1", "sum of all changes"), ("l2", "L2", "distance")]
    sizes += [("linf", "L∞", "largest change of one value"), ("ssim", "SSIM", "likeness to the seed")]
    both = [(label, means, record["found"][name], record["smallest"][name]) for name, label, means in sizes]
    return [
        {"label": label, "means": means, "found": found["median"], "smallest": smallest["median"]}
        for label, means, found, smallest in both
        if found and smallest
    ]


def gradient_steps(figures: dict[str, Any]) -> str:
    """How many steps of a gradient were made; nothing of a search that climbs none, and of black boxes.

    >>> gradient_steps({"search": "Gradient(steps=5)", "steps": 40, "coverage": {"net": {}}})
    '40 gradient steps'
    >>> gradient_steps({"search": "HillClimb(steps=5)", "steps": 40, "coverage": {}})
    ''
    """
    blind = (figures["search"] or "").startswith(("HillClimb(", "Random(", "GridSearch("))
    return "" if blind or not figures["coverage"] else f"{count(figures['steps'])} gradient steps"


def search_name(row: dict[str, Any]) -> str:
    return spoken(row["search"]).partition("(")[0] or "–"


def sentence(reading: Reading, row: Row) -> str:
    """A finding in words: what was expected and what each model answers."""
    decided = [reading.class_name(d) for d in row.decisions]
    decided = list(map(reading.value_name, row.values)) or decided
    answers = [f"{model} says {answer}" for model, answer in zip(reading.models, decided, strict=True)]
    return f"expected {reading.class_name(row.expected)}; {', '.join(answers)}"


def changed(row: Row | Smallest) -> str:
    """A row's changes in a line: `age: 31 → 44; job: clerk → student`; what was added has nothing before."""
    changes = ((name, f"{before} → {after}" if before else after) for name, before, after in row.changes)
    return "; ".join(f"{name}: {change}" for name, change in changes)
