"""The page as text: whole, closed to the network, safe, in order, small; the browser's part is elsewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from xplore.report import reporter, wording, words
from xplore.report._page import script_data
from xplore.report.html import fragment
from xplore.report.summary import summary

HOSTILE = {
    "seeds": 24,
    "models": ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'),
    "classes": tuple(f"</script><b>{i}" for i in range(10)),
}
HOSTILE_META = {
    "name": "<script>alert(3)</script>",
    "bound": "<i>bound",
    "notes": ["<script>alert(4)</script>"],
    "config": {"</pre><script>": "alert(5)"},
    "criteria": ["<script>(t=0)", "B(t=1)", "C"],
    "baselines": [{"search": "<script>alert(6)</script>", "seeds": 10, "valid": 3}],
    "versions": {"<script>": "<script>"},
}


class Page(HTMLParser):
    """What a browser would find: elements, headings, addresses, ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.headings, self.addresses, self.ids, self.images = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.addresses += [value for key, value in attrs if key in ("src", "href")]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.images += [attributes] if tag == "img" else []


def write(archive, tmp_path):
    return reporter("html").write(archive, tmp_path).read_text()


@pytest.fixture
def page(build, tmp_path):
    return Page(write(build(seeds=60), tmp_path))


def test_the_page_asks_for_nothing_outside(page):
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)


def test_headings_are_in_order(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)


def test_every_image_has_words_and_every_id_is_one(page):
    assert all(image.get("alt") for image in page.images)
    assert len(page.ids) == len(set(page.ids))
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert charts and all(chart["aria-label"] for chart in charts)


def test_names_are_never_markup(build, tmp_path):
    text = write(build(**HOSTILE, meta=HOSTILE_META), tmp_path)
    found = Page(text)
    scripts = [attributes for tag, attributes in found.tags if tag == "script"]
    assert len(scripts) == 2, "the data and the page's own"
    assert "</script><b>" not in text
    assert all("onerror" not in attributes for _, attributes in found.tags)
    assert "<script>alert" not in text
    assert "<i>bound" not in text
    data = re.search(r'<script type="application/json" id="findings">(.*?)</script>', text, re.S).group(1)
    assert "<" not in data
    assert json.loads(data)["models"] == list(HOSTILE["models"])


def test_data_in_the_page_is_what_it_was():
    value = {"a": "</script><!--", "b": ["\u2028", "&amp;", 1.5, None]}
    assert "<" not in script_data(value)
    assert json.loads(script_data(value)) == value


def test_the_gallery_holds_every_finding(build, tmp_path):
    archive = build(seeds=60)
    text = write(archive, tmp_path)
    data = json.loads(re.search(r'id="findings">(.*?)</script>', text, re.S).group(1))
    assert len(data["findings"]) == len(list(archive.findings(origin=None)))
    assert sum(f[5] == 3 for f in data["findings"]) == summary(archive)["valid"]


def test_a_thousand_findings_stay_below_two_megabytes(build, tmp_path):
    archive = build(seeds=1000, found=0.98)
    text = write(archive, tmp_path)
    assert (
        len(json.loads(re.search(r'id="findings">(.*?)</script>', text, re.S).group(1))["findings"]) == 1000
    )
    assert len(text.encode()) <= 2_000_000


def test_more_findings_than_are_pictured_are_told(build, tmp_path):
    from xplore.report.html import Html

    archive = build(seeds=60)
    text = Html(most_pictured=5).write(archive, tmp_path).read_text()
    data = json.loads(re.search(r'id="findings">(.*?)</script>', text, re.S).group(1))
    assert len(data["findings"]) == 5
    assert data["total"] == len(list(archive.findings(origin=None)))
    assert all(f[5] == 3 for f in data["findings"]), "valid ones first"


def test_large_models_are_drawn_a_pixel_a_neuron(build, tmp_path):
    archive = build(seeds=12, units=(64, 4000, 1000))
    text = write(archive, tmp_path)
    assert 'class="neurons"' in text
    assert len(text) < 700_000


