"""The review page in a real browser, by keyboard: what is pressed is what the archive holds."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from xplore.archive import Archive
from xplore.review import Server, Session

SCRIPT = "<script>document.title='ran'</script>"
READY = """new Promise((done) => { const look = () => document.getElementById('card').ariaBusy === 'false'
  ? done(document.querySelector('#card h1').textContent) : setTimeout(look, 10); look(); })"""


@pytest.fixture
def review(archives, tmp_path):
    """The server of a small review whose classes and name are markup."""
    hostile = {"classes": tuple(f"{SCRIPT}{i}" for i in range(10)), "meta": {"name": SCRIPT}}
    archives.build(tmp_path, seeds=24, **hostile).close()
    with closing(Session(tmp_path, SCRIPT, sample=6)) as session, Server(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answers(review):
    with closing(Archive.open(review.session.archive.path)) as archive:
        held = archive.answers()
    return [held.get(name, {}).get(SCRIPT) for name in review.session.queue]


def pressed(browser, *keys):
    for key in keys:
        browser.press(key)
        browser.run(READY)
    return browser.run("document.querySelector('figure.main img')?.alt")


def test_a_review_by_keyboard(browser, review):
    browser.open(review.url, 1280, 800)
    question = browser.run(READY)
    assert question.startswith("Does the finding still show a <script>document.title='ran'")
    first = pressed(browser)
    second = pressed(browser, "y")
    assert second != first and answers(review) == ["valid", *[None] * 5]
    third = pressed(browser, "n")
    assert answers(review) == ["valid", "invalid", *[None] * 4]
    assert pressed(browser, "z") == second and answers(review) == ["valid", *[None] * 5], "taken back"
    assert pressed(browser, "u") == third and answers(review)[:2] == ["valid", "unsure"]
    assert pressed(browser, "ArrowLeft") == second
    chosen = "document.querySelector('[aria-pressed=true]').dataset.answer"
    assert browser.run(chosen) == "unsure", "back shows what was said"
    assert pressed(browser, "n") == third and answers(review)[:2] == ["valid", "invalid"]
    assert pressed(browser, "z") == second and answers(review)[:2] == ["valid", "unsure"], "to what it was"
    assert pressed(browser, "ArrowRight") == third
    fourth = pressed(browser, "s")
    assert pressed(browser, "y", "y", "y") is None and answers(review)[2] is None, "skipped"
    assert browser.run("document.querySelector('#card h1').textContent") == "1 finding left"
    assert browser.run("document.getElementById('done').textContent").startswith("5 of 6")
    assert pressed(browser, "s") == third != fourth
    assert pressed(browser, "n") is None and answers(review) == [
        *("valid", "unsure", "invalid", "valid", "valid", "valid"),
    ]
    told = browser.run("document.getElementById('card').textContent")
    assert "All 6 are answered" in told and review.session.told() in told
    assert browser.run("document.title") == f"Review: {SCRIPT}", "names do not run"
    assert browser.run("document.scripts.length") == 2
    assert browser.messages == []
    assert {url.partition(review.token)[0] for url in browser.requests} == {
        f"http://127.0.0.1:{review.server_port}/"
    }


def test_it_goes_on_where_it_was_left_and_says_what_was_not_kept(browser, review):
    queue = review.session.queue
    review.session.answer(queue[0], "valid")
    browser.open(review.url, 500, 900)
    browser.run(READY)
    assert browser.run("document.documentElement.scrollWidth") <= 500
    shown = pressed(browser)
    assert review.session.reading.short_ids[queue[1]] in shown
    review.token = "another"
    assert pressed(browser, "y") == shown, "the card stays"
    assert "Not done: Forbidden" in browser.run("document.getElementById('trouble').textContent")
    assert answers(review) == ["valid", *[None] * 5]


def test_focus_is_seen_and_all_is_named(browser, review):
    browser.open(review.url, 1280, 800)
    browser.run(READY)
    assert browser.run("[...document.images].every((i) => i.alt && i.naturalWidth > 0)")
    assert browser.run("[...document.querySelectorAll('button')].every((b) => b.textContent.trim())")
    names = []
    for _ in range(4):
        browser.press("Tab")
        names.append(browser.run("document.activeElement.textContent.trim().split(/\\s+/)[0]"))
        style = "getComputedStyle(document.activeElement)"
        assert (
            browser.run(f"{style}.outlineStyle") == "solid" and browser.run(f"{style}.outlineWidth") == "2px"
        )
    assert names == ["Y", "N", "U", "S"], "no answer yet: nothing to go back to"
    browser.run("document.querySelector('[data-answer=unsure]').focus()")
    pressed(browser, "Enter")
    assert answers(review) == ["unsure", *[None] * 5]
    lowest = (
        "Math.max(...[...document.querySelectorAll('.said *')].map((b) => b.getBoundingClientRect().bottom))"
    )
    assert browser.run(lowest) <= 800, "all is on one screen"


@pytest.mark.parametrize("width", [1280, 500])
def test_axe_has_nothing_against_a_card_and_the_end(browser, review, accessible, width):
    browser.open(review.url, width, 900)
    browser.run(READY)
    assert accessible(browser) == []
    assert pressed(browser, *"yyyyyy") is None
    assert accessible(browser) == []
