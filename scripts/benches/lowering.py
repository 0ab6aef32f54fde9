"""Models in the ways measured to be fastest, as they are written, and in PyTorch eager: the same weights.

Forwards, and the gradient of the summed outputs by the input. All take turns in one run. Others' work on the
machine only adds time, so the least of the rounds is told, medians beside; all threads of the machine. Of the
LeNets also as the engine has it where JAX makes the CPU a device a core: the batch split over them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from xplore.engine.devices import AXIS, mesh_of, placed, rows_at_once
from xplore.engine.step import in_pieces
from xplore.model import Model
from xplore.model.lowering import autotune as lowering
from xplore.models import efficientnet, lenet

TITLE = "Models lowered, as written, and in PyTorch"
PIXELS = 224


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--digits", type=int, nargs="+", default=[64, 512], help="batches of the three LeNets"
    )
    parser.add_argument("--one-core", action="store_true", help="on one core: how fast a thread alone is")
    parser.add_argument("--photos", type=int, default=8, help="batch of EfficientNet-Lite0")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from benches._lenets import NAMES, LeNet

    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cores = 1 if options.one_core else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    torch.set_num_threads(cores)
    trio = [getattr(lenet, name)() for name in NAMES]
    told = []
    for batch in options.digits:
        x = np.random.default_rng(0).random((batch, 28, 28, 1), np.float32)
        ways = {"as written": in_jax(trio, "as_written", x), "fast": in_jax(trio, "fast", x)}
        ways["fast, a device a core"] = in_jax(trio, "fast", x, jax.devices())
        ways["torch"] = in_torch([LeNet(name) for name in NAMES], x)
        told.append({"models": "LeNet-1, -4, -5", "batch": batch, **compared(ways, options.rounds)})
    x = np.random.default_rng(0).random((options.photos, PIXELS, PIXELS, 3), np.float32)
    weights = efficientnet.load_parameters("lite0")
    scaled = {"scale": 255.0, "mean": 127.0, "std": 128.0}
    shipped, grouped = efficientnet.lite0(), Model(grouped_lite0, weights, name="grouped", **scaled)
    ways = {
        "as written": in_jax([shipped], "as_written", x),
        "fast": in_jax([shipped], "fast", x),
        "grouped, as written": in_jax([grouped], "as_written", x),
        "grouped, fast": in_jax([grouped], "fast", x),
        "torch": in_torch([partial(torch_lite0, torch_weights(weights))], x),
    }
    told.append({"models": "EfficientNet-Lite0", "batch": options.photos, **compared(ways, options.rounds)})
    taken = {
        way: list(lowering.chosen().values()).count(way) for way in sorted({*lowering.chosen().values()})
    }
    return {
        "ratio": min(
            run["gradient"]["ms"]["torch"] / run["gradient"]["ms"]["fast, a device a core"]
            for run in told[:-1]
        ),
        "ratio_one_device": min(run["gradient"]["of torch"] for run in told[:-1]),
        "lite0_ratio": told[-1]["gradient"]["of torch"],
        "runs": told,
        "ways_taken": taken,
        "load": os.getloadavg()[0],
    }


def in_jax(
    models: Sequence[Model], how: lowering.Lowering, x: Any, devices: Sequence[Any] = ()
) -> tuple[Callable[[], Any], ...]:
    """The models' outputs, and their gradient, as the search asks for them: replayed, in pieces."""
    devices = list(devices) or jax.devices()[:1]

    def outputs(models: Sequence[Model], x: Any) -> Any:
        return jnp.stack([model.captured(x, how)[0] for model in models], axis=1)

    def gradient(models: Sequence[Model], x: Any) -> Any:
        return jax.grad(lambda x: outputs(models, x).sum())(x)

    mesh, whole, split = mesh_of(devices), PartitionSpec(), PartitionSpec(AXIS)
    given = placed(list(models), devices), placed(x, devices, split=True)
    calls = []
    for function in (outputs, gradient):

        def over(models: Sequence[Model], x: Any, function: Any = function) -> Any:
            return in_pieces(partial(function, models), rows_at_once(how), x)

        if mesh is not None:
            over = jax.shard_map(over, mesh=mesh, in_specs=(whole, split), out_specs=split, check_vma=False)
        calls.append(partial(_ready, jax.jit(over), *given))
    return tuple(calls)


def _ready(f: Callable[..., Any], *args: Any) -> Any:
    return jax.block_until_ready(f(*args))


def in_torch(models: Sequence[Callable[[Any], Any]], x: Any) -> tuple[Callable[[], Any], ...]:
    """The same of functions of torch, of an input with the channels first, as is usual there."""
    import torch

    given = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))

    def forward() -> Any:
        with torch.no_grad():
            return np.stack([model(given).numpy() for model in models], axis=1)

    def gradient() -> Any:
        leaf = given.clone().requires_grad_()
        sum(model(leaf).sum() for model in models).backward()
        return np.moveaxis(leaf.grad.numpy(), 1, -1)

    return forward, gradient


