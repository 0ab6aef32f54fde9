"""PyTorch modules under test: outputs, activations and slopes are torch's own."""

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import double, examples

import xplore
from xplore._util.errors import InputError, MissingExtraError
from xplore.adapters import adapt
from xplore.adapters.linen import linen
from xplore.constraints import Ball, Occlusion
from xplore.data import mnist
from xplore.models import lenet
from xplore.objectives import Joint
from xplore.panel import Panel
from xplore.search import Gradient

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from xplore.adapters import torch as adapter  # noqa: E402


class LeNet(nn.Module):
    """The zoo's architecture, with its weights."""

    def __init__(self, name="lenet5"):
        super().__init__()
        (first, second), dense = lenet.ARCHITECTURES[name]
        self.conv1 = nn.Conv2d(1, first, 5, padding="same")
        self.conv2 = nn.Conv2d(first, second, 5, padding="same")
        sizes = (49 * second, *dense, 10)
        for number in range(len(dense)):
            setattr(self, f"fc{number + 1}", nn.Linear(sizes[number], sizes[number + 1]))
        self.logits = nn.Linear(sizes[-2], 10)
        self.dense = len(dense)
        with torch.no_grad():
            for layer, weights in lenet.load_parameters(name).items():
                kernel = np.asarray(weights["kernel"])
                if layer == ("fc1" if dense else "logits"):  # rows of positions and channels
                    kernel = kernel.reshape(7, 7, second, -1).transpose(2, 0, 1, 3).reshape(49 * second, -1)
                kernel = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
                getattr(self, layer).weight.copy_(torch.tensor(kernel.copy()))
                getattr(self, layer).bias.copy_(torch.tensor(np.array(weights["bias"])))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2).flatten(1)
        for number in range(self.dense):
            x = getattr(self, f"fc{number + 1}")(x).relu_()
        return self.logits(x)


class Block(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(4, 4, 1), Block(4, 6, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, 5)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 2)
                nn.init.normal_(part.bias)
                nn.init.normal_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 2)

    def forward(self, x):
        return self.fc(self.pool(self.blocks(self.stem(x))).flatten(1))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.embed(x))[:, 0])


class Recurrent(nn.Module):
    def __init__(self, kind, batch_first=True):
        super().__init__()
        self.net = kind(6, 5, batch_first=batch_first)
        self.head = nn.Linear(5, 3)
        self.batch_first = batch_first

    def forward(self, x):
        if self.batch_first:
            return self.head(self.net(x)[0][:, -1])
        return self.head(self.net(x.transpose(0, 1))[0][-1])


class Functional(nn.Module):
    """No layers as modules: parameters, and functions of them."""

    def __init__(self):
        super().__init__()
        self.kernel, self.scale = (
            nn.Parameter(torch.randn(4, 3, 3, 3) * 0.3),
            nn.Parameter(torch.rand(4) + 0.5),
        )
        self.weight = nn.ParameterDict({"out": nn.Parameter(torch.randn(5, 4))})

    def forward(self, x):
        x = F.silu(F.conv2d(x, self.kernel, padding=1))
        x = F.avg_pool2d(x, 2).mul_(2)
        x = x.mean(dim=(2, 3))
        x = x / x.square().mean(-1, keepdim=True).add(1e-3).sqrt() * self.scale
        return torch.log_softmax(torch.einsum("bi,oi->bo", x, self.weight["out"]), dim=-1)


def seeded(make, *given, **also):
    torch.manual_seed(0)
    return make(*given, **also)


IMAGE, SENTENCE = (8, 8, 3), (4, 6)
MODULES = {
    "lenet": (LeNet, (28, 28, 1)),
    "resnet": (ResNet, IMAGE),
    "transformer": (Transformer, SENTENCE),
    "lstm": (lambda: Recurrent(nn.LSTM), SENTENCE),
    "gru": (lambda: Recurrent(nn.GRU, batch_first=False), SENTENCE),
    "functional": (Functional, IMAGE),
}
modules = pytest.mark.parametrize("name", MODULES)


def made(name, **reading):
    make, shape = MODULES[name]
    module = seeded(make)
    layout = {"layout": "NCHW"} if name == "functional" else {}
    return module, adapter.torch(module, **layout, **reading), shape


def inputs(shape, n=3, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((n, *shape), np.float32))


