"""What takes too long for `make test`, before a version; docs/results/release.md keeps the last line of each.

    python scripts/release.py                  # all of it (hours), and the page
    python scripts/release.py kills mutants    # these alone, without the page

Wheels of every config, campaigns that are killed and resumed, 500 configs and accounts that are a little
wrong, archives of any metadata while all that they do is recorded, and every property on ten times as many
examples. `wheels` needs the network, or what pip has kept; data that does not come along lies in the folder
that XPLORE_DATA names. The exit code is 1 where one of them failed.
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HELPERS = ROOT / "tests" / "helpers"
DATA = os.environ.get("XPLORE_DATA")
PARTS = {
    "wheels": ["scripts/wheels.py", *(["--data", "$XPLORE_DATA"] if DATA else [])],
    "kills": ["scripts/kills.py", "12", "--rng", "5", "--json"],
    "mutants": ["scripts/mutate.py", "--json"],
    "recorders": ["-m", "recorders", "FOLDER", "100"],
    "properties": ["-m", "pytest", "-q", "-n", "2", "-m", "hypothesis", "--hypothesis-profile", "release"],
}
"""What is run by Python; `python -m recorders` finds its module in tests/helpers."""
PAGE = """# Before a version

Written by `python scripts/release.py` (`make release`) on {date}, on {cpus} cores, of version {version}.
What takes too long to run at every change is run here: with the last line that each printed.

| | command | minutes | ended | its last line |
|---|---|--:|--:|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}")
    chosen = parser.parse_args().parts or [*PARTS]
    if unknown := sorted({*chosen} - {*PARTS}):
        parser.error(f"no such part: {', '.join(unknown)}")
    rows, good = [], True
    for part in chosen:
        code, minutes, last = ran(PARTS[part])
        good &= code == 0
        rows.append(f"| {part} | `python {' '.join(PARTS[part])}` | {minutes:.0f} | {code} | `{last}` |")
        print(rows[-1], flush=True)
    if {*chosen} == {*PARTS}:
        from importlib.metadata import version

        told = {"date": datetime.date.today(), "cpus": os.cpu_count(), "version": version("xplore-tests")}
        page = PAGE.format(rows="\n".join(rows), **told)
        (ROOT / "docs" / "results" / "release.md").write_text(page, "utf-8")
    sys.exit(not good)


def ran(words: list[str]) -> tuple[int, float, str]:
    """The exit code of a command, its minutes, and the last line that it printed."""
    start = time.monotonic()
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", HELPERS)))
    with tempfile.TemporaryDirectory() as folder:
        given = {"$XPLORE_DATA": DATA or "", "FOLDER": folder}
        command = [sys.executable, *(given.get(word, word) for word in words)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    lines = done.stdout.strip().splitlines() or ["nothing"]
    return done.returncode, (time.monotonic() - start) / 60, lines[-1].replace("|", "/").replace("`", "'")


if __name__ == "__main__":
    main()
