"""A digest tells what does otherwise, and is the same in every process that runs the same script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from laws.parts import examples

from xplore._util.identity import digest, fields

ROOT = Path(__file__).parents[2]
SCRIPT = """
import functools, sys
import jax, jax.numpy as jnp, numpy as np, optax
import helper
from xplore.constraints import Ball, Chain, Features, Latent, Lighting, Patches
from xplore._util.identity import digest
from xplore.oracles import LabelsDiffer
from xplore._util.recipe import Recipe

LIMITS, LIMIT = {"a": [1, 2], "b": {"x", "y", "z"}}, 60
table = Features.infer(np.arange(12.0).reshape(4, 3), ["age", "rate", "visits"])

def least(row, most=LIMIT):
    return inner(row) & (row.age < most)

def inner(row):
    "What rows must keep."
    return row.age > LIMITS["a"][1]

class Sure(LabelsDiffer):
    '''An oracle of one's own.'''

    def differ(self, outputs):
        return super().differ(outputs) & (outputs.max() > 2)

    def __repr__(self):
        return "Sure"

class Decoder:
    def __init__(self):
        self.weights, self.names, self.me = np.arange(5000.0), {"one", "two", "three"}, self

    def decode(self, z):
        return z @ self.weights

def close(limit):
    return lambda row: row.age < limit

parts = {
    "rule": table.where(least),
    "lambda": table.where(lambda row: (row.age < 60) & (row.rate > 1)),
    "member": lambda row: row in {"red", "green", "blue"},
    "closure": close(3),
    "module": lambda row: row.age < helper.LIMIT,
    "function of a module": lambda row: helper.least(row),
    "oracle": Sure(),
    "decoder": Latent(Decoder().decode, jax.jit(lambda x: x.mean(axis=(1, 2)))),
    "partial": functools.partial(least, most=7),
    "recipe": Recipe.of(optax.sgd, learning_rate=0.1, momentum=0.9),
    "optimizer": optax.chain(optax.clip(1.0), optax.adam(0.1)),
    "array": np.arange(5000.0),
    "boxes": Patches(((0, 0, 2, 2), (4, 4, 2, 2))),
    "chain": Chain((Lighting(0.1), Ball(0.05))),
    "key": jax.random.key(3),
    "half": jnp.ones(3, jnp.bfloat16),
}
for name, part in parts.items():
    print(name, digest(part), sep=": ")
