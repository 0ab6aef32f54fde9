"""How often the gate fails for a version that is sound, and for one that is damaged, as docs/results/gate.md.

    python scripts/results_gate.py                       # trains 16 LeNets, then asks; writes the page
    python scripts/results_gate.py --versions FOLDER     # with the versions that lie there, and trains the rest

Sound versions of LeNet-1 differ by the random state of their training alone. Damaged ones: trained on digits of
which a quarter of the 4s are called 9; or the weights into the logit of the 4 are halved.
"""

import argparse
import datetime
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from training.mnist import EPOCHS, lenet_accuracy, train_lenet  # noqa: E402

import xplore  # noqa: E402
from xplore.adapters.linen import linen  # noqa: E402
from xplore.campaign.provenance import device  # noqa: E402
from xplore.constraints import Ball, Lighting  # noqa: E402
from xplore.data import mnist  # noqa: E402
from xplore.model import weights  # noqa: E402
from xplore.models import lenet  # noqa: E402
from xplore.regression.gate import WHERE, Measured, compared  # noqa: E402
from xplore.search import Gradient  # noqa: E402

SOUND = [f"sound{rng}" for rng in range(1, 15)]
MISLABELLED = ["mislabelled21", "mislabelled22"]
OLD = SOUND[:3]
SEARCHES: dict[str, dict[str, Any]] = {
    "Ball(0.05)": {"constraint": Ball(0.05), "steps": 10, "tries": 1},
    "Lighting()": {"constraint": Lighting(), "search": Gradient(steps=6, tries=4)},
}
FOUR, NINE, HALF = 4, 9, 0.5
DRAWS = 400
MODULE = lenet.module("lenet1")


def versions(folder: Path) -> dict[str, Any]:
    """The parameters of each version, those trained that are not there yet."""
    train, test = mnist.load("train"), mnist.load("test")
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in (*SOUND, *MISLABELLED):
        file = folder / f"{name}.safetensors"
        if not file.exists():
            labels = train.labels.copy()
            if name in MISLABELLED:
                labels[np.flatnonzero(labels == FOUR)[::4]] = NINE
            rng = int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
            params = train_lenet("lenet1", train.images / np.float32(255), labels, rng, EPOCHS["lenet1"])
            weights.save(file, params)
        found[name] = lenet.load_parameters("lenet1", file)
        print(f"{name}: {lenet_accuracy('lenet1', found[name], test):.1%}", flush=True)
    return found


def halved(params: Any) -> Any:
    """A copy whose weights into the logit of the 4 are halved."""
    kernel, bias = (np.array(params["logits"][name]) for name in ("kernel", "bias"))
    kernel[:, FOUR] *= HALF
    bias[FOUR] *= HALF
    return {**params, "logits": {"kernel": kernel, "bias": bias}}


def measured(old: Any, new: Any, search: dict[str, Any]) -> Measured:
    """What a version does where the old one is right, on the 1,000 held-out digits."""
    digits = mnist.load("test")
    models = [linen(MODULE, {"params": params}) for params in (old, new)]
    quiet = {"progress": False, "shrink": False}
    return xplore.gate(*models, digits.images, digits.labels, **search, **quiet).new


def fails(new: Measured, null: list[Measured]) -> bool:
    return any(line.fails for where in WHERE for line in compared(where, new, null, 0.0))


def rates(seen: dict[str, dict[str, Measured]], k: int) -> dict[str, float]:
    """How often each kind of version fails, `k` null models and the version drawn anew each time."""
    random, failed, asked = np.random.default_rng(0), dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for _ in range(DRAWS):
        of = seen[str(random.choice(OLD))]
        order = [str(name) for name in random.permutation([name for name in SOUND if name in of])]
        null = [of[name] for name in order[:k]]
        damaged = [name for name in of if name not in SOUND]
        for name in (order[k], *damaged):
            kind = name.rstrip("0123456789")
            asked[kind] += 1
            failed[kind] += fails(of[name], null)
    return {kind: failed[kind] / asked[kind] for kind in KINDS}


