"""The review's queue, its cards, and its server: what it serves, what it refuses, what the archive keeps."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xplore
from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord, Shrunk
from xplore.inputs.columns import Column, described
from xplore.inputs.media import NPY, SETS, to_npy, to_set
from xplore.report import reporter
from xplore.report.pictures import decode, embed, png
from xplore.report.precision import precision
from xplore.report.reading import read
from xplore.report.review import Population, Server, Session, order, queue

SCRIPT = "<script>document.title='ran'</script>"


UNNAMED = {"missing": ("classes",)}
"""Classes without names, which nobody can be asked for."""


@pytest.fixture
def folder(archives, tmp_path):
    archives.build(tmp_path / "digits", seeds=60, **UNNAMED).close()
    return tmp_path / "digits"


@pytest.fixture
def named(archives, tmp_path):
    """A campaign on classes with names, of which two are called alike."""
    names = ("owl", "cat", "dog", "crane", "emu", "crane", "<b>fox", "gnu", "hen", "ibis")
    archives.build(tmp_path / "animals", seeds=60, shrunk=True, classes=names).close()
    return tmp_path / "animals"


@contextmanager
def serving(folder, reviewer="kim", **options):
    with closing(Session(folder, reviewer, **options)) as session, Server(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path="", method="GET", body=None, token=None, **headers):
    """A request as a browser makes it, but for what is given; `None` leaves a header out."""
    host = f"127.0.0.1:{server.server_port}"
    if method == "POST":
        headers = {"Content-Type": "application/json", "Origin": f"http://{host}", **headers}
    headers = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    with closing(connection):
        connection.putrequest(method, f"/{server.token if token is None else token}/{path}", skip_host=True)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers |= (
            {} if "Content-Length" in headers or method == "GET" else {"Content-Length": str(len(data))}
        )
        for name, value in headers.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(data)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def say(server, finding, answer, **headers):
    return ask(server, "answer", "POST", {"finding": finding, "answer": answer}, **headers)[0]


def kept(folder):
    with closing(Archive.open(folder)) as archive:
        return archive.answers()


groups = st.lists(st.integers(1, 8), min_size=1, max_size=8).map(
    lambda sizes: [[f"{g}.{i}" for i in range(size)] for g, size in enumerate(sizes)]
)


@settings(deadline=None)
@given(groups, st.integers(0, 3))
def test_each_group_has_its_turn_before_any_has_a_second(groups, rng):
    queue = order(groups, rng)
    assert sorted(queue) == sorted(name for group in groups for name in group)
    assert len({name.split(".")[0] for name in queue[: len(groups)]}) == len(groups)
    sizes = [len(group) for group in groups]
    taken = Counter(name.split(".")[0] for name in queue)
    assert [taken[str(g)] for g in range(len(groups))] == sizes
    for n in range(
        len(groups), len(queue)
    ):  # no group has one more where another's claim is larger (Webster)
        looked = Counter(name.split(".")[0] for name in queue[:n])
        had = [size / (2 * looked[str(g)] - 1) for g, size in enumerate(sizes) if looked[str(g)] > 1]
        due = [size / (2 * looked[str(g)] + 1) for g, size in enumerate(sizes) if looked[str(g)] < size]
        assert not had or min(had) >= max(due) - 1e-12
    assert queue == order([group[::-1] for group in groups], rng), "by the ids alone"
    assert [n for n in order([[*groups[0], "new"], *groups[1:]], rng) if n in groups[0]] == [
        n for n in queue if n in groups[0]
    ]


def test_the_rng_draws_anew():
    group = [f"{i}" for i in range(40)]
    assert order([group], 0) != order([group], 1)


def test_answers_are_kept_at_once_and_the_same_reviewer_goes_on(folder):
    with serving(folder, sample=5) as server:
        queue = server.session.queue
        assert len(queue) == 5
        assert [say(server, queue[0], "valid"), say(server, queue[1], "invalid")] == [200, 200]
        assert kept(folder) == {queue[0]: {"kim": "valid"}, queue[1]: {"kim": "invalid"}}, (
            "others read it meanwhile"
        )
        assert [say(server, queue[1], "unsure"), say(server, queue[0], None)] == [200, 200]
        assert kept(folder) == {queue[1]: {"kim": "unsure"}}
    with (
        closing(Session(folder, "kim", sample=9)) as again,
        closing(Session(folder, "lee", sample=5)) as other,
    ):
        assert again.queue[:5] == other.queue == queue
        assert again.answers()[:2] == [(queue[0], None), (queue[1], "unsure")]
        assert other.answers() == [(name, None) for name in queue]
        other.answer(queue[1], "valid")
        ((population, told),) = again.precisions()
        assert (population.of, told["reviewers"]) == ("valid", 2)
        assert again.command(18) == f"xplore review {folder} --reviewer kim --sample 18"
    assert not list(folder.glob("*-wal")), "one file again"


def test_the_page_says_what_it_must_and_asks_for_nothing_outside(folder):
    with serving(folder) as server:
        status, headers, page = ask(server)
        assert status == 200
        policy = headers["Content-Security-Policy"]
        assert (
            "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        )
        assert (headers["X-Frame-Options"], headers["Referrer-Policy"]) == ("DENY", "no-referrer")
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert "Python" not in headers["Server"]
        assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,"]
        _, _, card = ask(server, f"card/{server.session.queue[0]}")
        pictures = re.findall(r'<img src="(.{15}).*?" alt="(.*?)">', json.loads(card)["html"])
        assert [source for source, _ in pictures] == ["data:image/png;"] * 3
        assert all(words for _, words in pictures) and "expected" in pictures[0][1]


REFUSED = {
    "another host": (403, {"Host": "evil.example:{port}"}),
    "a host without the port": (403, {"Host": "127.0.0.1"}),
    "no host": (403, {"Host": None}),
    "another origin": (403, {"Origin": "http://evil.example"}),
    "an origin that is none": (403, {"Origin": "null"}),
    "another port's origin": (403, {"Origin": "http://127.0.0.1:1"}),
    "a wrong token": (403, {"token": "A" * 32}),
    "no token": (403, {"token": ""}),
    "get": (405, {"method": "GET"}),
    "another method": (501, {"method": "PUT"}),
    "a form": (415, {"Content-Type": "application/x-www-form-urlencoded"}),
    "a form as text": (415, {"Content-Type": "text/plain"}),
    "no type": (415, {"Content-Type": None}),
    "no length": (411, {"Content-Length": None}),
    "a length that is none": (411, {"Content-Length": "-1"}),
    "too large": (413, {"body": b'{"finding": "' + b"a" * 5000 + b'", "answer": "valid"}'}),
    "no json": (400, {"body": b"finding=a&answer=valid"}),
    "deep json": (400, {"body": b"[" * 4000}),
    "a list": (400, {"body": [1]}),
    "no answer": (400, {"body": {"finding": "{finding}"}}),
    "an unknown answer": (400, {"body": {"finding": "{finding}", "answer": "maybe"}}),
    "an answer that is no word": (400, {"body": {"finding": "{finding}", "answer": ["valid"]}}),
    "a finding that is no word": (400, {"body": {"finding": 3, "answer": "valid"}}),
    "an unknown finding": (404, {"body": {"finding": "0" * 16, "answer": "valid"}}),
    "a path for a finding": (404, {"body": {"finding": "../../etc/passwd", "answer": "valid"}}),
    "an unknown page": (404, {"path": "archive.sqlite"}),
    "a post to a page": (405, {"path": ""}),
    "a post to a card": (405, {"path": "card/{finding}"}),
}


@pytest.fixture(scope="module")
def server(archives, tmp_path_factory):
    archives.build(folder := tmp_path_factory.mktemp("served"), seeds=40, **UNNAMED).close()
    with serving(folder) as running:
        yield running


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_writes_nothing(server, case):
    status, changes = REFUSED[case]
    finding, port = server.session.queue[0], str(server.server_port)
    put = lambda value: (  # noqa: E731
        value.replace("{finding}", finding).replace("{port}", port) if isinstance(value, str) else value
    )
    asked = {"path": "answer", "method": "POST", "body": {"finding": finding, "answer": "valid"}, **changes}
    body = asked["body"]
    asked["body"] = {key: put(value) for key, value in body.items()} if isinstance(body, dict) else body
    came, headers, text = ask(server, **{key: put(value) for key, value in asked.items()})
    assert came == status, text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Access-Control-Allow-Origin"] is None
    assert server.session.answers()[0] == (finding, None)
    assert all(word not in text for word in (server.token, "Traceback", str(server.session.archive.path)))


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"token": "no"}]
)
def test_a_stranger_reads_nothing(server, headers):
    for path in ("", "end", f"card/{server.session.queue[0]}"):
        status, _, text = ask(server, path, **headers)
        assert status == 403 and "html" not in text


def test_localhost_is_this_machine_and_a_card_is_looked_up(server):
    assert ask(server, Host=f"localhost:{server.server_port}")[0] == 200
    assert ask(server, "card/no-such")[0] == ask(server, "card/../../etc/passwd")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (b"no request at all\r\n\r\n", b"Bad Request"),
        (b"GET /\xc3\xa4/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", b" 403 "),
        (b"GET %%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: evil.example\r\n\r\n", b" 403 "),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b" 431 "),
    ],
)
def test_odd_requests_end_nothing(server, sent, came):
    sent = sent % server.server_port if b"%d" in sent else sent
    sent = sent.replace(b"%s", f"/{server.token}/".encode())
    with socket.create_connection(server.server_address, timeout=20) as rude:
        rude.sendall(sent)
        assert came in rude.recv(4096)
    assert ask(server)[0] == 200


def test_names_are_never_markup(archives, tmp_path):
    hostile = {"classes": tuple(f"{SCRIPT}{i}" for i in range(10)), "meta": {"name": SCRIPT}}
    archives.build(tmp_path / SCRIPT.replace("/", ""), seeds=24, **hostile).close()
    with serving(tmp_path / SCRIPT.replace("/", ""), reviewer=SCRIPT) as server:
        assert say(server, server.session.queue[0], 3) == 200
        pages = [ask(server, path)[2] for path in ("", f"card/{server.session.queue[0]}", "end")]
        assert all("<script>document" not in page for page in pages)
        assert all("&lt;script&gt;" in page for page in pages)


COLUMNS = (
    Column("age", "integer", "int64"),
    Column(SCRIPT, "float", "float64"),
    Column("job", "category", "object", ("clerk", SCRIPT, "cook")),
    Column("years", "integer", "int64"),
)


def in_words(folder, media):
    """A campaign of one finding, a row or a set, with its smallest change."""
    if media == NPY:
        told = {"table": {"columns": described(COLUMNS)}}
        codes = ([31, 0.5, 0, 7], [44, 0.25, 1, 7], [31, 0.25, 0, 7])
        before, after, least = (to_npy(np.array(row, np.float32)) for row in codes)
    else:
        told = {"media": SETS}
        ones = ([2], [2, 3, 5], [2, 5])
        before, after, least = (to_set(one, [f"permission::{i}" for i in one], 9) for one in ones)
    layout = [{"name": name, "layers": []} for name in "ab"]
    archive = Archive.create(
        folder, {"layout": layout, "criteria": ["NC"], "classes": ["good", "bad"], **told}
    )
    sure = np.full((2, 2), 0.5, np.float32)
    found = Finding(
        "f1", "search", 0, before, after, media, 1, (0, 1), sure, (), {}, 3, np.zeros((1, 0), bool)
    )
    archive.commit([SeedRecord(0, 0, 1, (1, 1), "found", finding="f1")], [found])
    archive.keep_shrunk({"f1": Shrunk(least, sure, {}, 5)})
    archive.close()


def cells(html):
    rows = re.findall(r"<tr>(.*?)</tr>", html.split("<tbody>")[1], re.S)
    return [re.findall(r"<t[hd][^>]*>(?:<b>)?(.*?)(?:</b>)?</t[hd]>", row) for row in rows]


def test_a_row_is_told_in_words_with_its_smallest_change(tmp_path):
    in_words(tmp_path, NPY)
    escaped = SCRIPT.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")
    with serving(tmp_path) as server:
        card = json.loads(ask(server, "card/f1")[2])["html"]
    assert "Is “bad” still right for the finding?" in card and "<img" not in card
    assert cells(card) == [
        ["age", "31", "→", "44", "31"],
        [escaped, "0.5", "→", "0.25", "0.25"],
        ["job", "clerk", "→", escaped, "clerk"],
    ]
    assert "<dt>years</dt><dd>7</dd>" in card and "1 feature<" in card


def test_a_set_is_told_in_words(tmp_path):
    in_words(tmp_path, SETS)
    with serving(tmp_path) as server:
        card = json.loads(ask(server, "card/f1")[2])["html"]
    assert cells(card) == [["permission::3", "added", "–"], ["permission::5", "added", "added"]]
    assert "<dt>permission::2</dt>" in card


def test_the_smallest_change_is_shown_beside_the_finding(folder):
    with closing(Archive.open(folder, write=True)) as archive:
        first = read(archive).valid[0].id
        stored = next(archive.findings(prefix=first))
        archive.keep_shrunk({first: Shrunk(stored.before, stored.probabilities, {}, 3)})
    with closing(Session(folder, "kim", sample=1000)) as session:
        shown = session.card(first)
        assert [title for title, *_ in shown["pictures"]][::3] == ["seed", "smallest change"]
        assert shown["pictures"][3][2] == shown["pictures"][0][2] != shown["pictures"][1][2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reviewer": ""}, "reviewer: expected a name"),
        ({"reviewer": "a" * 81}, "reviewer: expected a name"),
        ({"reviewer": "a\nb"}, "reviewer: expected a name"),
        ({"sample": 0}, "a sample of 1 or more"),
        ({"rng": -1}, "a random state of 0 or more"),
    ],
)
def test_what_a_session_cannot_be(folder, options, says):
    with pytest.raises(InputError, match=re.escape(says)):
        Session(folder, **{"reviewer": "kim", **options})


def expected(server, finding):
    session = server.session
    return session.reading.class_name(session._rows[finding].expected)


def test_a_class_is_asked_for_and_nothing_tells_it_before(named):
    with serving(named, sample=6) as server:
        session = server.session
        assert session.classes == ("owl", "cat", "dog", "crane", "emu", "<b>fox", "gnu", "hen", "ibis")
        for finding in session.queue:
            told = json.loads(ask(server, f"card/{finding}")[2])
            pictures = re.findall(r'<img src="(.*?)" alt="(.*?)">', told["html"])
            stored = next(session.archive.take([finding]))
            assert pictures == [
                (embed(png(decode(stored.shrunk.after)), "png"), "the picture that is asked about")
            ]
            assert "What is it?" in told["html"] and told["revealed"] is False
            row = session._rows[finding]
            secrets = [str(row.seed), expected(server, finding), *session.reading.models]
            assert not any(
                re.search(rf"\b{re.escape(word)}\b", re.sub('src="[^"]*"', "", told["html"]))
                for word in secrets
            )
        first, second, third = session.queue[:3]
        places = {name: at for at, name in enumerate(session.classes)}
        wrong = next(at for at in places.values() if at != places[expected(server, second)])
        assert [say(server, first, places[expected(server, first)]), say(server, second, wrong)] == [200, 200]
        assert say(server, third, "unsure") == 200
        assert kept(named) == {first: {"kim": "valid"}, second: {"kim": "invalid"}, third: {"kim": "unsure"}}
        read_as = session.archive.read_as()
        assert read_as[first] == {"kim": session._rows[first].expected} and third not in read_as
        assert session.reading.class_name(read_as[second]["kim"]) == session.classes[wrong]
        told = json.loads(ask(server, f"card/{second}")[2])
        escaped = session.classes[wrong].replace("<", "&lt;").replace(">", "&gt;")
        assert told["revealed"] and f"You said {escaped}; expected: " in told["html"]
        assert all(model in told["html"] for model in session.reading.models)
        assert 'alt="seed ' in told["html"] and told["html"].count("<img") == 4


def test_an_answer_stays_once_its_label_was_shown(named):
    with serving(named, sample=4) as server:
        first, second = server.session.queue[:2]
        assert [say(server, first, 2), say(server, first, 1), say(server, first, None)] == [200] * 3
        assert kept(named) == {} == server.session.archive.read_as(), "taken back unseen"
        assert say(server, first, 1) == 200 and json.loads(ask(server, f"card/{first}")[2])["revealed"]
        before = kept(named)
        for other in (2, "unsure", None):
            assert say(server, first, other) == 409
        assert kept(named) == before and say(server, second, 2) == 200
    with serving(named, reviewer="lee", sample=4) as other:
        assert not json.loads(ask(other, f"card/{first}")[2])["revealed"], "others have not seen it"


@pytest.mark.parametrize("answer", ["valid", "invalid", "owl", -1, 9, 1.5, True, [1], "1"])
def test_what_is_no_class_is_refused(named, answer):
    with serving(named, sample=4) as server:
        assert say(server, server.session.queue[0], answer) == 400
        assert kept(named) == {}


def test_classes_of_one_name_are_one(named):
    with serving(named) as server:
        session = server.session
        cranes = [name for name in session.queue if expected(server, name) == "crane"]
        assert {session._rows[name].expected for name in cranes} == {3, 5}
        assert [say(server, name, session.classes.index("crane")) for name in cranes] == [200] * len(cranes)
        assert {kept(named)[name]["kim"] for name in cranes} == {"valid"}
        read_as = session.archive.read_as()
        assert all(read_as[name]["kim"] == session._rows[name].expected for name in cranes)


VALUES = {"decisions": {"kind": "values", "apart": 1.0, "unit": "kg"}}


@pytest.mark.parametrize(
    "traits", [UNNAMED, {"meta": VALUES}, {"classes": ("one",)}], ids=["unnamed", "values", "one"]
)
def test_without_classes_it_is_asked_whether_the_answer_still_holds(archives, tmp_path, traits):
    archives.build(tmp_path, seeds=60, **traits).close()
    with serving(tmp_path, sample=3) as server:
        assert server.session.classes == ()
        told = json.loads(ask(server, f"card/{server.session.queue[0]}")[2])
        assert "still" in told["html"] and 'alt="seed ' in told["html"] and not told["revealed"]
        assert say(server, server.session.queue[0], 1) == 400
        assert say(server, server.session.queue[0], "valid") == 200


def test_versions_before_count_the_answers_and_not_the_classes(named):
    """As they read the table: a row is a reviewer's answer, and what is none of the three is left out."""
    with serving(named, sample=20) as server:
        for at, finding in enumerate(server.session.queue):
            assert say(server, finding, at % 9 if at % 5 else "unsure") == 200
        groups = server.session.populations[0].groups
        now = precision(groups, server.session.archive.answers())
    with closing(Archive.open(named)) as archive:
        before = {}
        for finding, reviewer, answer, _ in archive.rows("answers"):
            before.setdefault(finding, {})[reviewer] = answer
        assert max(map(len, before.values())) == 2 and precision(groups, before) == now
        assert now["reviewers"] == 1 and now["reviewed"] == 20