"""
HELPER = "LIMIT = 3\ndef least(row):\n    return row.age < LIMIT\n"
CHANGES = {
    "}, 60": ("}, 61", {"rule", "partial"}),
    "row.age > LIMITS": ("row.age >= LIMITS", {"rule", "partial"}),
    '{"x", "y", "z"}': ('{"x", "y", "w"}', {"rule", "partial"}),
    "& (row.rate > 1)": ("& (row.rate > 2)", {"lambda"}),
    '{"red", "green", "blue"}': ('{"red", "green", "black"}', {"member"}),
    "close(3)": ("close(4)", {"closure"}),
    "helper.LIMIT": ("helper.LIMIT + 0", {"module"}),
    "outputs.max() > 2": ("outputs.max() > 3", {"oracle"}),
    "np.arange(5000.0), {": ("np.arange(5000.0) * 1.5, {", {"decoder"}),
    "most=7": ("most=8", {"partial"}),
    "momentum=0.9": ("momentum=0.8", {"recipe"}),
    "optax.clip(1.0)": ("optax.clip(1.5)", {"optimizer"}),
    '"array": np.arange(5000.0)': ('"array": np.arange(5000.0) + (np.arange(5000) == 2500)', {"array"}),
    "(4, 4, 2, 2)": ("(4, 4, 2, 3)", {"boxes"}),
    "Ball(0.05)": ("Ball(0.06)", {"chain"}),
    "key(3)": ("key(4)", {"key"}),
    "ones(3": ("ones((3, 1)", {"half"}),
    "What rows must keep.": ("What rows are to keep.", set()),
    "'''An oracle of one's own.'''": ("'''Another text.'''\n\n    # and a comment", set()),
    "import functools, sys": ("\n\n\nimport functools, sys", set()),
}


def digests(folder: Path, script: str, hashes: int, helper: str = HELPER) -> dict[str, str]:
    folder.mkdir()
    (folder / "helper.py").write_text(helper)
    (folder / "script.py").write_text(script)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hashes), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ") for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(tmp_path_factory.mktemp("base") / "run", SCRIPT, 0)


@pytest.mark.slow
def test_another_process_gives_the_same(base: dict[str, str], tmp_path: Path) -> None:
    assert digests(tmp_path / "a", SCRIPT, 1) == base
    assert len(set(base.values())) == len(base)


@pytest.mark.slow
def test_what_does_otherwise_differs_and_nothing_else(base: dict[str, str], tmp_path: Path) -> None:
    """All changes at once: each script has one, and one process runs them all."""
    body = "".join(
        f"print('== {i}')\n"
        + SCRIPT.replace(old, new).replace("import helper", "sys.path.insert(0, '.'); import helper")
        for i, (old, (new, _)) in enumerate(CHANGES.items())
    )
    assert {old: SCRIPT.count(old) for old in CHANGES} == dict.fromkeys(CHANGES, 1)
    runs = _all(tmp_path / "all", body)
    for (old, (_, wanted)), came in zip(CHANGES.items(), runs, strict=True):
        assert {name for name in base if came[name] != base[name]} == wanted, old


def _all(folder: Path, body: str) -> list[dict[str, str]]:
    folder.mkdir()
    (folder / "helper.py").write_text(HELPER)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    runs = [part.split("\n", 1)[1] for part in done.stdout.split("== ")[1:]]
    return [dict(line.split(": ") for line in run.splitlines()) for run in runs]


@pytest.mark.slow
def test_what_a_user_s_module_holds_is_part_of_it(base: dict[str, str], tmp_path: Path) -> None:
    other = digests(tmp_path / "other", SCRIPT, 0, HELPER.replace("LIMIT = 3", "LIMIT = 4"))
    assert {n for n in base if other[n] != base[n]} == {"module", "function of a module"}


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(PLAIN)
    ),
    max_leaves=8,
)


@examples(60)
@given(one=VALUES, other=VALUES)
def test_equal_values_alone_have_equal_digests(one: object, other: object) -> None:
    same = repr(_sorted(one)) == repr(_sorted(other))
    assert (digest(one) == digest(other)) == same
    assert digest([one, one]) == digest([one, _again(one)])


def _sorted(value: object) -> object:
    if isinstance(value, frozenset):
        return "set", sorted(map(repr, value))
    if isinstance(value, dict):
        return "dict", sorted((key, repr(_sorted(item))) for key, item in value.items())
    return type(value)(map(_sorted, value)) if isinstance(value, (list, tuple)) else value  # type: ignore[call-arg]


def _again(value: object) -> object:
    """An equal value, that is another object where it holds others."""
    if isinstance(value, dict):
        return dict(reversed([(key, _again(item)) for key, item in value.items()]))
    return [*map(_again, value)] if isinstance(value, list) else value


@examples(40)
@given(array=arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=1)), data=st.data())
def test_an_array_is_its_bytes(array: np.ndarray, data: st.DataObject) -> None:
    assert digest(array) == digest(array.copy(order="F"))
    content = bytearray(np.ascontiguousarray(array).tobytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1
    other = np.frombuffer(bytes(content), array.dtype).reshape(array.shape)
    assert digest(other) != digest(array)


def test_fields_say_what_differs() -> None:
    from xplore.constraints import Features

    table = np.arange(12.0).reshape(4, 3)
    one = Features.infer(table, ["age", "rate", "visits"])
    ruled = [one.where(lambda row: row.age < 60), one.where(lambda row: row.age < 40)]
    assert repr(ruled[0]) == repr(ruled[1])
    first, second = map(fields, ruled)
    assert [name for name in first if first[name] != second[name]] == ["rules"]
