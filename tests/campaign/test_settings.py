"""A campaign is the same whatever a user's own code has set of JAX and NumPy, and leaves it as it was."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import xplore
from xplore._util.jax_settings import Thread, own_settings
from xplore.constraints import Ball, Fog
from xplore.coverage import NeuronCoverage

pytestmark = pytest.mark.slow


@contextmanager
def everywhere(**settings: Any) -> Iterator[None]:
    """Settings of JAX for every thread, as `jax.config.update` makes them."""
    with ThreadPoolExecutor(1) as other:  # in this thread a test may have others for itself alone
        before = other.submit(lambda: {name: getattr(jax.config, name) for name in settings}).result()
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


one, two = tiny.one(), tiny.two()
lost = one.replace(f=lambda p, x: jnp.where(x.mean() > 0.5, jnp.nan, tiny.one().f(p, x)), name="lost")
HALF = jnp.full((1, 6, 6, 3), 0.5)
HOW: dict[str, Any] = {"steps": 2, "tries": 2, "lanes": 8, "progress": False}


def ids(models: Any, **how: Any) -> list[str]:
    return [finding.id for finding in xplore.run(models, tiny.images(8), **(HOW | how)).findings]


USES: dict[str, Callable[[], Any]] = {
    "run": lambda: ids([one, two], constraint=Ball(0.2)),
    "NaN": lambda: ids([one, lost], constraint=Ball(0.2)),
    "weather": lambda: ids([one, two], constraint=Fog(), steps=1, tries=1),
    "inspect": lambda: xplore.inspect([one, two], tiny.images(4)),
    "coverage": lambda: xplore.coverage_of(one, tiny.images(4), NeuronCoverage(0.5)),
    "reach": lambda: str(xplore.reach(one, tiny.images(4), NeuronCoverage(0.5))),
    "gate": lambda: xplore.gate(one, two, tiny.images(4), constraint=Ball(0.2), allow=0.5, **HOW).figures,
    "panel": lambda: np.asarray(xplore.Panel.of([one, two])(HALF).outputs).tobytes(),
}  # fmt: skip
"""All that computes, and what it comes to."""
STRICT: dict[str, Any] = {
    "jax_numpy_dtype_promotion": "strict",
    "jax_transfer_guard": "disallow",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_numpy_rank_promotion": "raise",
    "jax_enable_checks": True,
    "jax_default_matmul_precision": "highest",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_legacy_prng_key": "error",
}


@pytest.fixture(scope="module")
def usual() -> dict[str, Any]:
    return {name: use() for name, use in USES.items()}


@pytest.mark.parametrize("use", USES)
def test_what_is_computed_is_the_same_whatever_is_set(use: str, usual: dict[str, Any]) -> None:
    with everywhere(**STRICT), np.errstate(all="raise"):
        assert USES[use]() == usual[use]
    assert use != "run" or usual[use]


def test_a_thread_computes_by_the_settings_of_whoever_gives_it_a_job() -> None:
    def seen() -> tuple[Any, ...]:
        matrices = jax.make_jaxpr(jnp.dot)(np.eye(2), np.eye(2))
        return (
            jnp.zeros(1).dtype,
            str(matrices),
            float(jnp.int32(1) + np.float32(0.5)),
            jnp.zeros(1).devices(),
        )

    alike = (
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
        jax.default_device(jax.devices()[-1]),
        jax.numpy_dtype_promotion("strict"),
    )
    with Thread("test") as thread:
        usually = thread.submit(seen).result()
        with ExitStack() as stack:
            for setting in alike:
                stack.enter_context(setting)
            told = thread.submit(seen).result()
            with own_settings():
                assert seen() == told
        assert thread.submit(seen).result() == usually == seen()
    assert told[0] == np.float64 and "HIGHEST" in told[1] and all(map(operator.ne, told[:2], usually))


def test_settings_are_the_users_again_afterwards_even_where_a_call_fails() -> None:
    with everywhere(**STRICT), np.errstate(all="raise"):
        before = [getattr(jax.config, name) for name in STRICT], np.geterr()
        with pytest.raises(xplore.InputError):
            xplore.run([one, two], tiny.images(8), labels=[0], **HOW)
        assert ([getattr(jax.config, name) for name in STRICT], np.geterr()) == before
