"""Plain functions of JAX, with and without a tree of weights, in the shapes that real networks take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapters.alike import close, is_the_plain_model, kinds, rows_are_apart, seen

from xplore._util.errors import InputError
from xplore.adapters import adapt
from xplore.model import Model
from xplore.panel import Panel

rng = np.random.default_rng(0)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(rng.normal(size=shape) / np.sqrt(max(1, int(np.prod(shape[:-1])))), jnp.float32)


def conv(x: Any, w: Any, groups: int = 1, stride: int = 1) -> Any:
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


IMAGES = jnp.asarray(rng.random((4, 8, 8, 3)), jnp.float32)
TOKENS = jnp.asarray(rng.random((4, 6, 8)), jnp.float32)
ROWS = jnp.asarray(rng.random((4, 8)), jnp.float32)


def layer_norm(p: Any, x: Any) -> Any:
    mean = x.mean(axis=-1, keepdims=True)
    var = (x**2).mean(axis=-1, keepdims=True) - mean**2
    return (x - mean) * jax.lax.rsqrt(var + 1e-3) * p["scale"][None, None] + p["bias"][None, None]


def norm() -> dict[str, Any]:
    return {"scale": 1 + draw(8), "bias": draw(8)}


RESIDUAL = {"in": {"w": draw(3, 3, 3, 8)}, "a": {"w": draw(3, 3, 8, 8)}, "b": {"w": draw(3, 3, 8, 8)}}
RESIDUAL["out"] = {"w": draw(8, 5)}


def residual(p: Any, x: Any) -> Any:
    x = jax.nn.relu(conv(x, p["in"]["w"]))
    y = conv(jax.nn.relu(conv(x, p["a"]["w"])), p["b"]["w"])
    return jax.nn.relu(x + y).mean(axis=(1, 2)) @ p["out"]["w"]


def test_a_residual_sum_extends_the_layer_that_started_latest() -> None:
    model = Model(residual, RESIDUAL, output="values")
    values = is_the_plain_model(model, IMAGES, lambda x: residual(RESIDUAL, x))
    assert list(values) == ["in", "a", "b", "global_pool1", "out"]
    close(values["global_pool1"], values["b"].mean(axis=(1, 2)))
    assert float(values["b"].min()) == 0.0  # after the sum and its relu
    rows_are_apart(model, IMAGES)


def test_depthwise_and_batch_norm_in_inference() -> None:
    weights = {
        "deep": {"w": draw(3, 3, 1, 3)},
        "norm": {"scale": draw(3), "mean": draw(3)},
        "out": {"w": draw(3, 2)},
    }

    def f(p: Any, x: Any) -> Any:
        x = conv(x, p["deep"]["w"], groups=3)
        x = jax.nn.relu((x - p["norm"]["mean"]) * p["norm"]["scale"])
        return x.max(axis=(1, 2)) @ p["out"]["w"]

    with jax.numpy_rank_promotion("allow"):
        values = is_the_plain_model(Model(f, weights, output="values"), IMAGES, lambda x: f(weights, x))
    assert list(values) == ["deep", "global_pool1", "out"]
    close(values["global_pool1"], values["deep"].max(axis=(1, 2)))


BLOCK = {
    **{key: {"w": draw(8, 8)} for key in ("q", "k", "v", "o")},
    **{"n1": norm(), "n2": norm(), "m1": {"w": draw(8, 16)}, "m2": {"w": draw(16, 8)}},
}


def block(p: Any, x: Any) -> Any:
    y = layer_norm(p["n1"], x)
    q, k, v = (y @ p[key]["w"] for key in "qkv")
    weights = jax.nn.softmax(q @ k.swapaxes(1, 2) / 8**0.5)
    x = x + (weights @ v) @ p["o"]["w"]
    return x + jax.nn.gelu(layer_norm(p["n2"], x) @ p["m1"]["w"]) @ p["m2"]["w"]


def test_attention_is_products_of_activations_so_no_layer() -> None:
    weights = {"embed": {"w": draw(8, 8)}, "block": BLOCK, "out": {"w": draw(8, 3)}}

    def f(p: Any, x: Any) -> Any:
        return block(p["block"], x @ p["embed"]["w"]).mean(axis=1) @ p["out"]["w"]

    model = Model(f, weights, output="values")
    values = is_the_plain_model(model, TOKENS, lambda x: f(weights, x), 1e-5)
    assert list(values) == [
        *("embed", "block/n1", "block/q", "block/k", "block/v", "block/o"),
        *("block/n2", "block/m1", "block/m2", "global_pool1", "out"),
    ]
    close(values["block/n1"], layer_norm(BLOCK["n1"], TOKENS @ weights["embed"]["w"]), 1e-5)
    close(values["block/m1"], jax.nn.gelu(values["block/n2"] @ BLOCK["m1"]["w"]), 1e-5)
    rows_are_apart(model, TOKENS)


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(jax.jit(f)))])
def test_calls_are_seen_through(wrap: Any) -> None:
    inner = wrap(lambda w, x: jax.nn.relu(x @ w))

    def f(p: Any, x: Any) -> Any:
        return inner(p["b"]["w"], inner(p["a"]["w"], x))

    weights = {"a": {"w": draw(8, 5)}, "b": {"w": draw(5, 3)}}
    values = is_the_plain_model(Model(f, weights, output="values"), ROWS, lambda x: f(weights, x))
    assert list(values) == ["a", "b"]
    close(values["a"], jax.nn.relu(ROWS @ weights["a"]["w"]))


def test_a_product_with_a_derivative_of_its_own_is_one_layer() -> None:
    @jax.custom_vjp
    def dense(w: Any, x: Any) -> Any:
        return x @ w

    dense.defvjp(lambda w, x: (x @ w, (w, x)), lambda kept, g: (kept[1].T @ g, g @ kept[0].T))

    def f(p: Any, x: Any) -> Any:
        return jax.nn.relu(dense(p["a"]["w"], x)) @ p["b"]["w"]

    weights = {"a": {"w": draw(8, 5)}, "b": {"w": draw(5, 3)}}
    values = is_the_plain_model(Model(f, weights, output="values"), ROWS, lambda x: f(weights, x))
    assert list(values) == ["a", "b"]
    close(values["a"], jax.nn.relu(ROWS @ weights["a"]["w"]))


def test_vmap_over_the_batch() -> None:
    weights = {"a": {"w": draw(5, 8)}, "b": {"w": draw(3, 5)}}

    def one(p: Any, x: Any) -> Any:  # written for one input, weights first, as Equinox does
        return p["b"]["w"] @ jax.nn.relu(p["a"]["w"] @ x + 1)

    model = Model(lambda p, x: jax.vmap(lambda row: one(p, row))(x), weights, output="values")
    values = is_the_plain_model(model, ROWS, jax.vmap(lambda row: one(weights, row)))
    assert list(values) == ["a", "b"]
    close(values["a"], jax.nn.relu(ROWS @ weights["a"]["w"].T + 1))
    rows_are_apart(model, ROWS)


def test_scan_over_layers_is_a_layer_an_iteration() -> None:
    stacked = {"w": draw(3, 8, 8), "b": draw(3, 8)}

    def f(p: Any, x: Any) -> Any:
        return jax.lax.scan(lambda x, q: (jax.nn.relu(x @ q["w"] + q["b"][None]), x), x, p["blocks"])[0]

    values = is_the_plain_model(
        Model(f, {"blocks": stacked}, output="values"), ROWS, lambda x: f({"blocks": stacked}, x)
    )
    assert list(values) == ["blocks/0", "blocks/1", "blocks/2"]
    x = ROWS
    for i, value in enumerate(values.values()):
        x = jax.nn.relu(x @ stacked["w"][i] + stacked["b"][i][None])
        close(value, x)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_recurrent_net_is_a_layer_with_time_as_a_position(reverse: bool) -> None:
    weights = {"x": {"w": draw(8, 5)}, "h": {"w": draw(5, 5)}}

    def states(p: Any, x: Any) -> tuple[Any, Any]:
        def step(h: Any, now: Any) -> tuple[Any, Any]:
            h = jnp.tanh(now @ p["x"]["w"] + h @ p["h"]["w"])
            return h, h

        return jax.lax.scan(step, jnp.zeros((len(x), 5)), x.swapaxes(0, 1), reverse=reverse)

    model = Model(lambda p, x: states(p, x)[0], weights, output="values")
    values = is_the_plain_model(model, TOKENS, lambda x: states(weights, x)[0])
    assert list(values) == ["x", "h"]
    close(values["h"], states(weights, TOKENS)[1].swapaxes(0, 1))
    close(values["x"], TOKENS @ weights["x"]["w"])
    rows_are_apart(model, TOKENS)


def test_gates_that_meet_are_what_the_layer_becomes() -> None:
    weights = {"a": {"w": draw(8, 10)}, "b": {"w": draw(5, 3)}}

    def f(p: Any, x: Any) -> Any:
        value, gate = jnp.split(x @ p["a"]["w"], 2, axis=-1)
        return (value * jax.nn.sigmoid(gate)) @ p["b"]["w"]

    values = is_the_plain_model(Model(f, weights, output="values"), ROWS, lambda x: f(weights, x))
    gated = ROWS @ weights["a"]["w"]
    close(values["a"], gated[:, :5] * jax.nn.sigmoid(gated[:, 5:]))


def test_squeeze_and_excite_extends_the_convolution() -> None:
    weights = {"a": {"w": draw(3, 3, 3, 6)}, "s": {"w": draw(6, 6)}, "b": {"w": draw(1, 1, 6, 2)}}

    def f(p: Any, x: Any) -> Any:
        x = conv(x, p["a"]["w"])
        gate = jax.nn.sigmoid(x.mean(axis=(1, 2)) @ p["s"]["w"])
        return conv(x * gate[:, None, None], p["b"]["w"]).mean(axis=(1, 2))

    values = is_the_plain_model(Model(f, weights, output="values"), IMAGES, lambda x: f(weights, x))
    assert list(values) == ["a", "global_pool1", "s", "b", "global_pool2"]
    raw = conv(IMAGES, weights["a"]["w"])
    close(values["a"], raw * values["s"][:, None, None])


def test_windows_merged_with_the_batch_are_taken_apart() -> None:
    weights = {"a": {"w": draw(8, 5)}}

    def f(p: Any, x: Any) -> Any:  # [b 6 8] as [2b 3 8], as windows of a Swin transformer are
        y = jax.nn.relu(x.reshape(-1, 3, 8) @ p["a"]["w"])
        return y.reshape(len(x), 6, 5).mean(axis=1)

    model = Model(f, weights, output="values")
    values = is_the_plain_model(model, TOKENS, lambda x: f(weights, x))
    assert values["a"].shape == (4, 2, 3, 5)
    close(values["a"].reshape(4, 6, 5), jax.nn.relu(TOKENS @ weights["a"]["w"]))
    rows_are_apart(model, TOKENS)


def test_resizing_is_no_layer_and_closed_over_weights_are() -> None:
    kernel = draw(3, 3, 3, 4)

    def f(x: Any) -> Any:
        return conv(jax.image.resize(x, (len(x), 5, 5, 3), "linear"), kernel).mean(axis=(1, 2))

    _, told, _ = seen(Model(f, output="values"), IMAGES)
    assert kinds(told) == ["conv", "global_pool"]


def test_heads_and_tags() -> None:
    weights = {"a": {"w": draw(8, 3)}}
    for head, last in {
        "logits": "softmax",
        "multilabel": "sigmoid",
        "values": "a",
        "probabilities": "a",
    }.items():
        _, told, _ = seen(Model(lambda p, x: x @ p["a"]["w"], weights, output=head), ROWS)
        assert told[-1][0] == last
    for shape in ((), (1,), (7,)):  # an angle, an angle, an embedding
        out = {"w": draw(8, *shape)}
        panel = Panel.of([Model(lambda p, x: x @ p["w"], out, output="values")] * 2)
        assert panel.check((8,)).n_units == 2 * max(shape, default=1)
        assert panel(ROWS).outputs.shape == (2, 4, *(shape or (1,)))
    segments = Model(lambda p, x: conv(x, p["w"]), {"w": draw(1, 1, 3, 2)})
    panel = Panel.of([segments, segments])
    layout = panel.check((8, 8, 3))
    assert panel(IMAGES).labels.shape == (2, 4, 8, 8) and layout.layers[1].shape == (8, 8, 2)


def test_a_binary_models_one_column_becomes_two() -> None:
    logit = Model(lambda p, x: (x @ p["w"])[:, 0], {"w": draw(8, 1)})
    sure = Model(lambda p, x: jax.nn.sigmoid(x @ p["w"]), logit.params, output="probabilities")
    panel = Panel.of([logit, sure])
    panel.check((8,))
    one, other = panel.probabilities(panel.plain(ROWS))
    close(one, other)
    close(one.sum(axis=1), jnp.ones(4))


@pytest.mark.parametrize(
    ("unit", "count"),
    [("mean", 14), ("max", 14), ("position", 6 * 64 + 8), ("token", 64 + 8)],
)
def test_what_a_unit_is(unit: Any, count: int) -> None:
    weights = {"a": {"w": draw(3, 3, 3, 6)}, "b": {"w": draw(6, 2)}}

    def f(p: Any, x: Any) -> Any:
        return conv(x, p["a"]["w"]).mean(axis=(1, 2)) @ p["b"]["w"]

    panel = Panel.of([Model(f, weights, unit=unit, output="values"), Model(f, weights, output="values")])
    now = panel(IMAGES)
    assert now.activations.layout.spans()["model"] == slice(0, count)
    maps = conv(IMAGES, weights["a"]["w"])
    expected = {
        "mean": maps.mean(axis=(1, 2)),
        "max": maps.max(axis=(1, 2)),
        "position": maps.reshape(4, -1),
        "token": maps.mean(axis=-1).reshape(4, -1),
    }
    close(now.activations.values[:, : expected[unit].shape[1]], expected[unit])


def test_layers_are_chosen_by_name_or_kind() -> None:
    def told(**chosen: Any) -> list[str]:
        return [name for name, _ in seen(Model(residual, RESIDUAL, **chosen), IMAGES)[1]]

    assert told(include=("conv",)) == ["in", "a", "b"]
    assert told(include=("conv", "head"), exclude=("[ab]",)) == ["in", "softmax"]
    assert told(exclude=("*pool*", "dense")) == ["in", "a", "b", "softmax"]


def test_classes_in_another_order_are_put_in_the_panels() -> None:
    weights = {"a": {"w": draw(8, 3)}}
    cats = Model(lambda p, x: x @ p["a"]["w"], weights, classes=("cat", "dog", "owl"))
    owls = Model(lambda p, x: (x @ p["a"]["w"])[:, ::-1], weights, classes=("owl", "dog", "cat"))
    panel = Panel.of([cats, owls])
    one, other = panel(ROWS).outputs
    close(one, other)
    close(panel.plain(ROWS)[0], panel.plain(ROWS)[1])
    assert panel.classes == ("cat", "dog", "owl")
    with pytest.raises(InputError, match="classes of model model#2: expected those of the panel"):
        Panel.of([cats, owls.replace(classes=("owl", "dog", "cow"))])


def test_what_each_model_reads() -> None:
    weights = {"w": draw(3, 3, 3, 4)}

    def nchw(p: Any, x: Any) -> Any:
        assert x.shape[1:] == (3, 6, 6)
        return conv(jnp.moveaxis(x, 1, -1), p["w"]).mean(axis=(1, 2))

    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)
    model = Model(nchw, weights, scale=255.0, mean=mean, std=std, size=(6, 6), layout="NCHW", output="values")
    x = (IMAGES * 255 - jnp.asarray(mean).reshape(1, 1, 1, 3)) / jnp.asarray(std).reshape(1, 1, 1, 3)
    small = jax.image.resize(x, (4, 6, 6, 3), "linear")
    close(model(IMAGES), conv(small, weights["w"]).mean(axis=(1, 2)), 1e-5)
    slope = jax.grad(lambda x: model(x).sum())(IMAGES)
    assert slope.shape == IMAGES.shape and float(jnp.abs(slope).max()) > 0
    columns = Model(lambda x: x * 2, columns=(5, 1), output="values")
    close(columns(ROWS), ROWS[:, jnp.array([5, 1])] * 2)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match="a Model, a function of JAX"):
        adapt(3)
    table = Model(lambda p, x: {"scores": x @ p["w"]}, {"w": draw(8, 3)}, name="table")
    with pytest.raises(InputError, match=r"model table: expected one array of outputs .*, got dict"):
        Panel.of([table, table]).check((8,))
    numbers = Model(lambda x: x, output="values")
    with pytest.raises(InputError, match="outputs of one kind"):
        Panel.of([numbers, Model(lambda x: x)]).check((8,))


@pytest.mark.parametrize(
    ("f", "reason"),
    [
        (lambda x: x.astype(jnp.int32).astype(jnp.float32), "zero everywhere"),
        (lambda x: jax.lax.while_loop(lambda v: v.sum() < 9, lambda v: v * 2, x), "while_loop"),
        (
            lambda x: jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(x.shape, x.dtype), x),
            "outside of JAX",
        ),
        (lambda x: jnp.round(x) + (x > 0.5), "zero everywhere"),
    ],
)
def test_a_model_without_a_gradient_is_told(f: Any, reason: str) -> None:
    panel = Panel.of([Model(lambda x: x * 2, name="smooth"), Model(f, name="steps")])
    with pytest.raises(InputError, match=f"model steps: .*{reason}.*does without: Random"):
        panel.check_gradient((8,), "Random")
    Panel.of([panel.models[0]] * 2).check_gradient((8,), "Random")


@pytest.mark.slow
def test_steps_that_refer_to_each_other_are_followed_to_an_end() -> None:
    """A group that takes in a part of itself again and again: no endless search for reductions."""

    def f(p: Any, x: Any) -> Any:
        x = conv(x, p["a"]["w"])
        both = jnp.concatenate([x, -x], axis=-1)
        for _ in range(40):
            gate = both[..., :1] * x.mean(axis=-1, keepdims=True)
            both = jnp.tanh(both * gate + gate * x.max(axis=-1, keepdims=True))
        return both.mean(axis=(1, 2)) @ p["b"]["w"]

    weights = {"a": {"w": draw(3, 3, 3, 4)}, "b": {"w": draw(8, 2)}}
    values = is_the_plain_model(Model(f, weights, output="values"), IMAGES, lambda x: f(weights, x), 1e-5)
    assert "a" in values and "b" in values
