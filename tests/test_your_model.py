"""docs/your-model.md: each block runs as it stands on a user's files, and ends in findings."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np
import pandas as pd
import pytest

import xplore
from xplore.data import mnist

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore::UserWarning:keras")
ROOT = Path(xplore.__file__).parents[1]
PAGE = (ROOT / "docs" / "your-model.md").read_text("utf-8")
BLOCKS = {
    heading: code
    for heading, code in re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE, re.M | re.S)
}
PRINTED = dict(re.findall(r"```sh\n(xplore inspect [^\n]+)\n```\n\n```text\n(.*?)```", PAGE, re.S))
HAS_TORCH = importlib.util.find_spec("torch") is not None
NETWORK = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 6, 5, stride=3), nn.Linear(384, 10)

    def forward(self, x):
        return self.out(nn.functional.relu(self.conv(x)).flatten(1))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: held-out digits, two versions of a model in each library, a table."""
    folder = tmp_path_factory.mktemp("user")
    test, train = mnist.load("test"), mnist.load("train")
    np.savez(folder / "digits.npz", images=test.images[:40], labels=test.labels[:40])
    x, y = train.images / np.float32(255), train.labels
    for rng, name in enumerate(("old", "new")):
        # Random features, and a least-squares readout on them.
        hidden = np.random.default_rng(rng).normal(size=(784, 300)).astype(np.float32) / 10
        seen = np.maximum(x.reshape(len(x), -1) @ hidden, 0)
        out = np.linalg.lstsq(seen.T @ seen + np.eye(300), seen.T @ np.eye(10)[y], rcond=None)[0]
        np.savez(folder / f"{name}.npz", hidden=hidden, out=out.astype(np.float32))
        _keras(folder / f"{name}.keras", x * (255 if name == "old" else 1), y, rng)
        if HAS_TORCH:
            _torch(folder / f"{name}.pt", x, y, rng)
    (folder / "net.py").write_text(NETWORK)
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": random.integers(18, 80, 400),
            "job": random.choice(["clerk", "nurse", "smith"], 400),
            "income": random.normal(40_000, 9_000, 400).round(2),
            "visits": random.integers(0, 30, 400),
        }
    )
    wants = table["visits"] / 8 + table["income"] / 20_000 + (table["job"] == "nurse") - table["age"] / 40
    table["bought"] = (wants + random.normal(0, 0.3, 400) > wants.median()).astype(int)
    table.to_csv(folder / "customers.csv", index=False)
    return folder


def _keras(path: Path, x: Any, y: Any, rng: int) -> None:
    import keras

    keras.utils.set_random_seed(rng)
    net = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(6, 5, 3, activation="relu")])
    net.add(keras.layers.Flatten())
    net.add(keras.layers.Dense(10, activation="softmax"))
    net.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    with jax.numpy_rank_promotion("allow"):
        net.fit(x, y, epochs=2, batch_size=50, verbose=0)
    net.save(path)


def _torch(path: Path, x: Any, y: Any, rng: int) -> None:
    import torch

    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    torch.manual_seed(rng)
    net = scope["Network"]()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    images, labels = torch.from_numpy(np.array(x)).movedim(-1, 1), torch.from_numpy(np.array(y))
    for _ in range(2):
        for first in range(0, len(x), 50):
            optimizer.zero_grad()
            part = slice(first, first + 50)
            torch.nn.functional.cross_entropy(net(images[part]), labels[part]).backward()
            optimizer.step()
    torch.save(net.state_dict(), path)


def test_every_way_has_a_block_of_under_twenty_lines() -> None:
    assert set(BLOCKS) == {
        *("A function of JAX", "Flax, Equinox, Haiku", "A Keras file", "A torch module"),
        *("A scikit-learn pipeline", "One model only"),
    }
    for heading, code in BLOCKS.items():
        assert len([line for line in code.splitlines() if line.strip()]) < 20, heading


@pytest.mark.parametrize("heading", BLOCKS)
def test_a_block_ends_in_a_finding(heading: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "torch" in heading and not HAS_TORCH:
        pytest.skip("torch is not installed: pip install torch")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    scope: dict[str, Any] = {}
    with jax.numpy_rank_promotion("allow"):
        exec(compile(BLOCKS[heading], f"your-model.md, {heading}", "exec"), scope)
    assert scope["result"].valid, scope["result"]


@pytest.mark.parametrize("command", PRINTED)
def test_what_inspect_prints_is_what_the_page_shows(command: str, tmp_path: Path) -> None:
    if "mixed" in command and not HAS_TORCH:
        pytest.skip("torch is not installed: pip install torch")
    program = str(Path(sysconfig.get_path("scripts")) / "xplore")
    done = subprocess.run(
        [program, *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED[command], f"paste what `{command}` prints into docs/your-model.md"


def test_the_page_shows_both() -> None:
    assert list(PRINTED) == ["xplore inspect docs/examples/mixed.toml", "xplore inspect mnist"]