KINDS = {
    "sound": "sound",
    "mislabelled": "a quarter of the 4s trained as 9",
    "halved": "old, weights of the 4 halved",
    "retrained and halved": "retrained, weights of the 4 halved",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--versions", type=Path, default=ROOT / "runs" / "versions", help="folder of weights")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "gate.md")
    chosen = parser.parse_args()
    begun, params = time.perf_counter(), versions(chosen.versions)
    spreads, table, alarms = [], [], []
    for search, how in SEARCHES.items():
        seen: dict[str, dict[str, Measured]] = {}
        for at, old in enumerate(OLD):
            others = {name: params[name] for name in params if name != old}
            others |= {"halved": halved(params[old])}
            others |= {"retrained and halved": halved(params[SOUND[at + 1]])}
            seen[old] = {name: measured(params[old], other, how) for name, other in others.items()}
            shares = [seen[old][name].share("near")["share"] for name in SOUND if name != old]
            four = [seen[old][name].share("near", FOUR)["share"] for name in SOUND if name != old]
            hurt = {
                kind: np.mean(
                    [
                        m.share("near", FOUR)["share"]
                        for n, m in seen[old].items()
                        if kind == n.rstrip("0123456789")
                    ]
                )
                for kind in list(KINDS)[1:]
            }
            print(search, old, shares, four, hurt, flush=True)
            spreads.append(
                f"| {search} | {old} | {min(shares):.0%} to {max(shares):.0%} | {min(four):.0%} to {max(four):.0%} | "
                + " | ".join(f"{value:.0%}" for value in hurt.values())
                + " |"
            )
        sound = []
        for k in (2, 3, 4, 5):
            came = rates(seen, k)
            sound.append(came["sound"])
            table.append(f"| {search} | {k} | " + " | ".join(f"{came[kind]:.1%}" for kind in KINDS) + " |")
            print(table[-1], flush=True)
        alarms.append(f"{min(sound):.1%} to {max(sound):.1%} of gates by `{search}`")
    chosen.out.write_text(
        PAGE.format(
            date=datetime.date.today(),
            device=device(),
            minutes=(time.perf_counter() - begun) / 60,
            sound=len(SOUND),
            draws=DRAWS,
            kinds=" | ".join(KINDS.values()),
            rule="|---" * len(KINDS),
            hurt=" | ".join(list(KINDS.values())[1:]),
            spreads="\n".join(spreads),
            table="\n".join(table),
            alarms=", ".join(alarms),
        )
    )


PAGE = """# The gate

Written by `python scripts/results_gate.py` on {date}, on {device}, in {minutes:.0f} minutes.

What does `xplore gate` say to versions that are sound, and to damaged ones? {sound} LeNet-1 that differ by the
random state of their training alone; two trained on digits of which a quarter of the 4s are called 9; copies
whose weights into the logit of the 4 are halved, of the old model and of another training. Each is asked
beside three old models on the 1,000 held-out digits; `Ball(0.05)` with 10 steps and one try a seed,
`Lighting()` with 6 steps and 4 tries.

## How far trainings lie apart

Shares of digits, answered rightly by both models, near which a negative flip is found: over all classes, of the
4s alone, and of the 4s for each kind of damage. Sound trainings differ by several times what chance over 1,000
digits allows, and damage to one class is lost in the whole: it shows class by class.

| search | old | sound, all | sound, 4s | {hurt} |
|---|---|---|---|---|---|---|
{spreads}

## How often the gate fails

With `null` of so many sound versions, drawn with the version under test from those that were not the old one, {draws:,}
times (the draws share versions, so they are not independent; a share of a few in a hundred is known to a few
in a hundred). If the intervals are right, the whole on the data and the whole near it each raise a false alarm in
2.5 % of gates, and the classes of both places together in another 2.5 %: at most 7.5 % in all.

| search | null models | {kinds} |
|---|---{rule}|
{table}

Sound versions failed in {alarms}: what lies above 7.5 % is more than the intervals promise.

These networks never saw other light, and what they do there differs widely between trainings: the same damage shows less
under `Lighting()` than in a small ball.

A flip counts where the finding is valid. No reference model was asked and no training inputs were given, so that none is in
doubt; what the old model answered wrongly is not searched.

Bounds hold in whole levels of 8 bits: `Ball(0.05)` moves a pixel by at most 12 levels of 255, `Lighting()` all pixels
alike by at most 76. Earlier pages, of versions trained then: on that of 2026-11-26, before doubt was a verdict, sound trainings flipped near 6 % to 16 % of the
digits in the ball and 0 % to 15 % under light, and sound versions failed in 0.0 % to 6.0 % and 7.0 % to 9.0 % of gates; before that day
bounds allowed 12.75 and 76.5 levels, and near 8 % to 19 % of the digits were flipped in the ball.
"""


if __name__ == "__main__":
    main()
