"""The networks on PDF files, and the ranges of the training part.

    python scripts/train_models.py pdf --data FOLDER    # with both files of Contagio

Hyperparameters are chosen with --check, which sees nothing but the training part; the test part is read once,
when the final model is written.
"""

import argparse
import time

import jax
import numpy as np
from jaxtyping import Float, Float32
from training import _rows as rows

from xplore.data import pdf
from xplore.data._base import Inputs
from xplore.model import weights
from xplore.models import mlp
from xplore.models import pdf as zoo

MODELS = tuple(zoo.LAYERS)
EPOCHS = 30
RATE = 1e-3
LEAST = 0.1
"""The least deviation a feature is divided by, in squashed numbers: one that hardly varies shall not rule."""

READS = """Tells malicious PDF files from benign ones: 135 numbers of each as mimicus reads them,
float32 [b 135], to logits [b 2]."""
LIMITS = """the set is of 2011 and before, and its benign files are not of one kind with its malicious ones:
accuracy here says little about other files. It is a model to test, not one to use."""


def standard(seen: Float32[np.ndarray, "n d"]) -> dict[str, Float[np.ndarray, " d"]]:
    """Mean and deviation of the squashed features."""
    squashed = np.arcsinh(seen.astype(np.float64))
    std = np.maximum(squashed.std(axis=0), LEAST)
    return {"mean": squashed.mean(axis=0).astype(np.float32), "std": std.astype(np.float32)}


def train(chosen: argparse.Namespace) -> None:
    """Train, score and write each chosen model."""
    seen, held = pdf.load("train", chosen.data), pdf.load("test", chosen.data)
    x, y, check = seen.images, seen.labels, held
    if chosen.check:
        tenth = len(x) // 10
        x, y, check = (
            x[tenth:],
            y[tenth:],
            Inputs(x[:tenth], y[:tenth], "pdf/check", seen.classes, seen.columns),
        )
    epochs = chosen.epochs or EPOCHS
    for name in dict.fromkeys(chosen.model or MODELS):
        start = time.perf_counter()
        module = zoo.module(name)
        key = jax.random.fold_in(jax.random.key(chosen.rng), MODELS.index(name))
        params = {**module.init(key, x[:1])["params"], **standard(x)}
        rng = chosen.rng + MODELS.index(name)
        params = mlp.stored(rows.fit(module, params, x, y, rng=rng, epochs=epochs, rate=RATE))
        right = rows.accuracy(module, params, check.images, check.labels)
        if not chosen.check:
            chosen.out.mkdir(parents=True, exist_ok=True)
            weights.save(chosen.out / f"{name}.safetensors", params)
            command = f"python scripts/train_models.py pdf --data FOLDER --model {name} --rng {chosen.rng}"
            (chosen.out / f"{name}.md").write_text(
                rows.card(
                    f"PDF, {zoo.LAYERS[name]} layers",
                    READS,
                    {
                        "layers": f"`arcsinh`, standardised; {zoo.LAYERS[name]} of 200, relu; logits 2",
                        "parameters": f"{rows.size(params):,}, weights in half precision",
                        "neurons, as DeepXplore counts them": str(200 * zoo.LAYERS[name] + 4),
                        "data": f"{len(x):,} PDF files of Contagio in mimicus (Srndic and Laskov, 2014)",
                        "held out": f"{len(held.images):,} others, no row of which is among those",
                        "accuracy on the held-out files": f"{100 * right:.2f} %",
                        "training": f"AdamW, cosine schedule, {epochs} epochs, batches of {rows.BATCH}",
                        "command": f"`{command} --epochs {epochs}`",
                    },
                    LIMITS,
                ),
                encoding="utf-8",
            )
        print(f"{name}: {100 * right:.2f} % of {check.name}, {time.perf_counter() - start:.0f} s", flush=True)
    if not chosen.check:
        low, high = pdf.ends(seen.images)
        weights.save(chosen.out / "pdf.safetensors", {"low": low, "high": high, "example": seen.images[0]})
