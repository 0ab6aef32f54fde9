"""What xplore does in batches is what DeepXplore's rules say of one input, transcribed in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import double, examples, small_network, small_weights
from reference import original

import xplore
from xplore._util.errors import InputError
from xplore.constraints import Additions, Features, Lighting
from xplore.coverage import NeuronCoverage
from xplore.data import mnist
from xplore.engine.step import Method, query
from xplore.inputs.media import from_png
from xplore.model import Model
from xplore.model.neurons import Layer, Layout, gather
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.objectives.joint import JointGoal
from xplore.oracles import LabelsDiffer
from xplore.panel import Panel
from xplore.search import Original
from xplore.search._base import Feedback, Start
from xplore.search.original import added, edited, grown

THRESHOLDS = (0.0, 0.25, 0.5, 0.75)
NEAR = 1e-6
SURE = 0.01
"""What share of cells may be nearer to a threshold than `NEAR`: softmax units of sure models are, to 0."""
ARCHITECTURES = [((), ()), ((), (5,)), ((2,), ()), ((3, 2), (6, 5))]
seeds = st.integers(0, 2**32 - 1)
forward = jax.jit(Panel.__call__)
locate = jax.jit(NeuronCoverage.locate)
slope_at = jax.jit(query)
advance = jax.jit(Original.update)


def disagreements(panel, x, layers):
    """Cells that differ; those too near the threshold to tell, of softmaxes and of others; all cells.

    `layers` are the values of every layer for each input, by some other way. A cell exactly at the
    threshold, as that of a silent unit at 0, is told apart: it is not covered.
    """
    activations = forward(panel, x).activations
    layout = activations.layout
    softmax = np.array([name.endswith("/softmax") for name in layout.names])[layout.layer_of_unit]
    apart = sure = near = total = 0
    for t in THRESHOLDS:
        ours = np.asarray(locate(NeuronCoverage(t), activations)) == 0
        theirs = np.stack([original.covered(row, t) for row in layers])
        scaled = np.stack([np.concatenate([original.scaled(layer) for layer in row]) for row in layers])
        close = (np.abs(scaled - t) < NEAR) & (scaled != t)
        apart += int(((ours != theirs) & ~close).sum())
        sure += int(close[:, softmax].sum())
        near += int(close[:, ~softmax].sum())
        total += ours.size
    return apart, sure, near, total


def linen_layers(name, images):
    """Every layer of a LeNet for each image, from flax's own intermediates."""
    module, variables = lenet.module(name), {"params": lenet.load_parameters(name)}
    _, state = module.apply(variables, images, capture_intermediates=True)
    kept = {
        layer: np.float64(out["__call__"][0])
        for layer, out in state["intermediates"].items()
        if "_" not in layer
    }
    rows = []
    for index in range(len(images)):
        row = []
        for layer in ("conv1", "conv2", "fc1", "fc2"):
            if layer in kept:
                row.append(np.maximum(kept[layer][index], 0))
            if layer.startswith("conv"):
                row.append(original.pooling(row[-1]))
        logits = kept["logits"][index]
        rows.append([*row, logits, original.softmax(logits)])
    return rows


@pytest.mark.slow
def test_the_lenets_cover_what_the_original_would_on_digits():
    images = mnist.load("test").images[:200].astype(np.float32) / 255
    panel = Panel.of([lenet.lenet1(), lenet.lenet4(), lenet.lenet5()])
    each = [linen_layers(name, images) for name in lenet.ARCHITECTURES]
    rows = [[layer for row in models for layer in row] for models in zip(*each, strict=True)]
    apart, sure, near, total = disagreements(panel, jnp.asarray(images), rows)
    assert total == 200 * 468 * len(THRESHOLDS)
    assert apart == 0
    assert sure + near <= SURE * total, f"{sure + near} of {total} cells lie within {NEAR} of a threshold"


