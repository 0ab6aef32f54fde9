"""How dense networks on rows are trained: what the domains of rows share."""

import datetime
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, Shaped

BATCH = 64
WEIGHT_DECAY = 1e-2

Read = Callable[[Any], Float[Array, "b d"]]


def fit(
    module: nn.Module,
    params: dict[str, Any],
    codes: Shaped[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    *,
    rng: int,
    epochs: int,
    rate: float,
    read: Read = jnp.asarray,
) -> dict[str, Any]:
    """Parameters by AdamW with a cosine schedule; `mean` and `std` stay. `read` decodes a batch."""
    steps = epochs * (len(codes) // BATCH)

    def among(params: Any, *names: str) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in names, params)

    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 20, steps)
    optimizer = optax.chain(
        optax.masked(optax.set_to_zero(), lambda params: among(params, "mean", "std")),
        optax.adamw(schedule, weight_decay=WEIGHT_DECAY, mask=lambda params: among(params, "kernel")),
    )

    @jax.jit
    def step(params: Any, state: Any, codes: Any, y: Any) -> tuple[Any, Any]:
        x = read(codes)

        def loss(params: Any) -> Float[Array, ""]:
            logits = module.apply({"params": params}, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    random = np.random.default_rng(rng)
    for _ in range(epochs):
        order = random.permutation(len(codes))
        for start in range(0, len(codes) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            params, state = step(params, state, codes[rows], labels[rows])
    return jax.tree.map(np.asarray, params)


def accuracy(
    module: nn.Module,
    params: dict[str, Any],
    codes: Shaped[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    read: Read = jnp.asarray,
) -> float:
    """Share of rows that are answered rightly."""
    right = 0
    for first in range(0, len(codes), 256):
        logits = module.apply({"params": params}, read(codes[first : first + 256]))
        right += int((np.asarray(logits).argmax(axis=-1) == labels[first : first + 256]).sum())
    return right / len(codes)


def size(params: dict[str, Any]) -> int:
    """How many numbers."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def card(title: str, reads: str, rows: dict[str, str], limits: str) -> str:
    """What a user should know of a model, in Markdown."""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# {title}

{reads}

| | |
|---|---|
{table}
| date | {datetime.date.today()} |

Hyperparameters were chosen on a tenth of the training part (`--check`); the held-out part was read once.

Limits: {limits}
"""
