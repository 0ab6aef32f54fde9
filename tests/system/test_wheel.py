"""The wheel, as a user has it: installed with its extras into an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import xplore

ROOT = Path(xplore.__file__).parents[1]
EXTRAS = "demo,tabular,phishing,driving,imagenet"
SMALL = "run mnist --seeds 10 --steps 2 --lanes 8 --set baseline=none --set training=none"
SMALL += " --set reference_model=none"

ROWS = "--seeds 10 --steps 2 --lanes 8 --set baseline=none"
AWAY = {"driving": "udacity_ch2", "pdf": "."}
"""Configs whose data does not come along, and where it lies below what XPLORE_DATA names."""
BUILD = """
import importlib, pkgutil, sys
import xplore.models
from xplore.campaign.config.file import build, build_model, load, parts

for module in pkgutil.iter_modules(xplore.models.__path__):
    importlib.import_module(f"xplore.models.{module.name}")
for word in sys.argv[1:]:
    name, _, path = word.partition("=")
    config = load(name, [f"seeds.path={path}"] if path else [])
    for key, part in parts(config):
        built = build_model(part) if key.startswith("models[") else build(part)
        assert key not in ("seeds", "training") or len(built.images), key
    print(name)
assert not any(path.startswith(%r) for path in sys.path)
"""

pytestmark = pytest.mark.slow


def shell(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this checkout or environment in sight."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "XLA_FLAGS", "PYTHONHOME")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = shell(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_what_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "xplore").rglob("*.py")}
    code |= {f"xplore/models/{path.name}" for path in (ROOT / "models").iterdir() if path.is_file()}
    code |= {f"xplore/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml")}
    assert code - names == set()
    for name in (
        "models/lenet5.safetensors",
        "models/referee.safetensors",
        "configs/mnist.toml",
        "report/html.jinja",
        "report/review/page.jinja",
        "report/review/page.js",
        "py.typed",
    ):
        assert f"xplore/{name}" in names
    assert {name.split("/")[0] for name in names} == {"xplore", "xplore_tests-0.1.0.dist-info"}
    assert [name for name in names if "/test" in name or "/conftest" in name or "__pycache__" in name] == []


def test_installed_wheel_runs_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """The main job and the tables; of every other config all is built (`scripts/wheels.py` runs them).

    `driving` and `pdf` are left out where XPLORE_DATA names no folder with their data.
    """
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python, program = home / "bin" / "python", home / "bin" / "xplore"
    done = shell(python, "-m", "pip", "install", "-q", "--no-compile", f"{wheel}[{EXTRAS}]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = shell(
        program, *SMALL.split(), "--out", "mine", cwd=elsewhere, XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "report: mine/report.html"
    ask = "import xplore.models.lenet as m, xplore.campaign.config.file as c"
    ask += "; print(m.__file__, c.find('mnist'))"
    places = shell(python, "-c", ask, cwd=elsewhere).stdout.split()
    assert all(place.startswith(f"{home}/lib") for place in places) and len(places) == 2, places

    for name in ("phishing", "drebin"):
        done = shell(program, "run", name, *ROWS.split(), cwd=elsewhere)
        assert done.returncode == 0, done.stderr
    data = os.environ.get("XPLORE_DATA", "")
    every = sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))
    paths = {name: str((Path(data) / below).resolve()) for name, below in AWAY.items() if data}
    words = [f"{name}={paths[name]}" if name in paths else name for name in every if data or name not in AWAY]
    done = shell(python, "-c", BUILD % f"{ROOT}/", *words, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [word.partition("=")[0] for word in words]

    done = shell(python, "-m", "pip", "uninstall", "-q", "-y", "mlxtend", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = shell(program, *SMALL.split(), "--out", "other", cwd=elsewhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "pip install 'xplore-tests[demo]'" in done.stderr
    assert not (elsewhere / "other").exists()
