"""Judged inputs as the findings that an archive keeps."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Shaped

from xplore._util.jax_settings import PRNG
from xplore.archive.records import Finding, content_hash
from xplore.campaign.judge import Validity
from xplore.constraints import Constraint
from xplore.inputs.encoding import Encoding


def make_findings(
    encoding: Encoding,
    origin: str,
    seeds: Int[np.ndarray, " k"],
    inputs: tuple[Shaped[np.ndarray, "k *x"], Shaped[np.ndarray, "k *x"]],
    judged: Validity,
    judgements: Sequence[tuple[dict[str, Any], tuple[str, ...], int | None, int]],
    latents: Any = (),
) -> list[Finding]:
    """Findings of an origin from seeds.

    `inputs` are those before and after; `told` are the measures, the reasons not to count, label and steps;
    `latents` are those of charts that need them.
    """
    findings = []
    for row, (before, after, (measures, reasons, label, steps)) in enumerate(
        zip(*inputs, judgements, strict=True)
    ):
        stored = encoding.pack(before), encoding.pack(after)
        findings.append(
            Finding(
                id=content_hash(b"".join(stored))[:12],
                origin=origin,
                seed=int(seeds[row]),
                before=stored[0],
                after=stored[1],
                media=encoding.media,
                label=label,
                decisions=tuple(judged.decisions[:, row].tolist()),
                probabilities=judged.probabilities[:, row],
                reasons=reasons,
                measures={key: value for key, value in measures.items() if key != "within"},
                steps=steps,
                covered=judged.covered[row],
                hidden=judged.hidden[row],
                latents=packed(jax.tree.map(lambda leaf, row=row: leaf[row], latents)),
            )
        )
    return findings


def packed(latents: Any) -> bytes:
    """One input's latents as bytes, compressed; nothing, where there are none."""
    leaves = jax.tree.leaves(latents)
    return zlib.compress(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in leaves)) if leaves else b""


def latent_shapes(constraint: Constraint, shape: tuple[int, ...]) -> Any:
    """Shapes and types of one input's latents, `(z, fixed)`, for seeds of a shape."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl=PRNG), 1))
    x0 = jax.ShapeDtypeStruct((1, *shape), jnp.result_type(float))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
        jax.eval_shape(constraint.sample, keys, x0),
    )


def unpacked(data: bytes, like: Any) -> Any:
    """The latents that bytes hold, of the shapes and types `like`; a ValueError for bytes of others.

    >>> one = {"z": np.ones(2, np.float32), "corner": np.array([3, 4])}
    >>> unpacked(packed(one), one)["corner"].tolist()
    [3, 4]
    """
    leaves, tree = jax.tree.flatten(like)
    sizes = [int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in leaves]
    content = zlib.decompressobj().decompress(data, sum(sizes) + 1)
    if len(content) != sum(sizes):
        raise ValueError(f"latents of {sum(sizes)} bytes, got {len(content)} or more")
    parts = np.split(np.frombuffer(content, np.uint8), np.cumsum(sizes)[:-1])
    arrays = [
        np.frombuffer(part.tobytes(), leaf.dtype).reshape(leaf.shape)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, arrays)
