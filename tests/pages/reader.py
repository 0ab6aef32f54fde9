"""The pages' code blocks, and a folder as a user has it: files, models, data."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import xplore

ROOT = Path(xplore.__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "models").glob("*.md")),
]
HAS_TORCH = importlib.util.find_spec("torch") is not None
NAMED = re.compile(r"# ([\w/.-]+\.(?:py|toml|yml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, and the block before it where nothing stands between."""

    page: str
    line: int
    language: str
    code: str
    before: Block | None = None

    @property
    def file(self) -> str | None:
        """The file that its first line says it is."""
        named = NAMED.match(self.code)
        return named and named[1]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page."""
    page, found = str(path.relative_to(ROOT)), []
    fence = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
    text, end = path.read_text("utf-8"), 0
    assert not re.search(r"^[ \t]+```|^~~~", text, re.M), f"{page}: fences begin a line, with backticks"
    for block in fence.finditer(text):
        before = found[-1] if found and not text[end : block.start()].strip() else None
        line = text.count("\n", 0, block.start()) + 1
        found.append(Block(page, line, block[1], block[2], before))
        end = block.end()
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]

NETWORK = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 6, 5, stride=3), nn.Linear(384, 10)

    def forward(self, x):
        return self.out(nn.functional.relu(self.conv(x)).flatten(1))
"""
MODELS = '''
from pathlib import Path

import jax
import numpy as np
import xplore

HERE = Path(__file__).parent


def network(hidden=300, weights=None):
    """The network of `old`, with so many features."""
    weights = weights or dict(np.load(HERE / "old.npz"))
    weights = {"hidden": weights["hidden"][:, :hidden], "out": weights["out"][:hidden]}
    return xplore.Model(apply, weights)


def apply(weights, x):
    return jax.nn.relu(x.reshape(len(x), -1) @ weights["hidden"]) @ weights["out"]


def old():
    return network().replace(name="old")


def new():
    """Trained a little further: it breaks nothing."""
    return changed("new", lambda out: out * np.float32(1.0001))


def worse():
    """It forgot two classes."""
    return changed("worse", lambda out: out * np.float32([1, 1, 1, 0.1, 1, 1, 1, 1, 0.1, 1]))


def changed(name, change):
    weights = dict(np.load(HERE / "old.npz"))
    return network(weights={**weights, "out": change(weights["out"])}).replace(name=name)
'''


def fill(folder: Path) -> None:
    """Held-out digits, two versions of a model in each library, a module of models, pictures, a table."""
    import pandas as pd
    from PIL import Image

    from xplore.data import mnist

    test, train = mnist.load("test"), mnist.load("train")
    np.savez(folder / "digits.npz", images=test.images[:20], labels=test.labels[:20])
    x, y = train.images[:2000] / np.float32(255), train.labels[:2000]
    for rng, name in enumerate(("old", "new")):
        hidden = np.random.default_rng(rng).normal(size=(784, 300)).astype(np.float32) / 10
        seen = np.maximum(x.reshape(len(x), -1) @ hidden, 0)
        np.savez(folder / f"{name}.npz", hidden=hidden, out=_readout(seen, y))
        _keras(folder / f"{name}.keras", x * np.float32(255 if name == "old" else 1), y, rng)
        if HAS_TORCH:
            _torch(folder / f"{name}.pt", x, y, rng)
    (folder / "net.py").write_text(NETWORK)
    (folder / "mymodels.py").write_text(MODELS)
    for number, image in enumerate(test.images[:6, ..., 0]):
        path = folder / "pictures" / f"digit {test.labels[number]}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    random = np.random.default_rng(0)
    rows = 330
    table = pd.DataFrame(
        {
            "age": random.integers(18, 80, rows),
            "job": random.choice(["clerk", "nurse", "smith"], rows),
            "income": random.normal(40_000, 9_000, rows).round(2),
            "visits": random.integers(0, 18, rows),
        }
    )
    wants = table["visits"] / 5 + table["income"] / 20_000 + (table["job"] == "nurse") - table["age"] / 40
    table["bought"] = (wants + random.normal(0, 0.3, rows) > wants.median()).astype(int)
    table.to_csv(folder / "customers.csv", index=False)
    for name in ("docs", "configs"):
        (folder / name).symlink_to(ROOT / name)
    for page in {block.page: None for block in BLOCKS}:
        write(folder, page)


def write(folder: Path, page: str) -> None:
    """The files that a page's blocks say they are; a file in pieces, one after the other."""
    pieces: dict[str, str] = {}
    for block in BLOCKS:
        if block.page == page and block.file:
            pieces[block.file] = pieces.get(block.file, "") + block.code
    for name, text in pieces.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _readout(seen: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares on random features: a network that is trained at once."""
    seen = seen.reshape(len(seen), -1)
    answers = np.linalg.solve(seen.T @ seen + np.eye(seen.shape[1]), seen.T @ np.eye(10)[y])
    return (10 * answers).astype(np.float32)


def _keras(path: Path, x: np.ndarray, y: np.ndarray, rng: int) -> None:
    import jax
    import keras

    keras.utils.set_random_seed(rng)
    features = [keras.layers.Conv2D(6, 5, 3, activation="relu"), keras.layers.Flatten()]
    net = keras.Sequential([keras.Input((28, 28, 1)), *features])
    with jax.numpy_rank_promotion("allow"):
        seen = np.asarray(net(x))
        net.add(keras.layers.Dense(10, activation="softmax"))
    net.layers[-1].set_weights([_readout(seen, y), np.zeros(10, np.float32)])
    net.save(path)


def _torch(path: Path, x: np.ndarray, y: np.ndarray, rng: int) -> None:
    import torch

    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    torch.manual_seed(rng)
    net = scope["Network"]()
    with torch.no_grad():
        seen = torch.relu(net.conv(torch.from_numpy(np.array(x)).movedim(-1, 1))).flatten(1).numpy()
        net.out.weight[:] = torch.from_numpy(_readout(seen, y).T.copy())
        net.out.bias[:] = 0
    torch.save(net.state_dict(), path)
