"""Every config that comes with xplore, from a wheel in an empty environment, for each Python that is named.

    python scripts/wheels.py --python python3.12 --python python3.13 --data FOLDER

The wheel is installed with its extras by pip, and each config runs a few seeds in a folder of its own,
without the checkout in sight. `--data` holds what does not come along (`udacity_ch2`, the files of Contagio);
without it `driving` and `pdf` are left out, and that is said. One JSON line for each Python.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "demo,tabular,phishing,driving,imagenet,parquet"
LEAST = ["--seeds", "4", "--steps", "2", "--tries", "1", "--lanes", "4", "--set", "baseline=none"]
ELSEWHERE = {"driving": "udacity_ch2", "pdf": "."}
"""Configs whose data does not come along, and where in the folder it lies."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", action="append", help="an interpreter, by default this one; may be repeated"
    )
    parser.add_argument("--data", type=Path, help="the folder of data that does not come along")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, str(ROOT)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(place).glob("*.whl")
        for number, python in enumerate(options.python or [sys.executable]):
            told = installed(python, wheel, Path(place, str(number)), options.data)
            print(json.dumps(told), flush=True)
            good &= all(of.get("code", 0) == 0 for of in told["configs"].values())
    sys.exit(not good)


def installed(python: str, wheel: Path, place: Path, data: Path | None) -> dict[str, Any]:
    """What came of each config in an environment of that Python: exit code, seconds, findings."""
    start, bin_ = time.monotonic(), place / "env" / "bin"
    shell(place.parent, python, "-m", "venv", place / "env").check_returncode()
    pip = [bin_ / "python", "-m", "pip", "install", "-q", "--no-compile", f"{wheel}[{EXTRAS}]"]
    shell(place, *pip).check_returncode()
    version = shell(place, bin_ / "python", "-c", "import platform; print(platform.python_version())").stdout
    told: dict[str, Any] = {"python": version.strip(), "pip_seconds": round(time.monotonic() - start)}
    told["configs"] = {}
    for config in sorted(path.stem for path in (ROOT / "configs").glob("*.toml")):
        settings: list[str] = []
        if config in ELSEWHERE:
            if data is None:
                told["configs"][config] = {"left_out": "its data does not come along: --data"}
                continue
            settings = ["--set", f"seeds.path={(data / ELSEWHERE[config]).resolve()}"]
        start = time.monotonic()
        done = shell(place, bin_ / "xplore", "run", config, *LEAST, *settings, "--out", config)
        of = {"code": done.returncode, "seconds": round(time.monotonic() - start)}
        if done.returncode:
            of["error"] = done.stderr.strip().splitlines()[-1:]
        else:
            of["findings"] = json.loads((place / config / "summary.json").read_text("utf-8"))["findings"]
        told["configs"][config] = of
    return told


def shell(cwd: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this checkout or environment in sight."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
