"""Seeds/s on a local Ray cluster: two single-threaded workers against one, and one against none.

None is the same campaign in this process, on one thread and with nothing beside the lanes, as a worker has it.
Two cores may be two threads of one: what two processes reach that only compute the gradient is told beside.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

TITLE = "On a Ray cluster"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="mnist")
    parser.add_argument("--seeds", type=int, default=6000)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--round-size", type=int, default=2048)
    parser.add_argument("--task-seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    os.environ["NPROC"] = "1"  # XLA's threads, read when it starts
    rates: dict[str, list[float]] = {"none": [], "one": [], "two": []}
    machine = []
    for _ in range(options.repeats):
        one, two = (gradients(options, n) for n in (1, 2))
        machine.append(two / one)
        for workers, told in enumerate(rates.values()):
            told.append(options.seeds / seconds(options, workers))
    median = {name: statistics.median(told) for name, told in rates.items()}
    return {
        "ratio": statistics.median(two / one for one, two in zip(rates["one"], rates["two"], strict=True)),
        "overhead": statistics.median(
            n / one - 1 for n, one in zip(rates["none"], rates["one"], strict=True)
        ),
        "machine": statistics.median(machine),
        "seeds_per_second": median,
        "all": rates,
        "config": options.config,
        "seeds": options.seeds,
        "round_size": options.round_size,
        "lanes": options.lanes,
        "repeats": options.repeats,
    }


def gradients(options: argparse.Namespace, processes: int) -> float:
    """Gradients/s of so many processes together that compute nothing else, on a thread each."""
    command = [sys.executable, "-c", GRADIENTS, options.config, str(options.lanes)]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [
        subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for one in running:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return sum(float(one.communicate()[0]) for one in running)


GRADIENTS = """
import sys
from benches._prepared import bare_gradient, prepared, rate
lanes = int(sys.argv[2])
gradient = bare_gradient(prepared(sys.argv[1], lanes, lanes))
print("ready", flush=True)
input()
print(rate(gradient, lanes, 8.0))
"""


def seconds(options: argparse.Namespace, workers: int) -> float:
    """Of a campaign on so many workers, once compiled; 0 is in this process."""
    import ray

    from benches._prepared import prepared
    from xplore.archive import Archive
    from xplore.campaign.backends import Ray
    from xplore.campaign.worker import Worker

    backend: Any = partial(Worker, beside=False)
    if workers:
        backend = Ray(seconds=options.task_seconds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        campaign = prepared(options.config, options.seeds, options.lanes, options.round_size, backend)
        with tempfile.TemporaryDirectory() as folder:
            archive = Archive.create(Path(folder), {"criteria": [], "layout": []})
            for _ in campaign.run(archive):
                pass
            archive.close()
        assert campaign.tally.closed == options.seeds
        return campaign.tally.seconds
    finally:
        if workers:
            ray.shutdown()


def section(figures: dict[str, Any]) -> str:
    return TEXT.format(**figures, **figures["seeds_per_second"])


TEXT = """
The config {config}, {seeds:,} seeds in rounds of {round_size}, {lanes} lanes a worker, once compiled, its end
included; medians of {repeats}, in turns. Each worker has one thread; this process, on the same two cores, reads seeds, hands out
tasks and stores what comes.

| workers | seeds/s |
|---|--:|
| none: in this process, on one thread | {none:.1f} |
| one | {one:.1f} |
| two | {two:.1f} |

Two against one: **{ratio:.2f}**. What Ray costs at one worker: {overhead:.1%}. Two processes that do nothing but
compute the gradient, on a thread each, reach {machine:.2f} times what one does.
"""
