"""The packages of xplore as the code has them: `docs/images/architecture.svg`, and who imports whom.

    python scripts/architecture.py            # print the imports between packages
    python scripts/architecture.py --draw     # write the picture, too

The rows are those of the contract in `pyproject.toml`; a package's words are the first sentence of its
docstring. Imports are counted wherever they stand: inside functions and under TYPE_CHECKING, too.
"""

import argparse
import ast
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "xplore"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
WIDTH, GAP, LINE, LETTER = 1120, 12, 18, 6.6
"""Of the picture, between boxes, of a line of text, and of a letter of it: in pixels."""


def layers() -> list[list[str]]:
    """The rows of packages, from the top down."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    return [row.split(" | ") for row in rows]


def words(package: str) -> str:
    """What a package holds: the first sentence of its docstring, without what it may import."""
    text = ast.get_docstring(ast.parse((PACKAGE / package / "__init__.py").read_text("utf-8"))) or ""
    return text.partition("; imports")[0].partition("\n\n")[0].rstrip(".")


def imported(path: Path) -> Iterator[str]:
    """The packages of xplore that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            top = rest.partition(".")[0]
            if first == "xplore" and (PACKAGE / top).is_dir():
                yield top


def pairs() -> set[tuple[str, str]]:
    """Which package imports which."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0]
        if (PACKAGE / own).is_dir() and own not in ("models", "configs"):
            found |= {(own, other) for other in imported(path) if other != own}
    return found


def picture() -> str:
    """An SVG: a row a layer, a box a package."""
    boxes, top = [], GAP
    for row in layers():
        width = (WIDTH - GAP * (len(row) + 1)) / len(row)
        lines = {name: wrap(words(name), int((width - 20) / LETTER)) for name in row}
        height = 34 + LINE * max(map(len, lines.values()))
        for place, name in enumerate(row):
            x = GAP + place * (width + GAP)
            text = "".join(
                f'<text x="{x + 10:.0f}" y="{top + 42 + LINE * n}">{escape(line)}</text>'
                for n, line in enumerate(lines[name])
            )
            boxes.append(
                f'<rect x="{x:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6"/>'
                f'<text class="name" x="{x + 10:.0f}" y="{top + 22}">{name}</text>{text}'
            )
        top += height + GAP
    style = (
        "svg{background:#fff}rect{fill:#eef3f8;stroke:#8aa4c0}text{font:13px sans-serif;fill:#333}"
        ".name{font-weight:bold;font-size:15px;fill:#123}"
    )
    title = "The packages of xplore: each row imports only from the rows below it"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">'
    return "\n".join([head, f"<title>{title}</title>", f"<style>{style}</style>", *boxes, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", action="store_true", help=f"write {PICTURE.relative_to(ROOT)}")
    found = pairs()
    names = [name for row in layers() for name in row]
    draw = parser.parse_args().draw
    for name in names:
        print(f"{name:12} {', '.join(other for other in names if (name, other) in found)}")
    print(f"{len(names)} packages, {len(found)} pairs of which one imports the other")
    if draw:
        PICTURE.write_text(picture(), "utf-8")


if __name__ == "__main__":
    main()
