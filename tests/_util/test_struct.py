"""Trees of our own: told apart by class, and otherwise what flax makes of the same fields."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import struct as theirs
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import keystr, tree_flatten_with_path
from laws.parts import CONSTRAINTS

import xplore
from xplore._util import pytree as struct


def node(base: type, name: str) -> type:
    body = {"__annotations__": {"x": float, "y": object, "name": str}, "y": None}
    return type(name, (base,), body | {"name": theirs.field(pytree_node=False, default="")})


OURS, THEIRS = node(struct.PyTreeNode, "Ours"), node(theirs.PyTreeNode, "Theirs")


@given(st.floats(allow_nan=False), st.none() | st.lists(st.integers(), max_size=3), st.text(max_size=3))
def test_it_is_the_tree_that_flax_makes(x, y, name):
    ours, other = OURS(x, y, name), THEIRS(x, y, name)
    for one, two in zip(tree_flatten_with_path(ours)[0], tree_flatten_with_path(other)[0], strict=True):
        assert keystr(one[0]) == keystr(two[0]) and one[1] == two[1]
    assert jax.tree.leaves(ours) == jax.tree.leaves(other)
    assert jax.tree.map(lambda leaf: leaf, ours) == ours == ours.replace(x=0.0).replace(x=x)
    assert jax.tree.structure(ours) == jax.tree.structure(OURS(0.0, y, name))
    assert jax.tree.structure(ours) != jax.tree.structure(OURS(x, y, f"{name}!"))
    with pytest.raises(AttributeError):
        ours.x = 1.0


def test_classes_are_told_apart():
    structures = {type(c): jax.tree.structure(c) for c in CONSTRAINTS}
    pairs = [(a, b) for a in structures for b in structures if a is not b]
    assert len(pairs) > 150 and not [p for p in pairs if structures[p[0]] == structures[p[1]]]


def test_a_compiled_function_is_not_taken_for_another():
    kinds = [
        type(f"Kind{n}", (struct.PyTreeNode,), {"__annotations__": {"x": float}, "n": n}) for n in range(150)
    ]
    ask = jax.jit(lambda kind: jnp.int32(kind.n))
    assert [int(ask(kind(0.0))) for kind in kinds] == list(range(150))


def test_no_part_is_registered_otherwise():
    package = Path(xplore.__file__).parent
    files = [*package.rglob("*.py"), *(package.parent / "models").glob("*.py")]
    other = re.compile(r"flax import .*struct|flax\.struct import (?!field)|register_dataclass")
    assert len(files) > 100
    assert [p.name for p in files if other.search(p.read_text("utf-8"))] == []
