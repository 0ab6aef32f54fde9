# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own models
#
# A panel takes models of several libraries as they are. Here: digits read by a Keras file, a function of JAX
# and a torch module (where torch is installed), and a table read by estimators.
# `pip install 'xplore-tests[demo,keras,tabular]'`.

# %%
import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import importlib.util
import tempfile
from pathlib import Path

import jax
import keras
import numpy as np
import xplore
from xplore.adapters.keras import load
from xplore.data import mnist

train, test = mnist.load("train"), mnist.load("test")
x, y = train.images / np.float32(255), train.labels
images, labels = test.images[:40], test.labels[:40]

# %% [markdown]
# ## A Keras file
#
# Two versions of one network; a layer of the second is narrower.

# %%
folder = Path(tempfile.mkdtemp())
for name, units in {"old": 32, "new": 24}.items():
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(6, 5, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(x, y, epochs=5, batch_size=50, verbose=0)
    net.save(folder / f"{name}.keras")

# %%
old, new = (load(folder / f"{name}.keras") for name in ("old", "new"))
print(xplore.inspect([old, new], images, labels))

# %%
result = xplore.run([old, new], images, labels, progress=False)
result

# %% [markdown]
# ## A function of JAX, beside the Keras model
#
# Random features and a least-squares readout, which reads 0 to 255 and returns logits.

# %%
hidden = np.random.default_rng(0).normal(size=(784, 300)).astype(np.float32) / 2550
seen = np.maximum(255 * x.reshape(len(x), -1) @ hidden, 0)
readout = np.linalg.lstsq(seen.T @ seen + np.eye(300), seen.T @ np.eye(10)[y], rcond=None)[0]


def features(weights, x):
    return jax.nn.relu(x.reshape(len(x), -1) @ weights["hidden"]) @ weights["readout"]


plain = xplore.Model(
    features, {"hidden": hidden, "readout": readout.astype(np.float32)}, name="features", scale=255.0
)
mixed = xplore.run([old, plain], images, labels, progress=False)
mixed

# %% [markdown]
# ## A torch module, in the same panel
#
# It runs in torch, on the host; its slopes are torch's.

# %%
if importlib.util.find_spec("torch") is None:
    print("torch is not installed: pip install torch")
else:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, stride=3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(384, 10)
    )
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for first in range(0, len(x), 40):
        batch = torch.from_numpy(x[first : first + 40]).movedim(-1, 1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(batch), torch.tensor(y[first : first + 40])).backward()
        optimizer.step()
    three = xplore.run([old, plain, module], images, labels, progress=False)
    print(f"{len(three.valid)} valid findings by a panel of three libraries")

# %% [markdown]
# ## Estimators on a table
#
# They have no gradient: the search flips features. `frame()` says what changed.

# %%
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, kind = load_wine(return_X_y=True, as_frame=True)
order = np.random.default_rng(0).permutation(len(X))
X, kind = X.iloc[order].reset_index(drop=True), kind.to_numpy()[order]
forest = RandomForestClassifier(50, random_state=0).fit(X[:120], kind[:120])
linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:120], kind[:120])
wines = xplore.run([forest, linear], X[120:], kind[120:], progress=False)
wines.frame()[["changes"]].head()
