"""A small campaign that can be cut off and gone on with: `python -m small FOLDER` says how far it is.

With a Ray cluster's address it is computed there.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from laws.parts import pictures, relatives

from xplore.archive import Archive
from xplore.archive.tables import FILE
from xplore.campaign import Campaign
from xplore.campaign.backends import Backends, Ray
from xplore.campaign.judge import Judge
from xplore.campaign.provenance import record
from xplore.campaign.resume import resumed
from xplore.campaign.run import THRESHOLDS
from xplore.campaign.settings import Budget, RunOptions
from xplore.campaign.worker import Worker
from xplore.constraints import Lighting
from xplore.coverage import NeuronCoverage
from xplore.engine.step import Method
from xplore.evaluation.sources import Held
from xplore.objectives import Joint
from xplore.oracles import LabelsDiffer
from xplore.search import Gradient

SHAPE, SEEDS = (8, 8, 1), 500
ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "helpers")))
"""Where a process of its own finds xplore, `small` and what it imports."""
TABLES = {
    "rounds": "campaign, round",
    "seeds": "campaign, seed",
    "findings": "id",
    "artefacts": "hash",
}


def brightest(images: np.ndarray) -> np.ndarray:
    """A referee: the brightest quarter of an image, by its rows."""
    return images.reshape(len(images), 4, -1).sum(axis=2).argmax(axis=1)


def campaign(
    seeds: int = SEEDS,
    *,
    rng: int = 0,
    lanes: int = 16,
    budget: Budget = Budget(),
    dtype: Any = np.float32,
    backend: Backends = Worker,
) -> Campaign:
    """Linear models, light, and restarts: seeds take from one step to dozens."""
    panel, codes = relatives(1, SHAPE, channels=(), dtype=dtype), pictures(0, SEEDS, SHAPE)[:seeds]
    method = Method(panel, Joint(), Lighting(), LabelsDiffer(), Gradient(steps=8, tries=4))
    criteria = tuple(NeuronCoverage(t) for t in THRESHOLDS[1:])
    training = pictures(1, 300, SHAPE)
    judge = Judge(panel, method.oracle, method.constraint, criteria, brightest, training, batch=16)
    layout = panel.check(SHAPE)
    return Campaign(
        method, judge, layout, Held(codes), RunOptions(lanes, rng, round_size=32), budget, backend
    )


def archive(running: Campaign, folder: Path) -> Archive:
    """The archive of a campaign in a folder: a new one, or the one that it holds."""
    meta = record(running.method, running.layout, running.judge.criteria, running.plan, 4)
    meta |= {"labelled": False, "seeds_total": running.seeds.total, "classes": []}
    return resumed(folder, meta) if (folder / FILE).exists() else Archive.create(folder, meta)


def content(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables, bit for bit."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        return {
            table: db.execute(f"SELECT * FROM {table} ORDER BY {by}").fetchall()
            for table, by in TABLES.items()
        }


def ran(folder: Path, **how: Any) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a campaign that ran in a folder to its end."""
    running = campaign(**how)
    with closing(archive(running, folder)) as kept:
        for _ in running.run(kept):
            pass
        assert running.tally.closed == len(list(kept.seeds()))
        assert running.tally.findings == len(list(kept.findings()))
        assert running.ended or running.tally.seeds == running.seeds.total
    return content(folder)


def killed(folder: Path, cache: Path, instant: random.Random, most: int) -> bool:
    """Run on, and kill -9 at a random instant: up to `most` news and some milliseconds later.

    Returns whether it ended before.
    """
    settings = {"PYTHONPATH": PATH, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    child = subprocess.Popen(
        [sys.executable, "-m", "small", str(folder)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        for _ in range(instant.randint(0, most)):
            if child.stdout.readline() in ("ended\n", ""):
                break
        try:
            child.wait(instant.random() / 20)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        child.kill()
        child.stdout.close()
    assert child.returncode in (0, -signal.SIGKILL), child.returncode
    return child.returncode == 0


def main(folder: str, address: str = "") -> None:
    dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
    running = campaign(dtype=dtype, backend=Ray(address, seconds=0.5) if address else Worker)
    with closing(archive(running, Path(folder))) as kept:
        closed = 0
        for tally in running.run(kept):
            if tally.closed > closed:
                closed = tally.closed
                print(closed, flush=True)
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
