"""What a finding claims, judged again from what is stored: by the plain models, one input at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from xplore._util.errors import InputError
from xplore.archive.records import NO_ANSWER, Finding, SeedRecord, content_hash
from xplore.archive.rows import DAMAGE
from xplore.campaign.doubt import ALL_SURE, REFERENCE, SURE, confidences, doubts
from xplore.campaign.findings import latent_shapes, unpacked
from xplore.campaign.judge import differences
from xplore.constraints import Constraint
from xplore.inputs.encoding import Encoding, encoding_of
from xplore.model.outputs import CLASSIFICATION
from xplore.oracles import Oracle
from xplore.panel import Panel

TOLERANCE = 1e-3
"""How far a probability, a value or a size may lie from what was recorded: devices round otherwise."""
TIE = 1e-4
"""A seed was read in a batch: of two decisions that are so near either may have been made."""
CHECKED = ("seed_wrong", "beyond_bound", "unstable_alone", "already_differ")
"""Reasons not to count that are judged again."""


class Answer(NamedTuple):
    """What the models say of one stored input, by itself: outputs and scores `[m k]`, decisions `[m]`."""

    outputs: Float[np.ndarray, "m k"]
    scores: Float[np.ndarray, "m k"]
    decisions: tuple[int, ...]
    differ: bool


@jax.jit
def _plain(panel: Panel, encoding: Encoding, codes: Shaped[Array, "1 *x"]) -> Any:
    outputs = panel.plain(encoding.decode(codes))
    return outputs, panel.probabilities(outputs)


def ask(panel: Panel, oracle: Oracle, media: str, data: bytes) -> Answer:
    """What the models say of one stored input, as written and by itself."""
    encoding = encoding_of(media, data)
    codes = encoding.unpack(data)[None]
    try:
        outputs, scores = _plain(panel, encoding, codes)
    except Exception:
        panel.check_alone(encoding.decode(codes))
        raise
    answers = np.asarray(outputs)[:, 0]
    sure = np.where(np.isfinite(answers).all(axis=-1, keepdims=True), np.asarray(scores)[:, 0], np.nan)
    decisions = tuple(np.asarray(oracle.decisions(outputs))[:, 0].tolist())
    return Answer(answers, sure.astype(np.float32), decisions, bool(oracle.divided(outputs)[0]))


@dataclass(frozen=True)
class Claims:
    """Judges findings of one campaign; without its `constraint`, all but their bounds and sizes."""

    panel: Panel
    oracle: Oracle
    constraint: Constraint | None = None

    def faults(self, finding: Finding, seed: SeedRecord | None) -> tuple[str, ...]:
        """What a finding claims and does not hold, in words; `seed` is what is recorded of where it began."""
        ask_ = partial(ask, self.panel, self.oracle, finding.media)
        before, after = ask_(finding.before), ask_(finding.after)
        compared = self._compared(finding, finding.after, finding.latents)
        return tuple(
            [
                *self._identity(finding),
                *self._answers("", finding.decisions, finding.probabilities, after),
                *self._seed(finding, seed, before),
                *self._reasons(finding, before, after, compared),
                *self._measures("", finding, finding.measures, after, compared),
                *self._doubts("", finding, finding.measures, after),
                *self._smallest(finding),
            ]
        )

    def _identity(self, finding: Finding) -> Iterator[str]:
        if not content_hash(finding.before + finding.after).startswith(finding.id):
            yield "its id is not that of its two inputs"
        if (finding.origin == "seed") != (finding.before == finding.after):
            yield f"it is said to come of the {finding.origin}, and the inputs do not"
        if (finding.origin == "seed") != ("already_differ" in finding.reasons):
            yield f"it comes of the {finding.origin}, for the reasons {_listed(finding.reasons)}"

    def _answers(
        self, what: str, decisions: tuple[int, ...], scores: Float[np.ndarray, "m k"], now: Answer
    ) -> Iterator[str]:
        if not now.differ:
            yield f"{what}the models do not differ"
        if now.decisions != decisions:
            yield f"{what}decisions {_listed(now.decisions)}, recorded {_listed(decisions)}"
        if scores.shape != now.scores.shape or not _near(scores, now.scores):
            yield f"{what}the models are not as sure as was recorded"

    def _seed(self, finding: Finding, seed: SeedRecord | None, now: Answer) -> Iterator[str]:
        """The seed's decisions, its label, and what the models agreed on."""
        if seed is None:
            yield "its seed is not in the archive"
            return
        if not self._decided(seed.decisions, now):
            yield f"seed: decisions {_listed(now.decisions)}, recorded {_listed(seed.decisions)}"
        if seed.label != finding.label:
            yield f"label {finding.label}, recorded of the seed {seed.label}"
        agreed = finding.measures.get("agreed")
        known = {int(one) for outputs in self._slack(now) for one in self.oracle.agreement(outputs)}
        known |= set(seed.decisions) if len(set(seed.decisions)) == 1 else set()
        if finding.origin == "search" and not (type(agreed) is int and agreed in known):
            yield f"seed: the models agree on {_listed(sorted(known))}, recorded {agreed}"
        values = finding.measures.get("seed_values")
        if values is not None and not _near(values, now.outputs[:, 0]):
            yield "seed: other values than were recorded"

    def _slack(self, now: Answer) -> list[Float[Array, "m 1 k"]]:
        """A seed's outputs, and of values those that lie as far off as rounding comes."""
        off = TIE * np.maximum(np.abs(now.outputs), 1) if self.panel.head == "values" else 0.0
        return [jnp.asarray(now.outputs + sign * off)[:, None] for sign in (-1, 0, 1)]

    def _decided(self, decisions: tuple[int, ...], now: Answer) -> bool:
        """Are these the models' decisions, or as near to them as rounding comes?"""
        if decisions == now.decisions:
            return True
        if len(decisions) != len(now.decisions):
            return False
        if self.panel.head == "values":
            near = [
                np.asarray(self.oracle.decisions(outputs))[:, 0] == decisions for outputs in self._slack(now)
            ]
            return bool(np.any(near, axis=0).all())
        inside = all(0 <= decision < now.scores.shape[1] for decision in decisions)
        return inside and all(row[d] >= row.max() - TIE for row, d in zip(now.scores, decisions, strict=True))

    def _reasons(
        self, finding: Finding, before: Answer, after: Answer, compared: dict[str, Any] | None
    ) -> Iterator[str]:
        """Reasons not to count: each is given where it holds, and only there."""
        if finding.origin != "search":
            return
        holds: dict[str, bool | None] = {
            "seed_wrong": self._wrong(finding, before),
            "unstable_alone": not after.differ,
            "beyond_bound": None if compared is None else not compared["within"][0],
        }
        for name, fault in holds.items():
            if fault is not None and fault != (name in finding.reasons):
                yield f"{name} {'holds and is not recorded' if fault else 'is recorded and does not hold'}"

    def _wrong(self, finding: Finding, before: Answer) -> bool | None:
        """Was the seed answered wrongly by its label? None, where the label is not known exactly."""
        truth: Any = finding.label
        if self.panel.head == "values":
            truth = finding.measures.get("truth")
        if truth is None:
            return NO_ANSWER in before.decisions if finding.label is None else None
        outputs = before.outputs[:, None]
        return not bool(self.oracle.are_right(outputs, np.array([truth])).all())

    def _compared(self, finding: Finding, data: bytes, latents: bytes) -> dict[str, Any] | None:
        """How two stored inputs differ, by the constraint; None, where it cannot say."""
        chart = self.constraint
        if chart is None:
            return None
        held = None
        try:
            before, after = (chart.encoding.unpack(one)[None] for one in (finding.before, data))
            if chart.needs_latents and finding.origin == "search":
                shape = chart.encoding.shape(before.shape[1:])
                held = jax.tree.map(lambda leaf: leaf[None], unpacked(latents, latent_shapes(chart, shape)))
        except (InputError, *DAMAGE):  # inputs or latents that the constraint did not make
            return {"within": np.array([False]), "sizes": {}, "settings": {}}
        return jax.tree.map(np.asarray, differences(chart, before, after, held))

    def _measures(
        self,
        what: str,
        finding: Finding,
        recorded: dict[str, Any],
        now: Answer,
        compared: dict[str, Any] | None,
    ) -> Iterator[str]:
        """The margin, the sizes of the change, and what its constraint was set to."""
        measured: dict[str, Any] = {"margin": self.oracle.distance(now.scores[:, None])[0]}
        if compared is not None and finding.origin == "search":
            measured |= {**compared["sizes"], **compared["settings"]}
        given = recorded.get("settings")
        recorded = {**recorded, **(given if isinstance(given, dict) else {})}
        for name, value in measured.items():
            number = np.ravel(value)[0]
            if name in recorded and not _near(recorded[name], number):
                yield f"{what}{name} {float(number):.4g}, recorded {recorded[name]}"

    def _doubts(self, what: str, finding: Finding, recorded: dict[str, Any], now: Answer) -> Iterator[str]:
        """Doubts that can be judged again: of the models, and of what is recorded of the reference model."""
        if finding.origin != "search" or self.panel.head not in CLASSIFICATION:
            return
        why, expected = recorded.get("doubts", []), finding.expected
        decisions = np.array(now.decisions)[:, None]
        sure = confidences(now.scores[:, None], decisions)
        holds = expected is not None and ALL_SURE in doubts(np.array([expected]), decisions, sure)[0]
        if abs(np.nan_to_num(sure).min() - SURE) > TOLERANCE and holds != (ALL_SURE in why):
            how = "holds and is not recorded" if holds else "is recorded and does not hold"
            yield f"{what}{ALL_SURE} {how}"
        if REFERENCE in why and recorded.get("referee") in (None, expected):
            yield f"{what}{REFERENCE} is recorded, and the reference model is said to give the label"

    def _smallest(self, finding: Finding) -> Iterator[str]:
        """The smallest change that shows the same; of one that latents made these are not kept."""
        small, what = finding.shrunk, "smallest change: "
        if small is None:
            return
        now = ask(self.panel, self.oracle, finding.media, small.after)
        latents = self.constraint is not None and self.constraint.needs_latents
        compared = None if latents else self._compared(finding, small.after, b"")
        yield from self._answers(what, finding.decisions, small.probabilities, now)
        yield from self._measures(what, finding, small.measures, now, compared)
        yield from self._doubts(what, finding, small.measures, now)
        if compared is not None and not compared["within"][0] and "beyond_bound" not in finding.reasons:
            yield f"{what}beyond the bound"


def _near(one: Any, other: Any) -> bool:
    try:  # JSON has no NaN: None stands for it
        one, other = np.array(one, float), np.array(other, float)
        return bool(np.allclose(one, other, TOLERANCE, TOLERANCE, equal_nan=True))
    except (TypeError, ValueError):  # recorded by a stranger: no number
        return False


def _listed(values: Any) -> str:
    return ", ".join(map(str, values)) or "none"
