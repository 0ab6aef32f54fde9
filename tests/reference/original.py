"""DeepXplore's rules in NumPy, from their description alone (Pei et al., 2017, and the published code).

For one input at a time and written for reading, not for speed: what xplore does for a batch in JAX is
compared with this. A network is a list of layers' outputs, channels last, without the batch.
"""

from collections.abc import Callable, Sequence

import numpy as np


def convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """`[h w c]` by `[k k c o]`, stride 1, zeros around: `[h w o]`."""
    size = kernel.shape[0]
    before = (size - 1) // 2
    padded = np.pad(x, ((before, size - 1 - before), (before, size - 1 - before), (0, 0)))
    out = np.empty((*x.shape[:2], kernel.shape[3]), x.dtype)
    for row in range(x.shape[0]):
        for col in range(x.shape[1]):
            patch = padded[row : row + size, col : col + size]
            out[row, col] = (patch[..., None] * kernel).sum(axis=(0, 1, 2)) + bias
    return out


def pooling(x: np.ndarray) -> np.ndarray:
    """The maximum of each 2x2 block; an odd last row or column is left out."""
    rows, cols = x.shape[0] // 2, x.shape[1] // 2
    blocks = x[: 2 * rows, : 2 * cols].reshape(rows, 2, cols, 2, -1)
    return blocks.max(axis=(1, 3))


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def network(weights: dict[str, dict[str, np.ndarray]], x: np.ndarray) -> list[np.ndarray]:
    """Every layer's output for one input: convolutions, each with a pool, then dense layers, softmax.

    Layers are named `conv...`, `fc...` and `logits`; relu is part of the first two kinds. Every layer
    counts but the input and the flattening.
    """
    layers = []
    for name in sorted(weights):
        kernel, bias = weights[name]["kernel"], weights[name]["bias"]
        if name.startswith("conv"):
            layers.append(np.maximum(convolution(x, kernel, bias), 0))
            layers.append(pooling(layers[-1]))
        else:
            value = x.reshape(-1) @ kernel + bias
            layers.append(np.maximum(value, 0) if name.startswith("fc") else value)
        x = layers[-1]
    return [*layers, softmax(x)]


def logits(weights: dict[str, dict[str, np.ndarray]], x: np.ndarray) -> np.ndarray:
    return network(weights, x)[-2]


def neurons(layer: np.ndarray) -> np.ndarray:
    """A channel's mean over space, or a dense layer's units: unscaled, as the objective reads them."""
    return layer.reshape(-1, layer.shape[-1]).mean(axis=0)


def scaled(layer: np.ndarray) -> np.ndarray:
    """A layer scaled over all of it for this input, then averaged; a constant layer is 0 / 0."""
    low, high = layer.min(), layer.max()
    if low == high:
        return np.full(layer.shape[-1], np.nan)
    return neurons((layer - low) / (high - low))


def covered(layers: Sequence[np.ndarray], t: float) -> np.ndarray:
    """Which neurons one input covers, layer after layer; nothing is above t in a constant layer."""
    return np.concatenate([scaled(layer) > t for layer in layers])


def normalised(gradient: np.ndarray) -> np.ndarray:
    """A gradient by its root mean square."""
    return gradient / (np.sqrt(np.mean(np.square(gradient))) + 1e-5)


def light(gradient: np.ndarray) -> np.ndarray:
    """Every pixel moves by the mean of the gradient."""
    return np.ones_like(gradient) * gradient.mean()


def occlusion(gradient: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    """Only a rectangle moves."""
    row, col = corner
    edit = np.zeros_like(gradient)
    edit[row : row + size, col : col + size] = gradient[row : row + size, col : col + size]
    return edit


def blackout(gradient: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    """A small rectangle moves by -1 if its mean gradient is negative; nothing else moves."""
    row, col = corner
    edit = np.zeros_like(gradient)
    if gradient[row : row + size, col : col + size].mean() < 0:
        edit[row : row + size, col : col + size] = -1
    return edit


def features(
    gradient: np.ndarray, span: np.ndarray, frozen: np.ndarray, grows: np.ndarray, step: float
) -> np.ndarray:
    """By how much each feature of a row moves: frozen ones do not, and such as only grow do not shrink."""
    edit = normalised(gradient * span)
    for at in range(len(edit)):
        if frozen[at] or (grows[at] and edit[at] < 0):
            edit[at] = 0
    return step * span * edit


def manifest(x: np.ndarray, gradient: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """A row with one more of the allowed features: that with the largest gradient, if it is positive."""
    best = None
    for at in allowed.tolist():
        if x[at] == 0 and gradient[at] > 0 and (best is None or gradient[at] > gradient[best]):
            best = at
    added = x.copy()
    if best is not None:
        added[best] = 1
    return added


def objective(
    networks: Sequence[Sequence[np.ndarray]],
    label: int,
    deviate: int,
    chosen: Sequence[int],
    lambda1: float,
    lambda2: float,
) -> float:
    """The joint objective on logits: all models but one keep the label, and a neuron of each wakes.

    `networks` are the layers of each model for one input; `chosen` is the number of a neuron in each.
    """
    total = 0.0
    for index, (layers, neuron) in enumerate(zip(networks, chosen, strict=True)):
        answer = layers[-2][label]
        total += -lambda1 * answer if index == deviate else answer
        total += lambda2 * np.concatenate([neurons(layer) for layer in layers])[neuron]
    return float(total)


def slope(score: Callable[[np.ndarray], float], x: np.ndarray, width: float = 1e-6) -> np.ndarray:
    """A score's gradient by central differences, pixel by pixel."""
    out = np.empty_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = width
        out[index] = (score(x + step) - score(x - step)) / (2 * width)
    return out


def differ(answers: Sequence[np.ndarray]) -> bool:
    """Any two models' labels differ."""
    return len({int(np.argmax(answer)) for answer in answers}) > 1
