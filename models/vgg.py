"""VGG16 and VGG19 (Simonyan & Zisserman, 2015) as Keras builds them, for its published weights.

DeepXplore (Pei et al., 2017) counts 14,888 and 16,168 neurons: the channels of convolutions and pools, the
units of the two dense layers, and the 1,000 probabilities, not the logits.
"""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model

REPEATS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)
DENSE, CLASSES, PIXELS = 4096, 1000, 224


def vgg16(weights: str) -> "Model":
    """VGG16: float32 [b h w 3] in [0, 1], resized to 224 -> logits [b 1000].

    `weights` is `vgg16_weights_tf_dim_ordering_tf_kernels.h5`, as Keras publishes it. Raises `InputError`.
    """
    return _trained("vgg16", weights)


def vgg19(weights: str) -> "Model":
    """VGG19: float32 [b h w 3] in [0, 1], resized to 224 -> logits [b 1000].

    `weights` is `vgg19_weights_tf_dim_ordering_tf_kernels.h5`, as Keras publishes it. Raises `InputError`.
    """
    return _trained("vgg19", weights)


def module(name: str, classes: int = CLASSES) -> "nn.Module":
    """The untrained linen module of one of `REPEATS`."""
    return _module_class()(repeats=REPEATS[name], classes=classes)


def _trained(name: str, weights: str) -> "Model":
    from xplore.adapters.linen import linen
    from xplore.models.keras_file import CAFFE, load_variables

    built = module(name)
    return linen(built, load_variables(weights, built, PIXELS), name=name, size=(PIXELS, PIXELS), **CAFFE)


@functools.cache
def _module_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    from flax import linen as nn
    from jax.ad_checkpoint import checkpoint_name

    class VGG(nn.Module):
        """Five stages of 3x3 convolutions and a pool, two dense layers, logits."""

        __qualname__ = "VGG"  # so that it pickles, by way of __getattr__ below

        repeats: tuple[int, ...]
        classes: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            for stage, (width, repeats) in enumerate(zip(WIDTHS, self.repeats, strict=True), start=1):
                for number in range(1, repeats + 1):
                    name = f"block{stage}_conv{number}"
                    x = checkpoint_name(nn.relu(nn.Conv(width, (3, 3), name=name)(x)), f"conv:{name}")
                x = checkpoint_name(nn.max_pool(x, (2, 2), strides=(2, 2)), f"pool:block{stage}_pool")
            x = x.reshape(x.shape[0], -1)
            for name in ("fc1", "fc2"):
                x = checkpoint_name(nn.relu(nn.Dense(DENSE, name=name)(x)), f"dense:{name}")
            return nn.Dense(self.classes, name="predictions")(x)

    return VGG


def __getattr__(name: str) -> Any:
    if name == "VGG":
        return _module_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
