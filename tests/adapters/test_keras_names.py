"""Layers of Keras have the names that Keras knows, those without weights too."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapters.alike import close

from xplore.adapters import adapt

pytestmark = pytest.mark.slow

keras = pytest.importorskip("keras")

L = keras.layers
SHAPE = (12, 12, 1)
X = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            L.Input(SHAPE),
            L.Conv2D(4, 3, name="first"),
            L.MaxPooling2D(name="shrink"),
            L.Conv2D(4, 3, name="second", activation="relu"),
            L.GlobalAveragePooling2D(name="means"),
            L.Dense(3, name="scores"),
            L.Softmax(name="chances"),
        ]
    )


def functional() -> keras.Model:
    given = L.Input(SHAPE)
    x = L.AveragePooling2D(2, name="average")(L.Conv2D(4, 3, name="conv")(given))
    return keras.Model(given, L.Dense(3, activation="softmax", name="probs")(L.Flatten(name="flat")(x)))


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = L.Conv2D(4, 3, name="conv"), L.Dense(3, name="scores")
        self.pool, self.largest = L.MaxPooling2D(name="shrink"), L.GlobalMaxPooling2D(name="largest")
        self.softmax = L.Softmax(name="chances")

    def call(self, x):
        return self.softmax(self.dense(self.largest(self.pool(self.conv(x)))))


def own() -> keras.Model:
    model = Own()
    model(X)
    return model


def nested() -> keras.Model:
    inner = [L.Input(SHAPE), L.Conv2D(4, 3, name="conv"), L.MaxPooling2D(name="shrink")]
    body = keras.Sequential(inner, name="body")
    last = [L.Flatten(), L.Dense(3, name="scores"), L.Activation("softmax", name="chances")]
    return keras.Sequential([L.Input(SHAPE), body, *last], name="whole")


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (sequential, ["first", "shrink", "second", "means", "scores", "chances"]),
        (functional, ["conv", "average", "probs", "probs/activation"]),
        (own, ["conv", "shrink", "largest", "scores", "chances"]),
        (nested, ["body/conv", "body/shrink", "scores", "chances"]),
    ],
)
def test_layers_are_named_as_in_keras(build, names) -> None:
    with jax.numpy_rank_promotion("allow"):
        net = build()
        _, layers, values = adapt(net).captured(jnp.asarray(X))
        assert [layer.name for layer in layers] == names
        if build is sequential:
            theirs = keras.Model(net.inputs, [net.get_layer(name).output for name in names])(
                [X], training=False
            )
            for name, value, own in zip(names, values, theirs, strict=True):
                close(value, own, told=name)
    assert not any("call" in vars(layer) for layer in net._flatten_layers()), "the model stays as it was"
