"""Hooks of mkdocs: pages that are made when the site is built, notebooks that are run, formulas as MathML.

mkdocs imports it with this folder on the path.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import docs_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = "notebooks"
SHOWN = "<!-- output {} -->"
"""Stands for what a cell showed while its page is Markdown."""
_outputs: list[str] = []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference, what stands in the root, and a page for each notebook."""
    made = {f"{name}.md": text for name, text in docs_reference.pages().items()}
    made["contributing.md"] = from_root((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    for file in files:
        path = Path(file.src_uri)
        if path.parts[0] == NOTEBOOKS and path.suffix == ".py" and file.abs_src_path:
            made[f"{NOTEBOOKS}/{path.stem}.md"] = notebook(Path(file.abs_src_path), config.extra["execute"])
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def from_root(text: str) -> str:
    """A page of the root as one of the site: links into `docs` lead there, other files are only named.

    >>> from_root("[a](docs/a.md#b), [the tests](tests/README.md), [c](https://c.org)")
    '[a](a.md#b), `tests/README.md`, [c](https://c.org)'
    """
    return re.sub(r"\[[^\]]*\]\((?!docs/|https?:|#)([^)]*)\)", r"`\1`", text).replace("](docs/", "](")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to what stands in the root lead to its page here."""
    return markdown.replace("](../CONTRIBUTING.md", "](contributing.md")


def on_page_content(content: str, **_: Any) -> str:
    """Put in what cells showed; formulas as MathML, which browsers draw without a script."""
    content = re.sub(SHOWN.format(r"(\d+)"), lambda found: _outputs[int(found[1])], content)
    for tag, ends, display in (("span", r"\\\( \\\)", "inline"), ("div", r"\\\[ \\\]", "block")):
        first, last = ends.split()
        pattern = rf'<{tag} class="arithmatex">{first}(.*?){last}</{tag}>'
        content = re.sub(pattern, lambda found, how=display: _formula(found[1], how), content, flags=re.S)
    return content


def _formula(tex: str, display: Any) -> str:
    from latex2mathml.converter import convert

    drawn = convert(html.unescape(tex).strip(), display=display)
    return f'<div class="formula">{drawn}</div>' if display == "block" else drawn


def notebook(path: Path, execute: bool) -> str:
    """A notebook as Markdown, with what its cells printed and showed."""
    import jupytext

    book = jupytext.read(path)
    if execute:
        import nbclient

        client = nbclient.NotebookClient(book, timeout=600, kernel_name="python3")
        client.execute()
    parts = []
    for cell in book.cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join([*parts, f"This page as a file: [{path.name}]({path.name})."])


def _shown(output: Any) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        shown = data["text/html"]
    elif "image/png" in data:
        shown = f'<img alt="" src="data:image/png;base64,{data["image/png"]}">'
    else:
        shown = f"<pre>{html.escape(output.get('text') or data.get('text/plain', ''))}</pre>"
    _outputs.append(f'<div class="output">{shown}</div>')
    return SHOWN.format(len(_outputs) - 1)
