"""Keras 3 on JAX: objects, files, and weights in the layout of older ones."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from adapters.alike import close, is_the_plain_model, rows_are_apart
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import mutated
from profiles import many

import xplore
from xplore._util.errors import InputError
from xplore.adapters import adapt
from xplore.adapters.keras import load, load_weights
from xplore.data import mnist

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore::UserWarning:keras")
pytestmark = [pytest.mark.slow, quiet]
IMAGES = jax.random.uniform(jax.random.key(0), (4, 12, 12, 3))


@pytest.fixture(autouse=True)
def keras_ranks() -> Any:
    with jax.numpy_rank_promotion("allow"):
        yield


def network(softmax: bool = False) -> keras.Model:
    """Convolution, batch norm, pooling, dropout, dense layers; statistics that are not the initial ones."""
    keras.utils.set_random_seed(3)
    given = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv")(given)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    x = keras.layers.DepthwiseConv2D(3, name="deep")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(8, activation="gelu", name="hidden")(x)
    model = keras.Model(
        given, keras.layers.Dense(3, activation="softmax" if softmax else None, name="last")(x)
    )
    for variable in model.get_layer("norm").non_trainable_variables:
        variable.assign(variable.value * 0.5 + 0.25)
    return model


@pytest.fixture(scope="module")
def net() -> keras.Model:
    return network()


def test_activations_are_a_multi_output_models(net: keras.Model) -> None:
    model = adapt(net)
    values = is_the_plain_model(model, IMAGES, lambda x: net(x, training=False))
    names = {"conv": "norm", "pool": "pool", "deep": "drop", "hidden": "hidden", "last": "last"}
    theirs = keras.Model(net.inputs, [net.get_layer(name).output for name in names.values()])(
        IMAGES, training=False
    )
    assert list(values) == [*names, "softmax"]
    for name, value in zip(names, theirs, strict=True):
        close(values[name], value, told=name)
    rows_are_apart(model, IMAGES)


def test_a_softmax_of_the_models_own_is_probabilities() -> None:
    model = adapt(network(softmax=True))
    assert model.output == "probabilities"
    values = is_the_plain_model(model, IMAGES, lambda x: network(softmax=True)(x, training=False))
    close(values["last/activation"].sum(axis=1), jnp.ones(4))


def heads() -> dict[str, tuple[Any, str]]:
    """Models by how they end, and what their outputs are."""
    layers, ops, given = keras.layers, keras.ops, keras.Input((5,))

    class Late(keras.Model):
        """What is made last is not what comes last; its call knows of no training."""

        def __init__(self) -> None:
            super().__init__()
            self.last = layers.Dense(3, activation="softmax")
            self.first = layers.Dense(4, activation="relu")

        def call(self, x: Any) -> Any:
            return self.last(self.first(x))

    late, dense = Late(), layers.Dense(3)(given)
    late(np.zeros((1, 5), np.float32))
    block = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(1, activation="sigmoid")])
    return {
        "a layer of softmax in a model in a model": (
            keras.Sequential([keras.Input((5,)), keras.Sequential([layers.Dense(3), layers.Softmax()])]),
            "probabilities",
        ),
        "identity after it": (keras.Model(given, layers.Identity()(block(given))), "probabilities"),
        "flattened": (
            keras.Model(given, layers.Flatten()(layers.Reshape((3, 1))(ops.softmax(dense)))),
            "probabilities",
        ),
        "subclassed": (late, "probabilities"),
        "scaled after it": (keras.Model(given, 2.0 * ops.softmax(dense)), "logits"),
        "gated": (keras.Model(given, dense * ops.sigmoid(dense)), "logits"),
        "three sigmoids": (keras.Model(given, ops.sigmoid(dense)), "logits"),
    }


@pytest.mark.parametrize("name", heads())
def test_outputs_are_followed_back(name: str) -> None:
    net, output = heads()[name]
    model, x = adapt(net), IMAGES[:, 0, :5, 0]
    assert model.output == output
    own = np.asarray(net(x))
    close(model(x)[:, -own.shape[1] :], own)


def test_recurrent_and_attention_layers() -> None:
    given = keras.Input((6, 8))
    x = keras.layers.LayerNormalization(name="norm")(keras.layers.Dense(8, name="embed")(given))
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    lstm = keras.layers.LSTM(5, return_sequences=True, name="lstm")(x)
    gru = keras.layers.GRU(4, return_sequences=True, name="gru")(lstm)
    net = keras.Model(given, keras.layers.Dense(2, name="last")(keras.layers.Flatten()(gru)))
    tokens = IMAGES[:, :6, :8, 0]
    model = adapt(net, output="values")
    values = is_the_plain_model(model, tokens, lambda x: net(x, training=False), 1e-5)
    theirs = keras.Model(given, [net.get_layer(n).output for n in ("norm", "lstm", "gru")])(tokens)
    for name, value in zip(("norm", "lstm/lstm_cell_2", "gru/gru_cell_2"), theirs, strict=True):
        close(values[name], value, 1e-5, name)
    rows_are_apart(model, tokens)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file(net: keras.Model, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    net.save(path)
    model = load(path, scale=0.5)
    assert model.name == "net"
    close(model(IMAGES), net(IMAGES * 0.5, training=False))
    assert load(path).digest() == adapt(net).digest() != model.digest()


def test_weights_of_a_file(net: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    net.save_weights(path)
    blank = keras.models.clone_model(net)
    close(load_weights(path, blank)(IMAGES), net(IMAGES, training=False))
    small = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(InputError, match=r"net.weights.h5: expected weights of"):
        load_weights(path, small)


def old_layout(net: keras.Model, path: Path, *, nested: bool = False) -> None:
    """As Keras 1 and 2 wrote weights: a group a layer, its arrays in order, names as attributes."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if nested else file
        root.attrs["layer_names"] = [layer.name.encode() for layer in net.layers]
        for layer in net.layers:
            group = root.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, array in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name.decode(), data=array)


