"""Configs as files: where their paths and modules start, defaults that settings change, bad values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from cli.test_bad_input import Tell, tell

from xplore._util.errors import InputError
from xplore.campaign.config.file import build, build_model, load
from xplore.campaign.config.toml import DEEPEST, PATHS
from xplore.model.weights import save

__all__ = ["tell"]
ROOT = Path(__file__).parents[2]
PATH = f"{ROOT}:{ROOT / 'tests' / 'helpers'}"
SHORT = "\n".join(
    line for line in tiny.CONFIG.splitlines() if not line.startswith(("search", "criteria", "campaign"))
)


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs, from elsewhere."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def written(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text)
    return str(folder / "mine.toml")


def test_paths_start_at_the_config_and_those_of_settings_where_they_are_typed(away: Path) -> None:
    for place, images in ((away / "data", 3), (Path("data"), 2)):
        place.mkdir()
        np.savez(place / "seeds.npz", images=tiny.images(images))
    for place, shift in ((away, 0.0), (Path(), 0.3)):
        save(place / "w.safetensors", tiny.dense("w", shift=shift).params)
    seeds = '{use = "xplore.data.npz:load", path = "data/seeds.npz"}'
    text = SHORT.replace('{use = "tiny:seeds"}', seeds)
    text = text.replace('"tiny:one"', '"tiny:one", weights = "w.safetensors"')
    file = written(away, text)
    config = load(file)
    assert len(build(config.seeds).images) == 3
    assert build_model(config.models[0]).digest() == tiny.one().digest()
    assert len(build(load(file, ["seeds.path=data/seeds.npz"]).seeds).images) == 2
    typed = load(file, ["models.0.weights=w.safetensors"]).models[0]
    assert build_model(typed).digest() == tiny.two().replace(name="one").digest()
    away.joinpath("data", "seeds.npz").rename(away / "other.npz")
    with pytest.raises(InputError, match=str(away / "data" / "seeds.npz")):
        build(load(file).seeds)
    absolute = load(written(away, text.replace("data/seeds.npz", str(away / "other.npz"))))
    assert len(build(absolute.seeds).images) == 3
    os.chdir(away)
    assert load("mine.toml").models[0]["weights"] == "w.safetensors"


def test_whatever_is_a_path_starts_at_the_config() -> None:
    """Arguments of xplore's factories that are annotated as paths have names that configs know as such."""
    import inspect

    from xplore import data
    from xplore.adapters import keras, torch

    modules = [Path(path).stem for path in Path(str(data.__file__)).parent.glob("[a-z]*.py")]
    loads = [getattr(__import__(f"xplore.data.{name}", fromlist=["load"]), "load", None) for name in modules]
    for factory in [*filter(None, loads), keras.load, torch.load]:
        told = inspect.signature(factory).parameters.values()
        paths = [p.name for p in told if "Path" in str(p.annotation)]
        assert {*paths} <= {*PATHS}, factory


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "src", "src/deep"])
def test_modules_lie_beside_the_config_or_in_src(place: str, away: Path) -> None:
    folder, name = away / place, f"parts_of_mine_{len(place)}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text("from tiny import one as old, two as new")
    use = f"deep.{name}" if place.endswith("deep") else name
    text = SHORT.replace('"tiny:one"', f'"{use}:old"').replace('"tiny:two"', f'"{use}:new"')
    code = "import sys; from xplore.campaign.config.file import build_model, load; "
    code += "print([build_model(part).name for part in load(sys.argv[1]).models])"
    done = subprocess.run(
        [sys.executable, "-c", code, written(away, text)],
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "['one', 'two']\n", done.stderr


def test_a_module_that_is_nowhere_is_told_with_where_it_may_be(away: Path) -> None:
    with pytest.raises(InputError, match="beside the config or in src there"):
        load(written(away, SHORT.replace("tiny:one", "nowhere_at_all:one")))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["search.steps=5"], lambda config: config.search == {"steps": 5}),
        (["search.tries=2", "search.steps=3"], lambda config: config.search == {"tries": 2, "steps": 3}),
        (["criteria.0.t=0.1"], lambda config: build(config.criteria[0]).t == 0.1),
        (["search={steps=4}"], lambda config: config.search == {"steps": 4}),
        (["campaign.lanes=4"], lambda config: config.campaign.lanes == 4),
    ],
)
def test_settings_change_what_a_config_does_not_name(settings: list[str], told, away: Path) -> None:
    assert told(load(written(away, SHORT), settings))


def test_the_optimizer_of_a_config_is_one(away: Path) -> None:
    setting = 'search.optimizer={use="optax:adam", learning_rate=0.25}'
    search = build(load(written(away, SHORT), [setting]).search)
    assert repr(search.optimizer) == "adam(learning_rate=0.25)" and search.optimizer().init


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("name=../x", "name: expected a name of 1 to 60 characters that a folder can have, got '../x'"),
        ("name=", "name: expected a name of 1 to 60"),
        (f"name={'x' * 61}", "name: expected a name of 1 to 60"),
        ("name='a\\b'", "name: expected a name of 1 to 60"),
        ('name="a\\nb"', "name: expected a name of 1 to 60"),
        ('name="a\\u0000"', "name: expected text without null bytes"),
        ("campaign.seeds=99999999999999999999", "campaign.seeds: expected a number of at most 18 digits"),
        ("campaign.seconds=inf", "campaign.seconds: expected a finite number, got inf"),
        ("criteria.0.t=nan", "criteria[0].t: expected a finite number, got nan"),
        ("seeds.path=1979-05-27", "seeds.path: expected text, a number, true, false, a list or a table"),
        (f"models.0.x={'[' * 30}{']' * 30}", f"expected at most {DEEPEST} tables and lists"),
        (f"models.0.x={'[' * 3000}{']' * 3000}", "expected a plain value, got RecursionError"),
        ("models.0.use=builtins:exit", "builtins:exit: expected a part that can be built, got SystemExit"),
        ("seeds.use=sys:exit", "sys:exit: expected a part that can be built, got SystemExit"),
        ("models.0.use=this_ends:one", "'this_ends:one' (SystemExit: 3)"),
    ],
)
def test_values_that_no_archive_could_record(
    tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, told: str
) -> None:
    (tmp_path / "this_ends.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    assert told in tell("--set", setting)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = " + "[" * 3000 + "]" * 3000, "RecursionError"),
        ("x = " + "{a = " * 3000 + "1" + "}" * 3000, "RecursionError"),
        ("x = " + "1" * 5000, "digits"),
        ("name = 1979-05-27", "text, a number"),
    ],
)
def test_files_that_are_no_config(tell: Tell, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "broken.toml").write_text(text)
    assert told in tell(config="broken.toml")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\udcff"])
def test_names_that_no_file_has(tell: Tell, name: str) -> None:
    assert "no such file" in tell(config=name)


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["<&- 2>&- >&-", "2>&1 | head -1", "> /dev/full"])
def test_a_campaign_goes_on_where_nobody_reads(redirected: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(tiny.CONFIG)
    run = f"{sys.executable} -m xplore.cli run tiny.toml --out out --seeds 4 --steps 1 --tries 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {run} {redirected}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PATH, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "out" / "report.html").is_file() and not list(tmp_path.glob("out/.*"))
