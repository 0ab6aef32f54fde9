"""What every constraint is: a chart from latents to inputs inside the domain."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from xplore._util.errors import InputError
from xplore._util.pytree import PyTreeNode
from xplore._util.recipe import Recipe
from xplore.inputs.columns import is_frame
from xplore.inputs.encoding import Encoding, Pixels, pixels

HALF_LEVEL = 0.5 / 255 + 1e-6
"""How far storing as 8 bits moves a pixel: bounds are checked on what is stored."""


def level_bound(bound: Any) -> Any:
    """The largest whole number of levels of 8 bits that is not above a bound, as a share of 255.

    >>> [round(float(level_bound(bound)) * 255, 3) for bound in (0.2, 0.3, 0.003)]
    [51.0, 76.0, 0.0]
    """
    return jnp.floor(255 * jnp.asarray(bound) + 1e-3) / 255


def whole_levels(z: Float[Array, "*z"]) -> Float[Array, "*z"]:
    """The nearest whole levels of 8 bits; the gradient passes."""
    return passed(z, jnp.round(255 * z) / 255)


def levels_below(z: Float[Array, "*z"]) -> Float[Array, "*z"]:
    """The whole levels of 8 bits next to these on the side of 0; the gradient passes."""
    return passed(z, jnp.trunc(255 * z + 1e-3 * jnp.sign(z)) / 255)


def passed(z: Float[Array, "*z"], value: Float[Array, "*z"]) -> Float[Array, "*z"]:
    """The value, with the gradient of `z`."""
    return z + jax.lax.stop_gradient(value - z)


def check_level(name: str, bound: Any) -> None:
    """An InputError for a bound on pixels below one level of 8 bits: nothing that is stored could move."""
    if bound is not None and float(level_bound(bound)) == 0:
        raise InputError(
            f"constraint {name}",
            expected="a bound of one level of 8 bits, 1/255, or more: images are stored so",
            got=f"{float(bound):g}, which is {float(bound) * 255:.2g} levels",
        )


class Constraint(PyTreeNode, abc.ABC):
    """The search moves latents `z`; `render` makes an input inside the domain of them, at every step.

    `fixed` holds what does not move: corners, masks. `reach` is how far a latent goes, so that step
    sizes mean the same in every chart.

    >>> from xplore.constraints import Lighting
    >>> lighting, x0 = Lighting(0.2), jnp.full((1, 2, 2, 1), 0.5)
    >>> x = lighting.render(lighting.project(jnp.array([0.7]), (), x0), (), x0)
    >>> round(float(x.max()), 3), bool(lighting.within(x0, x)[0]), bool(lighting.within(x0, x + 0.1)[0])
    (0.7, True, False)
    """

    keyed = True

    def check_moves(self) -> None:
        """An InputError, where its numbers let nothing move."""

    @property
    def encoding(self) -> Encoding:
        """How the inputs that it changes are stored: 8-bit images, unless a chart says otherwise."""
        return Pixels()

    def encode_inputs(self, inputs: Any) -> Shaped[np.ndarray, "n *code"]:
        """Inputs as users give them, as they are stored; an `InputError` for what they cannot be."""
        if is_frame(inputs):
            fix = "use xplore.constraints.Features.infer(X), or no constraint"
            raise InputError("seeds", expected="images, as the constraint changes", got="a table", fix=fix)
        return pixels(inputs)

    def check(self, codes: Shaped[np.ndarray, "n *code"]) -> None:
        """An `InputError` for seeds of which no change could be valid."""
        del codes

    @property
    def radius(self) -> Any:
        """The size of a latent's range; step sizes are shares of it."""
        return 1.0

    @property
    def default_optimizer(self) -> Recipe:
        """The optimizer that climbs this chart best, as measured; a search may bring another."""
        return Recipe.of(optax.sign_sgd, learning_rate=0.35)

    @property
    def one_number(self) -> bool:
        """Is a latent one number an input? `GridSearch` tries it from far to near, cheaper than a climb."""
        return False

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """The bound in words, for reports."""

    @property
    def init_uses_grad(self) -> bool:
        """Does every try need the gradient at the seed to choose its place, restarts too?"""
        return False

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b *x"],
        grad: Float[Array, "b *x"],
        attempt: Int[Array, " b"],
    ) -> tuple[Any, Any]:
        """Where a try starts, as `(z, fixed)`: at the seed, where latents are zero; a restart anywhere.

        `grad` is the score's gradient at the seed, for charts that choose a place; `attempt` counts the
        tries of one seed, so that a restart differs.
        """
        del grad

        def begin(z: Array) -> Array:
            return jnp.where((attempt > 0).reshape(-1, *[1] * (z.ndim - 1)), z, 0)

        start, fixed = self.sample(key, x0)
        return jax.tree.map(begin, start), fixed

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

    def parameters(self, z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> dict[str, Float[Array, " b"]]:
        """What latents mean, in named numbers that people know; asked of a chart that needs its latents."""
        del z, fixed, x0
        return {}

    def mutate(self, key: Key[Array, " b"], z: Any, fixed: Any, x0: Float[Array, "b *x"]) -> tuple[Any, Any]:
        """A random point of the chart beside this one: anywhere, where a chart knows no nearer."""
        del z, fixed
        return self.sample(key, x0)

    def shrink_groups(self, shape: tuple[int, ...]) -> list[Int[np.ndarray, "*x"]]:
        """Which numbers of a change are put back together when it is shrunk, from coarse to fine.

        Of images of that shape `[h w c]`, tiles; nothing, of a chart whose change is one whole. Charts that
        need their latents are shrunk in these.
        """
        height, width, _ = shape
        side, tiles = max(height, width), []
        size = max(1, side // 4)
        while size >= max(1, side // 32):
            rows, cols = (np.arange(length) // size for length in (height, width))
            tile = rows[:, None] * (cols[-1] + 1) + cols[None]
            tiles.append(np.broadcast_to(tile[..., None], shape))
            size //= 2
        return tiles

    def change(self, before: Float[Array, "b *x"], after: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
        """What makes one input of another, as numbers that shrink: 0 where nothing changed."""
        return after - before

    def changed(self, before: Float[Array, "b *x"], change: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
        """The input that a `change` makes."""
        return before + change

    def repaired(self, x: Float[Array, "b *x"], x0: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
        """The input, where a part of its change was put back: numbers that follow from others follow."""
        del x0
        return x

    def broken(self, rows: Any) -> list[list[str]]:
        """The names of the rules that each stored input breaks, where a chart has rules."""
        return [[] for _ in rows]

    def sizes(self, before: Float[Array, "b *x"], after: Float[Array, "b *x"]) -> dict[str, Any]:
        """How large each change is, in measures that are shown; of images, unless a chart says otherwise."""
        return _sizes(before, after)

    def embed(self, codes: Shaped[np.ndarray, "n *x"]) -> Float[np.ndarray, "n e"]:
        """Stored inputs as points whose distance tells how near they are; pixels in [0, 1], as it is here."""
        return codes.reshape(len(codes), -1).astype(np.float32) / 255


def rendered(
    constraint: Constraint, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any
) -> Bool[Array, " b"]:
    """`within` of a chart whose bound shows in its latents: they keep it, and make `after`, to one level."""
    z, fixed = latents

    def within(one: Array, other: Array) -> Bool[Array, " b"]:
        return (jnp.abs(one - other) <= 1e-5).reshape(len(one), -1).all(axis=1)

    pairs = zip(jax.tree.leaves(z), jax.tree.leaves(constraint.project(z, fixed, before)), strict=True)
    inside = jnp.stack([within(one, other) for one, other in pairs]).all(axis=0)
    same = jnp.abs(constraint.render(z, fixed, before) - after) <= 3 * HALF_LEVEL
    return inside & same.reshape(len(after), -1).all(axis=1)


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
    """Distances in [0, 1] pixels, pixels changed, and likeness (SSIM)."""
    import dm_pix

    change = (after - before).reshape(len(after), -1)
    return {
        "l2": jnp.sqrt((change**2).sum(axis=1)),
        "linf": jnp.abs(change).max(axis=1),
        "changed": (before != after).any(axis=-1).sum(axis=(1, 2)),
        "ssim": dm_pix.ssim(before, after, filter_size=min(11, *after.shape[1:3])),
    }
