"""`xplore new` writes a config that runs as it is, tells every key, and overwrites nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xplore.campaign.config.file import Config, Settings, load, parts
from xplore.campaign.config.instantiate import READING, READING_HELP, build, build_model, named
from xplore.cli.new import ELSE, sample

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KEY = r"[a-z_0-9]+ = "


def xplore(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xplore.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_runs_as_it_is(tmp_path: Path) -> None:
    done = xplore(tmp_path, "new", "mine")
    assert (done.returncode, done.stdout) == (0, "mine.toml: xplore run mine.toml\n"), done.stderr
    done = xplore(tmp_path, "run", "mine.toml", "--seeds", "5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()


def test_every_key_is_there_and_explained(tmp_path: Path) -> None:
    text = sample(tmp_path / "mine.toml")
    lines = [line for line in text.splitlines() if re.match(rf"(# )?{KEY}", line)]
    assert len(lines) > 50
    silent = [line for line in lines if not re.search(r"  # \S", line)]
    assert all(' = "xplore.' in line and "use" in line for line in silent), silent
    assert {*Config.model_fields} - {"name"} <= {*re.findall(r"(?m)^(?:# )?\[+(\w+)\]+$", text)}
    campaign = text[text.index("[campaign]") :]
    assert [*Settings.model_fields] == re.findall(r"(?m)^(?:# )?(\w+) = ", campaign)
    assert {*READING} == {*READING_HELP}


def test_every_line_may_be_taken_in(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(sample(file))
    as_it_is = load(str(file))
    models = [build_model(part) for part in as_it_is.models]
    assert [model.name for model in models] == ["lenet1", "lenet4", "lenet5"]
    assert all(build(part) is not None for key, part in parts(as_it_is) if not key.startswith("models"))
    file.write_text(re.sub(rf"(?m)^# (?={KEY}|\[)", "", file.read_text()))
    whole = load(str(file))
    assert whole.oracle and whole.reference_model and whole.training and whole.campaign.until_coverage == 0.9
    assert {*READING} < {*whole.models[2]} and whole.search["optimizer"]["use"] == "optax:adam"
    assert build(whole.search).optimizer is not None and build(whole.oracle) is not None


@pytest.mark.parametrize("key", ELSE)
def test_what_may_stand_there_instead_is_there(key: str) -> None:
    package, names = re.fullmatch(r"in (\S+): (.*)", ELSE[key]).groups()
    names = re.findall(r"\b\w+:load|\b[A-Z]\w+", names)
    assert names
    for name in names:
        module, _, function = name.rpartition(":")
        assert callable(named(f"{package}.{module}:{function}" if module else f"{package}:{name}"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("there", "there.toml: expected a file that is not there, got one that is"),
        ("there.toml", "nothing was overwritten"),
        ("no/such/folder/mine", "expected a file to be written"),
    ],
)
def test_nothing_is_overwritten(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "there.toml").write_text("mine")
    done = xplore(tmp_path, "new", name)
    assert done.returncode == 2 and says in done.stderr and done.stderr.startswith("error: ")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there.toml", "mine")]


@pytest.mark.parametrize("name", ['say "hi"', "naïve", "C:\\new", "a b"])
def test_any_name_makes_a_config(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.toml"
    file.write_text(sample(file), "utf-8")
    assert load(str(file)).name == name.replace("\\", "-")  # which names a folder, too
