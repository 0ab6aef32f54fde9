"""The search may compute models otherwise than they are written; judging does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import xplore
from xplore._util.errors import InputError
from xplore.campaign.settings import RunOptions
from xplore.constraints import Ball
from xplore.data import mnist
from xplore.inputs.encoding import decode
from xplore.models import lenet
from xplore.panel import Panel

pytestmark = pytest.mark.slow

HOW = {"constraint": Ball(0.2), "steps": 4, "tries": 2, "progress": False, "shrink": False}


def test_16_bits_say_nearly_the_same():
    panel = Panel.of([lenet.lenet1(), lenet.lenet4()])
    x = decode(jnp.asarray(mnist.load("test").images[:16]))
    exact, short = panel(x), panel.replace(dtype="bfloat16")(x)
    assert short.activations.layout == exact.activations.layout
    assert jax.tree.map(lambda leaf: leaf.dtype, short) == jax.tree.map(lambda leaf: leaf.dtype, exact)
    off = np.abs(np.asarray(short.logits - exact.logits)).max() / np.abs(np.asarray(exact.logits)).max()
    assert 1e-6 < off < 0.05, "as near as eight bits of a fraction are, and not the same"
    np.testing.assert_array_equal(panel.replace(dtype="bfloat16").plain(x), panel.plain(x))


def ran(folder, **numbers):
    plan = RunOptions(lanes=8, round_size=8, lag=1, **numbers)
    return xplore.run([tiny.one(), tiny.two()], tiny.images(), tiny.labels(), plan=plan, out=folder, **HOW)


def test_what_is_found_is_judged_as_written(tmp_path):
    found = {}
    for name, numbers in {"plain": {}, "short": {"dtype": "bfloat16"}, "fast": {"lowering": "fast"}}.items():
        result = ran(tmp_path / name, **numbers)
        found[name] = {finding.id for finding in result.findings}
        again = xplore.replay(result.folder, [tiny.one(), tiny.two()])
        assert again.keys() == found[name] and len(again) > 3 and all(again.values())
        assert {key: result.archive.meta.get(key) for key in ("lowering", "dtype")} == {
            "lowering": None,
            "dtype": None,
            **numbers,
        }
    assert found["short"] != found["plain"], "the search went other ways"


def test_a_campaign_goes_on_with_the_numbers_it_began_with(tmp_path):
    ran(tmp_path, dtype="bfloat16")
    plan = RunOptions(lanes=8, round_size=8, lag=1)
    models, seeds = [tiny.one(), tiny.two()], (tiny.images(), tiny.labels())
    with pytest.raises(InputError, match=r"dtype.*bfloat16"):
        xplore.run(models, *seeds, plan=plan, out=tmp_path, resume=True, **HOW)
