"""Captures architectures that others wrote, unmodified, and writes docs/results/models.md.

    pip install keras dm-haiku equinox equimo transformers mlp-mixer-pytorch torch
    python scripts/results_models.py [NAME ...] [--out docs/results/models.md]

Each is built from its library with random weights at a small input size. What is captured must answer as
the library's own call does, and have its input gradient, both to 1e-5 of their largest entry; every layer
must have a name and units. An architecture whose library is not installed is named as left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiling is most of the time

import jax
import jax.numpy as jnp
import numpy as np

from xplore.adapters import adapt
from xplore.model import Model

MOST = 1e-5
CLASSES = 10
Built = tuple[Model, Callable[[Any], Any] | None, tuple[int, ...]]


def keras(name: str, size: int = 64) -> Callable[[], Built]:
    """An architecture of keras.applications, with logits: a softmax that is sure has no slope to compare."""

    def build() -> Built:
        import keras as library

        random = np.random.default_rng(0)
        shape = (size, size, 3)
        net = getattr(library.applications, name)(
            weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None
        )
        for weight in net.weights:  # He et al. (2015): by Keras's own choice, deep answers are all alike
            if len(weight.shape) > 1:
                deep = "depthwise" in weight.path.split("/")[-1]
                fan_in = np.prod(weight.shape[:2] if deep else weight.shape[:-1])
                weight.assign(random.normal(size=weight.shape) * np.sqrt(2 / fan_in))
        return adapt(net), lambda x: net(x, training=False), shape

    return build


def haiku(name: str, **arguments: Any) -> Callable[[], Built]:
    """A network of haiku.nets with its state."""

    def build() -> Built:
        import haiku as hk

        from xplore.adapters.haiku import haiku as adapter

        if name.startswith("ResNet"):  # its own choice is zeros, which no input changes
            arguments["logits_config"] = {"w_init": hk.initializers.VarianceScaling()}

        def call(x: Any, training: bool = False) -> Any:
            net = getattr(hk.nets, name)(**arguments)
            return net(x) if name == "MLP" else net(x, is_training=training)

        shape = (64,) if name == "MLP" else (64, 64, 3)
        transformed = hk.transform_with_state(call)
        params, state = transformed.init(jax.random.key(0), jnp.ones((2, *shape)), True)
        return (
            adapter(transformed, params, state),
            lambda x: transformed.apply(params, state, None, x)[0],
            shape,
        )

    return build


def equimo(name: str, **arguments: Any) -> Callable[[], Built]:
    """A network of equimo, written in Equinox for one image [c h w]."""

    def build() -> Built:
        import equimo.models
        import equinox as eqx

        net = getattr(equimo.models, name)(
            in_channels=3, num_classes=CLASSES, key=jax.random.key(0), **arguments
        )
        own = eqx.nn.inference_mode(net)
        return (
            adapt(net, layout="NCHW"),
            lambda x: jax.vmap(own)(jnp.moveaxis(x, -1, 1)),
            (64, 64, 3),
        )

    return build


def equinox_mlp() -> Built:
    import equinox as eqx

    net = eqx.nn.MLP(64, CLASSES, 128, 3, key=jax.random.key(0))
    return adapt(net), jax.vmap(net), (64,)


def flax_recurrent(cell: str) -> Callable[[], Built]:
    """A recurrent layer of linen over 16 steps, and a dense layer on its last state."""

    def build() -> Built:
        from flax import linen as nn

        net = nn.Sequential([nn.RNN(getattr(nn, cell)(32)), lambda x: x[:, -1], nn.Dense(CLASSES)])
        variables = net.init(jax.random.key(0), jnp.ones((2, 16, 8)))
        return adapt((net, variables)), lambda x: net.apply(variables, x), (16, 8)

    return build


def flax_attention() -> Built:
    from flax import nnx

    rngs = nnx.Rngs(0)
    net = nnx.Sequential(
        nnx.Linear(8, 32, rngs=rngs),
        nnx.LayerNorm(32, rngs=rngs),
        nnx.MultiHeadAttention(4, 32, decode=False, rngs=rngs),
        lambda x: x.mean(axis=1),
        nnx.Linear(32, CLASSES, rngs=rngs),
    )
    return adapt(net), net, (16, 8)


def transformers(name: str, size: int = 64, **settings: Any) -> Callable[[], Built]:
    """An image classifier of transformers, in torch."""

    def build() -> Built:
        import torch
        import transformers as library

        torch.manual_seed(0)
        config = getattr(library, f"{name}Config")(num_labels=CLASSES, **settings)
        net = getattr(library, f"{name}ForImageClassification")(config).eval()
        return adapt(net, layout="NCHW"), net, (size, size, 3)

    return build


def torch_mixer() -> Built:
    import torch
    from mlp_mixer_pytorch import MLPMixer

    torch.manual_seed(0)
    net = MLPMixer(image_size=64, channels=3, patch_size=16, dim=64, depth=4, num_classes=CLASSES).eval()
    return adapt(net, layout="NCHW"), net, (64, 64, 3)


ARCHITECTURES: dict[str, tuple[str, Callable[[], Built]]] = {
    **{
        name: ("Keras", keras(name, size))
        for name, size in {
            **dict.fromkeys(["VGG16", "ResNet50", "ResNet50V2", "MobileNet", "MobileNetV2"], 64),
            **dict.fromkeys(["MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121"], 64),
            **dict.fromkeys(["ConvNeXtTiny", "NASNetMobile"], 64),
            **dict.fromkeys(["InceptionV3", "Xception", "InceptionResNetV2"], 75),
        }.items()
    },
    "ResNet18": ("Haiku", haiku("ResNet18", num_classes=CLASSES)),
    "MobileNetV1": ("Haiku", haiku("MobileNetV1", num_classes=CLASSES)),
    "MLP": ("Haiku", haiku("MLP", output_sizes=[128, 64, CLASSES])),
    "MLP of Equinox": ("Equinox", equinox_mlp),
    "VisionTransformer": (
        "Equinox (equimo)",
        equimo("VisionTransformer", img_size=64, dim=64, patch_size=16, num_heads=4, depths=[4]),
    ),
    "ConvNeXt": ("Equinox (equimo)", equimo("ConvNeXt", depths=[1, 1, 2, 1], dims=[16, 32, 64, 128])),
    "LSTM": ("Flax linen", flax_recurrent("OptimizedLSTMCell")),
    "GRU": ("Flax linen", flax_recurrent("GRUCell")),
    "MultiHeadAttention": ("Flax NNX", flax_attention),
    "ViT": (
        "torch (transformers)",
        transformers(
            "ViT",
            image_size=64,
            hidden_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=128,
        ),
    ),
    "Swin": (
        "torch (transformers)",
        transformers("Swin", image_size=64, window_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4]),
    ),
    "ConvNext": (
        "torch (transformers)",
        transformers("ConvNext", depths=[1, 1, 2, 1], hidden_sizes=[16, 32, 64, 128]),
    ),
    "ResNet": (
        "torch (transformers)",
        transformers("ResNet", depths=[1, 1, 1, 1], hidden_sizes=[32, 64, 128, 256], embedding_size=16),
    ),
    "RegNet": (
        "torch (transformers)",
        transformers("RegNet", depths=[1, 1, 1, 1], hidden_sizes=[32, 64, 96, 128], groups_width=16),
    ),
    "PoolFormer": (
        "torch (transformers)",
        transformers("PoolFormer", depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 128]),
    ),
    "MobileNetV2 of torch": ("torch (transformers)", transformers("MobileNetV2", image_size=64)),
    "MLP-Mixer": ("torch (mlp-mixer-pytorch)", torch_mixer),
}


@dataclass(frozen=True)
class Captured:
    """What came of one architecture."""

    name: str
    library: str
    shape: tuple[int, ...]
    parameters: int
    kinds: Counter[str]
    neurons: int
    seconds: float
    outputs: float
    gradient: float

    @property
    def holds(self) -> bool:
        return max(self.outputs, self.gradient) <= MOST and self.neurons > 0


def look(name: str) -> Captured:
    """Build, trace, and compare with the library's own call."""
    library, build = ARCHITECTURES[name]
    model, own, shape = build()
    x = jax.random.uniform(jax.random.key(1), (2, *shape))
    told: list[Any] = []

    def captured(model: Model, x: Any) -> tuple[Any, Any]:
        outputs, layers, values = model.captured(x)
        told[:] = layers
        return outputs, values

    start = time.perf_counter()
    jax.eval_shape(captured, model, x)
    seconds = time.perf_counter() - start
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(2, CLASSES)), jnp.float32)
    seen, slope = jax.jit(
        lambda m, x: (captured(m, x)[0], jax.grad(lambda x: (weights * captured(m, x)[0]).sum())(x))
    )(model, x)
    theirs, their_slope = reference(own, x, weights)
    assert all(layer.name and layer.units for layer in told), f"{name}: a layer is empty"
    assert np.isfinite(their_slope).all() and np.abs(their_slope).max() > 0, f"{name}: no slope to compare"
    assert np.isfinite(theirs).all() and np.ptp(theirs) > 0, f"{name}: no answers to compare"
    return Captured(
        name,
        library,
        shape,
        model.parameters,
        Counter(layer.kind for layer in told),
        sum(layer.units for layer in told),
        seconds,
        apart(seen, theirs),
        apart(slope, their_slope),
    )


