"""Charts of a few numbers that people know: an angle, a brightness, the density of fog."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from xplore._util.errors import InputError
from xplore._util.pytree import Number
from xplore.constraints._base import Constraint, rendered


class Parameter(NamedTuple):
    """A number that may go as far as `limit`, both ways or up only."""

    limit: Number
    both: bool = True


class Parametric(Constraint):
    """A chart of a few numbers: `z [b k]`, each a share of its limit, in [-1, 1], or [0, 1] if it only grows.

    A subclass says which (`dials`), draws what a try keeps (`pattern`) and changes the seed (`turned`). The
    bound shows in the latents alone. The score is no hill in so few numbers, and tries start far: at random
    points, the first one with the dials that go both ways turned fully to where the seed's slope points.
    """

    @property
    @abc.abstractmethod
    def dials(self) -> dict[str, Parameter]:
        """What each latent is, by a name with its unit."""

    @abc.abstractmethod
    def turned(
        self, values: tuple[Float[Array, "b 1 1 1"], ...], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        """The input with each dial at its value, in the dial's unit; the seed where all are 0."""

    def check_moves(self) -> None:
        if not any(float(dial.limit) for dial in self.dials.values()):
            held = ", ".join(self.dials)
            raise InputError(f"constraint {self!r}", expected="a number above 0", got=f"0 for all: {held}")

    def pattern(self, key: Key[Array, " b"]) -> Any:
        """What is drawn once a try; numeric arrays that lead with b."""
        del key
        return ()

    @property
    def needs_latents(self) -> bool:
        return True

    def _lowest(self) -> Float[Array, "1 k"]:
        return jnp.array([[-1.0 if dial.both else 0.0 for dial in self.dials.values()]])

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        grad: Float[Array, "b h w c"],
        attempt: Int[Array, " b"],
    ) -> tuple[Float[Array, "b k"], Any]:
        start, fixed = self.sample(key, x0)
        both = self._lowest() < 0
        beside = jnp.where(both, 1e-3 * start, start)  # exactly at 0, reading between pixels has a kink
        _, pull = jax.vjp(lambda z: self.render(z, fixed, x0), beside)
        (climb,) = pull(grad)
        uphill = jnp.where(both & (climb != 0), jnp.sign(climb), start)
        return jnp.where((attempt == 0)[:, None], uphill, start), fixed

    def sample(self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]) -> tuple[Float[Array, "b k"], Any]:
        k = len(self.dials)
        share = jax.vmap(lambda key: jax.random.uniform(key, (k,), x0.dtype))(key)
        low = self._lowest()
        return low + (1 - low) * share, self.pattern(key)

    def render(
        self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        limits = [dial.limit for dial in self.dials.values()]
        values = tuple(z[:, i, None, None, None] * limit for i, limit in enumerate(limits))
        return self.turned(values, fixed, x0)

    def project(self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        return jnp.clip(z, self._lowest(), 1)

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        return rendered(self, before, after, latents)

    def parameters(
        self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        return {name: z[:, i] * dial.limit for i, (name, dial) in enumerate(self.dials.items())}


class Drawn(Parametric):
    """Dials of a pattern that is drawn for each try, and again from its key whenever it is rendered."""

    def pattern(self, key: Key[Array, " b"]) -> UInt32[Array, "b 2"]:
        return jax.random.key_data(key)
