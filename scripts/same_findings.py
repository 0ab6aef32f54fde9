"""Does a change of the code leave every finding as it was, to the bit?

    python scripts/same_findings.py dump before.json --root CHECKOUT   # of the commit before
    python scripts/same_findings.py dump after.json                    # of this one, on the same machine
    python scripts/same_findings.py compare before.json after.json

`dump` runs campaigns by the command line and reads their archives by SQL alone, since modules have other
names in other commits. Of each seed it keeps fate, tries, steps and queries; of each finding its id (the hash
of its two inputs), seed, decisions, reasons, measures, steps, covered bits, and the hash of its smallest
change. `compare` exits with 1 at a difference, and says where. `--data` holds what the project does not
carry, for `pdf` and `driving`; without it they are left out, and that is said.
"""

import argparse
import hashlib
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SEEDS = {
    "mnist": 60,
    "mnist_light": 60,
    "mnist_blackout": 40,
    "phishing": 120,
    "drebin": 40,
    "imagenet": 2,
    "pdf": 60,
    "driving": 12,
    "mnist_ball": 40,
    "mnist_affine": 24,
    "mnist_chain": 24,
}
"""How many seeds of each config: some seconds of search each."""
ELSEWHERE = {"pdf": ".", "driving": "udacity_ch2"}
"""Configs whose data does not come along, and where in the folder it lies."""
RNGS = (0, 7)
QUERIES = {
    "seeds": "SELECT campaign, seed, round, label, decisions, fate, tries, steps, queries, finding FROM seeds"
    " ORDER BY campaign, seed",
    "findings": "SELECT id, origin, campaign, seed, seed_artefact, artefact, label, decisions, probabilities,"
    " reasons, measures, steps, covered, hidden, latents FROM findings ORDER BY id",
    "smallest": "SELECT finding, artefact, probabilities, measures, queries FROM shrunk ORDER BY finding",
    "rounds": "SELECT campaign, round, seeds, digest, seed_coverage FROM rounds ORDER BY campaign, round",
}
"""What is held against each other, of an archive of schema 3."""


def plain(value: Any) -> Any:
    """A value of SQL as JSON holds it: bytes by their hash."""
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def rows(archive: Path) -> dict[str, list[list[Any]]]:
    """What an archive holds, by table."""
    with closing(sqlite3.connect(f"file:{archive}?mode=ro", uri=True)) as db:
        return {name: [[*map(plain, row)] for row in db.execute(query)] for name, query in QUERIES.items()}


def campaign(config: str, rng: int, root: Path, data: Path | None) -> dict[str, list[list[Any]]]:
    """The rows of a campaign, run by a checkout's command line."""
    where = (
        [] if data is None or config not in ELSEWHERE else ["--set", f"seeds.path={data / ELSEWHERE[config]}"]
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [str(Path(sys.executable).with_name("xplore")), "run", config, "--out", str(out), *where]
        command += ["--rng", str(rng), "--seeds", str(SEEDS[config])]
        environment = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return rows(out / "archive.sqlite")


def dump(file: Path, configs: list[str], root: Path, data: Path | None) -> None:
    """Run every config with every random state, and write what came."""
    asked = [name for name in configs or SEEDS if data is not None or name not in ELSEWHERE]
    for name in {*(configs or SEEDS)} - {*asked}:
        print(f"{name}: left out, --data is not given", flush=True)
    found: dict[str, Any] = {}
    for name in asked:
        for rng in RNGS:
            found[f"{name}, rng {rng}"] = held = campaign(name, rng, root, data)
            print(
                f"{name}, rng {rng}: {len(held['seeds'])} seeds, {len(held['findings'])} findings", flush=True
            )
    machine = {"python": platform.python_version(), "jax": version("jax"), "machine": platform.machine()}
    file.write_text(json.dumps({"machine": machine, "campaigns": found}, indent=1) + "\n", encoding="utf-8")
    print(file)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where two dumps differ, in words; nothing where they are the same."""
    found = [f"machine: {before['machine']} and {after['machine']}"] * (before["machine"] != after["machine"])
    names = {**before["campaigns"], **after["campaigns"]}
    for name in names:
        old, new = (one["campaigns"].get(name) for one in (before, after))
        if old is None or new is None:
            found.append(f"{name}: only in the {'second' if old is None else 'first'}")
            continue
        for table in QUERIES:
            if len(old[table]) != len(new[table]):
                found.append(f"{name}, {table}: {len(old[table])} rows and {len(new[table])}")
            pairs = zip(old[table], new[table], strict=False)
            found += [f"{name}, {table}: {a} and {b}" for a, b in pairs if a != b][:3]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    run = commands.add_parser("dump", help="run the campaigns and write what they found")
    run.add_argument("file", type=Path)
    run.add_argument("--only", action="append", choices=SEEDS, help="this config alone; may be repeated")
    run.add_argument(
        "--root", type=Path, default=ROOT, help="the checkout whose code runs; this one by default"
    )
    run.add_argument("--data", type=Path, help="the folder of data that does not come along")
    held = commands.add_parser("compare", help="hold two dumps against each other")
    held.add_argument("files", type=Path, nargs=2)
    options = parser.parse_args()
    if options.command == "dump":
        dump(
            options.file, options.only or [], options.root.resolve(), options.data and options.data.resolve()
        )
        return
    before, after = (json.loads(file.read_text("utf-8")) for file in options.files)
    found = differences(before, after)
    count = sum(len(one["findings"]) for one in before["campaigns"].values())
    print("\n".join(found) or f"the same: {len(before['campaigns'])} campaigns, {count} findings")
    parser.exit(1 if found else 0)


if __name__ == "__main__":
    main()