def compared(ways: dict[str, tuple[Callable[[], Any], ...]], rounds: int) -> dict[str, Any]:
    """Milliseconds of each way, forwards and of the gradient; the fast one's speed over the others'."""
    told: dict[str, Any] = {}
    for part, name in enumerate(("forward", "gradient")):
        first = {way: np.asarray(calls[part]()) for way, calls in ways.items()}
        size, most = (np.max, 1e-5) if name == "forward" else (np.linalg.norm, 1e-2)
        scale = size(np.abs(first["as written"]))
        apart = {way: np.abs(value - first["as written"]) for way, value in first.items()}
        off = {way: float(size(by) / scale) for way, by in apart.items()}
        assert max(off.values()) <= most, off
        largest = {way: by.max() / np.abs(first["as written"]).max() for way, by in apart.items()}
        # Anywhere, too; but in PyTorch one number on the other side of a kink (of ReLU6) may weigh more.
        assert all(by <= 1e-2 for way, by in largest.items() if way != "torch"), largest
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, calls in ways.items():
                start = time.perf_counter()
                calls[part]()
                taken[way].append(1000 * (time.perf_counter() - start))
        least = {way: min(times) for way, times in taken.items()}
        told[name] = {
            "ms": least,
            "median_ms": {way: statistics.median(times) for way, times in taken.items()},
            "of as written": least["as written"] / least["fast"],
            "of torch": least["torch"] / least["fast"],
            "differs_by": off,
        }
    return told


def torch_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """Kernels as torch has them: channels that come, then those that go, then positions."""
    import torch

    def turned(kernel: Any) -> Any:
        kernel = np.asarray(kernel)
        return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T

    return {
        layer: {
            key: torch.from_numpy(np.array(turned(value) if key == "kernel" else value, order="C"))
            for key, value in leaves.items()
        }
        for layer, leaves in weights.items()
    }


def torch_lite0(weights: dict[str, Any], x: Any) -> Any:
    from torch.nn import functional

    def conv(x: Any, name: str, stride: int = 1, depthwise: bool = False) -> Any:
        kernel = weights[name]["kernel"]
        kernel = kernel if kernel.ndim == 4 else kernel[:, :, None, None]
        edges = [edge for size in x.shape[:1:-1] for edge in same(size, kernel.shape[-1], stride)]
        alike = edges[0] if len({*edges}) == 1 else 0
        x = x if alike or not any(edges) else functional.pad(x, edges)
        return functional.conv2d(
            x, kernel, weights[name]["bias"], stride, alike, groups=x.shape[1] if depthwise else 1
        )

    x = lite0((x * 255 - 127) / 128, conv, functional.relu6).mean((2, 3))
    return functional.linear(x, weights["fc"]["kernel"], weights["fc"]["bias"])


def grouped_lite0(weights: dict[str, Any], x: Any) -> Any:
    """Lite0 with XLA's own convolution of groups where the zoo's has shifted products."""

    def conv(x: Any, name: str, stride: int = 1, depthwise: bool = False) -> Any:
        kernel, bias = jnp.asarray(weights[name]["kernel"]), weights[name]["bias"]
        if kernel.ndim == 2:
            return x @ kernel + bias
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1] if depthwise else 1,
        )
        return y + bias

    x = lite0(x, conv, jax.nn.relu6).mean((1, 2))
    return x @ weights["fc"]["kernel"] + weights["fc"]["bias"]


def lite0(x: Any, conv: Callable[..., Any], relu6: Callable[[Any], Any]) -> Any:
    """All of EfficientNet-Lite0 but its last layer."""
    x = relu6(conv(x, "stem", 2))
    for number, block in enumerate(efficientnet.blocks("lite0")):
        place, came = f"block{number}", x
        if block.expansion > 1:
            x = relu6(conv(x, f"{place}_expand"))
        x = relu6(conv(x, f"{place}_depthwise", block.stride, depthwise=True))
        x = conv(x, f"{place}_project")
        x = x + came if x.shape == came.shape else x
    return relu6(conv(x, "head"))


def same(size: int, k: int, stride: int) -> tuple[int, int]:
    """The padding that keeps an axis as long, but for the stride."""
    padding = max((-(-size // stride) - 1) * stride + k - size, 0)
    return padding // 2, padding - padding // 2


def section(figures: dict[str, Any]) -> str:
    rows = []
    for run in figures["runs"]:
        for part in ("forward", "gradient"):
            found = run[part]
            for way, ms in found["ms"].items():
                rows.append(
                    f"| {run['models']} | {run['batch']} | {part} | {way} | {ms:.1f} |"
                    f" {found['median_ms'][way]:.1f} | {found['ms']['torch'] / ms:.2f} |"
                    f" {found['differs_by'][way]:.0e} |"
                )
    taken = ", ".join(f"{way} ({count})" for way, count in figures["ways_taken"].items())
    return TEXT.format(rows="\n".join(rows), taken=taken, load=figures["load"])


TEXT = """
What `lowering = "fast"` brings (`xplore/model/lowering/autotune.py`), beside the same models as written and PyTorch eager,
with the same weights and inputs (noise), {load:.1f} processes at work on the machine. Milliseconds a batch: the
least of the rounds, as others' work only adds time, and the median. The last column but one is PyTorch's least time
over that of the row. `grouped` is Lite0 written with XLA's convolution of groups; as shipped, its depthwise
convolutions are shifted products already (`models/depthwise.py`). The gradient is that of the summed outputs
by the input. Outputs are checked to be equal to 1e-5 of the largest, gradients to be no farther from the one as
written than 1 % of its length: the last column tells how far they are. Where that is more than rounding, rounding
has put a number on the other side of a kink (of ReLU6), as it does between PyTorch's and ours, too.

| models | batch | | way | least, ms | median, ms | PyTorch over it | differs by |
|---|--:|---|---|--:|--:|--:|--:|
{rows}

Ways taken, by convolution (each direction apart) and pool: {taken}.
"""
