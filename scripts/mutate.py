"""Mutated configs and archives, each given to `xplore run`, `replay` and `run --resume` in one process.

    python scripts/mutate.py --json            # 300 configs of users, 200 accounts of archives
    python scripts/mutate.py --users 40 --archives 0
    python scripts/mutate.py --only 17         # the config of this number alone

Each ends in one line and exit code 2, or is a campaign that records what it was given and whose findings
replay; what ends otherwise is printed, and the exit code is 1. The tests do fifty of them.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=300, help="how many configs")
    parser.add_argument("--archives", type=int, default=200, help="how many accounts")
    parser.add_argument("--start", type=int, default=0, help="the number of the first")
    parser.add_argument("--only", type=int, help="the config of this number alone")
    parser.add_argument("--json", action="store_true", help="one JSON line (the default: the same, indented)")
    options = parser.parse_args()
    import mutants

    began, ends, wrong = time.monotonic(), Counter[str](), []
    numbers = range(options.start, options.start + options.users)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.chdir(place)
        todo = [(mutants.of_user, number, ()) for number in numbers]
        if options.only is not None:
            todo = [(mutants.of_user, options.only, ())]
        elif options.archives:
            made = mutants.bases(mutants.fresh(place / "bases"))
            numbers = range(options.start, options.start + options.archives)
            todo += [(mutants.of_archive, number, (made,)) for number in numbers]
        for kind, number, more in todo:
            what, end, fault = mutants.judged(kind, number, place / "mutant", *more)
            ends[f"{kind.__name__}: {end}"] += 1
            if fault or options.only is not None:
                wrong += [what] if fault else []
                print(f"{kind.__name__} {number}, {what}, {end}: {fault}", file=sys.stderr, flush=True)
    told = {"mutants": len(todo), "wrong": len(wrong), "ends": ends, "seconds": time.monotonic() - began}
    print(json.dumps(told, indent=None if options.json else 2))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
