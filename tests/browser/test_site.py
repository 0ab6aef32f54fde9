"""The documentation as a site: it is built, all of the code is in it, and opening it asks nobody else."""

from __future__ import annotations

import dataclasses
import functools
import html
import inspect
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

import xplore
from xplore import cli
from xplore.campaign.config.file import Config, Settings
from xplore.campaign.config.instantiate import READING

pytestmark = pytest.mark.slow

ROOT = Path(xplore.__file__).parents[1]
PACKAGES = ("constraints", "coverage", "objectives", "oracles", "search")
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("use", "href"),
}
FETCHED |= {("img", "srcset"), ("object", "data"), ("embed", "src"), ("video", "src"), ("audio", "src")}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, strictly; the notebooks are run by their own test."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: the site was not built")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "XPLORE_DOCS_EXECUTE": "false", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text("utf-8") for path in site.rglob("*.html")}


class Asked(HTMLParser):
    """What a page makes a browser fetch when it is opened; links that a reader may follow are not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)
        styles = " ".join(re.findall(r"<style[^>]*>(.*?)</style>", page, re.S))
        self.urls += re.findall(r"url\(\s*['\"]?([^)'\"]+)", styles) + re.findall(
            r"@import\s+['\"]([^'\"]+)", styles
        )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        passive = tag == "link" and given.get("rel") in ("canonical", "next", "prev", "alternate")
        self.urls += [value or "" for name, value in attrs if (tag, name) in FETCHED and not passive]
        self.urls += re.findall(r"url\(\s*['\"]?([^)'\"]+)", given.get("style") or "")


def test_every_page_of_the_docs_is_there(pages: dict[str, str]) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    made = {Path(f"{name}.html") for name in ("cli", "config", "python", "contributing")}
    made |= {
        Path("notebooks", path.name).with_suffix(".html") for path in (ROOT / "docs/notebooks").glob("*.py")
    }
    assert written | made <= set(map(Path, pages))


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[str, str]) -> None:
    asked = [(name, url) for name, page in pages.items() for url in Asked(page).urls]
    assert len(asked) > 4 * len(pages)
    assert [(name, url) for name, url in asked if re.match(r"(?i)\s*(\w+:)?//", url)] == []
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", styles)


def test_fetches_are_seen() -> None:
    page = '<style>a{background:url("https://a/b")}</style><img src=https://c/d><a href=https://e>'
    assert Asked(page).urls == ["https://c/d", "https://a/b"]


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_every_option_of_the_command_line_is_told(pages: dict[str, str]) -> None:
    told, command = text(pages["cli.html"]), typer.main.get_command(cli.app)
    commands: dict[str, Any] = {"": command, **command.commands}  # pyright: ignore[reportAttributeAccessIssue]
    count = 0
    for name, of in commands.items():
        section = told.split(f"\nxplore {name}".rstrip())[-1] if name else told
        for option in of.params:
            for word in [*option.opts, *option.secondary_opts]:
                assert word in section, (name, word)
                count += 1
            assert not option.help or " ".join(option.help.split()) in " ".join(section.split()), (
                name,
                option.help,
            )
    assert count > 50 and len(commands) > 10


def test_every_key_of_a_config_is_told(pages: dict[str, str]) -> None:
    page = pages["config.html"]
    for name in [*Config.model_fields, *Settings.model_fields, *READING]:
        assert f"<code>{name}</code>" in page, name
    for field in Settings.model_fields.values():
        assert field.description and field.description in text(page)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_part_and_its_fields_are_told(package: str, pages: dict[str, str]) -> None:
    sections = dict(
        zip(*[iter(re.split(r'<h3 id="[^"]*">([\w.:]+)<', pages["config.html"])[1:])] * 2, strict=True)
    )
    offered = [
        found
        for found in vars(import_module(f"xplore.{package}")).values()
        if inspect.isclass(found)
        and found.__module__.startswith(f"xplore.{package}.")
        and not inspect.isabstract(found)
    ]
    assert offered
    for part in offered:
        for field in dataclasses.fields(part):
            assert f"<code>{field.name}</code>" in sections[part.__name__], (part, field.name)


def test_formulas_are_drawn_without_a_script(pages: dict[str, str]) -> None:
    page = pages["concepts.html"]
    source = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    assert page.count('<div class="formula"><math') == source.count("\n$$\n") // 2 > 5
    assert "arithmatex" not in page and "$" not in text(page.split("<article")[1].split("</article")[0])
    assert "merror" not in page


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


@pytest.fixture(scope="session")
def served(site: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("page", ["index", "concepts", "cli", "config", "notebooks/first-findings"])
def test_a_browser_asks_nobody_else(browser: Any, served: str, page: str) -> None:
    browser.open(f"{served}/{page}.html", 1280, 900)
    assert len(browser.requests) > 3
    assert [url for url in browser.requests if not url.startswith((served, "blob:"))] == []
    assert browser.messages == []


@pytest.mark.parametrize("page", ["concepts", "config", "ci"])
def test_no_page_is_wider_than_a_phone(browser: Any, served: str, page: str) -> None:
    browser.open(f"{served}/{page}.html", 500, 900)
    assert browser.run("document.documentElement.scrollWidth") <= 500


def test_the_search_finds(browser: Any, served: str) -> None:
    browser.open(f"{served}/index.html", 1280, 900)
    found = browser.run("""new Promise((done) => {
      document.querySelector('[for=__search]').click();
      const input = document.querySelector('[data-md-component=search-query]');
      input.focus(); input.value = 'silhouette'; input.dispatchEvent(new Event('keyup'));
      input.dispatchEvent(new Event('input'));
      const look = () => {
        const hits = [...document.querySelectorAll('.md-search-result__link')].map((a) => a.href);
        hits.length ? done(hits) : setTimeout(look, 50);
      };
      look();
    })""")
    assert any("/concepts.html" in url for url in found)