@pytest.mark.parametrize("nested", [False, True])
def test_weights_in_the_old_layout(net: keras.Model, tmp_path: Path, nested: bool) -> None:
    path = tmp_path / "old.h5"
    old_layout(net, path, nested=nested)
    blank = keras.models.clone_model(net)
    close(load_weights(path, blank)(IMAGES), net(IMAGES, training=False))


def test_old_weights_that_do_not_fit_are_named(net: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    old_layout(net, path)
    other = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Conv2D(5, 3, name="conv"), keras.layers.Dense(3, name="new")]
    )
    with pytest.raises(InputError) as error:
        load_weights(path, other)
    for word in (
        "no new",
        "conv [(3, 3, 3, 6), (6,)] instead of [(3, 3, 3, 5), (5,)]",
        "norm, which the model",
    ):
        assert word in str(error.value), error.value


def test_files_that_are_missing_or_damaged(net: keras.Model, tmp_path: Path) -> None:
    whole = tmp_path / "net.keras"
    net.save(whole)
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for path, came in ((tmp_path / "none.keras", "no such file"), (cut, "expected a whole model of Keras")):
        with pytest.raises(InputError, match=came):
            load(path)
    for path in (tmp_path / "none.h5", cut):
        with pytest.raises(InputError):
            load_weights(path, network())


def test_a_file_with_code_is_refused(tmp_path: Path) -> None:
    trap = str(tmp_path / "trap")
    code = keras.layers.Lambda(lambda x: (os.makedirs(trap, exist_ok=True), x)[1])
    path = tmp_path / "code.keras"
    keras.Sequential([keras.Input((3,)), code]).save(path)
    Path(trap).rmdir()
    with pytest.raises(InputError, match="without code of its own"):
        load(path)
    assert not Path(trap).exists()


