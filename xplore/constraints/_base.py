"""What every constraint is: a chart from latents to inputs inside the domain."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key, Shaped, UInt32

from xplore.encoding import Encoding, Pixels
from xplore.recipe import Recipe
from xplore.units import Number

HALF_LEVEL = 0.5 / 255 + 1e-6
"""How far storing as 8 bits moves a pixel: bounds are checked on what is stored."""


class Constraint(struct.PyTreeNode, abc.ABC):
    """The search moves latents `z`; `render` makes an input inside the domain of them, at every step.

    `fixed` holds what does not move: corners, masks. `reach` is how far a latent goes, so that step
    sizes mean the same in every chart.
    """

    @property
    def encoding(self) -> Encoding:
        """How the inputs that it changes are stored: 8-bit images, unless a chart says otherwise."""
        return Pixels()

    @property
    @abc.abstractmethod
    def reach(self) -> Any:
        """The size of a latent's range; step sizes are shares of it."""

    @property
    def ascent(self) -> Recipe:
        """The optimizer that climbs this chart best, as measured; a search may bring another."""
        return Recipe.of(optax.sign_sgd, learning_rate=0.35)

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """The bound in words, for reports."""

    @property
    def places_by_slope(self) -> bool:
        """Does every try need the slope at the seed to choose its place, restarts too?"""
        return False

    @abc.abstractmethod
    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b *x"],
        slope: Float[Array, "b *x"],
        turn: Int[Array, " b"],
    ) -> tuple[Any, Any]:
        """Where a try starts, as `(z, fixed)`: it renders the seed, or next to it.

        `slope` is the score's gradient at the seed, for charts that choose a place; `turn` counts the
        tries of one seed, so that a restart differs.
        """

    @abc.abstractmethod
    def sample(self, key: Key[Array, " b"], x0: Float[Array, "b *x"]) -> tuple[Any, Any]:
        """A random point of the chart within the bound: random search."""

    @abc.abstractmethod
    def render(self, z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
        """The input that the latents stand for, inside the domain: [0, 1], for images."""

    @abc.abstractmethod
    def project(self, z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> Any:
        """The nearest latents within the bound; idempotent."""

    @property
    def needs_latents(self) -> bool:
        """Can `within` be told only with the latents that made the change? Each finding's are kept for it."""
        return False

    @abc.abstractmethod
    def within(
        self, before: Float[Array, "b *x"], after: Float[Array, "b *x"], latents: Any = None
    ) -> Bool[Array, " b"]:
        """Could this chart, in its bound, have made `after` (as stored) of `before`?

        `latents`, a pair `(z, fixed)`, are given to a chart that needs them (`rendered`).
        """

    def settings(self, z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> dict[str, Float[Array, " b"]]:
        """What latents mean, in named numbers that people know; asked of a chart that needs its latents."""
        del z, fixed, x0
        return {}

    def near(self, key: Key[Array, " b"], z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> tuple[Any, Any]:
        """A random point of the chart beside this one: anywhere, where a chart knows no nearer."""
        del z, fixed
        return self.sample(key, x0)

    def sizes(self, before: Float[Array, "b *x"], after: Float[Array, "b *x"]) -> dict[str, Any]:
        """How large each change is, in measures that are shown; of images, unless a chart says otherwise."""
        return _sizes(before, after)

    def coordinates(self, codes: Shaped[np.ndarray, "n *x"]) -> Float[np.ndarray, "n e"]:
        """Stored inputs as points whose distance tells how near they are; pixels in [0, 1], as it is here."""
        return codes.reshape(len(codes), -1).astype(np.float32) / 255


def rendered(
    constraint: Constraint, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any
) -> Bool[Array, " b"]:
    """`within` of a chart whose bound shows in its latents: they keep it, and make `after`, to one level."""
    z, fixed = latents

    def kept(one: Array, other: Array) -> Bool[Array, " b"]:
        return (jnp.abs(one - other) <= 1e-5).reshape(len(one), -1).all(axis=1)

    pairs = zip(jax.tree.leaves(z), jax.tree.leaves(constraint.project(z, fixed, before)), strict=True)
    inside = jnp.stack([kept(one, other) for one, other in pairs]).all(axis=0)
    same = jnp.abs(constraint.render(z, fixed, before) - after) <= 3 * HALF_LEVEL
    return inside & same.reshape(len(after), -1).all(axis=1)


class Dial(NamedTuple):
    """A number that may go as far as `limit`, both ways or up only."""

    limit: Number
    both: bool = True


class Dials(Constraint):
    """A chart of a few numbers: `z [b k]`, each a share of its limit, in [-1, 1], or [0, 1] if it only grows.

    A subclass says which (`dials`), draws what a try keeps (`pattern`) and changes the seed (`turned`). The
    bound shows in the latents alone. The score is no hill in so few numbers, and tries start far: at random
    points, the first one with the dials that go both ways turned fully to where the seed's slope points.
    """

    @property
    @abc.abstractmethod
    def dials(self) -> dict[str, Dial]:
        """What each latent is, by a name with its unit."""

    @abc.abstractmethod
    def turned(
        self, values: tuple[Float[Array, "b 1 1 1"], ...], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        """The input with each dial at its value, in the dial's unit; the seed where all are 0."""

    def pattern(self, key: Key[Array, " b"]) -> Any:
        """What is drawn once a try; numeric arrays that lead with b."""
        del key
        return ()

    @property
    def reach(self) -> Any:
        return 1.0

    @property
    def needs_latents(self) -> bool:
        return True

    def _lowest(self) -> Float[Array, "1 k"]:
        return jnp.array([[-1.0 if dial.both else 0.0 for dial in self.dials.values()]])

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        slope: Float[Array, "b h w c"],
        turn: Int[Array, " b"],
    ) -> tuple[Float[Array, "b k"], Any]:
        start, fixed = self.sample(key, x0)
        both = self._lowest() < 0
        beside = jnp.where(both, 1e-3 * start, start)  # exactly at 0, reading between pixels has a kink
        _, pull = jax.vjp(lambda z: self.render(z, fixed, x0), beside)
        (climb,) = pull(slope)
        uphill = jnp.where(both & (climb != 0), jnp.sign(climb), start)
        return jnp.where((turn == 0)[:, None], uphill, start), fixed

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

    def settings(
        self, z: Float[Array, "b k"], fixed: Any, x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        return {name: z[:, i] * dial.limit for i, (name, dial) in enumerate(self.dials.items())}


class Drawn(Dials):
    """Dials of a pattern that is drawn for each try, and again from its key whenever it is rendered."""

    def pattern(self, key: Key[Array, " b"]) -> UInt32[Array, "b 2"]:
        return jax.random.key_data(key)


def inside(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Rounding errors beyond [0, 1] cut off; the slope passes."""
    return jax.lax.stop_gradient(jnp.clip(x, 0, 1)) + (x - jax.lax.stop_gradient(x))


def added(x0: Float[Array, "b h w c"], change: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """`x0 + change` inside [0, 1] by a soft wall: `room tanh(change / room)`, whose slope does not die."""
    room = jnp.where(change >= 0, 1 - x0, x0)
    safe = jnp.maximum(room, 1e-6)
    return inside(x0 + jnp.where(room > 0, safe * jnp.tanh(change / safe), 0))


def cosines(size: int, count: int) -> Float[np.ndarray, "count size"]:
    """The first orthonormal cosines of a signal (DCT-II): the k-th has k/2 cycles.

    >>> bool(np.allclose(cosines(8, 8) @ cosines(8, 8).T, np.eye(8)))
    True
    """
    k, at = np.arange(count)[:, None], np.arange(size)[None] + 0.5
    return np.cos(np.pi * k * at / size) * np.where(k == 0, np.sqrt(1 / size), np.sqrt(2 / size))


def _sizes(before: Float[Array, "b h w c"], after: Float[Array, "b h w c"]) -> dict[str, Any]:
    """Distances in [0, 1] pixels, pixels changed, likeness (SSIM), and how much of the content is hidden."""
    import dm_pix

    change = (after - before).reshape(len(after), -1)
    return {
        "l2": jnp.sqrt((change**2).sum(axis=1)),
        "linf": jnp.abs(change).max(axis=1),
        "changed": (before != after).any(axis=-1).sum(axis=(1, 2)),
        "ssim": dm_pix.ssim(before, after, filter_size=min(11, *after.shape[1:3])),
        "hidden": hidden_share(before, after),
    }


def content(x: Float[Array, "b h w c"], background: Number = 0.0) -> Float[Array, "b h w"]:
    """What there is to see at each position: `sum_c |x - background|`."""
    return jnp.abs(x - background).sum(axis=-1)


def hidden_share(
    before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], background: Number = 0.0
) -> Float[Array, " b"]:
    """The share of the seed's content at the positions that changed."""
    seen = content(before, background)
    changed = (before != after).any(axis=-1)
    return jnp.where(changed, seen, 0).sum(axis=(1, 2)) / jnp.maximum(seen.sum(axis=(1, 2)), 1e-6)


def windows(values: Float[Array, "b h w"], height: int, width: int) -> Float[Array, "b rows cols"]:
    """The sum over every `height x width` window, as two products with banded matrices.

    >>> windows(jnp.ones((1, 3, 3)), 2, 2).tolist()
    [[[4.0, 4.0], [4.0, 4.0]]]
    """
    rows = jnp.asarray(_band(values.shape[1], height), values.dtype)
    cols = jnp.asarray(_band(values.shape[2], width), values.dtype)
    return jnp.einsum("rh,bhw,cw->brc", rows, values, cols)


def hidden_by_window(
    x0: Float[Array, "b h w c"], height: int, width: int, background: Number = 0.0
) -> Float[Array, "b rows cols"]:
    """The share of the content that a `height x width` window hides, for each of its places."""
    seen = content(x0, background)
    return windows(seen, height, width) / jnp.maximum(seen.sum(axis=(1, 2), keepdims=True), 1e-6)


def cover(places: Float[Array, "b rows cols"], height: int, width: int) -> Float[Array, "b h w"]:
    """The transpose of `windows`: each window's value spread over its pixels."""
    rows = jnp.asarray(_band(places.shape[1] + height - 1, height), places.dtype)
    cols = jnp.asarray(_band(places.shape[2] + width - 1, width), places.dtype)
    return jnp.einsum("rh,brc,cw->bhw", rows, places, cols)


def _band(size: int, window: int) -> Float[np.ndarray, "places size"]:
    offset = np.arange(size)[None] - np.arange(size - window + 1)[:, None]
    return ((offset >= 0) & (offset < window)).astype(float)