def reference(own: Any, x: jax.Array, weights: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Answers and input gradient as the library itself computes them."""
    if "torch" in sys.modules:
        import torch

        if isinstance(own, torch.nn.Module):
            given = torch.from_numpy(np.array(x)).requires_grad_()
            answers = own(given.movedim(-1, 1))
            answers = getattr(answers, "logits", answers)
            (answers * torch.from_numpy(np.array(weights))).sum().backward()
            assert given.grad is not None
            return answers.detach().numpy(), given.grad.numpy()
    answers, slope = jax.jit(lambda x: (own(x), jax.grad(lambda x: (weights * own(x)).sum())(x)))(x)
    return np.asarray(answers), np.asarray(slope)


def apart(one: Any, other: Any) -> float:
    """The largest difference, as a share of the largest entry."""
    one, other = np.asarray(one), np.asarray(other)
    return float(np.abs(one - other).max() / np.abs(other).max())


def page(rows: list[Captured], left_out: list[str]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in installed().items())
    lines = [
        "# Architectures captured as they are",
        "",
        "Written by `python scripts/results_models.py`: each architecture is built from its library with random"
        " weights, so that answers and slopes are not zero, and captured unmodified. *Outputs* and *gradient* are the largest differences from the"
        " library's own call and its input gradient, as shares of their largest entries; *traced* is the time"
        " to find all layers, without compiling. A neuron is a channel's mean over its positions.",
        "",
        f"{sum(row.holds for row in rows)} of {len(rows)} hold (to {MOST:g}, every layer named, none empty).",
        "",
        "| architecture | library | input | parameters | layers | neurons | traced | outputs | gradient |",
        "|---|---|---|--:|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        shape = " ".join(map(str, row.shape))
        kinds = ", ".join(f"{count} {kind}" for kind, count in row.kinds.most_common())
        lines.append(
            f"| {row.name} | {row.library} | {shape} | {row.parameters:,}"
            f" | {sum(row.kinds.values())}: {kinds} | {row.neurons:,} | {row.seconds:.1f} s | {row.outputs:.0e} | {row.gradient:.0e} |"
        )
    if left_out:
        lines += ["", "Left out, as the library is not installed: " + ", ".join(left_out) + "."]
    return "\n".join([*lines, "", f"Python {platform.python_version()}, {versions}.", ""])


def installed() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("jax", "keras", "flax", "equinox", "equimo", "dm-haiku", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="only these architectures, printed")
    parser.add_argument("--out", type=Path, default=Path("docs/results/models.md"))
    chosen = parser.parse_args()
    rows, left_out = [], []
    for name in chosen.names or ARCHITECTURES:
        try:
            row = look(name)
        except ImportError as error:
            left_out.append(f"{name} ({error.name})")
            continue
        print(f"{'holds' if row.holds else 'DOES NOT HOLD'} {row}", flush=True)
        rows.append(row)
        jax.clear_caches()
    if not chosen.names:
        chosen.out.write_text(page(rows, left_out), "utf-8")
    if not all(row.holds for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
