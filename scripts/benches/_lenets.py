"""The LeNets of the zoo as PyTorch modules, with the zoo's weights and every layer that DeepXplore counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from xplore.models import lenet

NAMES = tuple(lenet.ARCHITECTURES)


class LeNet(nn.Module):
    """Digits [b 1 28 28] in [0, 1] -> logits [b 10]."""

    def __init__(self, name: str) -> None:
        super().__init__()
        (first, second), dense = lenet.ARCHITECTURES[name]
        self.convs = nn.ModuleList(
            [nn.Conv2d(1, first, 5, padding=2), nn.Conv2d(first, second, 5, padding=2)]
        )
        sizes = (49 * second, *dense, 10)
        self.dense = nn.ModuleList([nn.Linear(*pair) for pair in pairwise(sizes)])
        weights = lenet.load_parameters(name)
        names = ["conv1", "conv2", *(f"fc{n + 1}" for n in range(len(dense))), "logits"]
        with torch.no_grad():
            for layer, key in zip([*self.convs, *self.dense], names, strict=True):
                kernel = np.asarray(weights[key]["kernel"])
                if kernel.ndim == 4:  # height, width, in, out
                    kernel = kernel.transpose(3, 2, 0, 1)
                elif layer is self.dense[0]:  # positions, then channels; torch flattens channels first
                    kernel = kernel.reshape(49, second, -1).transpose(2, 1, 0).reshape(-1, 49 * second)
                else:
                    kernel = kernel.T
                layer.weight.copy_(torch.tensor(np.ascontiguousarray(kernel)))
                layer.bias.copy_(torch.tensor(np.array(weights[key]["bias"])))
        self.requires_grad_(False).eval()

    def layers(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The value of every layer: convolutions and dense layers after relu, pools, logits, softmax."""
        values = []
        for conv in self.convs:
            values.append(F.relu(conv(x)))
            x = F.max_pool2d(values[-1], 2)
            values.append(x)
        x = x.flatten(1)
        for layer in self.dense[:-1]:
            x = F.relu(layer(x))
            values.append(x)
        values.append(self.dense[-1](x))
        return [*values, values[-1].softmax(dim=1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = x.flatten(1)
        for layer in self.dense[:-1]:
            x = F.relu(layer(x))
        return self.dense[-1](x)


def covered(model: LeNet, x: torch.Tensor, t: float) -> torch.Tensor:
    """Which neurons inputs [b 1 28 28] cover, bool [b u]: a pass of its own, as DeepXplore does it.

    A layer is scaled to [0, 1] by its extremes for that input, a channel averaged over space and compared.
    """
    with torch.no_grad():
        hits = []
        for value in model.layers(x):
            flat = value.flatten(1)
            low, high = flat.min(dim=1, keepdim=True).values, flat.max(dim=1, keepdim=True).values
            mean = value.mean(dim=(2, 3)) if value.ndim == 4 else value
            hits.append((mean - low) / (high - low) > t)  # a constant layer is 0 / 0, and covers nothing
        return torch.cat(hits, dim=1)


def in_torch(images: np.ndarray) -> torch.Tensor:
    """8-bit digits [b 28 28 1] as floats [b 1 28 28] in [0, 1]."""
    return torch.tensor(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def settle_threads(work: Callable[[], Any]) -> int:
    """Let torch use one thread or all, whichever does this work in less time; says how many.

    Threads of torch wait by spinning: where cores are shared, or the work is small, one is faster.
    """

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        work()
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    chosen = min((1, torch.get_num_threads()), key=seconds)
    torch.set_num_threads(chosen)
    return chosen
