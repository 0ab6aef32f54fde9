"""Captured activations are the framework's own, and capturing changes neither answers nor slopes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from laws.parts import double, relatives, small_network, small_weights

from xplore.data import mnist
from xplore.model import Model
from xplore.model.capture.jaxpr import capture
from xplore.models import lenet
from xplore.panel import Panel

NEURONS = {"lenet1": 52, "lenet4": 148, "lenet5": 268}
names = pytest.mark.parametrize("name", NEURONS)


class NnxLeNet(nnx.Module):
    """The committed LeNet's architecture and weights, in NNX."""

    def __init__(self, name, params):
        rngs = nnx.Rngs(0)
        channels, dense = lenet.ARCHITECTURES[name]
        sizes = (49 * channels[1], *dense, 10)
        self.conv1 = nnx.Conv(1, channels[0], (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(channels[0], channels[1], (5, 5), rngs=rngs)
        for number in range(len(dense)):
            setattr(self, f"fc{number + 1}", nnx.Linear(sizes[number], sizes[number + 1], rngs=rngs))
        self.logits = nnx.Linear(sizes[-2], 10, rngs=rngs)
        self.dense = len(dense)
        for layer, weights in params.items():
            for key, value in weights.items():
                getattr(getattr(self, layer), key)[...] = jnp.asarray(value)

    def __call__(self, x):
        for layer in (self.conv1, self.conv2):
            x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1)
        for number in range(self.dense):
            x = nnx.relu(getattr(self, f"fc{number + 1}")(x))
        return self.logits(x)


def nnx_model(name):
    graph, state = nnx.split(NnxLeNet(name, lenet.load_parameters(name)))
    return Model(lambda state, x: nnx.merge(graph, state)(x), state, name=name)


def digits(count=6):
    return jnp.asarray(mnist.load("test").images[:count].astype(np.float32) / 255)


def flax_layers(name, x):
    """Layer by layer, from flax's own intermediates and the pointwise steps after them."""
    variables = {"params": lenet.load_parameters(name)}
    _, state = lenet.module(name).apply(variables, x, capture_intermediates=True)
    out = {
        layer: value["__call__"][0] for layer, value in state["intermediates"].items() if layer != "__call__"
    }
    values = []
    for layer in ("conv1", "conv2", "fc1", "fc2"):
        if layer in out:
            values.append((layer, nn.relu(out[layer])))
        if layer.startswith("conv"):
            values.append(("pool", nn.max_pool(values[-1][1], (2, 2), strides=(2, 2))))
    return [*values, ("logits", out["logits"]), ("softmax", jax.nn.softmax(out["logits"]))]


def agrees(model, name):
    x = digits()
    expected = flax_layers(name, x)
    outputs, layers, values = jax.jit(lambda m, x: (m.captured(x)[0], m.captured(x)[2]))(model, x), None, None
    outputs, values = outputs
    layers = jax.eval_shape(lambda x: model.captured(x)[2], x) and model.captured(x[:2])[1]
    assert [layer.name if "pool" not in layer.kind else "pool" for layer in layers] == [
        n for n, _ in expected
    ]
    assert sum(layer.units for layer in layers) == NEURONS[name]
    for value, (layer, other) in zip(values, expected, strict=True):
        np.testing.assert_allclose(
            value, other, atol=1e-6 * max(1, float(jnp.abs(other).max())), err_msg=layer
        )
    np.testing.assert_allclose(outputs, model(x), atol=1e-5)


@pytest.mark.slow
@names
def test_linen_layers_are_flaxs_own_intermediates(name):
    agrees(getattr(lenet, name)(), name)


@pytest.mark.slow
@names
def test_nnx_layers_are_the_same(name):
    agrees(nnx_model(name), name)


@names
def test_answers_and_slopes_are_the_plain_models(name):
    model, x = getattr(lenet, name)(), digits(3)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(3, 10)), jnp.float32)
    captured = jax.jit(jax.value_and_grad(lambda x: (weights * model.captured(x)[0]).sum()))(x)
    alone = jax.jit(jax.value_and_grad(lambda x: (weights * model(x)).sum()))(x)
    for one, two in zip(captured, alone, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_panel_slopes_are_the_plain_models_in_float64():
    with double():
        panel = relatives(0, (8, 8, 1), dtype=np.float64)
        rng = np.random.default_rng(1)
        x, weights = jnp.asarray(rng.random((2, 8, 8, 1))), jnp.asarray(rng.normal(size=(3, 2, 4)))
        captured = jax.jit(jax.grad(lambda x: (weights * panel(x).outputs).sum()))(x)
        alone = jax.jit(jax.grad(lambda x: (weights * panel.plain(x)).sum()))(x)
        np.testing.assert_allclose(captured, alone, atol=1e-12)
        np.testing.assert_allclose(panel(x).outputs, panel.plain(x), atol=1e-12)


W = {"a": {"w": jnp.eye(4) * 2 - 1}, "b": {"w": jnp.ones((4, 3)) - jnp.eye(4)[:, :3]}}
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)


