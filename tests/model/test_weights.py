"""Weights come back as they were saved, or the reader says what is wrong with the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as serialise

from xplore._util.errors import InputError
from xplore.model import weights

TREE = {
    "conv1": {
        "kernel": np.arange(18, dtype=np.float32).reshape(3, 3, 2),
        "bias": np.array([0.5, -1], np.float32),
    },
    "logits": {"kernel": np.ones((2, 4), np.float16)},
    "scale": np.float32([2]),
}


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("weights") / "some.safetensors"


@pytest.fixture(scope="module")
def saved(file):
    weights.save(file, TREE)
    return file.read_bytes()


def test_round_trip(file, saved):
    file.write_bytes(saved)
    assert same(weights.load(file, TREE), TREE)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_same_tree_gives_the_same_bytes(file, saved):
    weights.save(file, dict(reversed(TREE.items())))
    assert file.read_bytes() == saved


@given(
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(1, 255),
    change=st.sampled_from(["flip", "cut", "insert"]),
)
def test_mutated_bytes_give_an_input_error_or_the_same_weights(file, saved, place, byte, change):
    content = bytearray(saved)
    at = int(place * len(content))
    if change == "flip":
        content[at] ^= byte
    elif change == "cut":
        del content[at:]
    else:
        content.insert(at, byte)
    file.write_bytes(bytes(content))
    try:
        assert same(weights.load(file, TREE), TREE)
    except InputError as error:
        assert str(file) in str(error)


@given(content=st.binary(max_size=64))
def test_random_bytes_give_an_input_error(file, content):
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"some\.safetensors"):
        weights.load(file, TREE)


def test_the_first_mismatches_are_named(file, saved):
    file.write_bytes(saved)
    like = {
        "conv1": {"kernel": np.zeros((5, 5, 2), np.float32), "bias": np.zeros(2, np.float16)},
        "fc1": {"kernel": np.zeros((2, 2), np.float32)},
    }
    with pytest.raises(InputError) as raised:
        weights.load(file, like)
    said = str(raised.value)
    assert "conv1/kernel float32 [5, 5, 2]" in said
    assert "conv1/kernel float32 [3, 3, 2]" in said
    assert "conv1/bias float16 [2]" in said
    assert "no fc1/kernel" in said
    assert "and 2 more" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(file, value):
    broken = {"fc1": {"bias": np.array([1, value], np.float32)}}
    with pytest.raises(InputError, match="fc1/bias"):
        weights.save(file, broken)
    file.write_bytes(serialise({"fc1/bias": broken["fc1"]["bias"]}))
    with pytest.raises(InputError, match="1 of 2 in fc1/bias"):
        weights.load(file, broken)


def test_files_of_other_tools_have_no_digest_and_are_read(file):
    file.write_bytes(serialise({"fc1/bias": np.ones(2, np.float32)}))
    assert weights.load(file, {"fc1": {"bias": np.zeros(2, np.float32)}})["fc1"]["bias"].tolist() == [1, 1]


def test_missing_large_and_unusable_paths(file, tmp_path):
    for path in ("nowhere.safetensors", "null\0byte", tmp_path):
        with pytest.raises(InputError):
            weights.load(path, TREE)
    file.write_bytes(bytes(2**21))
    with pytest.raises(InputError, match="a larger file"):
        weights.load(file, TREE)


@pytest.mark.parametrize("key", ["a/b", ""])
def test_keys_that_would_not_come_back_are_refused(file, key):
    with pytest.raises(InputError, match="without a slash"):
        weights.save(file, {key: np.ones(1, np.float32)})
