"""The page's server: for this machine alone, at an address that nobody can guess.

The address holds a random token, which each request must name. Requests must name the host 127.0.0.1 or
localhost, so that a domain which is made to point here is refused, and come from no other page. What writes
is a POST of JSON, which a page of another origin cannot send unasked. Ids are looked up in the queue, never
used as paths.
"""

from __future__ import annotations

import json
import os
import secrets
import socketserver
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from markupsafe import Markup

from xplore._util.errors import InputError, one_line
from xplore.report._page import environment, script_data, script_hash, text
from xplore.report.precision import ANSWERS
from xplore.report.review._session import RevealedError, Session

ADDRESS = "127.0.0.1"
MOST_BYTES = 4096
"""Of a request's body."""
JSON, HTML = "application/json", "text/html; charset=utf-8"
DIGITS = "0123456789"
METHODS = {"": "GET", "card": "GET", "end": "GET", "answer": "POST"}


class RefusedError(Exception):
    """A request that is not served: its status, and for the page a word why."""

    def __init__(self, status: HTTPStatus, why: str = "") -> None:
        super().__init__(why or status.phrase)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves a session at `url` until it is closed.

    Raises:
        InputError: the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            wanted = "a free port, 0 for any"
            raise InputError(
                f"--port {port}", expected=wanted, got=one_line(error), fix="leave --port out"
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that HTTPServer makes."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30
    server_version, sys_version = "xplore", ""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        try:
            name, rest = self._admitted()
            kind, content = self._answered(name, rest)
            self._say(HTTPStatus.OK, kind, content)
        except RefusedError as refused:
            self._say(refused.status, JSON, json.dumps({"error": str(refused)}))
        except InputError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, JSON, json.dumps({"error": str(error)}))

    def _admitted(self) -> tuple[str, str]:
        """The page that is asked for and the rest of its address, if the request may ask at all."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        ours = {f"http://{host}" for host in self.server.hosts}
        _, token, name, *rest = [*self.path.partition("?")[0].split("/", 3), "", ""]
        knows = secrets.compare_digest(token.encode(), self.server.token.encode())
        if len(hosts) != 1 or hosts[0] not in self.server.hosts or not ours.issuperset(origins) or not knows:
            raise RefusedError(HTTPStatus.FORBIDDEN)
        if name not in METHODS:
            raise RefusedError(HTTPStatus.NOT_FOUND)
        if self.command != METHODS[name]:
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED)
        return name, rest[0]

    def _answered(self, name: str, rest: str) -> tuple[str, str]:
        session = self.server.session
        try:
            if name == "card":
                return JSON, json.dumps(_card(session, rest))
            if name == "end":
                return JSON, json.dumps({"html": _end(session)})
            if name == "answer":
                finding, answer = self._body()
                session.answer(finding, answer)
                return JSON, json.dumps({"kept": answer})
        except KeyError:
            raise RefusedError(HTTPStatus.NOT_FOUND, "no such finding in this review") from None
        except RevealedError:
            raise RefusedError(
                HTTPStatus.CONFLICT, "its label was shown since, and the answer stays"
            ) from None
        return HTML, _page(session)

    def _body(self) -> tuple[str, str | int | None]:
        """The finding and the answer that a request holds."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 10):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED)
        body = self.rfile.read(min(int(length), 2**16))
        if int(length) > MOST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self.headers.get_content_type() != JSON or "Content-Type" not in self.headers:
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            given = json.loads(body)
            finding, answer = given["finding"], given["answer"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RefusedError(HTTPStatus.BAD_REQUEST) from None
        if not isinstance(finding, str) or not self.server.session.takes(answer):
            wanted = "a class's number, or unsure" if self.server.session.classes else ", ".join(ANSWERS)
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"an answer is one of {wanted}")
        return finding, answer

    def _say(self, status: int, kind: str, content: str) -> None:
        data = content.encode()
        self.send_response(status)
        for name, value in _headers().items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses itself (another method, a request that is none), as we do."""
        self._say(code, JSON, json.dumps({"error": HTTPStatus(code).phrase}))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the reviewer's."""


@cache
def _headers() -> dict[str, str]:
    """What every response says."""
    style, script = map(script_hash, (_style(), _text("page.js")))
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _page(session: Session) -> str:
    return _render(
        "page.jinja",
        name=session.reading.meta.get("name") or "campaign",
        reviewer=session.reviewer,
        style=Markup(_style()),
        script=Markup(_text("page.js")),
        queue=script_data(session.answers()),
        goal=session.goal(),
        classes=session.classes,
        keys=_keys(session.classes),
        asks=script_data(_asks(session)),
    )


def _keys(classes: Sequence[str]) -> list[str]:
    """The digit that answers each class, of ten at most: its name where all names are digits, else its place.

    >>> _keys(["0", "5"]), _keys(["cat", "dog"]), _keys(list("abcdefghijk"))
    (['0', '5'], ['1', '2'], [])
    """
    if len(classes) > len(DIGITS):
        return []
    named = all(name in DIGITS for name in classes)
    return list(classes) if named else [str((place + 1) % 10) for place in range(len(classes))]


def _asks(session: Session) -> dict[str, Any]:
    """What the page's script must know: the classes, their keys, and which findings are needed."""
    place = {name: at for at, name in enumerate(session.queue)}
    aims = [
        {
            "of": one.of,
            "needed": one.needed,
            "places": [place[name] for group in one.groups for name in group if name in place],
        }
        for one in session.populations
    ]
    return {"classes": session.classes, "keys": _keys(session.classes), "aims": aims}


def _card(session: Session, finding: str) -> dict[str, Any]:
    shown = session.card(finding)
    html = _render("card.jinja", **shown)
    return {"html": html, "revealed": bool(session.classes) and not shown["blind"]}


def _end(session: Session) -> str:
    answers = [answer for _, answer in session.answers()]
    return _render(
        "end.jinja",
        tally=[(answer, answers.count(answer)) for answer in ANSWERS],
        left=answers.count(None),
        total=len(answers),
        findings=(findings := sum(one.size for one in session.populations)),
        shares=[(one.of, precision["share"]) for one, precision in session.precisions() if precision],
        summary=session.summary(),
        classes=session.classes,
        path=session.archive.path,
        further=session.command(sample=min(2 * len(answers), findings)),
        reviewer=session.reviewer,
    )


def _render(template: str, **context: Any) -> str:
    return environment("xplore.report.review").get_template(template).render(context)


def _style() -> str:
    """The report's style, and what the page has beside it."""
    return text("html.css") + _text("page.css")


def _text(name: str) -> str:
    return text(name, "xplore.report.review")
