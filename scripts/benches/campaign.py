"""Seeds/s once compiled, and the seconds from the start of the process to the first finding on disk."""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benches._prepared import prepared
from xplore.archive import Archive
from xplore.archive.tables import FILE

TITLE = "Seeds, and the first of the findings"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="mnist")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    rates = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            running = prepared(options.config, options.seeds, options.lanes)
            archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
            for _ in running.run(archive):
                pass
            archive.close()
        rates.append(options.seeds / running.tally.seconds)
    cold, warm = [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(first_finding(options.config, cache))
            warm.append(first_finding(options.config, cache))
    return {
        "ratio": statistics.median(warm) / statistics.median(cold),
        "seeds_per_second": statistics.median(rates),
        "first_finding_cold_seconds": statistics.median(cold),
        "first_finding_warm_seconds": statistics.median(warm),
        "all": {"seeds_per_second": rates, "cold": cold, "warm": warm},
        "config": options.config,
        "seeds": options.seeds,
        "repeats": options.repeats,
    }


def first_finding(name: str, cache: str) -> float:
    """Seconds from the start of `xplore run` until a finding is in the archive on disk."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "xplore.cli", "run", name, "--out", str(out)]
        start = time.perf_counter()
        child = subprocess.Popen(
            command,
            env={**os.environ, "XDG_CACHE_HOME": cache},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while child.poll() is None:
                if _count(out / FILE):
                    return time.perf_counter() - start
                time.sleep(0.02)
            raise RuntimeError(f"{command} ended with {child.returncode} and no finding")
        finally:
            child.kill()
            child.wait()


def _count(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*) FROM findings WHERE origin = 'search'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def section(figures: dict[str, Any]) -> str:
    return TEXT.format(**figures)


TEXT = """
`xplore run {config}`: {seeds_per_second:.0f} seeds/s on {seeds:,} seeds once compiled, the end included. From
the start of the process until a finding is on disk: {first_finding_cold_seconds:.1f} s with an empty
compilation cache, {first_finding_warm_seconds:.1f} s with a warm one (medians of {repeats}).
"""
