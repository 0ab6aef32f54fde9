"""DAVE-2 (Bojarski et al., 2016) as DeepXplore (Pei et al., 2017) built it, three times: steering angles.

`dave_orig` and `dave_norminit` have five convolutions and five dense layers, the second with normal initial
weights; `dave_dropout` three convolutions with pools, dense layers, and dropout in training. Each ends in
`2 atan(u)`. DeepXplore counts 1,560, 1,560 and 844 neurons, those of the layers before the last number.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xplore.model import weights

if TYPE_CHECKING:
    from flax import linen as nn

    from xplore.model import Model

SIDE = 100
# name: (channels, kernel, stride, pool) of each convolution; units of the dense layers, dropout behind them
ARCHITECTURES: dict[str, tuple[tuple[tuple[int, int, int, int], ...], tuple[tuple[int, float], ...]]] = {
    name: (
        ((24, 5, 2, 1), (36, 5, 2, 1), (48, 5, 2, 1), (64, 3, 1, 1), (64, 3, 1, 1)),
        ((1164, 0.0), (100, 0.0), (50, 0.0), (10, 0.0)),
    )
    for name in ("dave_orig", "dave_norminit")
} | {
    "dave_dropout": (
        ((16, 3, 1, 2), (32, 3, 1, 2), (64, 3, 1, 2)),
        ((500, 0.5), (100, 0.25), (20, 0.0)),
    )
}


def dave_orig() -> Model:
    """DAVE-orig trained: frames [b h w 3] in [0, 1] -> the steering angle [b 1]; raises `InputError`."""
    return trained("dave_orig")


def dave_norminit() -> Model:
    """DAVE-norminit trained: frames [b h w 3] in [0, 1] -> the steering angle [b 1]; raises `InputError`."""
    return trained("dave_norminit")


def dave_dropout() -> Model:
    """DAVE-dropout trained: frames [b h w 3] in [0, 1] -> the steering angle [b 1]; raises `InputError`."""
    return trained("dave_dropout")


def module(name: str) -> nn.Module:
    """The untrained linen module of one of `ARCHITECTURES`.

    >>> module("dave_dropout").convolutions[0]
    (16, 3, 1, 2)
    """
    convolutions, dense = ARCHITECTURES[name]
    return _dave_class()(convolutions=convolutions, dense=dense, normal=name == "dave_norminit")


def model(name: str, params: Any) -> Model:
    """Parameters as a model under test; frames are resized to `SIDE` inside the graph."""
    from xplore.adapters.linen import linen

    read = {"size": (SIDE, SIDE), "mean": 0.5, "output": "values"}
    return linen(module(name), {"params": params}, name=name, **read)


def trained(name: str) -> Model:
    """The trained model, from the file beside this one, which holds halves; computed in float32."""
    import jax

    path = Path(__file__).with_name(f"{name}.safetensors")
    return model(
        name, jax.tree.map(lambda leaf: leaf.astype("float32"), weights.load(path, like=shapes(name)))
    )


def shapes(name: str) -> dict[str, Any]:
    """The tree of parameters as they are stored: a shape for each leaf, in half precision."""
    import jax

    frame = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), "float32")
    tree = jax.eval_shape(module(name).init, jax.random.key(0), frame)["params"]
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, "float16"), tree)


@functools.cache
def _dave_class() -> type:
    # Made on first use: importing flax takes a second, and listing the zoo should not.
    import jax.numpy as jnp
    from flax import linen as nn

    class Dave(nn.Module):
        """Convolutions, dense layers, one number `u`, the angle `2 atan(u)`."""

        __qualname__ = "Dave"  # so that it pickles, by way of __getattr__ below

        convolutions: tuple[tuple[int, int, int, int], ...]
        dense: tuple[tuple[int, float], ...]
        normal: bool = False

        @nn.compact
        def __call__(self, x: Any, *, training: bool = False) -> Any:
            usual = nn.initializers.he_normal()
            init = nn.initializers.truncated_normal(0.1) if self.normal else usual
            for number, (channels, kernel, stride, pool) in enumerate(self.convolutions, start=1):
                window, step = (kernel, kernel), (stride, stride)
                conv = nn.Conv(channels, window, step, "VALID", kernel_init=usual, name=f"conv{number}")
                x = nn.relu(conv(x))
                x = nn.max_pool(x, (pool, pool), (pool, pool)) if pool > 1 else x
            x = x.reshape(x.shape[0], -1)
            for number, (units, dropout) in enumerate(self.dense, start=1):
                x = nn.relu(nn.Dense(units, kernel_init=init if number > 1 else usual, name=f"fc{number}")(x))
                x = nn.Dropout(dropout, deterministic=not training)(x) if dropout else x
            small = nn.initializers.normal(0.03)  # angles are
            return 2 * jnp.arctan(nn.Dense(1, kernel_init=small, name="before_prediction")(x))

    return Dave


def __getattr__(name: str) -> Any:
    if name == "Dave":
        return _dave_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
