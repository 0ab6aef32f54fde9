"""What a model's outputs mean: which decision they are, and how sure it is."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

OutputKind = Literal["logits", "probabilities", "multilabel", "values"]
"""`logits` and `probabilities` are of classes, along the last axis: `[b c]`, or `[b h w c]` in segmentation.
`multilabel` are logits of labels that do not exclude each other, `values` numbers: regression, embeddings."""

CLASSIFICATION = ("logits", "probabilities")


def spread(outputs: Float[Array, "b *o"], head: OutputKind) -> Float[Array, "b *c"]:
    """Outputs with a column a class: a binary model's single one is that of the second class.

    >>> spread(jnp.array([[0.25]]), "probabilities").tolist(), spread(jnp.array([2.0]), "logits").tolist()
    ([[0.75, 0.25]], [[0.0, 2.0]])
    """
    if head not in CLASSIFICATION:
        return outputs[:, None] if outputs.ndim == 1 else outputs
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.ndim != 2 or outputs.shape[1] != 1:
        return outputs
    first = 1 - outputs if head == "probabilities" else jnp.zeros_like(outputs)
    return jnp.concatenate([first, outputs], axis=1)


def log_scores(outputs: Float[Array, "*b c"], head: OutputKind) -> Float[Array, "*b c"]:
    """Log-probabilities up to a constant a row; values as they are."""
    if head != "probabilities":
        return outputs
    return jnp.log(jnp.maximum(outputs, jnp.finfo(outputs.dtype).tiny))


def probabilities(outputs: Float[Array, "*b c"], head: OutputKind) -> Float[Array, "*b c"]:
    """How sure a model is of each class or label; values as they are."""
    if head == "logits":
        return jax.nn.softmax(outputs)
    return jax.nn.sigmoid(outputs) if head == "multilabel" else outputs


def head_layer(outputs: Any, head: OutputKind) -> tuple[str, Any] | None:
    """The layer that a panel applies to what the model returns, as DeepXplore counts it; None for none."""
    names = {"logits": "softmax", "multilabel": "sigmoid"}
    return (names[head], probabilities(outputs, head)) if head in names else None