@examples(10)
@given(seeds, st.sampled_from(ARCHITECTURES), st.sampled_from([1, 3]))
def test_random_networks_cover_what_the_original_would(seed, architecture, depth):
    shape = (6, 7, depth)
    rng = np.random.default_rng(seed)
    with double():
        weights = [small_weights(rng, shape, *architecture, dtype=np.float64) for _ in range(2)]
        panel = Panel.of([Model(small_network, w) for w in weights])
        x = rng.random((4, *shape))
        layers = [[layer for w in weights for layer in original.network(w, row)] for row in x]
        apart, _, near, _ = disagreements(panel, jnp.asarray(x), layers)
        captured = forward(panel, jnp.asarray(x)).activations.values
        assert apart == 0
    values = [np.concatenate([original.neurons(layer) for layer in row]) for row in layers]
    np.testing.assert_allclose(captured, values, atol=1e-12)
    assert near <= 2


@examples(30)
@given(seeds, st.sampled_from([1.0, 1e-3, 1e4]), st.integers(0, 7), st.sampled_from(THRESHOLDS))
def test_any_activations_cover_what_the_original_would(seed, scale, constant, t):
    rng = np.random.default_rng(seed)
    kinds = [(3, 4, 2), (5,), (2, 2, 6)]
    layers = [
        np.full((3, *kind), rng.normal())
        if constant >> i & 1
        else scale * rng.integers(-4, 5, (3, *kind)) / 4
        for i, kind in enumerate(kinds)
    ]
    layout = Layout((("net", tuple(Layer(f"layer{i}", "any", kind) for i, kind in enumerate(kinds))),))
    with double():
        ours = locate(NeuronCoverage(t), gathered([jnp.asarray(layer) for layer in layers], layout)) == 0
    for row in range(3):
        scaled = np.concatenate([original.scaled(layer[row]) for layer in layers])
        theirs = original.covered([layer[row] for layer in layers], t)
        assert (np.asarray(ours[row]) == theirs)[~(np.abs(scaled - t) < 1e-12) | (scaled == 0)].all()


gathered = jax.jit(gather, static_argnums=1)
edits = jax.jit(edited, static_argnums=(0, 3))


@examples(25)
@given(seeds, st.sampled_from([(6, 7, 1, 3), (9, 8, 3, 4), (10, 10, 1, 10)]), st.integers(-12, 3))
def test_edits_are_the_originals(seed, shape, power):
    *shape, size = shape
    rng = np.random.default_rng(seed)
    g = rng.normal(0.2 * rng.normal(), 1, (4, *shape)) * 10.0**power
    corners = np.stack([rng.integers(0, n - size + 1, 4) for n in shape[:2]], axis=1)
    with double():
        ours = {edit: edits(edit, jnp.asarray(g), jnp.asarray(corners), size) for edit in EDITS}
    for row, corner in enumerate(corners.tolist()):
        for edit, theirs in EDITS.items():
            np.testing.assert_allclose(ours[edit][row], theirs(g[row], corner, size), rtol=1e-12, atol=1e-300)


@examples(25)
@given(seeds, st.integers(-9, 3))
def test_edits_of_rows_are_the_originals(seed, power):
    rng = np.random.default_rng(seed)
    table = np.array([[0, 0, 5, -2, 1], [9, 40, 6, 3, 1]], float)
    chart = Features.infer(table, list("abcde")).freeze("c").grow("a", "b")
    sets = Additions.of([f"f{at}" for at in range(9)], [0, 2, 3, 7, 8], width=9)
    with double():
        x, g = rng.random((4, 5)), rng.normal(size=(4, 5)) * 10.0**power
        moved = np.asarray(grow(chart, jnp.asarray(x), jnp.asarray(g), 0.1))
        ones, slope = rng.integers(0, 2, (4, 9)).astype(float), rng.normal(-0.5, 1, (4, 9))
        more = np.asarray(add(sets, jnp.asarray(ones), jnp.asarray(slope)))
    span, which = np.array([9.0, 40, 1, 5, 0]), np.arange(5)
    for row in range(4):
        theirs = x[row] + original.features(g[row], span, which == 2, which < 2, 0.1)
        np.testing.assert_allclose(moved[row], theirs, rtol=1e-12, atol=1e-300)
        allowed = np.asarray(sets.allowed)
        np.testing.assert_array_equal(more[row], original.manifest(ones[row], slope[row], allowed))
    assert (moved != x).any()


