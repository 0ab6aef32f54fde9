"""CPU milliseconds of EfficientNet-Lite0's depthwise convolutions: XLA's own, and ours.

    python scripts/bench_depthwise.py

Each is asked beside the steps that stand around it in the model (ReLU6), since XLA fuses them. CPU time of
all threads, the least of some repeats, for a batch of 8: forwards, and forwards and back to the input.
"""

import time
from collections import defaultdict

import jax
import jax.numpy as jnp
from flax import linen as nn

from xplore.models.depthwise import depthwise, shifted
from xplore.models.efficientnet import STEM, blocks

BATCH, REPEATS = 8, 5


def grouped(x, kernel, stride):
    """The same by XLA's convolution of groups."""
    numbers = ("NHWC", "HWIO", "NHWC")
    strides, groups = (stride, stride), x.shape[-1]
    return jax.lax.conv_general_dilated(
        x, kernel[:, :, None], strides, "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def least(f, *args):
    """The least CPU milliseconds of some calls."""
    jax.block_until_ready(f(*args))
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        jax.block_until_ready(f(*args))
        taken.append(time.process_time() - start)
    return 1000 * min(taken)


def shapes():
    """Side, channels, kernel and stride of each depthwise convolution of Lite0 at 224 pixels."""
    side, channels = 112, STEM
    for block in blocks("lite0"):
        yield side, channels * block.expansion, block.kernel, block.stride
        side, channels = side // block.stride, block.channels


def main():
    ways = {"XLA's grouped": grouped, "shifted, differentiated": shifted, "shifted, own slope": depthwise}
    total = defaultdict(float)
    print("| side, channels, kernel, stride | " + " | ".join(ways) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for shape in dict.fromkeys(shapes()):
        side, channels, k, stride = shape
        x = jax.random.normal(jax.random.key(0), (BATCH, side, side, channels))
        kernel = jax.random.normal(jax.random.key(1), (k, k, channels))
        cells = []
        for name, way in ways.items():

            def forward(x, kernel, way=way, stride=stride):
                return nn.relu6(way(nn.relu6(x), kernel, stride))

            def slope(x, kernel, forward=forward):
                return jax.grad(lambda x: jnp.square(forward(x, kernel)).sum())(x)

            taken = [least(jax.jit(f), x, kernel) for f in (forward, slope)]
            total[name, "forwards"] += taken[0]
            total[name, "with the slope"] += taken[1]
            cells.append(" / ".join(f"{t:.1f}" for t in taken))
        print(f"| {', '.join(map(str, shape))} | " + " | ".join(cells) + " |", flush=True)
    for (name, what), taken in total.items():
        print(f"{name}, {what}: {taken:.0f} ms in all")


if __name__ == "__main__":
    main()
