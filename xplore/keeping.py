"""Judged inputs as the findings that an archive keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from xplore.encoding import Encoding
from xplore.finding import Finding, content_hash
from xplore.validity import Judgement


def kept(
    encoding: Encoding,
    origin: str,
    seeds: Int[np.ndarray, " k"],
    inputs: tuple[Shaped[np.ndarray, "k *x"], Shaped[np.ndarray, "k *x"]],
    judged: Judgement,
    told: Sequence[tuple[dict[str, Any], tuple[str, ...], int | None, int]],
) -> list[Finding]:
    """Findings of an origin from seeds.

    `inputs` are those before and after; `told` are the measures, the reasons not to count, label and steps.
    """
    findings = []
    for row, (before, after, (measures, reasons, label, steps)) in enumerate(zip(*inputs, told, strict=True)):
        packed = encoding.pack(before), encoding.pack(after)
        findings.append(
            Finding(
                id=content_hash(b"".join(packed))[:12],
                origin=origin,
                seed=int(seeds[row]),
                before=packed[0],
                after=packed[1],
                media=encoding.media,
                label=label,
                decisions=tuple(judged.decisions[:, row].tolist()),
                probabilities=judged.probabilities[:, row],
                reasons=reasons,
                measures={key: value for key, value in measures.items() if key != "within"},
                steps=steps,
                covered=judged.covered[row],
                hidden=judged.hidden[row],
            )
        )
    return findings