grow = jax.jit(grown)
add = jax.jit(added)


def test_edits_of_rows_want_the_constraint_that_says_what_may_change():
    x = jnp.zeros((2, 5))
    start = Start(x, jax.random.split(jax.random.key(0), 2), jnp.zeros(2, int))
    for edit, wanted in (("features", "Features"), ("manifest", "Additions")):
        search = Original(edit)
        point = search.init(Lighting(), start)
        with pytest.raises(InputError, match=f"the constraint {wanted}, got Lighting"):
            search.update(Lighting(), point, start, Feedback(x, x[:, 0], jnp.zeros(2, int)))
    with pytest.raises(InputError, match="expected images, got rows"):
        Original("light").init(Lighting(), start)
    images = start.replace(x0=jnp.zeros((2, 6, 6, 1)))
    with pytest.raises(InputError, match="expected rows, got images"):
        Original("manifest").init(Lighting(), images)


EDITS = {
    "light": lambda g, corner, size: original.light(g),
    "occlusion": original.occlusion,
    "blackout": original.blackout,
}


def a_panel(seed, shape, architecture=((2,), (5,))):
    rng = np.random.default_rng(seed)
    weights = [small_weights(rng, shape, *architecture, dtype=np.float64) for _ in range(3)]
    return weights, Panel.of([Model(small_network, w) for w in weights])


def joint(weights, aim, row, lambda1, lambda2):
    """The score of one row of an aim, as a function of its input."""
    chosen = np.asarray(aim.neurons[row])
    sizes = [sum(layer.shape[-1] for layer in original.network(w, np.zeros((6, 6, 1)))) for w in weights]
    inside = [int(n) - sum(sizes[:k]) for k, n in enumerate(chosen)]
    label, deviate = int(aim.label[row]), int(aim.deviate[row])

    def score(x):
        networks = [original.network(w, x) for w in weights]
        return original.objective(networks, label, deviate, inside, lambda1, lambda2)

    return score


def random_aim(rng, panel, rows):
    spans = panel.check((6, 6, 1)).spans().values()
    return JointGoal(
        jnp.asarray(rng.integers(0, 4, rows)),
        jnp.asarray(rng.integers(0, 3, rows)),
        jnp.asarray(np.stack([rng.integers(span.start, span.stop, rows) for span in spans], axis=1)),
    )


