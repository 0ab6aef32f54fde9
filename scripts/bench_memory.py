"""Peak memory of campaigns on seeds that are read a round at a time, from several sources.

    python scripts/bench_memory.py --json              # one JSON line for each source and number of seeds
    python scripts/bench_memory.py --page              # the same, as the section Memory of performance.md
    python scripts/bench_memory.py --one npz 1000      # one campaign, in this process

Each campaign is a process of its own: two LeNets, light, one random amount a seed. Seeds are digits with
noise, each one of its own. The peak is of the process's resident memory (VmHWM), mapped files included: after
the search, and after the report.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "performance.md"
SECTION = "## Memory"
SOURCES = ("npz", "folder", "generator", "memory")
SEEDS = (1000, 100_000)
TEXT = """{section}

Written by `python scripts/bench_memory.py --page` on {date}, on {device}. Peak resident memory, mapped files
included, of a process that runs one campaign: two LeNets on digits of 28 x 28, each with noise of its own;
light, one random amount a seed; nothing shrunk. After the search, and after the report is written; beside it
how many findings there were, and how large the archive on disk is.

| seeds from | seeds | search, MB | with report, MB | findings | archive, MB | search, s |
|---|--:|--:|--:|--:|--:|--:|
{rows}

`npz` is a mapped file of `np.savez`, `folder` one of PNGs, `generator` a function that makes them; all are
read a round of 256 seeds at a time. What is held of every seed is its label, and of a folder its names. The
report grows with the findings, whose pictures it carries: docs/results/report.md.
"""


def digits(count: int) -> Iterator[tuple[np.ndarray, int]]:
    """So many digits, each with noise of its own, and their labels."""
    from xplore.data import mnist

    test = mnist.load("test")
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 12, (28, 28, 1), np.uint8)
        yield np.maximum(test.images[number % len(test.images)], noise), int(test.labels[number % 1000])


def stored(source: str, count: int, folder: Path) -> None:
    """Seeds as a source has them, written one by one."""
    if source == "npz":
        labels = np.fromiter((label for _, label in digits(count)), np.int64, count)
        with zipfile.ZipFile(folder / "seeds.npz", "w") as file:
            with file.open("labels.npy", "w") as member:
                np.lib.format.write_array(member, labels)
            with file.open("images.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28, 1)}
                np.lib.format.write_array_header_1_0(member, header)
                for image, _ in digits(count):
                    member.write(image.tobytes())
    if source == "folder":
        for number, (image, label) in enumerate(digits(count)):
            place = folder / "seeds" / f"class {label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(place / f"{number:06d}.png")


def opened(source: str, count: int, folder: Path) -> tuple[Any, Any]:
    """Inputs and labels, as `xplore.run` takes them."""
    from xplore.data import npz, photos

    if source == "generator":
        return (lambda: digits(count)), None
    if source == "memory":
        images, labels = zip(*digits(count), strict=True)
        return np.stack(images), np.array(labels)
    if source == "npz":
        seeds = npz.load(folder / "seeds.npz")
    else:
        seeds = photos.load(folder / "seeds", size=28, crop=1.0, classes=[f"class {n}" for n in range(10)])
    return seeds.images, seeds.labels


def one(source: str, count: int, folder: Path) -> dict[str, Any]:
    """One campaign in this process, and its peaks."""
    import xplore
    from xplore.campaign.provenance import device
    from xplore.campaign.result import write_reports
    from xplore.constraints import Lighting
    from xplore.models.lenet import lenet1, lenet4
    from xplore.search import Random

    inputs, labels = opened(source, count, folder)
    models = [lenet1(), lenet4()]
    if source == "folder":  # pictures are RGB, and a LeNet reads one channel
        models = [model.replace(columns=(0,)) for model in models]
    how = {"constraint": Lighting(0.4), "search": Random(steps=1, tries=1), "lanes": 256, "shrink": False}
    result = xplore.run(models, inputs, labels, progress=False, **how)
    searched = peak()
    write_reports(result.folder)
    told = result.summary
    return {
        "source": source,
        "seeds": told["seeds"],
        "search_mb": searched,
        "report_mb": peak(),
        "findings": told["findings"],
        "archive_mb": round(result.archive.path.stat().st_size / 1e6, 1),
        "seconds": round(told["seconds"], 1),
        "device": device(),
    }


def peak() -> int:
    """Megabytes that were resident at most."""
    return round(int(re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[0]) * 1024 / 1e6)


def measured(sources: list[str], counts: list[int]) -> Iterator[dict[str, Any]]:
    """Each campaign in a process of its own; before each source a small one, that compiles its programs."""
    for source in sources:
        for turn, count in enumerate([min(counts), *counts]):
            with tempfile.TemporaryDirectory() as place:
                stored(source, count, Path(place))
                command = [sys.executable, __file__, "--one", source, str(count), "--folder", place]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                if turn:
                    yield json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--one", nargs=2, metavar=("SOURCE", "SEEDS"), help="in this process")
    parser.add_argument("--folder", type=Path, help="where the seeds of --one lie")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES[:3])
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--json", action="store_true", help="one JSON line each (the default)")
    parser.add_argument("--page", action="store_true", help=f"write the section into {PAGE.name}")
    options = parser.parse_args()
    if options.one:
        source, count = options.one
        print(json.dumps(one(source, int(count), options.folder)))
        return
    lines = []
    for told in measured(list(options.sources), list(options.seeds)):
        print(json.dumps(told), flush=True)
        lines.append(told)
    if options.page:
        shown = ("seeds", "search_mb", "report_mb", "findings", "archive_mb")
        rows = "\n".join(
            f"| {t['source']} | {' | '.join(f'{t[key]:,}' for key in shown)} | {t['seconds']:,.0f} |"
            for t in lines
        )
        section = TEXT.format(
            section=SECTION, date=datetime.date.today(), device=lines[0]["device"], rows=rows
        )
        before = PAGE.read_text("utf-8").partition(f"\n{SECTION}\n")[0].rstrip("\n")
        PAGE.write_text(f"{before}\n\n{section}", "utf-8")


if __name__ == "__main__":
    main()