@settings(max_examples=many(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_told(
    net: keras.Model, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """No crash, no hang, nothing executed: a clear error, or the very model where padding was hit."""
    folder = tmp_path_factory.mktemp("mutated", numbered=True)
    old = folder / "old.h5"
    old_layout(net, old)
    old.write_bytes(mutated(data, old.read_bytes(), 8))
    try:
        load_weights(old, keras.models.clone_model(net))
    except InputError as error:
        assert str(old) in str(error)


@settings(max_examples=many(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_models_are_told(
    net: keras.Model, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    folder = tmp_path_factory.mktemp("mutated", numbered=True)
    path = folder / "net.keras"
    net.save(path)
    member = data.draw(st.sampled_from(["config.json", "metadata.json", "model.weights.h5"]))
    with zipfile.ZipFile(path) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    files[member] = mutated(data, files[member], 4, cut=False)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    try:
        load(path)
    except InputError as error:
        assert str(path) in str(error) or "Keras model" in str(error)


def test_another_backend_says_how_to_set_it(tmp_path: Path) -> None:
    ask = "import keras; from xplore.adapters.keras import keras as a; a(None)"
    settings = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=settings,
        cwd=Path(xplore.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Keras: expected the JAX backend, got numpy; set KERAS_BACKEND=jax" in done.stderr


def test_a_model_that_was_not_built_is_told() -> None:
    with pytest.raises(InputError, match="expected a built model"):
        adapt(keras.Sequential([keras.layers.Dense(3)]))


def of_two(how: str) -> Any:
    """A built model of images [2, 3] and of rows of four, as Keras lets one write it."""
    layers, ops = keras.layers, keras.ops

    class Called(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.last = layers.Flatten(), layers.Dense(3)

        def call(self, given: Any) -> Any:
            parts = [given["a"], given["b"]] if isinstance(given, dict) else given
            return self.last(ops.concatenate([self.flat(parts[0]), parts[1]], axis=1))

    images, rows = np.zeros((1, 2, 3), np.float32), np.zeros((1, 4), np.float32)
    if how.startswith("functional"):
        a, b = keras.Input((2, 3)), keras.Input((4,))
        out = layers.Dense(3)(layers.Concatenate()([layers.Flatten()(a), b]))
        return keras.Model({"a": a, "b": b} if how.endswith("dict") else [a, b], out)
    model = Called()
    model({"a": images, "b": rows} if how.endswith("dict") else [images, rows])
    return model


@pytest.mark.parametrize("how", ["functional, list", "functional, dict", "subclass, list", "subclass, dict"])
def test_a_model_of_several_inputs_gets_the_way_out(how: str) -> None:
    with pytest.raises(InputError, match="expected one input, got 2 of shapes") as caught:
        adapt(of_two(how))
    assert "lambda x: model([x[:, 0:6].reshape(-1, 2, 3), x[:, 6:10]])" in str(caught.value)


def test_the_way_out_of_several_inputs_works() -> None:
    model = of_two("functional, list")
    rows = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)

    def asked(x: Any) -> Any:
        return model([x[:, 0:6].reshape(-1, 2, 3), x[:, 6:10]])

    close(adapt(asked)(jnp.asarray(rows)), model([rows[:, :6].reshape(-1, 2, 3), rows[:, 6:]]))
    result = xplore.run([asked, lambda x: -asked(x)], rows, steps=1, tries=1, progress=False)
    assert result.summary["seeds"] == 6


def test_several_arguments_are_told_once_the_model_is_asked() -> None:
    class Two(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.last = keras.layers.Dense(3)

        def call(self, a: Any, b: Any) -> Any:
            return self.last(keras.ops.concatenate([a, b], axis=1))

    model = Two()
    rows = np.zeros((5, 7), np.float32)
    model(rows[:, :4], rows[:, 4:])
    with pytest.raises(InputError, match=r"missing 1 required .* of several inputs, hold them side by side"):
        xplore.run([model, model], rows, steps=1, tries=1, progress=False)


def test_a_model_prints_what_it_is_and_no_weights(net: keras.Model) -> None:
    assert repr(adapt(net)) == f"Model({net.name!r}, {net.count_params():,} parameters, output='logits')"


def test_a_campaign_between_two_versions() -> None:
    """Version N and N + 1 of one network: a regression gate."""
    digits, train = mnist.load("test"), mnist.load("train")
    keras.utils.set_random_seed(0)
    nets = []
    for units in (32, 24):
        layers = keras.layers
        net = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(4, 5, 2, activation="relu")])
        for layer in (layers.Flatten(), layers.Dense(units, "relu"), layers.Dense(10, "softmax")):
            net.add(layer)
        net.compile("adam", "sparse_categorical_crossentropy")
        net.fit(train.images / np.float32(255), train.labels, epochs=4, batch_size=64, verbose=0)
        nets.append(net)
    result = xplore.run(nets, digits.images[:40], digits.labels[:40], lanes=16, progress=False)
    assert len(result.valid) >= 10 and set(result.coverage) == {nets[0].name, nets[1].name}
    assert all(xplore.replay(result.folder, nets).values())


def _trainable() -> keras.Sequential:
    layers = keras.layers
    inside = [layers.Input((12, 12, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")]
    net = keras.Sequential([*inside, *ends])
    net.compile("adam", "sparse_categorical_crossentropy")
    return net


@pytest.mark.parametrize("ask", ["fit", "evaluate", "predict"])
def test_a_model_that_keras_used_since_is_asked_as_it_is_now(ask: str) -> None:
    """Keras gives the arrays that it held to its own programs, which delete them."""
    net, images, labels = _trainable(), np.asarray(IMAGES), np.arange(4)
    model = adapt(net, name="net")
    before = np.asarray(model(IMAGES))
    given = {"fit": (images, labels), "evaluate": (images, labels), "predict": (images,)}[ask]
    getattr(net, ask)(*given, verbose=0, **({"epochs": 3} if ask == "fit" else {}))
    close(model(IMAGES), before)
    now = model.bind((12, 12, 3), 2)
    close(now(IMAGES), net(IMAGES, training=False))
    assert (ask == "fit") == (not np.allclose(now(IMAGES), before))
    assert "net" in str(xplore.inspect([model, adapt(_trainable(), name="other")], images, labels))


def test_other_weights_that_a_model_was_given_stay() -> None:
    first, second = adapt(_trainable(), name="a"), adapt(_trainable(), name="b")
    params = dict(zip(first.params, second.params.values(), strict=True))
    close(first.replace(params=params).bind((12, 12, 3), 2)(IMAGES), second(IMAGES))


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    """Keras puts the name of a model that was built in code before its paths, and not of one from a file."""
    net = _trainable()
    net.save(tmp_path / "net.keras")
    one, other = adapt(net, name="net"), load(tmp_path / "net.keras", name="net")
    assert {*one.params} == {*other.params} and one.digest() == other.digest()
    names = [[layer.name for layer in model.captured(IMAGES)[1]] for model in (one, other)]
    assert names[0] == names[1] and "sequential" not in str(names)