@pytest.mark.slow
@examples(6)
@given(seeds, st.floats(0, 3), st.floats(0, 2))
def test_the_joint_objective_and_its_slope_are_the_originals(seed, lambda1, lambda2):
    rng = np.random.default_rng(seed)
    with double():
        weights, panel = a_panel(seed, (6, 6, 1))
        x, aim = jnp.asarray(rng.random((2, 6, 6, 1))), random_aim(rng, panel, 2)
        objective = Joint(lambda1, lambda2, on="logits")
        scores = objective.score(aim, forward(panel, x))
        method = Method(panel, objective, Lighting(), LabelsDiffer(), Original())
        slopes = slope_at(method, x, aim, jnp.zeros(len(x), int))[1].grad
    for row in range(2):
        score = joint(weights, aim, row, lambda1, lambda2)
        assert scores[row] == pytest.approx(score(np.asarray(x[row])), rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(slopes[row], original.slope(score, np.asarray(x[row])), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("clip", [False, True])
def test_steps_are_the_originals(edit, clip):
    with double():
        weights, panel = a_panel(7, (6, 6, 1))
        rng = np.random.default_rng(8)
        search = Original(edit, step=0.05, size=3, clip=clip)
        method = Method(panel, Joint(1.0, 0.1, on="logits"), Lighting(), LabelsDiffer(), search)
        keys = jax.random.split(jax.random.key(9), 2)
        start = Start(jnp.asarray(rng.random((2, 6, 6, 1))), keys, jnp.zeros(2, jnp.int32))
        aim = random_aim(rng, panel, 2)
        point = search.init(method.constraint, start)
        theirs = [np.asarray(x) for x in start.x0]
        corners = []
        for done in range(4):
            ours = search.propose(method.constraint, point, start)
            np.testing.assert_allclose(ours, np.stack(theirs), atol=1e-6)
            outputs, seen = slope_at(method, ours, aim, jnp.full(2, done))
            answers = [[original.logits(w, x) for w in weights] for x in theirs]
            assert np.asarray(LabelsDiffer().differ(outputs.swapaxes(0, 1))).tolist() == [
                original.differ(a) for a in answers
            ]
            point = advance(search, method.constraint, point, start, seen)
            corners.append(np.asarray(point.corner).tolist())
            for row, x in enumerate(theirs):
                g = original.normalised(original.slope(joint(weights, aim, row, 1.0, 0.1), x))
                moved = x + 0.05 * EDITS[edit](g, corners[-1][row], 3)
                theirs[row] = np.clip(moved, 0, 1) if clip else moved
    assert (np.abs(theirs[0] - np.asarray(start.x0[0])) > 0).any()
    places = np.array(corners)
    assert ((places >= 0) & (places <= 3)).all()
    assert (places == places[0]).all() == (edit != "blackout")


def brightness(t, name):
    """Is an image brighter than `t`?"""
    return Model(
        lambda p, x: jnp.stack([p["t"] - x.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)) - p["t"]], 1),
        {"t": np.float32(t)},
        name=name,
    )


def lit(models, images, search, deviate):
    """A campaign of the original's procedure under light, without a bound."""
    objective = Joint(lambda1=2.0, lambda2=0.0, on="logits", deviate=deviate)
    how = {"constraint": Lighting(None), "progress": False, "shrink": False}
    return xplore.run(models, images, search=search, objective=objective, **how)


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(1, 8))
def test_the_input_after_each_step_is_looked_at_the_last_one_too(steps):
    """Light moves by the mean of the gradient over its rms: here by one step exactly, up or down."""
    images = np.full((1, 4, 4, 1), 100, np.uint8)
    images[0, 0, 0, 0] = 90
    models = [brightness(0.5, "a"), brightness(0.55, "b")]
    search = Original("light", step=0.05, steps=steps)
    result = lit(models, images, search, deviate=1)
    # 0.39 + 0.05 n lies between 0.5 and 0.55 first at n = 3.
    assert len(result.findings) == int(steps >= 3)
    assert result.summary["steps"] == min(steps, 3) + 1, "looks: the seed's, and one after each step"


@pytest.mark.slow
@pytest.mark.parametrize("clip", [False, True])
def test_images_of_one_colour_are_no_findings_of_the_originals(clip):
    rng = np.random.default_rng(0)
    images = rng.integers(200, 256, (12, 4, 4, 1), np.uint8)
    models = [brightness(1.0 - 1e-6, "a"), brightness(3.0, "b")]  # differ where all is white
    search = Original("light", step=0.6, steps=4, clip=clip)
    result = lit(models, images, search, deviate=0)
    for found in result.findings:
        assert np.ptp(from_png(found.after)) > 0
    if not clip:
        assert result.summary["rejudged_away"] > 0


@examples(20)
@given(seeds, st.integers(2, 4), st.booleans())
def test_differ_is_the_originals(seed, models, alike):
    rng = np.random.default_rng(seed)
    outputs = rng.integers(0, 3, (models, 20, 4)) + (9 * np.eye(4)[1] if alike else 0)
    ours = np.asarray(LabelsDiffer().differ(jnp.asarray(outputs, jnp.float32)))
    theirs = [original.differ(outputs[:, row]) for row in range(20)]
    assert ours.tolist() == theirs
