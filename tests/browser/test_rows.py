"""The report of a table's rows in a real browser: what changed, in words, in place of pictures."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tables import frame

from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord, content_hash
from xplore.constraints import Features
from xplore.inputs.media import NPY, to_npy
from xplore.report import reporter

pytestmark = pytest.mark.slow

SCRIPT = "<script>document.title='ran'</script>"
OPEN = """new Promise((done) => {
  document.querySelectorAll('details').forEach((d) => { d.open = true; });
  setTimeout(() => done(document.querySelectorAll('.tile').length), 60);
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Forty findings on a table whose names and categories are markup."""
    table = frame(2, 40).rename(columns={"rate": SCRIPT, "age": "a feature of quite a long name, in years"})
    table["job"] = table["job"].replace({"clerk": f"clerk {SCRIPT}"})
    features = Features.infer(table, changes=4)
    rows, folder = features.encode_inputs(table), tmp_path_factory.mktemp("rows") / "bank"
    keys, x0 = jax.random.split(jax.random.key(0), 40), features.encoding.decode(rows)
    after = np.asarray(features.encoding.encode(features.render(*features.sample(keys, x0), x0)))
    meta = {
        "name": "bank", "models": [{"name": "forest"}, {"name": "straight"}], "classes": ["no", "yes"],
        "layout": [{"name": name, "layers": []} for name in ("forest", "straight")],
        "criteria": ["NeuronCoverage(t=0.0)"], "main_criterion": 0, "labelled": True, "finished": True,
        "table": features.described(), "bound": features.description,
    }  # fmt: skip
    archive = Archive.create(folder, meta)
    findings = []
    for seed, decisions in enumerate([(0, 1), (1, 0)] * 20):
        old, new = to_npy(rows[seed]), to_npy(after[seed])
        measures = {"agreed": 0, "l1": 0.5, "l2": 0.4, "changed": 2, "nearest": 0.3, "nearest_row": seed}
        sure, none = np.full((2, 2), 0.5, np.float32), np.zeros((1, 0), bool)
        told = (old, new, NPY, 0, decisions, sure, (), measures, 3, none)
        findings.append(Finding(content_hash(old + new)[:12], "search", seed, *told))
    archive.commit([SeedRecord(f.seed, 0, 0, (0, 0), "found", 1, 3, 3) for f in findings], findings)
    return reporter("html").write(archive, folder)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 844)])
def test_changes_are_told_where_pictures_would_be(browser, page, width, height):
    browser.open(page, width, height)
    assert browser.run(OPEN) == 40
    browser.run("document.querySelector('.tile').click()")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('main img, canvas').length") == 0
    told = browser.run("[...document.querySelectorAll('#chosen .changes tr')].map((r) => r.textContent)")
    shown = browser.run("document.querySelector('.card .changes tbody').textContent")
    assert told and all("→" in line for line in told) and "→" in shown
    assert browser.run("document.title") == browser.run("document.title").replace("ran", "")
    assert browser.run("document.scripts.length") == 2 and SCRIPT in browser.run("document.body.textContent")
    assert browser.messages == []
    assert browser.requests == [page.resolve().as_uri()], "nothing else is asked for"


def test_a_neuron_is_not_spoken_of_where_there_is_none(browser, page):
    browser.open(page)
    assert "do not count" in browser.run("document.querySelector('.three').textContent")
    assert "neuron" not in browser.run("document.querySelector('header').textContent")