@pytest.mark.parametrize(
    ("traits", "says"),
    [
        (
            {"found": 0.0},
            "No valid finding near 24 seeds: within this budget the three models were not divided",
        ),
        ({"seeds": 0}, "No seed has been judged yet"),
        ({"labelled": False}, "Who disagrees with whom"),
        ({}, "Who is wrong"),
        ({"meta": {"finished": False, "seeds_total": 99}}, "unfinished: 24 of 99 seeds so far"),
        ({}, "No other search was run"),
        ({"meta": {"baselines": [{"search": "Random", "seeds": 24, "valid": 2, "queries": 999}]}}, "Random"),
    ],
)
def test_what_the_page_says(build, tmp_path, traits, says):
    assert says in write(build(**{"seeds": 24, **traits}), tmp_path)


def test_a_card_says_what_the_chart_was_set_to(build, tmp_path):
    settings = {"turned (degrees)": 7.123, "shifted down (px)": -1.96, "larger (%)": 0.001, "gamma": 0.25}
    campaign = build(seeds=24, measures={"settings": settings, "hidden": None})
    text = write(campaign, tmp_path)
    assert "<span>turned 7.1 degrees, shifted down -2 px, gamma 0.25</span>" in text
    hidden = "\xa0% hidden</span>"
    assert hidden in write(build(seeds=24), tmp_path) and hidden not in text
    lines = reporter("csv").write(campaign, tmp_path).read_text().splitlines()
    assert '"turned 7.1 degrees, shifted down -2 px, gamma 0.25"' in lines[1]


def test_a_baseline_has_its_interval(build, tmp_path):
    baseline = {"search": "Random", "seeds": 100, "queries": 999, "valid": 3}
    text = write(build(seeds=24, meta={"baselines": [baseline]}), tmp_path)
    assert "1.0 to 8.5" in text


def test_searches_are_compared_in_words_at_equal_queries_only(build, tmp_path):
    alike = {"search": "Random(steps=9)", "seeds": 24, "queries": 24 * 63, "valid": 2}
    cheap = {"search": "Cheap()", "seeds": 24, "queries": 10, "valid": 1}
    text = write(build(seeds=24, meta={"baselines": [alike, cheap]}), tmp_path)
    assert "With about as many model queries, Random has 2 valid findings; this campaign has" in text
    assert "queries, Cheap" not in text


def test_a_measure_that_never_differs_is_said_in_words():
    from xplore.report.charts import histogram

    assert histogram([1.0, 1.0], "L∞", "") == '<p class="same"><b>1</b> in all 2 valid findings</p>'


def test_the_verdict_agrees_with_the_figures(build):
    told = summary(build(seeds=60))
    verdict = wording.verdict(told)
    assert f"{told['seeds_with_valid_finding']} of 60 seeds" in verdict
    assert words.plural(len(told["failure_modes"]), "failure mode") in verdict
    assert wording.funnel(told)[-1]["count"] == told["seeds_with_valid_finding"]
    counts = [step["count"] for step in wording.funnel(told)]
    assert counts == sorted(counts, reverse=True)


def test_seeds_on_which_all_agree_wrongly_are_listed(build, tmp_path):
    archive = build(seeds=200)
    seeds = [seed.seed for seed in archive.seeds() if seed.agree_wrongly]
    text = write(archive, tmp_path)
    assert seeds
    assert all(f"seed <b>{seed}</b>" in text for seed in seeds)


def test_the_fragment_disturbs_no_notebook(build):
    text = fragment(build(seeds=60))
    found = Page(text)
    assert len(text) < 200_000
    assert not found.ids
    assert not [tag for tag, _ in found.tags if tag in ("script", "html", "body", "link")]
    rules = re.search(r"<style>(.*?)</style>", text, re.S).group(1).strip().splitlines()
    assert all(rule.startswith(".xplore-report") for rule in rules)
    assert "background:#fff" in rules[0]


def test_the_fragment_of_many_findings_is_small(build):
    archive = build(seeds=3000, found=0.9)
    assert sum(1 for _ in archive.findings()) > 2000 and len(fragment(archive)) < 200_000


def test_the_fragment_of_photographs_is_small(build):
    assert len(fragment(build(seeds=12, photographs=224))) < 200_000
