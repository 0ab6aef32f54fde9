"""Chain: one constraint after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from xplore._util.errors import InputError
from xplore._util.pytree import field
from xplore._util.recipe import Recipe
from xplore.constraints._base import Constraint, rendered
from xplore.inputs.encoding import Pixels


class Chain(Constraint):
    """`x = (part_n o ... o part_1)(x0)`, latents a tuple, one a part, each within its own part's bound.

    A part sees what the parts before it made as its seed. Each is climbed by its own `ascent`.

    Raises:
        InputError: no part, or one that is no constraint on images.

    >>> from xplore.constraints import Ball, Lighting
    >>> Chain((Lighting(0.1), Ball(0.05))).description
    'every pixel lighter or darker by at most 0.1; then L-infinity change of at most 0.05'
    """

    parts: tuple[Constraint, ...] = field()

    def __post_init__(self) -> None:
        strange = [
            part
            for part in self.parts
            if not (isinstance(part, Constraint) and isinstance(part.encoding, Pixels))
        ]
        if strange or not self.parts:
            raise InputError(
                "Chain.parts",
                expected="constraints on images, one at least",
                got=", ".join(_named(part) for part in strange) or "none",
                fix="Chain((Affine(), Lighting())); see xplore.constraints",
            )

    def check_moves(self) -> None:
        for part in self.parts:
            part.check_moves()

    @property
    def radius(self) -> tuple[Any, ...]:
        return tuple(part.radius for part in self.parts)

    @property
    def default_optimizer(self) -> Recipe:
        return Recipe(
            _side_by_side, numbers={"recipes": tuple(part.default_optimizer for part in self.parts)}
        )

    @property
    def description(self) -> str:
        return "; then ".join(part.description for part in self.parts)

    @property
    def init_uses_grad(self) -> bool:
        return any(part.init_uses_grad for part in self.parts)

    @property
    def needs_latents(self) -> bool:
        return True

    def check(self, codes: Shaped[np.ndarray, "n *code"]) -> None:
        for part in self.parts:
            part.check(codes)

    def init(
        self,
        key: Key[Array, " b"],
        x0: Float[Array, "b h w c"],
        grad: Float[Array, "b h w c"],
        attempt: Int[Array, " b"],
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return self._drawn(key, x0, lambda n, key, x: self.parts[n].init(key, x, grad, attempt))

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return self._drawn(key, x0, lambda n, key, x: self.parts[n].sample(key, x))

    def mutate(
        self, key: Key[Array, " b"], z: tuple[Any, ...], fixed: tuple[Any, ...], x0: Float[Array, "b h w c"]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return self._drawn(key, x0, lambda n, key, x: self.parts[n].mutate(key, z[n], fixed[n], x))

    def _drawn(
        self, key: Key[Array, " b"], x: Float[Array, "b h w c"], draw: Callable[..., Any]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Each part's `(z, fixed)`, drawn on what the parts before it made."""
        z, fixed = [], []
        for number, part in enumerate(self.parts):
            keys = jax.vmap(lambda k, number=number: jax.random.fold_in(k, number))(key)
            own, place = draw(number, keys, x)
            x = part.render(own, place, x)
            z.append(own)
            fixed.append(place)
        return tuple(z), tuple(fixed)

    def render(
        self, z: tuple[Any, ...], fixed: tuple[Any, ...], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        for part, own, place in zip(self.parts, z, fixed, strict=True):
            x0 = part.render(own, place, x0)
        return x0

    def project(
        self, z: tuple[Any, ...], fixed: tuple[Any, ...], x0: Float[Array, "b h w c"]
    ) -> tuple[Any, ...]:
        latents = []
        for part, own, place in zip(self.parts, z, fixed, strict=True):
            latents.append(part.project(own, place, x0))
            x0 = part.render(latents[-1], place, x0)
        return tuple(latents)

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        z, fixed = latents
        within, x = rendered(self, before, after, latents), before
        for part, own, place in zip(self.parts, z, fixed, strict=True):
            # A barrier: computed once, so that what a part leaves alone is the same on both sides.
            x, made = jax.lax.optimization_barrier((x, part.render(own, place, x)))
            within &= part.within(x, made, (own, place))
            x = made
        return within

    def parameters(
        self, z: tuple[Any, ...], fixed: tuple[Any, ...], x0: Float[Array, "b h w c"]
    ) -> dict[str, Float[Array, " b"]]:
        values: dict[str, Float[Array, " b"]] = {}
        for part, own, place in zip(self.parts, z, fixed, strict=True):
            for name, value in part.parameters(own, place, x0).items():
                values[name if name not in values else f"{name}, again"] = value
            x0 = part.render(own, place, x0)
        return values


def _named(part: Any) -> str:
    return f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__


def _side_by_side(recipes: tuple[Recipe, ...]) -> optax.GradientTransformation:
    """An optimizer for each part of a tuple."""
    parts = [recipe() for recipe in recipes]

    def init(params: Any) -> Any:
        return tuple(part.init(own) for part, own in zip(parts, params, strict=True))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        given = params or (None,) * len(parts)
        moved = [part.update(*own) for part, *own in zip(parts, updates, state, given, strict=True)]
        return tuple(one for one, _ in moved), tuple(state for _, state in moved)

    return optax.GradientTransformation(init, update)
