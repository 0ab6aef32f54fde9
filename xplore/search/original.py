"""DeepXplore's own procedure, step for step, for figures beside the paper's."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from xplore._util.errors import InputError
from xplore._util.intervals import COUNT, POSITIVE, by_field
from xplore._util.pytree import Number, PyTreeNode, field
from xplore.constraints import Additions, Constraint, Features
from xplore.search._base import Feedback, Search, Start

Edit = Literal["light", "occlusion", "blackout", "features", "manifest"]


class OriginalPoint(PyTreeNode):
    x: Float[Array, "b *x"]
    corner: Int[Array, "b 2"]


class Original(Search):
    """`x <- x + step * edit(g / (rms(g) + 1e-5))` (Pei et al., 2017, algorithm 1, and its published code).

    `edit` is `light` (every pixel moves by the gradient's mean), `occlusion` (one rectangle, drawn once,
    moves) or `blackout` (a small rectangle drawn anew at each step moves by -1 if its mean gradient is
    negative). As published, pixels are not clipped on the way, so what it claims is judged again once
    stored and mostly gone; `clip=True` mends that. It takes `steps` steps and looks at the input after each,
    so that with the look at the seed a try has one more. The campaign's constraint only checks the bound: as
    published there is none, so that a bound calls most of what is left invalid. The rest of the published
    procedure is said elsewhere: `Joint(on="logits", deviate="random")`, a constraint with `bound=None`, and
    rounds of one seed, if coverage is to guide as it did (`round_size=1`, `lag=1`).

    Of rows, `features` moves those that `Features` let move, such as only grow upwards, in shares of their
    ranges (the published ones are standardised), and whole ones are rounded when they are stored; `manifest`
    adds, at each step, that one of `Additions`' features whose gradient is positive and the largest.

    >>> original = Original("light", step=10.0, steps=20)
    >>> original.needs_grad, original.quantize_steps
    (True, False)
    """

    intervals = by_field(step=POSITIVE, size=COUNT)
    edit: Edit = field(pytree_node=False, default="light")
    step: Number = 10.0
    size: int = field(pytree_node=False, default=10)
    clip: bool = field(pytree_node=False, default=False)
    steps: int = field(pytree_node=False, default=50)
    tries: int = field(pytree_node=False, default=1)

    @property
    def needs_grad(self) -> bool:
        return True

    @property
    def looks(self) -> int:
        return self.steps + 1

    @property
    def quantize_steps(self) -> bool:
        return self.clip

    def init(self, constraint: Constraint, start: Start) -> OriginalPoint:
        rows = self.edit in ("features", "manifest")
        if rows != (start.x0.ndim == 2):
            wanted, came = ("rows", "images")[:: 1 if rows else -1]
            raise InputError(f"edit={self.edit!r} of Original", expected=wanted, got=came)
        shape = (self.size, self.size) if rows else start.x0.shape[1:3]
        return OriginalPoint(start.x0, jax.vmap(lambda key: self.corner(key, shape))(start.key))

    def corner(self, key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, " 2"]:
        """A rectangle's upper left corner, anywhere inside the image."""
        return jax.random.randint(key, (2,), 0, jnp.asarray(shape) - self.size + 1)

    def propose(self, constraint: Constraint, point: OriginalPoint, start: Start) -> Float[Array, "b *x"]:
        return point.x

    def update(
        self,
        constraint: Constraint,
        point: OriginalPoint,
        start: Start,
        feedback: Feedback,
    ) -> OriginalPoint:
        grad, done, corner = feedback.grad, feedback.done, point.corner
        if self.edit == "features":
            return point.replace(x=grown(constraint, point.x, grad, self.step))
        if self.edit == "manifest":
            return point.replace(x=added(constraint, point.x, grad))
        g = over_rms(grad)
        if self.edit == "blackout":
            keys = jax.vmap(jax.random.fold_in)(start.key, done)
            corner = jax.vmap(lambda key: self.corner(key, grad.shape[1:3]))(keys)
        x = point.x + self.step * edited(self.edit, g, corner, self.size)
        return OriginalPoint(jnp.clip(x, 0, 1) if self.clip else x, corner)


def over_rms(g: Float[Array, "b *x"]) -> Float[Array, "b *x"]:
    """A gradient over its root mean square, input by input."""
    return g / (jnp.sqrt((g**2).mean(axis=tuple(range(1, g.ndim)), keepdims=True)) + 1e-5)


def grown(
    constraint: Constraint, x: Float[Array, "b d"], g: Float[Array, "b d"], step: Number
) -> Float[Array, "b d"]:
    """Every feature moves that may, upwards alone where it only grows.

    Raises:
        InputError: the constraint does not say which.
    """
    if not isinstance(constraint, Features):
        raise _wrong("features", "Features", constraint)
    frozen, grows = (np.array(of)[None] for of in (constraint.frozen, constraint.grows))
    span = jnp.asarray(constraint.high - constraint.low, x.dtype)[None]
    g = over_rms(g * span)
    return x + step * span * jnp.where(frozen, 0, jnp.where(grows, jnp.maximum(g, 0), g))


def added(constraint: Constraint, x: Float[Array, "b d"], g: Float[Array, "b d"]) -> Float[Array, "b d"]:
    """Of the features that may be added and are not there, that of the largest positive gradient is added.

    Raises:
        InputError: the constraint does not say which.
    """
    if not isinstance(constraint, Additions):
        raise _wrong("manifest", "Additions", constraint)
    helps = jnp.where(x == 0, g, 0)[:, constraint.allowed]
    first = jax.nn.one_hot(helps.argmax(axis=1), helps.shape[1], dtype=x.dtype)
    return x.at[:, constraint.allowed].add(jnp.where(helps.max(axis=1, keepdims=True) > 0, first, 0))


def _wrong(edit: str, wanted: str, constraint: Constraint) -> InputError:
    came = type(constraint).__name__
    return InputError(f"edit={edit!r} of Original", expected=f"the constraint {wanted}", got=came)


def edited(
    edit: str, g: Float[Array, "b h w c"], corner: Int[Array, "b 2"], size: int
) -> Float[Array, "b h w c"]:
    """The gradient as the original's constraint lets it through.

    >>> g = jnp.arange(4.0).reshape(1, 2, 2, 1) - 2
    >>> edited("light", g, jnp.zeros((1, 2), int), 1)[0, :, :, 0].tolist()
    [[-0.5, -0.5], [-0.5, -0.5]]
    >>> edited("blackout", g, jnp.zeros((1, 2), int), 1)[0, :, :, 0].tolist()
    [[-1.0, 0.0], [0.0, 0.0]]
    """
    if edit == "light":
        return jnp.broadcast_to(g.mean(axis=(1, 2, 3), keepdims=True), g.shape)
    offset = jnp.stack(jnp.meshgrid(*map(jnp.arange, g.shape[1:3]), indexing="ij"), axis=-1)
    offset = offset[None] - corner[:, None, None, :]
    mask = ((offset >= 0) & (offset < size)).all(axis=-1)[..., None]
    if edit == "occlusion":
        return jnp.where(mask, g, 0)
    mean = (g * mask).sum(axis=(1, 2, 3), keepdims=True) / (size * size * g.shape[3])
    return jnp.where(mask & (mean < 0), -jnp.ones_like(g), 0)
