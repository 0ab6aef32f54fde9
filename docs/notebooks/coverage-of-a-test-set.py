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
# # Coverage of a test set
#
# How much of a model does a test set reach? A neuron counts as covered where one input activates it above a
# threshold, each layer scaled to [0, 1] by its extremes for that input (neuron coverage, Pei et al., 2017).
# Coverage measures reach, not quality: a neuron that was hit has not been shown to be right; one that never
# was hit has not been tested at all. `pip install 'xplore-tests[demo]'`.

# %%
import numpy as np
import xplore
from xplore.coverage import NeuronCoverage
from xplore.data import mnist
from xplore.models.lenet import lenet5

digits = mnist.load("test")
model, criterion = lenet5(), NeuronCoverage(0.5)

# %% [markdown]
# ## What the test set reaches
#
# `xplore.reach` asks for one model and inputs as `xplore.run` takes them; no search is run. The result shows
# itself: how coverage grows with inputs, each layer's share, and neurons that no input reaches.

# %%
whole = xplore.reach(model, digits.images, criterion)
whole

# %%
print(f"{whole.share:.0%} of {len(whole.first)} neurons; {len(whole.asleep)} sleep: {whole.asleep[:5]} ...")
for inputs in (1, 10, 100, 1000):
    print(f"the first {inputs:4}: {whole.after(inputs):.0%}")

# %% [markdown]
# The curve bends early: after some hundred digits, more of the same kind reach little that is new. Coverage
# can tell that a test set is thin, not that it is enough. A neuron that sleeps may still fire weakly:
# `NeuronCoverage(0.0, scale=None)` tells those that never do.
#
# ## Two test sets
#
# A set of zeros and ones alone, as many inputs as the whole has of them, beside as many digits of all kinds.

# %%
chosen = np.flatnonzero(digits.labels < 2)
thin = xplore.reach(model, digits.images[chosen], criterion)
broad = xplore.reach(model, digits.images[: len(chosen)], criterion)
xplore.curves({"zeros and ones": thin, "all digits": broad})

# %% [markdown]
# `beyond` names the neurons that one set reaches and the other does not.

# %%
print(f"all digits alone: {len(broad.beyond(thin))} neurons, as {broad.beyond(thin)[:4]}")
print(f"zeros and ones alone: {len(thin.beyond(broad))} neurons")

# %% [markdown]
# ## What a search adds
#
# A campaign's valid findings are inputs, too: together with the seeds they may wake neurons that no test
# input reaches. The objective's second term aims at these.

# %%
from xplore.constraints import Occlusion
from xplore.inputs.media import from_png
from xplore.models.lenet import lenet1, lenet4

images, labels = digits.images[:60], digits.labels[:60]
result = xplore.run(
    [lenet1(), lenet4(), model], images, labels, constraint=Occlusion(10, 10), steps=10, progress=False
)
found = np.stack([from_png(finding.after) for finding in result.valid])
seeds = xplore.reach(model, images, criterion)
both = xplore.reach(model, np.concatenate([images, found]), criterion)
print(f"60 seeds: {seeds.share:.1%}; with {len(found)} findings: {both.share:.1%}")
print(f"woken: {both.beyond(seeds)}")
