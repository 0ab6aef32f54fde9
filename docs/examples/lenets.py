"""The zoo's LeNets as others would have written them: in Keras on 0 to 255, in torch on channels first."""

import os
from typing import Any

import numpy as np

from xplore.models.lenet import ARCHITECTURES, load_parameters


def keras_lenet4() -> Any:
    """LeNet-4 in Keras, which reads 0 to 255 and ends in a softmax."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    layers, weights = keras.layers, load_parameters("lenet4")
    net = keras.Sequential(name="keras_lenet4")
    net.add(keras.Input((28, 28, 1)))
    for number, channels in enumerate(ARCHITECTURES["lenet4"][0], start=1):
        net.add(layers.Conv2D(channels, 5, padding="same", activation="relu", name=f"conv{number}"))
        net.add(layers.MaxPooling2D(name=f"pool{number}"))
    net.add(layers.Flatten())
    net.add(layers.Dense(84, activation="relu", name="fc1"))
    net.add(layers.Dense(10, activation="softmax", name="logits"))
    for name, arrays in weights.items():
        kernel = arrays["kernel"] / np.float32(255) if name == "conv1" else arrays["kernel"]
        net.get_layer(name).set_weights([kernel, arrays["bias"]])
    return net


def torch_lenet5() -> Any:
    """LeNet-5 in torch, on channels first."""
    import torch
    from torch import nn

    class LeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5, padding=2)
            self.fc1, self.fc2, self.logits = nn.Linear(784, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x: Any) -> Any:
            for conv in (self.conv1, self.conv2):
                x = nn.functional.max_pool2d(torch.relu(conv(x)), 2)
            x = x.permute(0, 2, 3, 1).flatten(1)
            return self.logits(torch.relu(self.fc2(torch.relu(self.fc1(x)))))

    net = LeNet5().eval()
    state = {}
    for name, arrays in load_parameters("lenet5").items():
        kernel = np.array(arrays["kernel"])
        turned = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        state[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(turned))
        state[f"{name}.bias"] = torch.from_numpy(np.array(arrays["bias"]))
    net.load_state_dict(state)
    return net
