"""The report in a real browser: it draws, filters, fits and keeps to itself."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.slow


def gate(decision):
    """What a gate left: seeds that flip, a class that broke, limits of two kinds."""
    share = {"share": 0.3, "low": 0.19, "high": 0.43}
    line = {"of": None, "name": None, "flips": 18, "seeds": 60, "share": share, "allowed": 0.1, "fails": True}
    more = {"void": "", "limit": "null", "null": [0.05, 0.07, 0.06]}
    lines = [{"where": where, **line, **more} for where in ("data", "near")]
    lines += [{"where": "data", **line, **more, "of": n, "name": f"{n}"} for n in range(10)]
    ended = {"decision": decision, "lines": lines, "flipped": [*range(60)]} if decision else {}
    return {"kind": "negative flips (old right, new wrong)", "allow": None, "trainings": 3, **ended}


CAMPAIGNS = {
    "digits": {"seeds": 200},
    "no labels": {"seeds": 60, "labelled": False},
    "photographs": {"seeds": 24, "photographs": 96},
    "shrunk": {"seeds": 60, "shrunk": True},
    "long names": {
        "seeds": 60,
        "models": tuple(f"a-very-long-model-name-{i}/fine-tuned" for i in range(6)),
        "classes": tuple(f"n{i:08d} a class of a long name indeed" for i in range(1000)),
    },
    "large models": {"seeds": 24, "units": (64, 4000, 1000)},
    "none found": {"seeds": 60, "found": 0.0},
    "none valid": {"seeds": 60, "valid": False},
    "no seeds": {"seeds": 0},
    "failed gate": {"seeds": 60, "models": ("old", "new"), "meta": {"gate": gate("failed")}},
    "gate that did not finish": {"seeds": 60, "models": ("old", "new"), "meta": {"gate": gate(None)}},
}
OPEN = """new Promise((done) => {
  document.querySelectorAll('details').forEach((d) => { d.open = true; });
  setTimeout(() => done(document.querySelectorAll('.tile').length), 60);
})"""
IMAGES = """Promise.all([...document.images].map((i) => i.src)
  .concat(JSON.parse(document.getElementById('findings').textContent).sheets)
  .map((src) => { const i = new Image(); i.src = src; return i.decode().then(() => i.naturalWidth); }))"""
FIELDS = ("state", "model", "expected", "answered")


def findings(path):
    text = path.read_text()
    return json.loads(re.search(r'id="findings">(.*?)</script>', text, re.S).group(1))


def choose(browser, **values):
    for field, value in values.items():
        browser.run(f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('change')); }})({field})")
    return browser.run("document.getElementById('shown').textContent")


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_the_page_draws_fits_and_is_silent(browser, report, campaign):
    browser.open(path := report(**CAMPAIGNS[campaign]), 390, 844)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    browser.run(OPEN)
    browser.run("document.querySelector('.tile')?.click()")
    for width, height in ((390, 844), (768, 1024), (1280, 800)):
        browser.resize(width, height)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert all(natural > 0 for natural in browser.run(IMAGES))
    assert browser.messages == []
    assert browser.requests == [path.resolve().as_uri()], "nothing else is asked for"


@pytest.mark.parametrize("campaign", ["digits", "no labels", "photographs", "long names"])
def test_verdict_and_three_whole_cards_are_on_the_first_screen(browser, report, campaign):
    browser.open(report(**CAMPAIGNS[campaign]), 1280, 800)
    bottoms = browser.run(
        "[...document.querySelectorAll('.card')].map((c) => c.getBoundingClientRect().bottom)"
    )
    assert sum(bottom <= 800 for bottom in bottoms) >= 3
    browser.run(OPEN)
    browser.run("document.querySelector('.tile').click()")
    inside = """[...document.querySelectorAll('.card,#chosen')].every((c) =>
      [...c.querySelectorAll('td,th,h3,code')].every((e) => e.closest('.unseen')
        || e.getBoundingClientRect().right <= c.getBoundingClientRect().right))"""
    assert browser.run(inside), "nothing sticks out of a card"


@pytest.mark.parametrize("width", [1280, 400])
def test_what_a_gate_said_and_compared_is_on_the_first_screen(browser, report, width):
    browser.open(report(**CAMPAIGNS["failed gate"]), width, 850)
    assert browser.run("document.querySelector('h1').textContent").startswith(
        "Gate FAILED: 18 of 60 seeds flip"
    )
    rows = "[...document.querySelectorAll('.compared tbody tr')].map((r) => r.getBoundingClientRect())"
    tops = browser.run(f"{rows}.slice(0, 2).map((r) => [r.left, r.right, r.bottom])")
    assert all(left >= 0 and right <= width and bottom <= 850 for left, right, bottom in tops)
    cut = """[...document.querySelectorAll('.compared tr > *')].filter((e) => e.offsetWidth
      && e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert browser.run(cut) == 0, "nothing is to be scrolled to"
    assert browser.run(
        "[...document.querySelectorAll('.shots img')].every((i) => i.complete && i.naturalWidth)"
    )


def test_filters_count_what_they_show(browser, report):
    browser.open(path := report(**CAMPAIGNS["digits"]))
    data = findings(path)
    rows, total = data["findings"], len(data["findings"])
    browser.run(OPEN)

    def expect(keep):
        return f"{sum(map(bool, map(keep, rows)))} of {total}"

    shown = browser.run("document.getElementById('shown').textContent")
    assert shown == expect(lambda f: f[5] == 3)
    assert choose(browser, state=1) == expect(lambda f: f[5] >= 1)
    assert choose(browser, state=0) == f"{total} of {total}"
    assert choose(browser, model=0) == expect(lambda f: f[3][0] != f[2])
    assert choose(browser, expected=4) == expect(lambda f: f[3][0] != f[2] and f[2] == 4)
    assert choose(browser, answered=9) == expect(lambda f: f[3][0] == 9 and f[2] == 4)
    count = int(browser.run("document.getElementById('shown').textContent").split()[0])
    assert browser.run("document.querySelectorAll('.tile').length") == count > 0
    browser.run("document.getElementById('reset').click()")
    assert browser.run("document.getElementById('shown').textContent") == shown
    assert browser.messages == []


def test_a_filter_by_answer_alone_looks_at_models_that_are_wrong(browser, report):
    browser.open(path := report(**CAMPAIGNS["digits"]))
    rows = findings(path)["findings"]
    browser.run(OPEN)
    wanted = sum(f[5] == 3 and any(a == 3 != f[2] for a in f[3]) for f in rows)
    assert choose(browser, answered=3).startswith(f"{wanted} of")


TILES = "[...document.querySelectorAll('.tile')].map((t) => Number(t.dataset.index))"
SHEETS = "[...document.styleSheets[0].cssRules].filter((r) => /^.sheet/.test(r.selectorText)).length"


def test_the_pages_of_the_gallery_hold_each_finding_once(browser, report):
    browser.open(path := report(seeds=500, found=0.9))
    assert browser.run(OPEN) == 150
    assert browser.run(SHEETS) <= 3 < len(findings(path)["sheets"]), "other sheets wait"
    choose(browser, state=0)
    seen, pages = [], browser.run("document.getElementById('page').options.length")
    browser.run("document.getElementById('later').focus()")
    for page in range(pages):
        assert browser.run("document.getElementById('earlier').disabled") == (page == 0)
        seen += browser.run(TILES)
        last = browser.run("document.getElementById('later').disabled")
        assert last == (page == pages - 1)
        if not last:
            browser.press("Enter")
    assert pages == 4 and seen == list(range(len(findings(path)["findings"])))
    assert browser.run("document.activeElement.id") == "page", "the focus is not lost on a button that ended"
    choose(browser, page=1)
    assert browser.run(TILES) == seen[150:300]
    assert browser.messages == []


def test_the_smallest_change_is_shown_beside_the_finding(browser, report):
    """Four pictures of the chosen finding: the third is the smallest change, as the archive holds it."""
    from xplore.archive import Archive
    from xplore.report.pictures import decode

    path = report(seeds=60, shrunk=True)
    stored = [f for f in Archive.open(path.parent).findings(origin=None) if f.valid and f.shrunk]
    browser.open(path)
    browser.run(OPEN)
    browser.run("document.querySelectorAll('.tile')[3].click()")
    browser.run("new Promise((done) => setTimeout(done, 60))")
    captions = browser.run("[...document.querySelectorAll('#chosen figcaption')].map((c) => c.textContent)")
    assert captions == ["seed", "finding", "smallest", "change"]
    name = browser.run("document.querySelector('#chosen .command').textContent").split()[-1]
    finding = next(f for f in stored if f.id.startswith(name))
    for place, data in enumerate((finding.before, finding.after, finding.shrunk.after)):
        shown = browser.run(
            "(c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            f".filter((_, i) => i % 4 == 0))(document.querySelectorAll('#chosen canvas')[{place}])"
        )
        assert shown == list(decode(data).tobytes())
    l2 = [f"{sizes['l2']:.2f}" for sizes in (finding.measures, finding.shrunk.measures)]
    assert f"L2 {l2[0]} → {l2[1]}" in browser.run("document.querySelector('#chosen .badges').textContent")
    assert browser.messages == []