def asked(module, x):
    """torch's own answer, on an input that has a slope; channels are moved as the layout says."""
    leaf = torch.tensor(np.asarray(x), requires_grad=True)
    module.eval()
    return leaf, module(leaf.permute(0, 3, 1, 2) if leaf.ndim == 4 else leaf)


def close(one, two, tolerance=1e-5):
    two = two.detach().numpy() if isinstance(two, torch.Tensor) else np.asarray(two)
    assert np.shape(one) == two.shape
    np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance * max(1, np.abs(two).max()))


def told(model, shape):
    layers = model.captured(inputs(shape, 2))[1]
    return [(layer.name, layer.kind, layer.shape) for layer in layers]


@modules
@pytest.mark.parametrize("n", [1, 3, 8])
def test_outputs_and_slopes_are_torchs(name, n):
    module, model, shape = made(name)
    x = inputs(shape, n)
    leaf, outputs = asked(module, x)
    weights = np.random.default_rng(1).normal(size=outputs.shape).astype(np.float32)
    (slope,) = torch.autograd.grad((outputs * torch.tensor(weights)).sum(), leaf)
    for answer in (model, lambda x: model.captured(x)[0]):
        close(jax.jit(answer)(x), outputs)
        close(jax.jit(jax.grad(lambda x, answer=answer: (weights * answer(x)).sum()))(x), slope)


