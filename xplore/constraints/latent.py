"""Latent: the input moves in the latent space of a generator or any other decoder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from xplore._util.intervals import POSITIVE, by_field
from xplore._util.pytree import Number
from xplore.constraints._base import Constraint, added, rendered


class Latent(Constraint):
    """`x = x0 + g(e(x0) + z) - g(e(x0))`, `|z|_2 <= bound`: what the decoder g changes, on top of the seed.

    What the decoder cannot draw of the seed stays as it is, so that z = 0 is the seed itself. `decode [b k]
    -> [b h w c]` and `encode [b h w c] -> [b k]` are JAX functions; with weights, given as
    `jax.tree_util.Partial(f, weights)`, these are arguments of the compiled step. The sum stays in [0, 1] by
    a soft wall (`room tanh(change / room)`). The bound is a distance in latent space: 1 is one standard
    deviation, where latents are whitened.

    >>> decode, encode = (lambda z: z[:, :, None, None]), (lambda x: x.mean(axis=(2, 3)))
    >>> Latent(decode, encode, bound=0.5).description
    "at most 0.5 away in the decoder's latent space"
    """

    intervals = by_field(bound=POSITIVE)
    decode: Callable[..., Any]
    encode: Callable[..., Any]
    bound: Number = 1.0

    def __post_init__(self) -> None:
        for name in ("decode", "encode"):  # a plain function is a tree without leaves, too
            if inspect.isroutine(getattr(self, name)):
                object.__setattr__(self, name, Partial(getattr(self, name)))

    def __repr__(self) -> str:
        names = (
            getattr(getattr(f, "func", f), "__name__", type(f).__name__) for f in (self.decode, self.encode)
        )
        return f"Latent({', '.join(names)}, bound={self.bound!r})"

    @property
    def radius(self) -> Any:
        return self.bound

    @property
    def description(self) -> str:
        return f"at most {float(self.bound):g} away in the decoder's latent space"

    @property
    def needs_latents(self) -> bool:
        return True

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        at = self.encode(x0)
        drawn = jax.vmap(lambda k: jax.random.normal(k, at.shape[1:], x0.dtype))(key)
        return self.project(1e6 * drawn, at, x0), at

    def render(
        self, z: Float[Array, "b k"], fixed: Float[Array, "b k"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return added(x0, self.decode(fixed + z) - self.decode(fixed))

    def project(
        self, z: Float[Array, "b k"], fixed: Float[Array, "b k"], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b k"]:
        size = jnp.sqrt((z**2).sum(axis=1, keepdims=True))
        return z * jnp.minimum(1, self.bound / jnp.maximum(size, 1e-12))

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        return rendered(self, before, after, latents)

    def parameters(
        self, z: Float[Array, "b k"], fixed: Float[Array, "b k"], x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        return {"latent distance": jnp.sqrt((z**2).sum(axis=1))}
