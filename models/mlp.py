"""Dense networks on rows: they standardise what they read, then relu layers, then logits.

The trained ones of a domain are in the file of its name; weights lie beside this one in half precision, the
means and deviations in single.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore.model import weights

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model


def module(hidden: tuple[int, ...], *, standard: bool = True, squash: bool = False) -> "nn.Module":
    """The untrained linen module: float32 [b d] -> logits [b 2].

    With `standard` it reads `(x - mean) / std`, numbers of the training part that are kept with the weights;
    with `squash`, `arcsinh(x)` in place of x: about the logarithm of large numbers, of either sign.

    >>> module((200, 200)).hidden
    (200, 200)
    """
    return _mlp_class()(hidden=hidden, standard=standard, squash=squash)


def parameter_shapes(module: "nn.Module", width: int) -> dict[str, Any]:
    """The tree of parameters for rows of so many numbers, with a shape and a type for each leaf."""
    import jax

    row = jax.ShapeDtypeStruct((1, width), "float32")
    return jax.eval_shape(module.init, jax.random.key(0), row)["params"]


def stored(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are kept on disk: kernels and biases in half precision."""
    import numpy as np

    return {
        name: stored(leaf) if isinstance(leaf, Mapping) else np.asarray(leaf, _precision(name))
        for name, leaf in params.items()
    }


def _precision(name: str) -> str:
    return "float32" if name in ("mean", "std") else "float16"


def load_parameters(name: str, module: "nn.Module", width: int, path: Path | None = None) -> dict[str, Any]:
    """Trained parameters as float32, from `path` or the file beside this one. Raises `InputError`."""
    import jax
    import numpy as np

    shapes = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.ShapeDtypeStruct(leaf.shape, _precision(path[-1].key)),
        parameter_shapes(module, width),
    )
    path = path or Path(__file__).with_name(f"{name}.safetensors")
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), weights.load(path, like=shapes))


def trained(name: str, module: "nn.Module", width: int) -> "Model":
    """A model of the zoo by its name; raises `InputError`."""
    from xplore.adapters.linen import linen

    return linen(module, {"params": load_parameters(name, module, width)}, name=name)


@functools.cache
def _mlp_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    import jax.numpy as jnp
    from flax import linen as nn

    class MLP(nn.Module):
        """Dense layers with relu, logits."""

        __qualname__ = "MLP"  # so that it pickles, by way of __getattr__ below

        hidden: tuple[int, ...]
        standard: bool
        squash: bool

        @nn.compact
        def __call__(self, x: Any) -> Any:
            if self.squash:
                x = jnp.arcsinh(x)
            if self.standard:
                mean = self.param("mean", nn.initializers.zeros, x.shape[1:])
                std = self.param("std", nn.initializers.ones, x.shape[1:])
                x = (x - mean[None]) / std[None]
            for number, units in enumerate(self.hidden, start=1):
                x = nn.relu(nn.Dense(units, name=f"fc{number}")(x))
            return nn.Dense(2, name="logits")(x)

    return MLP


def __getattr__(name: str) -> Any:
    if name == "MLP":
        return _mlp_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