def test_a_class_counts_beside_the_answer_of_its_time_alone(named):
    with closing(Archive.open(named, write=True)) as archive:
        first, second = [row.id for row in read(archive).valid][:2]
        archive.answer(first, "kim", "invalid", "2026-03-14", 4)
        archive.answer(second, "kim", "valid", "2026-03-14", 2)
        assert archive.read_as() == {first: {"kim": 4}, second: {"kim": 2}}
        archive.answer(second, "kim", None, "2026-03-15")
        assert archive.read_as() == {first: {"kim": 4}} and second not in archive.answers()
        archive._db.execute("UPDATE answers SET answer = 'valid', time = '2026-03-16' WHERE reviewer = 'kim'")
        assert archive.read_as() == {} and archive.answers() == {first: {"kim": "valid"}}
        archive._db.execute("UPDATE answers SET time = '1', answer = 'x' WHERE reviewer != 'kim'")
        archive._db.execute("UPDATE answers SET time = '1' WHERE reviewer = 'kim'")
        assert archive.read_as() == {}, "no number"


def test_merged_archives_keep_the_class_of_the_newest_answer(archives, tmp_path):
    for place, (time, number) in {"a": ("2026-03-14", 4), "b": ("2026-03-15", 7)}.items():
        archive = archives.build(tmp_path / place, seeds=30)
        finding = read(archive).valid[0].id
        archive.answer(finding, "kim", "invalid", time, number)
        archive.close()
    xplore.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    with closing(Archive.open(tmp_path / "c")) as archive:
        assert archive.read_as() == {finding: {"kim": 7}}


