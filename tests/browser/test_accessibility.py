"""Readers without eyes or pointer: axe-core has nothing against a page; the focus is seen and in order."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

OPEN = """new Promise((done) => {
  document.querySelectorAll('details').forEach((d) => { d.open = true; });
  setTimeout(() => { document.querySelector('.tile')?.click(); setTimeout(done, 60); }, 60);
})"""
FEW = {"seeds": 16, "units": (2, 3, 4, 5, 6, 7)}
CAMPAIGNS = {
    "shrunk": {**FEW, "shrunk": True},
    "no labels": {**FEW, "labelled": False, "meta": {"finished": False, "seeds_total": 99}},
    "photographs": {"seeds": 6, "photographs": 96, "units": (64, 4000, 1000)},
    "none valid": {**FEW, "valid": False},
    "no seeds": {"seeds": 0},
}


@pytest.mark.parametrize(
    ("campaign", "width"),
    [
        *((name, 1280) for name in CAMPAIGNS),
        *((name, 500) for name in ("shrunk", "no labels", "photographs")),
    ],
)
def test_reports(browser, report, accessible, campaign, width):
    browser.open(report(**CAMPAIGNS[campaign]), width, 900)
    browser.run(OPEN)
    assert accessible(browser) == []


def test_a_fault_is_told(browser, report, accessible):
    browser.open(report(**CAMPAIGNS["no seeds"]))
    browser.run("document.querySelector('h1').innerHTML = '<img src=\"data:,\">'")
    assert any(fault.startswith("critical image-alt: ") for fault in accessible(browser))


@pytest.mark.parametrize("width", [1280, 500])
def test_comparisons(browser, report, accessible, tmp_path, width):
    from xplore.archive import Archive
    from xplore.report.compare import write

    pages = [report(**CAMPAIGNS[name]) for name in ("shrunk", "no labels")]
    browser.open(path := write(*(Archive.open(page.parent) for page in pages), tmp_path), width, 900)
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run(OPEN)
    assert accessible(browser) == []
    assert browser.run("[...document.images].every((i) => i.naturalWidth > 0 && i.alt)")
    assert browser.messages == [] and browser.requests == [path.resolve().as_uri()]


def test_the_focus_goes_through_the_page_in_order_and_is_seen(browser, report):
    """Tab reaches every control once, downwards, and each shows that it has the focus."""
    browser.open(report(**CAMPAIGNS["shrunk"]))
    browser.run(OPEN)
    where = """(() => { const e = document.activeElement, r = e.getBoundingClientRect();
      const s = getComputedStyle(e);
      const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && r.width > 0;
      return [e.id || e.className || e.tagName, r.top + scrollY, seen,
        e.closest('#tiles,#paging') ? 'tiles' : '']; })()"""
    controls = browser.run(
        "[...document.querySelectorAll('a[href],button,select,summary,[tabindex=\"0\"]')]"
        ".filter((e) => !e.disabled && e.checkVisibility()).length"
    )
    stops = []
    for _ in range(controls):
        browser.press("Tab")
        stops.append(browser.run(where))
    assert all(seen for _, _, seen, _ in stops), [name for name, _, seen, _ in stops if not seen]
    outside = [(name, top) for name, top, _, inside in stops if not inside]
    names, tops = zip(*outside, strict=True)
    at = names.index("state")
    assert names[at : at + 5] == ("state", "model", "expected", "answered", "reset")
    assert list(tops) == sorted(tops) and len(tops) > 10
