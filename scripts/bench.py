"""Benchmarks: ratios measured in one run, medians of several.

    python scripts/bench.py step --json              # one JSON line, whose `ratio` is the figure with a bound
    python scripts/bench.py step --page              # the same, as a section of docs/results/performance.md
    python scripts/bench.py --help                   # which there are

One benchmark a file, in scripts/benches.
"""

import argparse
import datetime
import importlib
import json
import pkgutil
import re
import sys
from pathlib import Path

import benches

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "performance.md"


def replaced(page: str, title: str, text: str) -> str:
    """A page with one section written anew, at its place or at the end."""
    section = f"## {title}\n\n{text.strip()}\n"
    parts = re.split(r"(?m)^(?=## )", page.rstrip() + "\n")
    at = next((i for i, part in enumerate(parts) if part.startswith(f"## {title}\n")), len(parts))
    parts[at : at + 1] = [section]
    return "\n".join(f"{part.strip()}\n" for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_subparsers(dest="bench", required=True)
    for found in pkgutil.iter_modules(benches.__path__):
        if found.name.startswith("_"):
            continue
        bench = importlib.import_module(f"benches.{found.name}")
        one = chosen.add_parser(found.name, help=bench.__doc__.splitlines()[0], description=bench.__doc__)
        one.add_argument(
            "--json", action="store_true", help="one JSON line (the default: the same, indented)"
        )
        one.add_argument("--page", action="store_true", help="write the section into performance.md, too")
        bench.arguments(one)
        one.set_defaults(module=bench)
    options = parser.parse_args()
    from xplore._util.errors import InputError
    from xplore.campaign.provenance import device

    try:
        figures = options.module.measure(options)
    except InputError as error:
        sys.exit(str(error))

    figures = {"bench": options.bench, **figures, "device": device()}
    print(json.dumps(figures, indent=None if options.json else 2))
    if options.page:
        command = " ".join(["python", "scripts/bench.py", *(a for a in sys.argv[1:] if a != "--json")])
        told = f"`{command}`, {datetime.date.today()}, {figures['device']}.\n\n"
        text = told + options.module.section(figures).strip()
        PAGE.write_text(replaced(PAGE.read_text("utf-8"), options.module.TITLE, text), "utf-8")


if __name__ == "__main__":
    main()