def test_as_many_are_asked_as_a_narrow_interval_needs_and_those_in_doubt_first(archives, tmp_path):
    archives.build(folder := tmp_path, seeds=250, found=0.9, **UNNAMED).close()
    with closing(Session(folder, "kim")) as session, closing(Session(folder, "kim", sample=10**6)) as every:
        (valid,) = session.populations
        assert len(session.queue) == valid.needed < valid.size == len(every.queue)
        assert every.queue[: valid.needed] == session.queue
        assert f"look at {valid.needed} of {valid.size} findings that are valid" in session.goal()
    doubted = Population("in doubt", [[f"d{i}" for i in range(40)]])
    known = Population("valid", [[f"a{i}" for i in range(300)], [f"b{i}" for i in range(50)]])
    asked = queue([doubted, known], rng=3)
    assert len(asked) == doubted.needed + known.needed
    assert {name[0] for name in asked[: doubted.needed]} == {"d"} and "d" not in {
        name[0] for name in asked[doubted.needed :]
    }
    every = queue([doubted, known], rng=3, sample=10**6)
    assert every[: len(asked)] == asked and sorted(every) == sorted(chain(*doubted.groups, *known.groups))
    assert queue([doubted, known], rng=3, sample=7) == asked[:7]


def test_nothing_to_review_is_said(archives, tmp_path):
    archives.build(tmp_path, seeds=10, found=0.0).close()
    with pytest.raises(InputError, match="expected valid findings to review, got none"):
        Session(tmp_path, "kim")


