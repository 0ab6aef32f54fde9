"""VGG16, VGG19 and ResNet50: the original's neurons, Keras' own answers, and files that do not fit."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import mutated
from profiles import many

from xplore._util.errors import InputError
from xplore.adapters.linen import linen
from xplore.models import hdf5, keras_file, resnet, vgg

pytestmark = pytest.mark.slow

MODULES = {"vgg16": vgg.module("vgg16"), "vgg19": vgg.module("vgg19"), "resnet50": resnet.module()}
NEURONS = {"vgg16": 14_888, "vgg19": 16_168, "resnet50": 94_059}


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_are_counted_as_the_original_does(name):
    """By shapes alone: no weights are made."""
    image = jax.ShapeDtypeStruct((2, 224, 224, 3), "float32")
    variables = jax.eval_shape(MODULES[name].init, jax.random.key(0), image)

    def layers(variables, x):
        _, found, _ = linen(MODULES[name], variables).captured(x)
        counted.extend(found)
        return x

    counted = []
    jax.eval_shape(layers, variables, image)
    assert sum(layer.shape[-1] for layer in counted) == NEURONS[name]
    assert len({layer.name for layer in counted}) == len(counted)


def save(path, layers):
    """Weights as Keras 1 and 2 saved them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{number}:0".encode() for number in range(len(weights))]
            for number, weight in enumerate(weights):
                group[f"{name}/{number}:0"] = weight


@pytest.fixture(scope="module")
def built():
    """Keras' own models, small in what does not matter, with random weights and averages."""
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    models = {
        "vgg16": keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=5),
        "resnet50": keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=5),
    }
    rng = np.random.default_rng(0)
    for layer in models["resnet50"].layers:
        if layer.name.endswith("_bn"):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return keras, models


@pytest.mark.parametrize(("name", "pixels"), [("vgg16", 32), ("resnet50", 64)])
def test_answers_are_those_of_keras(built, name, pixels, tmp_path):
    keras, models = built
    weights = {layer.name: [np.asarray(w.value) for w in layer.weights] for layer in models[name].layers}
    save(tmp_path / "weights.h5", weights)
    module = vgg.module(name, classes=5) if name == "vgg16" else resnet.module(classes=5)
    variables = keras_file.load_variables(tmp_path / "weights.h5", module, pixels)
    model = linen(module, variables, **keras_file.CAFFE)
    images = np.random.default_rng(1).integers(0, 256, (2, pixels, pixels, 3)).astype(np.float32)
    with jax.numpy_rank_promotion("allow"):
        read = keras.applications.vgg16.preprocess_input(images.copy())
        wanted = np.asarray(models[name](read, training=False))
    came = jax.jit(type(model).__call__)(model, jnp.asarray(images / 255))
    assert wanted.min() > 0 and np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(jax.nn.softmax(came), wanted, rtol=2e-3, atol=1e-5)


LIKE = {"fc": {"kernel": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}}
GOOD = [np.ones((2, 3), np.float32), np.ones(3, np.float32)]


def test_a_file_of_weights_and_of_a_whole_model(tmp_path):
    save(tmp_path / "w.h5", {"input": [], "fc": GOOD})
    assert keras_file.read_layers(tmp_path / "w.h5", LIKE)["fc"]["bias"].tolist() == [1.0, 1.0, 1.0]
    with h5py.File(tmp_path / "w.h5") as plain, h5py.File(tmp_path / "whole.h5", "w") as whole:
        whole.create_group("model_weights").attrs["layer_names"] = plain.attrs["layer_names"]
        for name in ("input", "fc"):
            plain.copy(name, whole["model_weights"])
    assert keras_file.read_layers(tmp_path / "whole.h5", LIKE)["fc"]["kernel"].shape == (2, 3)


@pytest.mark.parametrize(
    ("layers", "came"),
    [
        ({}, "no layer fc"),
        ({"fc": GOOD, "more": GOOD}, "a layer more"),
        ({"fc": GOOD[:1]}, r"fc: float32 \[2, 3\] for"),
        ({"fc": [GOOD[0].T, GOOD[1]]}, r"float32 \[3, 2\]"),
        ({"fc": [GOOD[0].astype("float64"), GOOD[1]]}, "float64"),
        ({"fc": [GOOD[0] * np.nan, GOOD[1]]}, "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, layers, came):
    save(tmp_path / "w.h5", layers)
    with pytest.raises(InputError, match=came):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)


@pytest.mark.parametrize("link", ["fc/fc/0:0", "fc/fc", "fc"])
def test_links_out_of_the_file_are_not_followed(tmp_path, link):
    save(tmp_path / "other.h5", {"fc": GOOD})
    save(tmp_path / "w.h5", {"fc": GOOD})
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file[link]
        file[link] = h5py.ExternalLink(str(tmp_path / "other.h5"), link)
    with pytest.raises(InputError, match="another file"):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)


def test_an_array_of_another_size_is_never_read(tmp_path):
    """A terabyte of zeros is a few bytes of HDF5."""
    save(tmp_path / "w.h5", {"fc": GOOD})
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["fc/fc/0:0"]
        file["fc"].create_dataset("fc/0:0", (2**20, 2**18), np.float32, chunks=(256, 256))
    assert (tmp_path / "w.h5").stat().st_size < 10**5
    with pytest.raises(InputError, match=r"fc: float32 \[1048576, 262144\], float32 \[3\] for"):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)


@settings(deadline=None, max_examples=many(25))
@given(data=st.data())
def test_a_damaged_file_is_told_or_read(tmp_path_factory, data):
    """In a process of its own: HDF5's library does not survive each of them."""
    file = tmp_path_factory.getbasetemp() / "damaged.h5"
    save(file, {"fc": GOOD})
    file.write_bytes(mutated(data, file.read_bytes(), most=6, cut=data.draw(st.booleans())))
    try:
        read = keras_file.read_layers(file, LIKE)
    except InputError as error:
        assert str(file) in str(error)
    else:
        assert read["fc"]["kernel"].shape == (2, 3) and np.isfinite(read["fc"]["bias"]).all()


def test_a_file_that_the_library_does_not_survive(tmp_path, monkeypatch):
    save(tmp_path / "w.h5", {"fc": GOOD})
    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(hdf5, "__file__", str(crash))
    with pytest.raises(InputError, match="HDF5 crashed on it"):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)
    crash.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(hdf5, "SECONDS", 0.2)
    with pytest.raises(InputError, match=r"not read within 0.2 seconds"):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_what_is_no_file_of_weights_is_refused(tmp_path, content):
    if content is None:
        save(tmp_path / "w.h5", {"fc": GOOD})
        content = (tmp_path / "w.h5").read_bytes()[:-500]
    (tmp_path / "w.h5").write_bytes(content)
    with pytest.raises(InputError, match="as Keras 1 and 2"):
        keras_file.read_layers(tmp_path / "w.h5", LIKE)
    with pytest.raises(InputError, match="no such file"):
        vgg.vgg16(str(tmp_path / "nowhere.h5"))


def test_a_model_of_another_kind_is_refused(tmp_path):
    save(tmp_path / "w.h5", {"fc": GOOD})
    for factory in (vgg.vgg16, vgg.vgg19, resnet.resnet50):
        with pytest.raises(InputError, match="the weights of this architecture"):
            factory(str(tmp_path / "w.h5"))
