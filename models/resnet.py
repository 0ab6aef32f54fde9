"""ResNet50 (He et al., 2016) as Keras builds it, for its published weights.

DeepXplore (Pei et al., 2017) counts 94,059 neurons: the channels of every convolution, normalisation,
activation, sum and pool, of the padded input, and the 1,000 probabilities, not the logits.
"""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width of the inner convolutions, and blocks
CLASSES, PIXELS = 1000, 224
EPSILON = 1.001e-5


def resnet50(weights: str) -> "Model":
    """ResNet50: float32 [b h w 3] in [0, 1], resized to 224 -> logits [b 1000].

    `weights` is `resnet50_weights_tf_dim_ordering_tf_kernels.h5` as Keras publishes it since 2.2.5 (its first
    layer is called `conv1_conv`). Raises `InputError`.
    """
    from xplore.adapters.linen import linen
    from xplore.models.keras_file import CAFFE, load_variables

    built = module()
    return linen(
        built, load_variables(weights, built, PIXELS), name="resnet50", size=(PIXELS, PIXELS), **CAFFE
    )


def module(classes: int = CLASSES) -> "nn.Module":
    """The untrained linen module."""
    return _module_class()(classes=classes)


@functools.cache
def _module_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    import jax.numpy as jnp
    from flax import linen as nn
    from jax.ad_checkpoint import checkpoint_name as tag

    class ResNet50(nn.Module):
        """A 7x7 convolution and a pool, four stages of bottleneck blocks, global mean, logits."""

        __qualname__ = "ResNet50"  # so that it pickles, by way of __getattr__ below

        classes: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            def padded(x: Any, n: int) -> Any:
                return jnp.pad(x, ((0, 0), (n, n), (n, n), (0, 0)))

            def relu(x: Any, name: str) -> Any:
                return tag(nn.relu(x), f"relu:{name}")

            def conv(x: Any, name: str, width: int, size: int = 1, stride: int = 1) -> Any:
                padding = "VALID" if size == 7 else "SAME"
                x = nn.Conv(width, (size, size), stride, padding, name=f"{name}_conv")(x)
                x = tag(x, f"conv:{name}_conv")
                norm = nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name=f"{name}_bn")
                return tag(norm(x), f"normalise:{name}_bn")

            x = tag(padded(x, 3), "pad:conv1_pad")
            x = relu(conv(x, "conv1", 64, 7, 2), "conv1_relu")
            x = tag(nn.max_pool(padded(x, 1), (3, 3), (2, 2)), "pool:pool1_pool")
            for stage, (width, blocks) in enumerate(STAGES, start=2):
                for number in range(1, blocks + 1):
                    place = f"conv{stage}_block{number}"
                    stride = 2 if number == 1 and stage > 2 else 1
                    came = conv(x, f"{place}_0", 4 * width, 1, stride) if number == 1 else x
                    x = relu(conv(x, f"{place}_1", width, 1, stride), f"{place}_1_relu")
                    x = relu(conv(x, f"{place}_2", width, 3), f"{place}_2_relu")
                    x = tag(came + conv(x, f"{place}_3", 4 * width), f"sum:{place}_add")
                    x = relu(x, f"{place}_out")
            x = tag(x.mean((1, 2)), "global_pool:avg_pool")
            return nn.Dense(self.classes, name="predictions")(x)

    return ResNet50


def __getattr__(name: str) -> Any:
    if name == "ResNet50":
        return _module_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
