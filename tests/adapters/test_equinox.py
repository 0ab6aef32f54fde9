"""Equinox: written for one input, mapped over the batch."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from adapters.alike import close, is_the_plain_model, rows_are_apart

from xplore.adapters import adapt

IMAGES = jax.random.uniform(jax.random.key(0), (4, 12, 12, 3))
KEYS = jax.random.split(jax.random.key(1), 8)


class Net(eqx.Module):
    conv: eqx.nn.Conv2d
    pool: eqx.nn.MaxPool2d
    norm: eqx.nn.LayerNorm
    hidden: eqx.nn.Linear
    drop: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self) -> None:
        self.conv = eqx.nn.Conv2d(3, 6, 3, key=KEYS[0])
        self.pool = eqx.nn.MaxPool2d(2, 2)
        self.norm = eqx.nn.LayerNorm(150)
        self.hidden = eqx.nn.Linear(150, 16, key=KEYS[1])
        self.drop = eqx.nn.Dropout(0.5)
        self.last = eqx.nn.Linear(16, 3, key=KEYS[2])

    def parts(self, x: Any) -> dict[str, Any]:
        """Each layer's value for one input [c h w]."""
        conv = jax.nn.relu(self.conv(x))
        pool = self.pool(conv)
        norm = self.norm(pool.ravel())
        hidden = jax.nn.gelu(self.hidden(norm))
        return {
            "conv": conv,
            "pool1": pool,
            "norm": norm,
            "hidden": hidden,
            "last": self.last(self.drop(hidden)),
        }

    def __call__(self, x: Any) -> Any:
        return self.parts(x)["last"]


def test_a_network() -> None:
    net = Net()
    model = adapt(net, layout="NCHW", output="values")
    own = eqx.nn.inference_mode(net)
    first = jnp.moveaxis(IMAGES, -1, 1)
    values = is_the_plain_model(model, IMAGES, lambda x: jax.vmap(own)(jnp.moveaxis(x, -1, 1)))
    theirs = jax.vmap(own.parts)(first)
    assert list(values) == ["conv", "pool1", "norm", "hidden", "last"]
    close(values["conv"], jnp.moveaxis(theirs["conv"], 1, -1))
    close(values["pool1"].reshape(4, 5, 5, 6), jnp.moveaxis(theirs["pool1"], 1, -1))
    for name in ("norm", "hidden", "last"):
        close(values[name], theirs[name])
    rows_are_apart(model, IMAGES)


def test_an_mlp_and_a_cell_over_time() -> None:
    mlp = eqx.nn.MLP(5, 3, 7, 2, key=KEYS[3])
    rows = IMAGES[:, 0, :5, 0]
    values = is_the_plain_model(adapt(mlp, output="values"), rows, jax.vmap(mlp))
    assert list(values) == ["layers/0", "layers/1", "layers/2"]
    close(values["layers/0"], jax.nn.relu(jax.vmap(mlp.layers[0])(rows)))
    cell = eqx.nn.GRUCell(3, 4, key=KEYS[4])

    def last(x: Any) -> Any:
        return jax.lax.scan(lambda h, now: (cell(now, h), None), jnp.zeros(4), x)[0]

    time = IMAGES[:, 0]
    values = is_the_plain_model(adapt(jax.vmap(last), output="values"), time, jax.vmap(last))
    hidden = [value for value in values.values() if value.shape == (4, 12, 4)]
    assert any(jnp.allclose(value[:, -1], jax.vmap(last)(time), atol=1e-6) for value in hidden)


def test_a_module_built_again_never_retraces() -> None:
    one, other = adapt(Net()), adapt(Net())
    assert jax.tree.structure(one) == jax.tree.structure(other) and one.digest() == other.digest()
