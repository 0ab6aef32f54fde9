"""A model named by a config: a user's own file, outside the repository, with weights beside it."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated
from profiles import many

from xplore._util.errors import InputError
from xplore.adapters import adapt, with_weights
from xplore.archive.trusted import arguments, make
from xplore.campaign.config import file as configs
from xplore.campaign.config.file import build, build_model
from xplore.model import Model, weights
from xplore.models.lenet import lenet1

pytestmark = pytest.mark.slow

XPLORE = Path(sysconfig.get_path("scripts")) / "xplore"
FACTORY = """
import jax.numpy as jnp
from flax import linen as nn
import jax

def net(hidden: int = 8):
    module = nn.Sequential([nn.Conv(4, (5, 5), (2, 2)), nn.relu, lambda x: x.reshape(len(x), -1),
                            nn.Dense(hidden), nn.relu, nn.Dense(10)])
    return module, module.init(jax.random.key(0), jnp.ones((1, 28, 28, 1)))
"""
CONFIG = """
name = "mine"
[seeds]
use = "xplore.data.mnist:load"
[[models]]
use = "mymodels:net"
hidden = 12
weights = "{folder}/net.safetensors"
name = "mine"
scale = 2.0
mean = 1.0
exclude = ["*pool*"]
[[models]]
use = "xplore.models.lenet:lenet1"
[constraint]
use = "xplore.constraints:Ball"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A factory, trained weights, a config."""
    import importlib.util

    import optax

    from xplore.data import mnist

    folder = tmp_path_factory.mktemp("user")
    (folder / "mymodels.py").write_text(FACTORY)
    (folder / "mine.toml").write_text(CONFIG.format(folder=folder.as_posix()))
    spec = importlib.util.spec_from_file_location("mymodels", folder / "mymodels.py")
    assert spec is not None and spec.loader is not None
    own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    module, variables = own.net(12)
    digits = mnist.load("train")
    x, y = digits.images / np.float32(255) * 2 - 1, digits.labels
    optimizer = optax.adam(3e-3)
    state = optimizer.init(variables)

    @jax.jit
    def step(variables, state, x, y):
        def loss(v):
            return optax.softmax_cross_entropy_with_integer_labels(module.apply(v, x), y).mean()

        update, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, update), state

    for first in range(0, 4000, 100):
        variables, state = step(variables, state, x[first : first + 100], y[first : first + 100])
    weights.save(folder / "net.safetensors", jax.tree.map(np.asarray, variables))
    return folder


def ask(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """From another folder: a config's own folder is where its modules are looked for."""
    return subprocess.run(
        [str(XPLORE), *command], cwd=folder.parent, capture_output=True, text=True, check=False, timeout=300
    )


def test_inspect_tells_what_the_model_is(folder: Path) -> None:
    done = ask(folder, "inspect", str(folder / "mine.toml"), "--seeds", "200")
    assert done.returncode == 0, done.stderr
    assert "mine: 9,654 parameters, 36 neurons, accuracy" in done.stdout
    assert "reads x * 2 - 1, returns logits" in done.stdout and "warning" not in done.stdout
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert "layers_0" in names and "layers_3" in names


def test_inspect_warns_of_a_model_that_is_read_wrongly(folder: Path) -> None:
    done = ask(folder, "inspect", str(folder / "mine.toml"), "--seeds", "200", "--set", "models.0.scale=-9.0")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert warning.startswith("warning: mine is right on ") and "scale=" in warning and "classes=" in warning


def test_a_campaign_and_its_replay(folder: Path) -> None:
    out = str(folder / "run")
    config = str(folder / "mine.toml")
    done = ask(folder, "run", config, "--seeds", "30", "--lanes", "16", "--out", out)
    assert done.returncode == 0, done.stderr
    again = ask(folder, "replay", out)
    assert again.returncode == 2 and "--config" in again.stderr  # no code that an archive names is imported
    again = ask(folder, "replay", out, "--config", config)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('models.0.weights="nowhere.safetensors"', ("nowhere.safetensors", "no such file")),
        ("models.0.hidden=9", ("net.safetensors: expected params/layers_3/bias float32 [9]", "[12]")),
        ("models.0.scael=2.0", ("config key models[0].scael", "did you mean 'scale'?")),
        ('models.0.layout="NHCW"', ("config key models[0].layout", "'NHWC' or 'NCHW'")),
        ('models.0.mean="grey"', ("config key models[0].mean",)),
        ('models.0.use="mymodels:nett"', ("did you mean 'net'?",)),
        ('models.0.use="nomodels:net"', ("No module named 'nomodels'",)),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, setting: str, words: tuple[str, ...]) -> None:
    done = ask(folder, "inspect", str(folder / "mine.toml"), "--seeds", "20", "--set", setting)
    assert done.returncode == 2, done.stdout + done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr


@settings(max_examples=many(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_weights_are_told(tmp_path: Path, data: st.DataObject) -> None:
    tree = {"a": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, "b": {"w": np.ones(3, np.float32)}}
    model = Model(lambda p, x: x @ p["a"]["w"], tree)
    path = tmp_path / "w.safetensors"
    weights.save(path, tree)
    assert with_weights(model, path).digest() == model.digest()
    path.write_bytes(mutated(data, path.read_bytes(), 6))
    try:
        loaded = with_weights(model, path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert jax.tree.map(np.shape, loaded.params) == jax.tree.map(np.shape, tree)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loaded.params))


@settings(max_examples=many(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_configs_are_told(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes changed, cut or put in: the config is read as it stands, or it is said what is wrong with it."""
    content = bytearray(configs.find("mnist").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "mutated.toml"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        config = configs.load(str(path))
    except InputError as error:
        assert str(error).startswith((str(path), "config "))
    else:
        assert len(config.models) > 1


@pytest.mark.parametrize("key", ["name", "classes"])
def test_a_name_of_none_is_a_name(key: str) -> None:
    """Only of what may be left out is "none" no text: in a config, and in what an archive says."""
    said = {"name": "none"} if key == "name" else {"classes": [*"012345678", "none"]}
    part = {"use": "xplore.models.lenet:lenet1", **said}
    for model in (build_model(part), adapt(lenet1(), **arguments(part, "model"))):
        assert getattr(model, key) == ("none" if key == "name" else tuple(said["classes"]))
    bound = {"use": "xplore.constraints:Occlusion", "bound": "none"}
    assert build(bound).bound is None and make(bound, "constraint").bound is None
