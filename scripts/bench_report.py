"""How a report grows: time and memory of `xplore report`, and how the page answers in headless Chromium.

    python scripts/bench_report.py --json                   # 1,000, 10,000 and 100,000 seeds
    python scripts/bench_report.py 1000 --shrunk --json
    python scripts/bench_report.py --page                   # the same as docs/results/report.md

Campaigns are synthetic (digits, three LeNets' layouts, 98 % of the seeds with a finding). One JSON line each.
"""

import argparse
import datetime
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
OPENED = """new Promise((done) => { const start = performance.now();
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))))
    .observe(document.getElementById('tiles'), { childList: true });
  document.getElementById('gallery').open = true; })"""
FRAME = """new Promise((done) => { const start = performance.now(); %s;
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))); })"""
CHOOSE = (
    "(e => { e.selectedIndex = %d; e.dispatchEvent(new Event('change')); })(document.getElementById('%s'))"
)
TIMING = """(t => ({ interactive_ms: t.domContentLoadedEventEnd, loaded_ms: t.loadEventEnd }))
  (performance.getEntriesByType('navigation')[0])"""
COLUMNS = (
    *("seeds", "cpu_seconds", "peak_mb", "bytes"),
    *("interactive_ms", "open_gallery_ms", "filter_ms", "turn_ms", "heap_mb"),
)
PAGE = """# How a report grows

Written by `python scripts/bench_report.py --page` on {date}, on {cpus} cores; such a machine is often shared.
Campaigns are synthetic: digits, three LeNets' layouts, 98 % of the seeds with a finding. The page is one
file, with at most 10,000 findings in its gallery; it says how many there are. First one `xplore report`, its
CPU time and peak memory; then the page in headless Chromium, milliseconds until it answers, until the gallery
is open, until a filter or another page of the gallery is drawn (medians).

| seeds | report, CPU s | peak, MB | page, bytes | answers | gallery | filter | page turned | heap, MB |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""


def beside(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--shrunk", action="store_true", help="with the smallest change of every finding")
    parser.add_argument("--json", action="store_true", help="one JSON line each, nothing else")
    parser.add_argument("--page", action="store_true", help="as a page of the docs")
    args = parser.parse_args()
    archives = beside("tests/helpers/archives.py", "report_archives")
    chromium = beside("tests/helpers/chromium.py", "browser_chromium")
    archives.ROUND = 256
    if args.page:
        print(PAGE.format(date=datetime.date.today(), cpus=os.cpu_count()))
    for seeds in args.seeds:
        with tempfile.TemporaryDirectory() as folder:
            built = archives.build(Path(folder) / "mnist", seeds=seeds, found=0.98, shrunk=args.shrunk)
            built.close()
            told = {"seeds": seeds, "shrunk": args.shrunk, **written(Path(folder) / "mnist")}
            if chromium.PROGRAM:
                told |= opened(chromium.Browser(), Path(folder) / "mnist" / "report.html")
        if args.page:
            cells = [f"{told.get(key, '–'):,}" for key in COLUMNS]
            print(f"| {' | '.join(cells)} |", flush=True)
            continue
        print(json.dumps(told) if args.json else "\n".join(f"{k}: {v}" for k, v in told.items()), flush=True)


def written(folder: Path) -> dict[str, float]:
    """One `xplore report`, in a process of its own."""
    # Of this process's own memory: what the system counts for a child begins with its parent's.
    peak = (
        "import atexit, re; atexit.register(lambda: print(re.search(r'VmHWM:\\s*(\\d+)', S.read_text())[1]))"
    )
    status = "from pathlib import Path; S = Path('/proc/self/status')"
    report = f"import sys; sys.argv[1:] = ['report', {str(folder)!r}]; from xplore.cli import main; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", f"{status}; {peak}; {report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": round(int(done.stdout.split()[-1]) / 1024),
        "bytes": (folder / "report.html").stat().st_size,
    }


def opened(browser, page: Path) -> dict[str, float]:
    """How long a reader waits, in milliseconds: medians of what is done several times."""
    browser.open(page)
    told = {name: round(value) for name, value in browser.run(TIMING).items()}
    told["open_gallery_ms"] = round(browser.run(OPENED))
    filters = [
        FRAME % (CHOOSE % (place, name)) for name in ("model", "expected", "answered") for place in (1, 0)
    ]
    told["filter_ms"] = round(statistics.median(browser.run(script) for script in filters), 1)
    turns = min(browser.run("document.getElementById('page').options.length"), 12) - 1
    later = FRAME % "document.getElementById('later').click()"
    if turns > 0:
        told["turn_ms"] = round(statistics.median(browser.run(later) for _ in range(turns)), 1)
    told["heap_mb"] = round(browser.run("performance.memory.usedJSHeapSize") / 2**20, 1)
    browser.close()
    return told


if __name__ == "__main__":
    main()