def test_a_port_that_is_taken_is_said(server):
    for port in (server.server_port, 70_000):
        with pytest.raises(InputError, match=f"--port {port}: expected a free port"):
            Server(server.session, port)


@pytest.mark.slow
def test_ctrl_c_ends_with_what_was_kept_and_the_reports_tell_it(folder):
    with closing(Archive.open(folder)) as archive:
        for name in ("html", "json"):
            reporter(name).write(archive, folder)
    words = ["review", str(folder), "--reviewer", "kim", "--sample", "8", "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # A shell's background job ignores interrupts, and its children would.
    code = "from signal import *; signal(SIGINT, default_int_handler); import xplore.cli as c; c.main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout
    url = running.stdout.readline().removeprefix("review: ").strip()
    port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{32})/", url).groups()
    there = type("There", (), {"server_port": int(port), "token": token})
    queue = json.loads(re.search(r'id="queue">(.*?)</script>', ask(there)[2]).group(1))
    assert all(json.loads(ask(there, f"card/{name}")[2])["revealed"] is False for name, _ in queue[:3])
    assert [say(there, name, "valid") for name, _ in queue[:3]] == [200] * 3
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert f"kept: 3 answers of kim in {folder / 'archive.sqlite'}, 5 left" in out
    assert "3 of 3 reviewed findings keep their label" in out
    assert json.loads((folder / "summary.json").read_text())["precision"]["valid"] == 3
    assert "3 of 3 reviewed findings keep their label" in (folder / "report.html").read_text()
