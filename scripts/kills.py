"""Campaigns that are killed (SIGKILL) at random instants and resumed, each compared with an unbroken one.

    python scripts/kills.py --json             # a hundred kills, one JSON line
    python scripts/kills.py 12 --rng 5 --json
    python scripts/kills.py --page             # the same, as docs/results/resume.md

A campaign of 500 seeds is begun in a process of its own, which is killed after a random number of its steps
and up to 50 ms more; then it is resumed, and every row of its archive is compared, bit for bit. A campaign
that ended before it could be killed is begun again. The tests do two such kills, and `make release` twelve.
"""

import argparse
import datetime
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "helpers")]
PAGE = """# Killed, and resumed

Written by `python scripts/kills.py {kills} --rng {rng} --page` on {date}, on {device}.

{kills} campaigns of {seeds} seeds, each in a process of its own that was killed (SIGKILL) after a random
number of its steps and up to 50 ms more, and then resumed. {identical} of {kills} hold the same rows as a
campaign that was never broken, bit for bit: the fates of all seeds, the rounds, the findings with what they
covered, and the inputs as stored; SQLite finds each file whole. When they were killed, they had judged
{least} to {most} seeds, {median:.0f} in the median.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kills", type=int, nargs="?", default=100)
    parser.add_argument("--rng", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON line (the default: the same, indented)")
    parser.add_argument("--page", action="store_true", help="write docs/results/resume.md")
    options = parser.parse_args()
    told = survived(options.kills, options.rng)
    print(json.dumps(told, indent=None if options.json or options.page else 2))
    if options.page:
        page = PAGE.format(date=datetime.date.today(), **told)
        (ROOT / "docs" / "results" / "resume.md").write_text(page, "utf-8")
    sys.exit(told["identical"] != told["kills"])


def survived(kills: int, rng: int) -> dict[str, Any]:
    """How many of so many killed campaigns end as the unbroken one does."""
    import small

    from xplore.campaign.provenance import device

    start, instant = time.monotonic(), random.Random(rng)
    judged, ended, identical = [], 0, 0
    with tempfile.TemporaryDirectory() as place:
        running, whole = small.campaign(), Path(place) / "unbroken"
        with closing(small.archive(running, whole)) as kept:
            steps = sum(1 for _ in running.run(kept))
        unbroken = small.content(whole)
        for number in count():
            folder = Path(place) / str(number)
            if small.killed(folder, Path(place) / "compiled", instant, most=steps):
                ended += 1
                continue
            judged.append(closed(folder, Path(place) / f"copy of {number}"))
            same = small.ran(folder) == unbroken
            identical += same
            print(f"{len(judged)}: {judged[-1]} seeds judged, {same}", file=sys.stderr, flush=True)
            if len(judged) == kills:
                break
    return {
        "kills": kills,
        "identical": identical,
        "rng": rng,
        "seeds": small.SEEDS,
        "ended": ended,
        "least": min(judged),
        "median": statistics.median(judged),
        "most": max(judged),
        "early": judged.count(0),
        "seconds": round(time.monotonic() - start),
        "device": device(),
    }


def closed(folder: Path, copy: Path) -> int:
    """How many seeds were judged, told by a copy: to open an archive already mends it."""
    import small

    if not (folder / small.FILE).exists():
        return 0
    shutil.copytree(folder, copy)
    return len(small.content(copy)["seeds"])


if __name__ == "__main__":
    main()
