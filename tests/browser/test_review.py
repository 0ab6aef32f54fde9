"""The review page in a real browser, by keyboard: what is pressed is what the archive holds."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import pytest

from xplore.archive import Archive
from xplore.report.review import Server, Session

pytestmark = pytest.mark.slow

SCRIPT = "<script>document.title='ran'</script>"
READY = """new Promise((done) => { const look = () => document.getElementById('card').ariaBusy === 'false'
  ? done(document.querySelector('#card h1').textContent) : setTimeout(look, 10); look(); })"""


@contextmanager
def serving(archives, folder, **traits):
    """The server of a small review whose name is markup."""
    archives.build(folder, seeds=24, meta={"name": SCRIPT}, **traits).close()
    with closing(Session(folder, SCRIPT, sample=6)) as session, Server(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def review(archives, tmp_path):
    """Of classes without names."""
    with serving(archives, tmp_path, missing=("classes",)) as server:
        yield server


@pytest.fixture
def digits(archives, tmp_path):
    with serving(archives, tmp_path / "digits", shrunk=True) as server:
        yield server


@pytest.fixture
def many(archives, tmp_path):
    """Of more classes than digits, all of them markup."""
    animals = (
        "owl",
        "snowy owl",
        "cat",
        "wild cat",
        "dog",
        "emu",
        "fox",
        "gnu",
        "hen",
        "ibis",
        "jay",
        "howler",
    )
    with serving(
        archives, tmp_path / "many", classes=tuple(f"{name} {SCRIPT}" for name in animals)
    ) as server:
        yield server


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
    assert question.startswith("Does the finding still show a")
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
    assert "All 6 are answered" in told and all(line in told for line in review.session.summary())
    assert browser.run("document.title") == f"Review: {SCRIPT}", "names do not run"
    assert browser.run("document.scripts.length") == 3
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


def expected(server, finding):
    return server.session.reading.class_name(server.session._rows[finding].expected)


def text(browser, what):
    return browser.run(f"document.querySelector('{what}').textContent")


def test_what_is_it_by_digits(browser, digits):
    queue = digits.session.queue
    browser.open(digits.url, 1280, 800)
    assert browser.run(READY) == "What is it?"
    assert browser.run("document.images.length") == 1 and "seed" not in text(browser, "#card")
    assert text(browser, "#aim") == digits.session.goal()
    right = expected(digits, queue[0])
    pressed(browser, right)
    assert answers(digits) == ["valid", *[None] * 5] and browser.run(READY) == "What is it?"
    wrong = "1" if expected(digits, queue[1]) != "1" else "7"
    pressed(browser, wrong, "u")
    assert answers(digits) == ["valid", "invalid", "unsure", *[None] * 3]
    pressed(browser, "z", "z")
    assert answers(digits) == ["valid", *[None] * 5], "taken back, and still not shown"
    assert browser.run(READY) == "What is it?" and browser.run("document.images.length") == 1
    pressed(browser, wrong, "ArrowLeft")
    assert text(browser, "#card h1") == f"You said {wrong}; expected: {expected(digits, queue[1])}"
    assert browser.run("document.images.length") == 4
    assert all(name in text(browser, ".models") for name in digits.session.reading.models)
    assert browser.run("document.getElementById('said').checkVisibility()") is False
    pressed(browser, "3", "z")
    assert answers(digits)[1] == "invalid", "seen, it stays"
    assert answers(digits)[0] is None, "the one before was not seen yet"
    assert browser.run(READY) == "What is it?"
    pressed(browser, right)
    browser.run("document.querySelector('[data-answer=unsure]').click()")
    browser.run(READY)
    pressed(browser, "0", "1", "2")
    assert "All 6 are answered" in text(browser, "#card") and None not in answers(digits)
    assert "10 points" in text(browser, "#card") and "you read as another class" in text(browser, "#card")
    read_as = digits.session.archive.read_as()
    assert read_as[queue[1]][SCRIPT] == int(wrong) and str(read_as[queue[0]][SCRIPT]) == right
    assert browser.messages == []


def test_what_is_it_by_a_filter(browser, many):
    queue, names = many.session.queue, many.session.classes
    browser.open(many.url, 1280, 800)
    assert browser.run(READY) == "What is it?"
    assert browser.run("document.activeElement.id") == "filter"
    browser.run("document.getElementById('filter').blur()")
    for key in "owl":
        browser.press(key)
    shown = "[...document.querySelectorAll('#matches button')].map((b) => b.textContent.split(' <')[0])"
    assert browser.run("document.getElementById('filter').value") == "owl", "typed anywhere"
    assert browser.run(shown) == ["owl", "snowy owl", "howler"], "what begins so first, then words"
    assert "3 of 12 match" in text(browser, "#more") and answers(many) == [None] * 6
    browser.press("ArrowDown")
    pressed(browser, "Enter")
    assert many.session.archive.read_as()[queue[0]][SCRIPT] == 1 and browser.run("filter.value") == ""
    pressed(browser, "?")
    assert answers(many)[1] == "unsure"
    pressed(browser, "Backspace")
    assert answers(many)[1] is None, "an empty filter has no use for it"
    for key in expected(many, queue[1]).split(" <")[0]:
        browser.press(key)
    pressed(browser, "Enter")
    assert answers(many)[1] == "valid"
    for key in ("x", "Escape", "z", "z"):
        browser.press(key)
    assert "None matches" in text(browser, "#more") and answers(many)[1] == "valid", "a letter is a letter"
    browser.press("Escape")
    pressed(browser, "ArrowLeft")
    assert text(browser, "#card h1").startswith("You said ") and len(names) == 12
    assert browser.messages == [] and browser.run("document.title") == f"Review: {SCRIPT}", "names do not run"


@pytest.mark.parametrize("width", [1280, 400])
def test_axe_has_nothing_against_classes(browser, digits, many, accessible, width):
    for server, key in ((digits, "3"), (many, "?")):
        browser.open(server.url, width, 900)
        browser.run(READY)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert accessible(browser) == []
        pressed(browser, key, "ArrowLeft")
        assert accessible(browser) == [] and browser.run("document.documentElement.scrollWidth") <= width