@contextlib.contextmanager
def hooked(module, *paths):
    """What parts of a module return, by path."""
    held = {}

    def keep(path):
        return lambda part, given, out: held.update({path: out[0] if isinstance(out, tuple) else out})

    hooks = [module.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
    yield held
    for hook in hooks:
        hook.remove()


def expected_layers(name, module, x):
    """Layer by layer `(name, kind, value)`, channels last, and torch's leaf, by hooks and written out."""
    last = lambda value: value.permute(0, 2, 3, 1)  # noqa: E731
    if name == "lenet":
        with hooked(module, "conv1", "conv2", "fc1", "fc2") as held:
            leaf, out = asked(module, x)
        one, two = held["conv1"].relu(), held["conv2"].relu()
        values = [
            ("conv1", "conv", last(one)),
            ("pool1", "pool", last(F.max_pool2d(one, 2))),
            ("conv2", "conv", last(two)),
            ("pool2", "pool", last(F.max_pool2d(two, 2))),
            ("fc1", "dense", held["fc1"]),
            ("fc2", "dense", held["fc2"]),
            ("logits", "dense", out),
        ]
    elif name == "resnet":
        paths = ["stem", "blocks.0.relu", "blocks.0", "blocks.1.bn1", "blocks.1.down", "blocks.1", "pool"]
        with hooked(module, *paths) as held:
            leaf, out = asked(module, x)
            first = module.blocks[0]
            inner = first.bn1(first.conv1(held["stem"])).relu()
            second = module.blocks[1]
            before = second.bn2(second.conv2(held["blocks.1.bn1"].relu()))  # the sum overwrites it in place
        values = [
            ("stem/0", "conv", last(held["stem"])),
            ("blocks/0/conv1", "conv", last(inner)),
            ("blocks/0/conv2", "conv", last(held["blocks.0"])),
            ("blocks/1/conv1", "conv", last(held["blocks.1.bn1"].relu())),
            ("blocks/1/conv2", "conv", last(before)),
            ("blocks/1/down", "conv", last(held["blocks.1"])),
            ("global_pool1", "global_pool", held["pool"].flatten(1)),
            ("fc", "dense", out),
        ]
        return leaf, values
    elif name == "transformer":
        block = module.block
        paths = ["embed", "block", "block.norm1", "block.linear1", "block.linear2"]
        with hooked(module, *paths) as held:
            leaf, out = asked(module, x)
        packed = F.linear(held["embed"], block.self_attn.in_proj_weight, block.self_attn.in_proj_bias)
        attended = block.self_attn(*[held["embed"]] * 3)[0]
        values = [
            ("embed", "dense", held["embed"]),
            ("block/self_attn", "dense", packed),
            ("block/self_attn/out_proj", "dense", held["embed"] + attended),
            ("block/norm1", "normalise", held["block.norm1"]),
            ("block/linear1", "dense", F.gelu(held["block.linear1"])),
            ("block/linear2", "dense", held["block.norm1"] + held["block.linear2"]),
            ("block/norm2", "normalise", held["block"]),
            ("head", "dense", out),
        ]
    elif name == "functional":
        leaf = torch.tensor(np.asarray(x), requires_grad=True)
        conv = F.silu(F.conv2d(leaf.permute(0, 3, 1, 2), module.kernel, padding=1))
        pool = F.avg_pool2d(conv, 2) * 2
        mean = pool.mean(dim=(2, 3))
        norm = mean / (mean.square().mean(-1, keepdim=True) + 1e-3).sqrt() * module.scale
        dense = norm @ module.weight["out"].T
        values = [
            ("conv1", "conv", last(conv)),
            ("pool1", "pool", last(pool)),
            ("global_pool1", "global_pool", mean),
            ("normalise1", "normalise", norm),
            ("weight", "dense", dense[:, None]),  # as einsum has it
            ("normalise2", "normalise", dense.log_softmax(-1)),
        ]
    else:
        with hooked(module, "net") as held:
            leaf, out = asked(module, x)
        states = held["net"] if module.batch_first else held["net"].transpose(0, 1)
        values = [("net", "recurrent", states), ("head", "dense", out)]
    return leaf, values


@modules
def test_layers_are_the_modules_own_with_their_slopes(name):
    module, model, shape = made(name)
    x = inputs(shape)
    leaf, expected = expected_layers(name, module, x)
    layers = told(model, shape)
    assert [layer[:2] for layer in layers if layer[1] != "head"] == [layer[:2] for layer in expected]
    values = jax.jit(lambda x: model.captured(x)[2])(x)
    rng = np.random.default_rng(2)
    for i, (layer, _, value) in enumerate(expected):
        close(values[i], value)
        weights = rng.normal(size=value.shape).astype(np.float32)
        (slope,) = torch.autograd.grad((value * torch.tensor(weights)).sum(), leaf, retain_graph=True)
        climbed = jax.jit(jax.grad(lambda x, i=i, w=weights: (w * model.captured(x)[2][i]).sum()))(x)
        close(climbed, slope), layer


class Squeezed(nn.Module):
    """A gate, parts that are put together, and a squeeze that may take the batch's axis, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(7, 6)

    def forward(self, x):
        y = F.hardswish(self.conv(x))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        y = F.adaptive_avg_pool2d(torch.cat([x, y], 1), 1).squeeze()
        return F.glu(self.fc(y))


@pytest.mark.parametrize(
    ("make", "shape", "expected"),
    [
        (
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ELU(), nn.Flatten()
            ),
            IMAGE,
            [("0", "conv", (6, 6, 4)), ("1", "normalise", (6, 6, 4))],
        ),
        (
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(), nn.Flatten(), nn.Linear(144, 3)
            ),
            IMAGE,
            [("0", "conv", (6, 6, 4)), ("1", "normalise", (6, 6, 4)), ("4", "dense", (3,))],
        ),
        (
            lambda: nn.Sequential(
                nn.Conv1d(4, 5, 3), nn.ReLU6(inplace=True), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(10, 3)
            ),
            SENTENCE,
            [("0", "conv", (4, 5)), ("pool1", "pool", (2, 5)), ("4", "dense", (3,))],
        ),
        (
            lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Tanh()),
            (6,),
            [("0", "dense", (4,))],
        ),
        (
            Squeezed,
            IMAGE,
            [
                ("conv", "conv", (8, 8, 4)),
                ("global_pool1", "global_pool", (1, 1, 4)),
                ("gate", "conv", (1, 1, 4)),
                ("global_pool2", "global_pool", (7,)),
                ("fc", "dense", (3,)),
            ],
        ),
    ],
)
def test_layers_of_other_modules(make, shape, expected):
    model = adapter.torch(seeded(make))
    assert [layer for layer in told(model, shape) if layer[1] != "head"] == expected
    x = inputs(shape)
    whole = model.captured(x)[2]
    for i in range(len(x)):
        for one, many in zip(model.captured(x[i : i + 1])[2], whole, strict=True):
            close(one, many[i : i + 1])


def test_slopes_are_right_whoever_asks_between():
    _, model, shape = made("resnet")
    slope = jax.jit(jax.grad(lambda x: model(x).sum()))
    xs = [inputs(shape, 2, seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(slope, xs * 2))
    for x, came in zip(xs * 2, together, strict=True):
        close(came, slope(x))
    _, back = jax.vjp(lambda x: model(x).sum(), xs[0])
    slope(xs[1])  # its graph takes the place of the first
    close(back(jnp.float32(1))[0], slope(xs[0]))


@pytest.mark.parametrize("name", lenet.ARCHITECTURES)
def test_the_lenets_are_those_of_flax(name):
    model, other = adapter.torch(seeded(LeNet, name), name=name), getattr(lenet, name)()
    x = jnp.asarray(mnist.load("test").images[:5].astype(np.float32) / 255)
    one, two = (Panel.of([m, m])(x) for m in (model, other))
    assert one.activations.layout == two.activations.layout
    units = sum(layer.units for layer in one.activations.layout.layers) // 2
    assert units == {"lenet1": 52, "lenet4": 148, "lenet5": 268}[name]
    close(one.outputs, two.outputs)
    for part in ("values", "low", "high"):
        close(getattr(one.activations, part), getattr(two.activations, part))


@modules
def test_one_at_a_time_is_the_same(name):
    _, model, shape = made(name)
    x = inputs(shape)
    score = lambda x: model.captured(x)[0].sum() + model.captured(x)[2][0].sum()  # noqa: E731
    whole = jax.jit(jax.grad(score))(x)
    mapped = jax.jit(lambda x: jax.lax.map(lambda row: jax.grad(score)(row[None])[0], x))(x)
    lanes = jax.jit(jax.vmap(lambda row: jax.grad(score)(row[None])[0]))(x)
    close(mapped, whole)
    close(lanes, whole)


def test_double_precision_is_that_of_the_module():
    module = seeded(ResNet).double()
    x = np.asarray(inputs(IMAGE), np.float64)
    leaf, outputs = asked(module, x)
    (slope,) = torch.autograd.grad(outputs.sum(), leaf)
    with double():
        model = adapter.torch(module)
        answer = model(jnp.asarray(x))
        assert answer.dtype == jnp.float64
        close(answer, outputs, 1e-12)
        close(jax.grad(lambda x: model(x).sum())(jnp.asarray(x)), slope, 1e-12)
        single = adapter.torch(seeded(ResNet))(jnp.asarray(x))
        assert single.dtype == jnp.float64
        close(single, outputs, 1e-4)


def test_a_neuron_is_driven_up_by_its_slope():
    _, model, shape = made("resnet")
    x = inputs(shape, 1)
    neuron = lambda x: model.captured(x)[2][3][..., 2].mean()  # noqa: E731
    step = jax.jit(lambda x: jnp.clip(x + 0.02 * jnp.sign(jax.grad(neuron)(x)), 0, 1))
    before = neuron(x)
    for _ in range(5):
        x = step(x)
    assert neuron(x) > before + 0.05


def test_the_module_stays_as_it_is():
    module = seeded(ResNet)
    module.train()
    module.blocks[0].eval()
    modes = [part.training for part in module.modules()]
    state = {key: value.clone() for key, value in module.state_dict().items()}
    next(module.parameters()).requires_grad_(False)
    model = adapter.torch(module)
    jax.grad(lambda x: model.captured(x)[0].sum())(inputs(IMAGE))
    assert [part.training for part in module.modules()] == modes
    assert all(weight.grad is None for weight in module.parameters())
    assert [weight.requires_grad for weight in module.parameters()].count(False) == 1
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())
    assert model.f.graph is None  # released


def test_it_is_found_by_its_class_and_told_apart_by_its_weights():
    module = seeded(ResNet)
    one, two = adapt(module, name="one"), adapter.torch(module)
    assert (one.name, two.name, one.layout) == ("one", "resnet", "NCHW")
    assert (
        adapter.torch(seeded(Transformer)).layout == "NHWC" and adapt(module, layout="NHWC").layout == "NHWC"
    )
    assert one.digest() == two.digest()
    with torch.no_grad():
        module.fc.bias[0] += 1
    assert adapter.torch(module).digest() != one.digest()


class Returns(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.fc, self.wrap = nn.Linear(6, 3), wrap

    def forward(self, x):
        return self.wrap(self.fc(x))


class Held:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize("wrap", [lambda y: {"loss": 1, "logits": y}, Held])
def test_logits_are_found(wrap):
    module = seeded(Returns, wrap)
    x = inputs((6,))
    close(adapter.torch(module)(x), module.fc(torch.tensor(np.asarray(x))))


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda y: (y, y), "got tuple"),
        (lambda y: {"scores": y}, "got dict of scores"),
        (lambda y: y.sum(), r"got float32 \[\] for a batch of two"),
        (lambda y: y.argmax(-1), r"got int64 \[2\]"),
        (lambda y: y.T, r"got float32 \[3, 2\]"),
    ],
)
def test_other_outputs_are_told(wrap, words):
    model = adapter.torch(seeded(Returns, wrap))
    with pytest.raises(InputError, match=f"torch module returns: expected .*{words}"):
        model(inputs((6,)))
    with pytest.raises(InputError, match=f"torch module returns: expected .*{words}"):
        Panel.of([model, model]).check((6,))


def test_pictures_of_classes_come_with_the_classes_last():
    module = seeded(nn.Conv2d, 3, 5, 3, padding=1)
    x = inputs(IMAGE)
    close(adapter.torch(module)(x), asked(module, x)[1].permute(0, 2, 3, 1))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.one(x) if x.sum() > 0 else self.two(x))


def test_layers_that_depend_on_the_input_are_told():
    model = adapter.torch(seeded(Branches))
    x = inputs((6,))
    assert model(x).shape == (3, 3)  # which layers there are matters only where they are read
    with pytest.raises(
        Exception, match="expected the same layers for every input, got dense one instead of dense two"
    ):
        jax.block_until_ready(model.captured(x)[2])


class Steps(nn.Module):
    @torch.no_grad()
    def forward(self, x):
        return torch.stack([x[:, 0].round(), x[:, 1]], dim=1)


def test_a_module_without_a_slope_is_told():
    model = adapter.torch(Steps())
    with pytest.raises(InputError, match="gradient is zero everywhere"):
        Panel.of([model, model]).check_gradient((6,), "Random")


def test_weights_that_are_not_finite_are_told():
    module = seeded(ResNet)
    with torch.no_grad():
        module.blocks[1].conv2.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"weights of resnet, blocks.1.conv2.weight: .*got 9 that are NaN"):
        adapter.torch(module)
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module, got type"):
        adapter.torch(ResNet)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"xplore-tests\[torch\]"):
        adapter.torch(None)


def test_a_panel_of_torch_and_flax_finds_differences(tmp_path):
    digits = mnist.load("test")
    torch_model = adapter.torch(seeded(LeNet, "lenet5"), name="torch5", scale=255.0, std=255.0)
    flax_model = linen(lenet.module("lenet1"), {"params": lenet.load_parameters("lenet1")}, name="flax1")
    models = [torch_model, flax_model]
    result = xplore.run(
        models,
        digits.images[:24],
        digits.labels[:24],
        objective=Joint(lambda2=0.5),
        search=Gradient(steps=20, tries=2),
        constraint=Occlusion(10, 10, 0.5),
        lanes=8,
        out=tmp_path / "campaign",
        progress=False,
    )
    replayed = xplore.replay(tmp_path / "campaign", models)
    assert len(replayed) == len(list(result.findings)) > 3 and all(replayed.values())
    assert any(finding.valid for finding in result.findings)
    other = adapter.torch(seeded(LeNet, "lenet4"), name="torch5", scale=255.0, std=255.0)
    with pytest.raises(InputError, match="the weights that were tested"):
        xplore.replay(tmp_path / "campaign", [other, flax_model])


class TestFiles:
    @pytest.mark.parametrize("ending", ["pth", "pt", "bin", "safetensors"])
    def test_weights_come_back(self, tmp_path, ending):
        from safetensors.torch import save_file

        module, path = seeded(ResNet), tmp_path / f"net.{ending}"
        (save_file if ending == "safetensors" else torch.save)(module.state_dict(), path)
        torch.manual_seed(1)
        model = adapter.load(path, ResNet(), output="logits")
        x = inputs(IMAGE)
        assert model.name == "net" and model.digest() == adapter.torch(module).digest()
        close(model(x), asked(module, x)[1])

    def test_others_are_told(self, tmp_path):
        module = seeded(ResNet)
        with pytest.raises(InputError, match="got no such file"):
            adapter.load(tmp_path / "none.pth", module)
        torch.save(module, tmp_path / "whole.pth")
        with pytest.raises(InputError, match=r"code is not run; save .*module.state_dict\(\)"):
            adapter.load(tmp_path / "whole.pth", ResNet())
        torch.save([1], tmp_path / "list.pth")
        with pytest.raises(InputError, match="expected a state dict, got list"):
            adapter.load(tmp_path / "list.pth", ResNet())

    def test_what_does_not_fit_is_named_and_changes_nothing(self, tmp_path):
        state = seeded(ResNet).state_dict()
        state["fc.weight"] = torch.zeros(7, 6)
        state["fc.more"] = state.pop("fc.bias")
        state["stem.0.bias"] = 3
        torch.save(state, tmp_path / "other.pth")
        module = seeded(ResNet)
        before = adapter.torch(module).digest()
        with pytest.raises(InputError) as caught:
            adapter.load(tmp_path / "other.pth", module)
        assert (
            "no fc.bias; stem.0.bias int instead of [4]; fc.weight [7, 6] instead of [5, 6] and 1 more"
            in str(caught.value)
        )
        assert adapter.torch(module).digest() == before

    @pytest.mark.parametrize("ending", ["pth", "safetensors"])
    @examples(60)
    @given(data=st.data())
    def test_damage_is_told(self, tmp_path_factory, ending, data):
        from safetensors.torch import save_file

        path = tmp_path_factory.mktemp("damaged") / f"net.{ending}"
        module = seeded(nn.Linear, 3, 2)
        (save_file if ending == "safetensors" else torch.save)(module.state_dict(), path)
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content)))]
        for _ in range(data.draw(st.integers(0, 4)) if content else 0):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 5)) == 0 else content)
        with contextlib.suppress(InputError):
            assert adapter.load(path, nn.Linear(3, 2))(jnp.ones((2, 3))).shape == (2, 2)

    def test_nothing_is_run(self, tmp_path):
        class Runs:
            def __reduce__(self):
                return (open, (str(tmp_path / "run"), "w"))

        with warnings.catch_warnings():
            torch.save({"weight": Runs()}, tmp_path / "evil.pth")
        with pytest.raises(InputError, match=r"one that holds .*open, and code is not run"):
            adapter.load(tmp_path / "evil.pth", nn.Linear(3, 2))
        assert not (tmp_path / "run").exists()


class Viewed(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.end, self.fc = end, nn.Linear(5, 3)

    def forward(self, x):
        return self.end(self.fc(x))


@pytest.mark.parametrize(
    ("end", "output"),
    [
        (lambda z: z.softmax(-1), "probabilities"),
        (lambda z: F.log_softmax(z, dim=1).exp(), "probabilities"),
        (lambda z: z.T.softmax(0).T.reshape(-1, 3), "probabilities"),
        (lambda z: torch.sigmoid(z[:, :1]).squeeze(1), "probabilities"),
        (lambda z: F.log_softmax(z, dim=1), "logits"),
        (lambda z: z * z.softmax(-1), "logits"),
        (lambda z: z.sigmoid(), "logits"),
        (lambda z: z, "logits"),
    ],
)
def test_outputs_are_followed_back(end, output):
    net, x = Viewed(end), np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    model = adapt(net).bind((5,), 4)
    assert model.output == output
    own = net(torch.tensor(x)).detach().numpy().reshape(4, -1)
    np.testing.assert_allclose(model(jnp.asarray(x))[:, -own.shape[1] :], own, rtol=1e-5, atol=1e-6)
    assert adapt(net, output="values").bind((5,), 4).output == "values"


def quantised(net):
    with warnings.catch_warnings(action="ignore"):
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear, nn.LSTM}, dtype=torch.qint8)


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 200), nn.ReLU(), nn.Linear(200, 4)).eval()


class Acts(nn.Module):
    """What acts is more than its weights."""

    def __init__(self):
        super().__init__()
        self.fc, self.temperature, self.mask = linear(), 1.0, torch.ones(3000)
        self.register_buffer("mean", torch.zeros(2000), persistent=False)
        self.names = [f"class {i}" for i in range(2000)]

    def forward(self, x):
        return self.fc(x) / self.temperature + self.mask[1500] + self.mean[1000]


def changed(what):
    with torch.no_grad():
        net = Acts()
        match what:
            case "a weight":
                net.fc[1].weight[100, 20] += 1
            case "a number":
                net.temperature = 2.0
            case "a tensor that is no parameter":
                net.mask[1500] = 0
            case "a buffer that is not saved":
                net.mean[1000] = 1
            case "a hook":
                net.fc[3].register_forward_hook(lambda part, x, y: 2 * y)
            case "a name among many":
                net.names[1000] = "none"
            case "its forward":
                net.forward = net.fc.forward
            case "a part":
                net.fc[2] = nn.GELU()
    return net


KINDS = ("a weight", "a number", "a tensor that is no parameter", "a buffer that is not saved", "a hook")
KINDS += ("a name among many", "its forward", "a part")


def digest(net):
    return adapt(net, name="net").digest()


def test_a_digest_covers_all_that_acts():
    assert digest(changed("")) == digest(changed("")) == digest(changed("").train())
    assert len({digest(changed(what)) for what in ("", *KINDS)}) == 1 + len(KINDS)


@pytest.mark.parametrize(
    "make",
    [
        quantised,
        torch.jit.script,
        lambda net: torch.jit.freeze(torch.jit.script(net)),
        torch.fx.symbolic_trace,
        lambda net: net.to(torch.bfloat16),
        lambda net: quantised(nn.Sequential(nn.LSTM(48, 4), net)),
    ],
    ids=["int8", "scripted", "frozen", "traced", "bfloat16", "int8 LSTM"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_digest_is_of_the_weights_however_they_are_kept(make):
    other = linear()
    with torch.no_grad():
        other[1].weight[90:110, 20:30] *= -1  # in the middle of what is printed
    assert digest(make(linear())) == digest(make(linear())) != digest(make(other))


@pytest.mark.filterwarnings("ignore:quantized..linear_dynamic:UserWarning")
def test_layers_of_int8_are_seen_and_it_is_judged_alone():
    net = linear()
    x = np.random.default_rng(0).random((40, 4, 4, 3)).astype(np.float32)
    models = [adapt(net, name="float"), adapt(quantised(net), name="int8")]
    seen = xplore.inspect(models, x)
    assert [model.parameters for model in seen.models] == [10604, 10604]
    assert [[layer.shape for layer in model.layers] for model in seen.models] == [[(200,), (4,), (4,)]] * 2
    assert sum("int8 is judged alone" in w for w in seen.warnings) == 1
    assert sum("int8 has no gradient" in w for w in seen.warnings) == 1
    assert not any("float" in w or "cannot be seen" in w for w in seen.warnings)
    how = {"constraint": Ball(0.05), "progress": False, "steps": 4, "tries": 2}
    result = xplore.run(models, x, **how)
    assert result.summary["search"].startswith("Gradient") and result.summary["rejudged_away"] == 0
    assert all(xplore.replay(result.folder, models).values())


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_parts_whose_layers_cannot_be_seen_are_said():
    model = adapt(quantised(Mixed()), name="int8")
    assert model.parameters == sum(weight.numel() for weight in Mixed().parameters())
    ((part, count),) = model.unseen((6, 3)).items()
    assert part.startswith("lstm") and count == sum(weight.numel() for weight in nn.LSTM(3, 5).parameters())
    assert adapt(Mixed()).unseen((6, 3)) == adapt(LeNet()).unseen((28, 28, 1)) == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_answer_and_climb(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    net = net.to(dtype).eval()
    x = np.random.default_rng(0).random((6, 8, 8, 1)).astype(np.float32)
    models = [adapt(net, name="a"), adapt(net, name="b").replace(mean=0.01)]
    leaf = torch.tensor(x.transpose(0, 3, 1, 2)).to(dtype).requires_grad_()
    own = net(leaf)
    np.testing.assert_array_equal(models[0](jnp.asarray(x)), own.float().detach().numpy())
    (theirs,) = torch.autograd.grad(own[:, 0].sum(), leaf)
    slope = jax.grad(lambda x: models[0](x)[:, 0].sum())(jnp.asarray(x))
    close = 0.02 * float(theirs.abs().max())  # rounded otherwise, where other gradients are summed
    np.testing.assert_allclose(slope[..., 0], theirs[:, 0].float().numpy(), atol=close)
    result = xplore.run(models, x, constraint=Ball(0.1), steps=3, tries=1, progress=False)
    assert not any("gradient" in note for note in result.summary["notes"])