def test_the_gallery_works_by_keyboard(browser, report):
    browser.open(report(**CAMPAIGNS["digits"]))
    browser.run("document.querySelector('#gallery summary').focus()")
    browser.press("Enter")
    browser.run("new Promise((done) => setTimeout(done, 60))")
    assert browser.run("document.getElementById('gallery').open")
    browser.run("document.querySelector('.tile').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement === document.querySelectorAll('.tile')[1]")
    browser.press("Enter")
    words = browser.run("document.querySelector('#chosen h4').textContent")
    assert words.startswith("Seed ")
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    painted = """(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"""
    browser.run("new Promise((done) => setTimeout(done, 60))")
    assert browser.run(f"[...document.querySelectorAll('#chosen canvas')].every({painted})")
    browser.press("Escape")
    assert browser.run("document.querySelectorAll('#chosen *').length") == 0
    assert browser.run("document.activeElement.className").startswith("tile")


def test_a_thumbnail_is_the_finding_it_names(browser, report):
    """The right cell of the right sheet: the canvas shows the pixels that the archive holds."""
    from xplore.archive import Archive
    from xplore.report.pictures import decode

    path = report(**CAMPAIGNS["digits"])
    stored = {f.id: decode(f.after) for f in Archive.open(path.parent).findings(origin=None)}
    browser.open(path)
    browser.run(OPEN)
    choose(browser, state=0)
    rows = findings(path)["findings"]
    for index in (0, 37, len(rows) - 1):
        browser.run(f"document.querySelectorAll('.tile')[{index}].click()")
        browser.run("new Promise((done) => setTimeout(done, 60))")
        shown = browser.run(
            "(c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
            ".filter((_, i) => i % 4 == 0))(document.querySelectorAll('#chosen canvas')[1])"
        )
        image = next(image for name, image in stored.items() if name.startswith(rows[index][0]))
        assert shown == list(image.tobytes())


def test_names_do_not_run(browser, report):
    script = "<script>document.title='ran'; alert(1)</script>"
    path = report(
        seeds=40,
        models=(script, '"><img src=x onerror=alert(2)>'),
        classes=tuple(f"</script>{script}{i}" for i in range(10)),
        meta={"name": script, "notes": [script], "config": {script: f"</pre>{script}"}, "bound": script},
    )
    browser.open(path)
    browser.run(OPEN)
    browser.run("document.querySelector('.tile').click()")
    assert browser.run("document.title") != "ran"
    assert browser.run("document.scripts.length") == 2
    assert browser.messages == []


def test_a_neuron_of_a_large_model_is_named_under_the_pointer(browser, report):
    browser.open(report(**CAMPAIGNS["large models"]))
    browser.run(OPEN)
    title = browser.run(
        """(i => { i.scrollIntoView(); const r = i.getBoundingClientRect();
        i.dispatchEvent(new MouseEvent('mousemove', { clientX: r.left + 12, clientY: r.top + 2 }));
        return i.title; })
        (document.querySelector('img.neurons'))"""
    )
    assert re.fullmatch(r"neuron 2: (never|\d+)", title)