def layers_of(f, params=W, x=X):
    out, layers, values = capture(f, params, x)
    np.testing.assert_allclose(out, f(params, x), rtol=1e-5, atol=1e-6)
    return [(layer.name, layer.kind) for layer in layers], values


@jax.custom_jvp
def own_relu(x):
    return jnp.maximum(x, 0)


own_relu.defjvp(lambda given, tangents: (own_relu(given[0]), jnp.where(given[0] > 0, tangents[0], 0)))


@pytest.mark.parametrize(
    "relu", [jax.nn.relu, own_relu, lambda x: jnp.maximum(x, 0), jax.nn.gelu, jax.nn.silu]
)
def test_a_nonlinearity_extends_its_layer(relu):
    told, values = layers_of(lambda p, x: relu(x @ p["a"]["w"] + 1) @ p["b"]["w"])
    assert told == [("a", "dense"), ("b", "dense")]
    np.testing.assert_allclose(values[0], relu(X @ W["a"]["w"] + 1), rtol=1e-5, atol=1e-6)


def test_calls_in_calls_are_seen_through():
    inner = jax.jit(lambda p, x: jax.nn.relu(x @ p["a"]["w"]))
    outer = jax.jit(lambda p, x: inner(p, x) @ p["b"]["w"])
    told, values = layers_of(jax.jit(outer))
    assert told == [("a", "dense"), ("b", "dense")]
    np.testing.assert_allclose(values[0], inner(W, X), atol=1e-6)


def written_out(x):
    shifted = jnp.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("softmax", [written_out, jax.nn.softmax, nn.softmax])
def test_a_softmax_is_a_layer(softmax):
    told, values = layers_of(lambda p, x: softmax(x @ p["a"]["w"]))
    assert told[0] == ("a", "dense") and [kind for _, kind in told] == ["dense", "normalise"]
    np.testing.assert_allclose(values[0], X @ W["a"]["w"], atol=1e-6)
    np.testing.assert_allclose(values[1], jax.nn.softmax(X @ W["a"]["w"]), atol=1e-6)


def test_pools_are_layers():
    weights = small_weights(np.random.default_rng(0), (8, 8, 1), (2,))

    def f(p, x):
        x = jax.lax.conv_general_dilated(
            x, p["conv1"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = nn.avg_pool(jax.nn.relu(x), (2, 2), strides=(2, 2))
        return x.mean(axis=(1, 2))

    image = jnp.asarray(np.random.default_rng(1).random((3, 8, 8, 1)), jnp.float32)
    told, values = layers_of(f, weights, image)
    assert [kind for _, kind in told] == ["conv", "pool", "global_pool"]
    assert [value.shape for value in values] == [(3, 8, 8, 2), (3, 4, 4, 2), (3, 2)]
    np.testing.assert_allclose(values[1], nn.avg_pool(values[0], (2, 2), strides=(2, 2)), atol=1e-6)
    np.testing.assert_allclose(values[2], values[1].mean(axis=(1, 2)), atol=1e-6)


def test_tags_replace_the_rule():
    def f(p, x):
        x = checkpoint_name(x @ p["a"]["w"], "before")
        return jax.nn.relu(checkpoint_name(jax.nn.relu(x) @ p["b"]["w"], "after"))

    told, values = layers_of(f)
    assert told == [("before", "tag"), ("after", "tag")]
    np.testing.assert_allclose(values[0], X @ W["a"]["w"], atol=1e-6)
    np.testing.assert_allclose(values[1], jax.nn.relu(values[0]) @ W["b"]["w"], atol=1e-6)


def test_names_come_from_the_paths_of_weights():
    weights = small_weights(np.random.default_rng(0), (8, 8, 1), (2, 3), (5,))
    model = Model(small_network, {"params": weights}, name="net")
    nested = Model(lambda p, x: small_network(p["params"], x), {"params": weights}, name="net")
    assert model.params == nested.params
    layout = Panel.of([nested, nested]).check((8, 8, 1))
    told = [layer.name for layer in layout.models[0][1]]
    assert told == ["conv1", "pool1", "conv2", "pool2", "fc1", "logits", "softmax"]
    assert [layout.models[1][0], layout.names[7]] == ["net#2", "net#2/conv1"]
