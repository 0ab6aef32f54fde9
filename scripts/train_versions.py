"""Train versions of LeNet-1 for the tests of the gate, sound ones and a damaged one, into tests/versions/.

    python scripts/train_versions.py

Sound ones differ by the random state of their training alone; `mislabelled` was trained on digits of which a
quarter of the 4s are called 9.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from training.mnist import lenet_accuracy, train_lenet  # noqa: E402

from xplore import weights  # noqa: E402
from xplore.data import mnist  # noqa: E402

VERSIONS = {"one": 1, "two": 2, "three": 3, "mislabelled": 4}


def main() -> None:
    """Train each version and say how right it is."""
    parser = argparse.ArgumentParser(description="Train versions of LeNet-1 for the tests of the gate.")
    parser.add_argument("--epochs", type=int, default=50, help="passes over the training part (50)")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "versions", help="folder to write to")
    chosen = parser.parse_args()
    train, test = mnist.load("train"), mnist.load("test")
    for name, rng in VERSIONS.items():
        labels = train.labels.copy()
        if name == "mislabelled":
            fours = np.flatnonzero(labels == 4)
            labels[fours[::4]] = 9
        params = train_lenet("lenet1", train.images / np.float32(255), labels, rng, chosen.epochs)
        weights.save(chosen.out / f"{name}.safetensors", params)
        print(f"{name}: {lenet_accuracy('lenet1', params, test):.1%}", flush=True)


if __name__ == "__main__":
    main()
