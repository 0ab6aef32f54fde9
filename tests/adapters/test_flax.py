"""Flax linen and NNX: activations are the framework's own capture."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from adapters.alike import close, is_the_plain_model, rows_are_apart
from flax import nnx

from xplore.adapters import adapt

IMAGES = jax.random.uniform(jax.random.key(0), (4, 12, 12, 3))
TOKENS = jax.random.uniform(jax.random.key(1), (4, 6, 8))


class Net(nn.Module):
    """Convolution, batch norm, dropout, residual, pooling, dense layers."""

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        x = nn.Conv(8, (3, 3), name="first")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="norm")(x))
        x = x + nn.relu(nn.Conv(8, (3, 3), feature_group_count=8, name="deep")(x))
        x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        x = nn.Dropout(0.5, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(3, name="last")(nn.relu(nn.Dense(16, name="hidden")(x)))


class Transformer(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        y = nn.LayerNorm(name="norm1")(x)
        x = x + nn.MultiHeadDotProductAttention(2, name="attention")(y)
        y = nn.LayerNorm(name="norm2")(x)
        x = x + nn.Dense(8, name="down")(nn.gelu(nn.Dense(16, name="up")(y)))
        return nn.Dense(3, name="last")(x.mean(axis=1))


def own(module: nn.Module, variables: Any, x: Any) -> dict[str, Any]:
    """What each module returns, by flax's own capture."""
    _, state = module.apply(variables, x, capture_intermediates=True)
    flat = jax.tree_util.tree_flatten_with_path(state["intermediates"])[0]
    return {"/".join(str(key.key) for key in path[:-2]): value for path, value in flat if len(path) > 2}


def test_a_linen_network() -> None:
    with jax.numpy_rank_promotion("allow"):  # flax's batch norm
        variables = Net().init(jax.random.key(0), IMAGES)
        variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
        model = adapt((Net(), variables))
        values = is_the_plain_model(model, IMAGES, lambda x: Net().apply(variables, x))
        theirs = own(Net(), variables, IMAGES)
        rows_are_apart(model, IMAGES)
    assert list(values) == ["first", "deep", "pool1", "hidden", "last", "softmax"]
    close(values["first"], nn.relu(theirs["norm"]))
    close(values["deep"], nn.relu(theirs["norm"]) + nn.relu(theirs["deep"]))
    close(values["pool1"], nn.avg_pool(values["deep"], (2, 2), strides=(2, 2)))
    close(values["hidden"], nn.relu(theirs["hidden"]))
    close(values["last"], theirs["last"])


def test_a_linen_transformer() -> None:
    with jax.numpy_rank_promotion("allow"):
        variables = Transformer().init(jax.random.key(0), TOKENS)
        model = adapt((Transformer(), variables))
        values = is_the_plain_model(model, TOKENS, lambda x: Transformer().apply(variables, x), 1e-5)
        theirs = own(Transformer(), variables, TOKENS)
    for name in ("attention/key", "attention/value", "norm2", "last"):
        close(values[name], theirs[name], 1e-5)
    close(values["attention/query"], theirs["attention/query"] / 4**0.5, 1e-5)  # scaled before the product
    close(values["up"], nn.gelu(theirs["up"]), 1e-5)
    close(values["attention/out"], TOKENS + theirs["attention/out"], 1e-5)
    assert "norm1" not in values  # of the input itself: before any layer


def test_a_linen_recurrent_net() -> None:
    lstm = nn.RNN(nn.OptimizedLSTMCell(5), return_carry=True)
    variables = lstm.init(jax.random.key(0), TOKENS)
    model = adapt((lstm, variables), output="values")
    model = model.replace(f=lambda p, x, f=model.f: f(p, x)[0][1])
    values = is_the_plain_model(model, TOKENS, lambda x: lstm.apply(variables, x)[0][1])
    hidden = lstm.apply(variables, TOKENS)[1]
    assert any(
        value.shape == hidden.shape and np.allclose(value, hidden, atol=1e-6) for value in values.values()
    )


class NnxNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(2)])
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.relu(self.norm(self.first(x)))
        x = self.drop(x.max(axis=(1, 2)))
        for layer in self.blocks:
            x = nnx.relu(layer(x))
        return self.last(x)


def test_an_nnx_network() -> None:
    module = NnxNet(nnx.Rngs(0))
    module.norm.mean[...] = jnp.full(8, 0.3)
    with jax.numpy_rank_promotion("allow"):
        model = adapt(module)
        assert not module.drop.deterministic  # the user's own is left in the mode it is in
        module.eval()
        values = is_the_plain_model(model, IMAGES, nnx.clone(module))
        theirs = nnx.capture(module, nnx.Intermediate, method_outputs=nnx.Intermediate)(IMAGES)[1]
    assert list(values) == ["first", "global_pool1", "blocks/0", "blocks/1", "last", "softmax"]
    close(values["first"], nnx.relu(theirs["norm"]["__call__"][0]))
    close(values["blocks/0"], nnx.relu(theirs["blocks"][0]["__call__"][0]))
    close(values["blocks/1"], nnx.relu(theirs["blocks"][1]["__call__"][0]))
    close(values["last"], theirs["last"]["__call__"][0])


def test_an_nnx_module_built_again_never_retraces() -> None:
    one, other = adapt(NnxNet(nnx.Rngs(0))), adapt(NnxNet(nnx.Rngs(0)))
    assert one.digest() == other.digest() != adapt(NnxNet(nnx.Rngs(1))).digest()
    assert jax.tree.structure(one) == jax.tree.structure(other)
