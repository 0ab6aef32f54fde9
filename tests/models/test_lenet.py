"""The committed LeNets have the paper's shapes and read the held-out digits."""

import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xplore._util.errors import InputError
from xplore.data import mnist
from xplore.model import weights
from xplore.models import lenet
from xplore.panel import Panel

SHAPES = {
    "lenet1": {"conv1": (5, 5, 1, 4), "conv2": (5, 5, 4, 12), "logits": (588, 10)},
    "lenet4": {"conv1": (5, 5, 1, 6), "conv2": (5, 5, 6, 16), "fc1": (784, 84), "logits": (84, 10)},
    "lenet5": {
        "conv1": (5, 5, 1, 6),
        "conv2": (5, 5, 6, 16),
        "fc1": (784, 120),
        "fc2": (120, 84),
        "logits": (84, 10),
    },
}
BOUNDS = {"lenet1": 0.975, "lenet4": 0.98, "lenet5": 0.98}


@pytest.fixture(scope="module")
def digits():
    return mnist.load("test")


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_have_the_shapes_of_the_paper(name):
    shapes = lenet.parameter_shapes(name)
    assert {layer: leaves["kernel"].shape for layer, leaves in shapes.items()} == SHAPES[name]
    assert {layer: leaves["bias"].shape for layer, leaves in shapes.items()} == {
        layer: shape[-1:] for layer, shape in SHAPES[name].items()
    }
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {np.dtype("float32")}


@pytest.mark.parametrize("name", SHAPES)
def test_held_out_digits_are_read(name, digits):
    variables = {"params": lenet.load_parameters(name)}
    logits = np.asarray(lenet.module(name).apply(variables, digits.images.astype(np.float32) / 255))
    assert logits.shape == (1000, 10)
    assert (logits < 0).any(), "logits, not probabilities"
    right = (logits.argmax(-1) == digits.labels).mean()
    assert right >= BOUNDS[name]
    card = Path(lenet.__file__).with_name(f"{name}.md").read_text(encoding="utf-8")
    assert f"| {100 * right:.1f} % |" in card


def test_as_models_they_have_the_neurons_that_deepxplore_counts():
    panel = Panel.of([lenet.lenet1(), lenet.lenet4(), lenet.lenet5()])
    layout = panel.check((28, 28, 1))
    units = {name: sum(layer.units for layer in layers) for name, layers in layout.models}
    assert units == {"lenet1": 52, "lenet4": 148, "lenet5": 268}
    assert [layer.name for layer in layout.models[2][1] if "pool" not in layer.kind] == [
        "conv1",
        "conv2",
        "fc1",
        "fc2",
        "logits",
        "softmax",
    ]


def test_models_and_modules_give_the_same_logits(digits):
    images = digits.images[:10].astype(np.float32) / 255
    for name in SHAPES:
        model = getattr(lenet, name)()
        assert model.name == name
        plain = lenet.module(name).apply({"params": lenet.load_parameters(name)}, images)
        np.testing.assert_array_equal(model(jnp.asarray(images)), plain)


def test_weights_of_another_architecture_are_refused():
    path = Path(lenet.__file__).with_name("lenet4.safetensors")
    with pytest.raises(InputError, match=r"conv1/kernel float32 \[5, 5, 1, 4\].*|a larger file"):
        lenet.load_parameters("lenet1", path)
    shape = lenet.parameter_shapes("lenet5")
    with pytest.raises(InputError, match="fc2/"):
        weights.load(path, shape)


def test_modules_pickle_and_compare():
    module = lenet.module("lenet5")
    assert pickle.loads(pickle.dumps(module)) == module == lenet.LeNet((6, 16), (120, 84))
    with pytest.raises(AttributeError, match="LeNet3"):
        lenet.LeNet3  # noqa: B018


@pytest.mark.slow
def test_importing_the_zoo_imports_no_framework():
    code = "import sys, models.lenet, models.referee; print({'jax', 'flax'} & {*sys.modules})"
    root = Path(lenet.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
