"""The committed networks on rows have the sizes of the paper and are as right as their cards say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xplore._util.errors import InputError
from xplore.data import drebin as apps
from xplore.data import pdf as files
from xplore.data import phishing as pages
from xplore.inputs.encoding import Sparse
from xplore.models import drebin, mlp, pdf, phishing
from xplore.panel import Panel

CONTAGIO = os.environ.get("XPLORE_DATA", "")
NEURONS = {
    "pdf2": 404, "pdf3": 604, "pdf4": 804, "phishing1": 68, "phishing2": 100, "phishing3": 100,
    "drebin1": 404, "drebin2": 104, "drebin3": 214,
}  # fmt: skip
LEAST = {"pdf": 0.985, "phishing": 0.9, "drebin": 0.95}


def zoo(domain):
    module = {"pdf": pdf, "phishing": phishing, "drebin": drebin}[domain]
    return [getattr(module, name)() for name in NEURONS if name.startswith(domain)]


def held_out(domain):
    """The held-out part as models read it, and its labels."""
    if domain == "pdf":
        if not CONTAGIO:
            pytest.skip("XPLORE_DATA names no folder with the files of Contagio")
        part = files.load("test", CONTAGIO)
        return part.images, part.labels
    if domain == "phishing":
        part = pages.load("test")
        return pages.realistic().encode_inputs(part.images), part.labels
    part = apps.load("test")
    return Sparse(len(part.names), part.images.shape[1]).decode(part.images), part.labels


@pytest.mark.parametrize("domain", LEAST)
def test_they_are_as_right_as_their_cards_say(domain):
    rows, labels = held_out(domain)
    for model in zoo(domain):
        outputs = np.asarray(model(jnp.asarray(rows)))
        assert outputs.shape == (len(rows), 2) and (outputs < 0).any(), "logits, not probabilities"
        right = (outputs.argmax(axis=-1) == labels).mean()
        card = Path(mlp.__file__).with_name(f"{model.name}.md").read_text(encoding="utf-8")
        told = re.search(r"accuracy on the held-out \w+ \| ([\d.]+) %", card)
        assert right >= LEAST[domain] and abs(100 * right - float(told[1])) < 0.11
        assert "synthetic" in card or domain != "drebin"


@pytest.mark.parametrize(("domain", "width"), [("pdf", 135), ("phishing", 9), ("drebin", None)])
def test_neurons_are_those_that_deepxplore_counts(domain, width):
    width = width or len(apps.load("train").names)
    layout = Panel.of(zoo(domain)).check((width,))
    units = {name: sum(layer.units for layer in layers) for name, layers in layout.models}
    assert units == {name: count for name, count in NEURONS.items() if name.startswith(domain)}


def test_a_slope_reaches_rows_of_any_size():
    """Squashed features have one at 0 and at the largest numbers."""
    model = pdf.pdf2()
    rows = jnp.asarray([pdf.load_ranges()["example"], pdf.load_ranges()["high"], np.zeros(135)], jnp.float32)
    slope = np.asarray(jax.grad(lambda x: model(x)[:, 0].sum())(rows))
    assert np.isfinite(slope).all() and (slope != 0).mean() > 0.9


def test_weights_are_stored_in_half_precision_and_read_in_single():
    params = mlp.load_parameters("pdf3", pdf.module("pdf3"), pdf.WIDTH)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
    stored = mlp.stored(params)
    assert stored["fc1"]["kernel"].dtype == np.float16 and stored["mean"].dtype == np.float32
    np.testing.assert_array_equal(stored["fc1"]["kernel"].astype(np.float32), params["fc1"]["kernel"])
    with pytest.raises(InputError, match=r"fc4|a larger file|logits"):
        mlp.load_parameters("pdf4", pdf.module("pdf3"), pdf.WIDTH)


def test_the_forest_is_the_same_every_time():
    rows = pages.load("test").images
    table = pages.realistic()
    first = phishing.forest().predict_proba(table.frame(table.encode_inputs(rows)))
    phishing.forest.cache_clear()
    np.testing.assert_array_equal(
        first, phishing.forest().predict_proba(table.frame(table.encode_inputs(rows)))
    )
    assert (first.argmax(axis=1) == pages.load("test").labels).mean() > 0.9


@pytest.mark.slow
def test_importing_the_zoo_imports_no_framework():
    code = "import sys, models.pdf, models.phishing, models.drebin; print({'jax', 'flax'} & {*sys.modules})"
    root = Path(mlp.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
