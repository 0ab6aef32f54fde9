"""Patches: given places may take other content, as stickers would."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from xplore._util.errors import InputError
from xplore._util.intervals import PART, by_field
from xplore._util.pytree import Number, field
from xplore.constraints._base import Constraint, check_level, level_bound
from xplore.inputs.encoding import ROUNDING


class Patches(Constraint):
    """`x = x0 + mask z`, `|z| <= bound`, mask the given boxes, each `(top, left, height, width)` in pixels.

    Where `Occlusion` chooses a place, these stand where the user knows that something may stick, be worn or
    be dirty. `bound=None` allows any content. A restart starts at random content.

    >>> patch, grey = Patches(((0, 1, 1, 2),)), jnp.full((1, 2, 4, 1), 0.5)
    >>> patch.render(jnp.full((1, 2, 4, 1), 0.25), (), grey)[0, ..., 0].tolist()
    [[0.5, 0.75, 0.75, 0.5], [0.5, 0.5, 0.5, 0.5]]

    Raises:
        InputError: no box, or one that does not lie inside the image.
    """

    intervals = by_field(bound=PART)
    boxes: tuple[tuple[int, int, int, int], ...] = field(pytree_node=False)
    bound: Number = 0.5

    def check_moves(self) -> None:
        check_level("Patches", self.bound)

    @property
    def radius(self) -> Any:
        return 1.0 if self.bound is None else level_bound(self.bound)

    @property
    def description(self) -> str:
        count = len(self.boxes)
        where = "one given box" if count == 1 else f"{count} given boxes"
        return where if self.bound is None else f"{where}, each pixel by at most {float(self.bound):g}"

    def _mask(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "1 h w 1"]:
        mask = np.zeros((1, *shape[:2], 1), bool)
        for box in self.boxes:
            top, left, height, width = box
            if (
                min(top, left, height - 1, width - 1) < 0
                or top + height > shape[0]
                or left + width > shape[1]
            ):
                raise InputError(
                    "Patches.boxes",
                    expected=f"(top, left, height, width) inside {shape[0]} x {shape[1]} pixels",
                    got=str(box),
                    fix="count from the upper left pixel, (0, 0)",
                )
            mask[:, top : top + height, left : left + width] = True
        if not mask.any():
            raise InputError(
                "Patches.boxes", expected="one box at least", got="none", fix="boxes=((0, 0, 8, 8),)"
            )
        return mask

    def sample(
        self, key: Key[Array, " b"], x0: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], tuple[()]]:
        drawn = jax.vmap(lambda k: jax.random.uniform(k, x0.shape[1:], x0.dtype))(key)
        return self.project(drawn - x0, (), x0), ()

    def render(
        self, z: Float[Array, "b h w c"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        return x0 + self._mask(x0.shape[1:]) * z

    def project(
        self, z: Float[Array, "b h w c"], fixed: tuple[()], x0: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        z = z if self.bound is None else jnp.clip(z, -self.radius, self.radius)
        return jnp.clip(z, -x0, 1 - x0) * self._mask(x0.shape[1:])

    def within(
        self, before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], latents: Any = None
    ) -> Bool[Array, " b"]:
        elsewhere = (before == after) | self._mask(before.shape[1:])
        small = True if self.bound is None else jnp.abs(after - before) <= self.radius + ROUNDING
        return (elsewhere & small).all(axis=(1, 2, 3))
