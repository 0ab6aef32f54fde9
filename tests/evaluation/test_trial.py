"""What is found out of models on the first seeds, before anything is searched."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Ball, Lighting
from xplore.model import Model
from xplore.objectives import Joint
from xplore.search import Gradient, HillClimb, Random

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
WEIGHTS = {"w": RANDOM.normal(size=(16, 3)).astype(np.float32)}
FLAT = (IMAGES / np.float32(255)).reshape(40, -1) - np.float32(0.5)
LABELS = (FLAT @ WEIGHTS["w"]).argmax(axis=1)
BINARY = (FLAT @ WEIGHTS["w"][:, :1] > 0).astype(int)[:, 0]
HOW: dict[str, Any] = {"constraint": Ball(0.1), "steps": 2, "tries": 1, "progress": False, "shrink": False}


def model(end: Any, columns: int = 3, **how: Any) -> Model:
    """A linear model whose outputs `end` turns to others; how it ends is not seen."""

    def f(p: Any, x: Any) -> Any:
        z = (x - 0.5).reshape(len(x), -1) @ p["w"][:, :columns]
        return jax.lax.cond(jnp.isfinite(z).all(), end, lambda z: z, z)

    return Model(f, WEIGHTS, **how)


def softmax(z: Any) -> Any:
    return jax.nn.softmax(4 * z)


def sigmoid(z: Any) -> Any:
    return jax.nn.sigmoid(4 * z)


def linear(z: Any) -> Any:
    return z


WRONG = {
    "one sigmoid taken for a logit": (lambda: model(sigmoid, 1), 'output="probabilities"', BINARY),
    "the same without labels": (lambda: model(sigmoid, 1), "as of a sigmoid", None),
    "a softmax taken for logits": (lambda: model(softmax), "that sum to one", LABELS),
    "one-hot answers taken for logits": (
        lambda: model(lambda z: jax.nn.one_hot(z.argmax(axis=-1), 3)),
        "that sum to one",
        None,
    ),
}


@pytest.mark.parametrize(
    ("kind", "call"),
    [*((kind, "inspect") for kind in WRONG), *((next(iter(WRONG)), c) for c in ("run", "gate"))],
)
def test_a_guess_that_numbers_contradict_ends_the_call(kind: str, call: str, tmp_path: Any) -> None:
    make, told, labels = WRONG[kind]
    models, out = [make(), make()], tmp_path / "run"
    with pytest.raises(InputError, match=r"outputs of model (model|old): .*declare what they are") as error:
        if call == "inspect":
            xplore.inspect(models, IMAGES, labels)
        elif call == "run":
            xplore.run(models, IMAGES, labels, out=out, **HOW)
        else:
            xplore.gate(*models, IMAGES, labels, out=out, **HOW)
    assert told in str(error.value) and not out.exists()


@pytest.mark.slow
def test_what_is_declared_is_only_warned_of() -> None:
    declared = [make().replace(output="logits", name=kind) for kind, (make, _, _) in WRONG.items()][2:]
    seen = xplore.inspect([*declared, model(linear, output="probabilities", name="raw")], IMAGES, LABELS)
    for name, told in [*((one.name, "that sum to one") for one in declared), ("raw", " to ")]:
        assert any(note.startswith(f"{name} is read as") and told in note for note in seen.warnings)
    right = [
        make().replace(output="probabilities") for kind, (make, _, _) in WRONG.items() if "one s" in kind
    ]
    assert xplore.inspect(right * 2, IMAGES, BINARY).warnings == []
    result = xplore.run(declared, IMAGES, LABELS, **HOW)
    assert sum("is read as" in note for note in result.summary["notes"]) == 2


def test_a_logit_that_is_small_is_only_warned_of() -> None:
    """It might be one of a model that learnt little, and says the second class of all seeds."""
    small = [model(lambda z: 0.2 + 0.01 * jnp.tanh(z), 1, name=name) for name in "ab"]
    told = xplore.inspect(small, IMAGES, BINARY).warnings
    assert sum("as a logit it never says the first class" in note for note in told) == 2
    split = model(lambda z: 0.4 + 0.3 * jax.nn.sigmoid(z) - 0.1, 1, name="split")
    ones = np.ones_like(BINARY)  # by the labels, it is read rightly as a logit
    assert any("as a logit" in note for note in xplore.inspect([split, split], IMAGES, ones).warnings)


@pytest.mark.parametrize("seed", range(4))
def test_sound_models_are_not_warned_of(seed: int) -> None:
    random = np.random.default_rng(seed)
    sound = [Model(lambda p, x: (x - 0.5).reshape(len(x), -1) @ p["w"], WEIGHTS, name="logits")]
    sound += [Model(lambda p, x: jax.nn.softmax(sound[0].f(p, x)), WEIGHTS, name="softmax")]
    sound += [model(jax.nn.log_softmax, name="log-probabilities")]
    kept = random.permutation(40)[:32]
    assert xplore.inspect(sound, IMAGES[kept], LABELS[kept]).warnings == []


@pytest.mark.slow
def test_models_that_say_little_are_warned_of() -> None:
    constant = model(lambda z: 0 * z + jnp.arange(3.0)[None], name="constant")
    leaning = model(lambda z: z + jnp.array([[0.0, 90.0, 0.0]]), name="leaning")
    told = xplore.inspect([model(linear, name="right"), constant, leaning], IMAGES, LABELS).warnings
    assert any(note.startswith("constant gives one and the same answer") for note in told)
    assert any(note.startswith("leaning answers class 1 on all of the first 40 seeds") for note in told)
    assert not any(note.startswith("right") for note in told)
    guesses = LABELS[np.random.default_rng(3).permutation(40)]
    result = xplore.run([model(linear, name="one"), model(linear, name="two")], IMAGES, guesses, **HOW)
    assert any(note.startswith("one is right on") for note in result.summary["notes"])


class TestBatches:
    """Answers that depend on the other inputs in a batch."""

    @staticmethod
    def by_batch(kind: str) -> Model:
        ends = {
            "quantised by the batch's largest": lambda z: jnp.round(z / jnp.abs(z).max() * 4) / 4,
            "normalised by the batch": lambda z: (
                (z - z.mean(axis=0, keepdims=True)) / (z.std(axis=0, keepdims=True) + 1e-3)
            ),
            "a neighbour's": lambda z: z + 0.1 * jnp.roll(z, 1, axis=0),
        }
        return model(ends[kind], name="by_batch")

    KINDS = ("quantised by the batch's largest", "normalised by the batch", "a neighbour's")

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    def test_they_are_judged_alone(self, kind: str) -> None:
        models = [model(linear, name="plain"), self.by_batch(kind)]
        result = xplore.run(
            models, IMAGES, search=Random(steps=4), constraint=Ball(0.2), progress=False, shrink=False
        )
        assert any(note.startswith("by_batch is judged alone") for note in result.summary["notes"])
        assert result.summary["rejudged_away"] == 0
        assert all("unstable_alone" not in finding.reasons for finding in result.findings)
        assert all(xplore.replay(result.folder, models).values())
        seen = xplore.inspect(models, IMAGES)
        assert any(note.startswith("by_batch is judged alone") for note in seen.warnings)

    def test_others_are_not(self) -> None:
        seen = xplore.inspect([model(linear, name="a"), model(linear, name="b")], IMAGES)
        assert not any("alone" in note for note in seen.warnings)

    def test_what_changes_from_call_to_call_is_said(self) -> None:
        draws = np.random.default_rng(0)

        def noisy(x: Any) -> Any:
            shape = jax.ShapeDtypeStruct((len(x), 3), np.float32)
            ask = lambda x: draws.normal(size=shape.shape).astype(np.float32)  # noqa: E731
            return jax.pure_callback(ask, shape, x, vmap_method="sequential")

        seen = xplore.inspect([model(linear, name="plain"), Model(noisy, name="noisy")], IMAGES)
        assert any(
            note.startswith("noisy answers one and the same input otherwise") for note in seen.warnings
        )


@jax.custom_vjp
def _hidden_zero(x: Any) -> Any:
    return x


_hidden_zero.defvjp(lambda x: (x, None), lambda _, g: (0 * g,))


def _on_host(x: Any) -> Any:
    shape = jax.ShapeDtypeStruct((len(x), 3), np.float32)
    ask = lambda x: np.asarray(x).reshape(len(x), -1) @ WEIGHTS["w"]  # noqa: E731
    return jax.pure_callback(ask, shape, x, vmap_method="sequential")


FLATS = {
    "of its own, and zero": lambda p, x: _hidden_zero(x - 0.5).reshape(len(x), -1) @ p["w"],
    "rounded": lambda p, x: jnp.round(4 * (x - 0.5)).reshape(len(x), -1) @ p["w"],
    "stopped": lambda p, x: jax.lax.stop_gradient(x - 0.5).reshape(len(x), -1) @ p["w"],
    "on the host": lambda p, x: _on_host(x - 0.5),
}


def flat(kind: str, name: str) -> Model:
    """A model without a gradient, near to the linear one."""
    return Model(lambda p, x: FLATS[kind](p, x) + jnp.array([[0.1, 0.0, 0.0]]), WEIGHTS, name=name)


class TestGradients:
    """Models whose gradient is zero, or that have none."""

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", FLATS)
    def test_the_others_are_climbed(self, kind: str) -> None:
        models = [model(linear, name="smooth"), flat(kind, "flat")]
        result = xplore.run(models, IMAGES, **{**HOW, "constraint": Ball(0.3), "steps": 8})
        assert result.summary["search"].startswith("Gradient") and "deviate=0" in result.summary["objective"]
        assert any(note.startswith("flat has no gradient") for note in result.summary["notes"])
        assert result.valid

    @pytest.mark.parametrize("kind", ["rounded", "on the host"])
    def test_without_any_the_search_needs_none(self, kind: str) -> None:
        models = [flat(kind, name) for name in "ab"]
        result = xplore.run(models, IMAGES[:8], **HOW)
        assert result.summary["search"].startswith("HillClimb")
        assert sum("no gradient" in note for note in result.summary["notes"]) == 1
        with pytest.raises(InputError, match=r"model a: .*with a gradient.*does without"):
            xplore.run(models, IMAGES[:8], search=Gradient(), **{**HOW, "steps": 1})

    @pytest.mark.slow
    def test_who_is_to_deviate_must_have_one(self) -> None:
        models = [model(linear, name="smooth"), flat("rounded", "flat")]
        result = xplore.run(models, IMAGES[:8], objective=Joint(deviate=1), **HOW)
        assert result.summary["search"].startswith("HillClimb")
        verdict = xplore.gate(*models, IMAGES[:8], LABELS[:8], **HOW)
        assert verdict.result.summary["search"].startswith("HillClimb")

    @pytest.mark.slow
    def test_a_search_that_needs_none_is_left(self) -> None:
        models = [flat("rounded", name) for name in "ab"]
        result = xplore.run(models, IMAGES[:8], search=HillClimb(), **HOW)
        assert [note for note in result.summary["notes"] if "constraint" not in note] == []


def ending(end: Any, shift: float) -> Model:
    """A linear model that ends in the open."""
    weights = WEIGHTS["w"] + np.float32(shift) * np.roll(WEIGHTS["w"], 1, axis=0)
    return Model(lambda p, x: end((x - 0.5).reshape(len(x), -1) @ p["w"]), {"w": weights}, name=f"by {shift}")


@pytest.mark.slow
@pytest.mark.parametrize("on", ["logits", "log_odds"])
@pytest.mark.parametrize(
    "end",
    [jax.nn.softmax, lambda z: jnp.exp(jax.nn.log_softmax(z)), jax.jit(jax.nn.softmax)],
    ids=["softmax", "of a logarithm", "compiled"],
)
def test_a_search_on_logits_takes_the_steps_of_one_on_bare_logits(end: Any, on: str) -> None:
    how = HOW | {"steps": 6, "tries": 2, "objective": Joint(on=on), "constraint": Ball(0.05)}
    plain, soft = (xplore.run([ending(one, 0.0), ending(one, 0.1)], IMAGES, **how) for one in (linear, end))
    assert plain.valid and len(plain.findings) < len(IMAGES)
    assert {f.seed: f.steps for f in soft.findings} == {f.seed: f.steps for f in plain.findings}
    assert not [note for note in soft.summary["notes"] if "logits" in note]


@pytest.mark.slow
@pytest.mark.parametrize("on", ["logits", "log_odds"])
def test_where_logits_cannot_be_seen_it_is_said(on: str) -> None:
    how = HOW | {"objective": Joint(on=on)}
    models = [
        model(softmax, name="unseen", output="probabilities"),
        ending(jax.nn.softmax, 0.1),
        ending(linear, 0.2),
        ending(lambda z: jnp.abs(z) / jnp.abs(z).sum(axis=-1, keepdims=True), 0.3).replace(
            name="shares", output="probabilities"
        ),
    ]
    said = [note for note in xplore.run(models, IMAGES, **how).summary["notes"] if "on='logits'" in note]
    assert [note.split()[0] for note in said] == (["unseen", "shares"] if on == "logits" else [])


@pytest.mark.slow
def test_light_is_swept_unless_a_search_is_named() -> None:
    how = HOW | {"constraint": Lighting(0.2), "steps": None, "tries": None}
    models = [ending(linear, 0.0), ending(linear, 0.1)]
    result = xplore.run(models, IMAGES, **how)
    assert result.summary["search"].startswith("GridSearch(steps=32, tries=1, first='farthest')")
    agree = len(IMAGES) - result.summary["already_differ"]
    assert result.summary["queries"] <= 32 * agree
    few = xplore.run(models, IMAGES, **how | {"steps": 2})
    assert few.summary["search"].startswith("GridSearch(steps=2") and few.summary["queries"] <= 2 * agree
    # Each level by hand: which seeds can be divided, and by both ends alone?
    weights = [np.asarray(one.params["w"], np.float64) for one in models]

    def divided(levels: Any) -> set[int]:
        found = set()
        for level in levels:
            x = np.clip(IMAGES.astype(int) + level, 0, 255).reshape(40, -1) / 255 - 0.5
            first, other = (np.argmax(x @ w, axis=1) for w in weights)
            shows = (x != x[:, :1]).any(axis=1)
            found |= set(np.flatnonzero((first != other) & shows).tolist())
        return found - divided([0]) if 0 not in levels else found

    assert {f.seed for f in few.findings} == divided([-51, 51])
    assert {f.seed for f in result.findings} <= divided([*range(-51, 0), *range(1, 52)])
    assert len({f.seed for f in result.findings}) >= len(divided([-51, 51]))
    climbed = xplore.run(models, IMAGES, **how | {"search": Gradient(steps=2, tries=1)})
    assert climbed.summary["search"].startswith("Gradient")


def test_some_models_alone_deviate_in_turn() -> None:
    before = jnp.asarray(RANDOM.normal(size=(4, 5, 3)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 5)
    for turn in range(4):
        aim = Joint(deviate=(1, 3)).goal(keys, before, (), jnp.full(5, turn))
        assert set(aim.deviate.tolist()) <= {1, 3}
        after = Joint(deviate=(1, 3)).goal(keys, before, (), jnp.full(5, turn + 1))
        assert (aim.deviate != after.deviate).all()
    with pytest.raises(InputError, match=r"deviate"):
        Joint(deviate=(0, 4)).fits(4, "logits")


@pytest.mark.slow
def test_seeds_of_a_generator_are_looked_at_and_searched() -> None:
    models = [model(linear, name="a"), model(lambda z: z + 0.05, name="b")]
    streamed = xplore.run(models, iter([*IMAGES[:12]]), **HOW)
    held = xplore.run(models, IMAGES[:12], **HOW)
    assert streamed.summary["seeds"] == 12
    assert [f.id for f in streamed.findings] == [f.id for f in held.findings]
