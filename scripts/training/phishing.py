"""The three networks on phishing websites; the forest is fitted where it is used.

Hyperparameters are chosen with --check, which sees nothing but the training part; the test part is read once,
when the final model is written.
"""

import argparse
import time

import jax
import numpy as np
from training import _rows as rows

from xplore.data import phishing
from xplore.model import weights
from xplore.models import mlp
from xplore.models import phishing as zoo

MODELS = tuple(zoo.HIDDEN)
EPOCHS = 30
RATE = 3e-3

READS = """Tells phishing websites from legitimate ones: nine features of a page as levels from 0,
float32 [b 9], to logits [b 2]."""
LIMITS = """1,250 pages of 2014 and before, half of them equal to another, some of which have another label:
no model can be right on all. It is a model to test, not one to use."""


def train(chosen: argparse.Namespace) -> None:
    """Train, score and write each chosen model."""
    features, seen, held = phishing.realistic(), phishing.load("train"), phishing.load("test")
    x, y, (name_of, check_x, check_y) = (
        features.encode_inputs(seen.images),
        seen.labels,
        (held.name, None, held.labels),
    )
    check_x = features.encode_inputs(held.images)
    if chosen.check:
        tenth = len(x) // 10
        name_of, check_x, check_y, x, y = "phishing/check", x[:tenth], y[:tenth], x[tenth:], y[tenth:]
    epochs = chosen.epochs or EPOCHS
    for name in dict.fromkeys(chosen.model or MODELS):
        start = time.perf_counter()
        module = zoo.module(name)
        key = jax.random.fold_in(jax.random.key(chosen.rng), MODELS.index(name))
        params = {**module.init(key, x[:1])["params"], "mean": x.mean(axis=0), "std": x.std(axis=0)}
        rng = chosen.rng + MODELS.index(name)
        params = mlp.stored(rows.fit(module, params, x, y, rng=rng, epochs=epochs, rate=RATE))
        right = rows.accuracy(module, params, check_x, check_y)
        if not chosen.check:
            chosen.out.mkdir(parents=True, exist_ok=True)
            weights.save(chosen.out / f"{name}.safetensors", params)
            command = f"python scripts/train_models.py phishing --model {name} --rng {chosen.rng}"
            told = {
                "layers": f"standardised; {', '.join(map(str, zoo.HIDDEN[name]))}, relu; logits 2",
                "parameters": f"{rows.size(params):,}, weights in half precision",
                "neurons, as DeepXplore counts them": str(sum(zoo.HIDDEN[name]) + 4),
                "data": f"{len(seen.images):,} pages (Abdelhamid et al., 2014) in the package river (BSD-3)",
                "held out": f"{len(held.images):,} others, no row of which is among those",
                "accuracy on the held-out pages": f"{100 * right:.1f} %",
                "training": f"AdamW, cosine schedule, {epochs} epochs, batches of {rows.BATCH}",
                "command": f"`{command} --epochs {epochs}`",
            }
            title = f"Phishing, {len(zoo.HIDDEN[name])} layer" + "s" * (len(zoo.HIDDEN[name]) > 1)
            (chosen.out / f"{name}.md").write_text(rows.card(title, READS, told, LIMITS), encoding="utf-8")
        print(f"{name}: {100 * right:.1f} % of {name_of}, {time.perf_counter() - start:.0f} s", flush=True)
    if chosen.check:
        return
    right = (zoo.forest().predict(features.frame(check_x)) == np.asarray(check_y)).mean()
    print(f"forest: {100 * right:.1f} % of {name_of}", flush=True)
