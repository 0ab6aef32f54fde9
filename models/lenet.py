"""LeNet-1, LeNet-4 and LeNet-5 (LeCun et al., 1998) as DeepXplore (Pei et al., 2017) built them.

Each has two 5x5 convolutions with padding, each with relu and a 2x2 max-pool, then dense layers. DeepXplore
counts 52, 148 and 268 neurons: pools, logits and the softmax, which is applied outside, are among them.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore.model import weights

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model

# name: channels of the two convolutions, units of the dense layers before the logits
ARCHITECTURES: dict[str, tuple[tuple[int, int], tuple[int, ...]]] = {
    "lenet1": ((4, 12), ()),
    "lenet4": ((6, 16), (84,)),
    "lenet5": ((6, 16), (120, 84)),
}


def lenet1() -> "Model":
    """LeNet-1 trained: float32 [b 28 28 1] in [0, 1] -> logits [b 10]; raises `InputError`."""
    return _trained("lenet1")


def lenet4() -> "Model":
    """LeNet-4 trained: float32 [b 28 28 1] in [0, 1] -> logits [b 10]; raises `InputError`."""
    return _trained("lenet4")


def lenet5() -> "Model":
    """LeNet-5 trained: float32 [b 28 28 1] in [0, 1] -> logits [b 10]; raises `InputError`."""
    return _trained("lenet5")


def module(name: str) -> "nn.Module":
    """The untrained linen module of one of `ARCHITECTURES`.

    >>> module("lenet1").channels
    (4, 12)
    """
    channels, dense = ARCHITECTURES[name]
    return _lenet_class()(channels=channels, dense=dense)


def parameter_shapes(name: str) -> dict[str, Any]:
    """The tree of parameters, with a shape and a type for each leaf and no numbers yet."""
    import jax

    digit = jax.ShapeDtypeStruct((1, 28, 28, 1), "float32")
    return jax.eval_shape(module(name).init, jax.random.key(0), digit)["params"]


def load_parameters(name: str, path: Path | None = None) -> dict[str, Any]:
    """The trained parameters, from `path` or the file beside this one; raises `InputError`."""
    path = path or Path(__file__).with_name(f"{name}.safetensors")
    return weights.load(path, like=parameter_shapes(name))


def _trained(name: str) -> "Model":
    from xplore.adapters.linen import linen

    return linen(module(name), {"params": load_parameters(name)}, name=name)


@functools.cache
def _lenet_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    from flax import linen as nn

    class LeNet(nn.Module):
        """Two convolutions with pools, dense layers, logits."""

        __qualname__ = "LeNet"  # so that it pickles, by way of __getattr__ below

        channels: tuple[int, int]
        dense: tuple[int, ...]

        @nn.compact
        def __call__(self, x: Any) -> Any:
            for number, channels in enumerate(self.channels, start=1):
                x = nn.relu(nn.Conv(channels, (5, 5), padding="SAME", name=f"conv{number}")(x))
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = x.reshape(x.shape[0], -1)
            for number, units in enumerate(self.dense, start=1):
                x = nn.relu(nn.Dense(units, name=f"fc{number}")(x))
            return nn.Dense(10, name="logits")(x)

    return LeNet


def __getattr__(name: str) -> Any:
    if name == "LeNet":
        return _lenet_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
