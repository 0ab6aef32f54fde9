"""Has a function a gradient? Asked by tracing, before any compute is spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from xplore._util.errors import one_line

UNSEEN = ("pure_callback", "custom_vjp_call")
"""Steps whose derivative is somebody's word: whether it is zero, numbers alone tell."""


OUTSIDE = "it is called from outside of JAX"


def no_gradient(f: Callable[[Any], Any], x: Any) -> str:
    """Why `f(x)` cannot be climbed; nothing if it can.

    `x` is a batch, or the shape of one: then nothing is computed. Of inputs it is computed only where `f`
    has a derivative of its own, or is called on the host.

    >>> x = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    >>> no_gradient(lambda x: x**2, x), no_gradient(lambda x: x.astype(int) * 1.0, x)
    ('', 'its gradient is zero everywhere: it reads integers, or compares')
    """
    try:
        traced = jax.make_jaxpr(jax.grad(lambda x: jnp.sum(f(x))))(x)
    except Exception as error:  # a function of the user's own may raise anything
        return OUTSIDE if "callback" in str(error).lower() else one_line(error)
    if _is_zero(traced.jaxpr, traced.jaxpr.outvars[0]):
        return "its gradient is zero everywhere: it reads integers, or compares"
    if isinstance(x, jax.ShapeDtypeStruct) or not any(step in str(jax.make_jaxpr(f)(x)) for step in UNSEEN):
        return ""
    weights = np.random.default_rng(0).normal(size=jax.eval_shape(f, x).shape)  # a softmax sums to one
    climbed = jax.jit(jax.grad(lambda x: jnp.sum(f(x) * jnp.asarray(weights, x.dtype))))(x)
    return "" if np.any(climbed) else f"its gradient is zero on all of {len(x)} seeds"


def _is_zero(jaxpr: Any, v: Any) -> bool:
    """Is a value made of nothing but zeros?"""
    if isinstance(v, core.Literal):
        return not np.any(v.val)
    for eqn in jaxpr.eqns:
        if v in eqn.outvars:
            inner = eqn.params.get("jaxpr")
            if eqn.primitive.name in ("jit", "pjit") and isinstance(inner, core.ClosedJaxpr):
                return _is_zero(inner.jaxpr, inner.jaxpr.outvars[eqn.outvars.index(v)])
            spreads = eqn.primitive.name in ("broadcast_in_dim", "convert_element_type", "copy", "reshape")
            return spreads and _is_zero(jaxpr, eqn.invars[0])
    return False
