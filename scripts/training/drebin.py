"""The three networks on Android apps: synthetic ones, or Drebin's with --data FOLDER.

Hyperparameters are chosen with --check, which sees nothing but the training part; the test part is read once,
when the final model is written. The sets are decoded a batch at a time.
"""

import argparse
import time

import jax
import jax.numpy as jnp
from training import _rows as rows

from xplore.data import drebin
from xplore.inputs.encoding import Sparse
from xplore.model import weights
from xplore.models import drebin as zoo
from xplore.models import mlp

MODELS = tuple(zoo.HIDDEN)
EPOCHS = 8
RATE = 1e-3

READS = """Tells Android malware from other apps: sets of {:,} features, as zeros and ones float32 [b d],
to logits [b 2]."""
LIMITS = """the apps are {}. It is a model to test, not one to use."""
SYNTHETIC = (
    "synthetic, made by `xplore.data.drebin.generate`: no accuracy on them says anything of real malware"
)


def train(chosen: argparse.Namespace) -> None:
    """Train, score and write each chosen model."""
    seen, held = drebin.load("train", chosen.data), drebin.load("test", chosen.data)
    x, y, check, truth, of = seen.images, seen.labels, held.images, held.labels, held.name
    if chosen.check:
        tenth = len(x) // 10
        check, truth, x, y, of = x[:tenth], y[:tenth], x[tenth:], y[tenth:], "drebin/check"
    width = len(seen.names)
    read = Sparse(width, x.shape[1]).decode
    epochs = chosen.epochs or EPOCHS
    for name in dict.fromkeys(chosen.model or MODELS):
        start = time.perf_counter()
        module = zoo.module(name)
        key = jax.random.fold_in(jax.random.key(chosen.rng), MODELS.index(name))
        params = module.init(key, jnp.zeros((1, width)))["params"]
        rng = chosen.rng + MODELS.index(name)
        fitted = rows.fit(module, params, x, y, rng=rng, epochs=epochs, rate=RATE, read=read)
        params = mlp.stored(fitted)
        right = rows.accuracy(module, params, check, truth, read)
        if not chosen.check:
            chosen.out.mkdir(parents=True, exist_ok=True)
            weights.save(chosen.out / f"{name}.safetensors", params)
            data = "" if chosen.data is None else " --data FOLDER"
            command = f"python scripts/train_models.py drebin{data} --model {name} --rng {chosen.rng}"
            hidden = ", ".join(map(str, zoo.HIDDEN[name]))
            told = {
                "layers": f"{hidden}, relu; logits 2",
                "parameters": f"{rows.size(params):,}, in half precision",
                "neurons, as DeepXplore counts them": str(sum(zoo.HIDDEN[name]) + 4),
                "data": f"{len(seen.images):,} apps, {seen.name}",
                "held out": f"{len(held.images):,} others, none with the features of one of those",
                "accuracy on the held-out apps": f"{100 * right:.1f} %",
                "training": f"AdamW, cosine schedule, {epochs} epochs, batches of {rows.BATCH}",
                "command": f"`{command} --epochs {epochs}`",
            }
            limits = LIMITS.format(SYNTHETIC if chosen.data is None else "those of the folder given")
            card = rows.card(f"Drebin, {hidden}", READS.format(width), told, limits)
            (chosen.out / f"{name}.md").write_text(card, encoding="utf-8")
        share = max(truth.mean(), 1 - truth.mean())
        print(f"{name}: {100 * right:.1f} % of {of} ({100 * share:.0f} % by the larger class), "
              f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
