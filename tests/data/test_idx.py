"""The idx reader gives the right array or says in one sentence what is wrong with the file."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xplore._util.errors import InputError
from xplore.data import idx
from xplore.data._base import Inputs

CODES = {np.dtype(text): code for code, text in idx.DTYPES.items()}
BIG_ENDIAN = st.sampled_from(sorted(idx.DTYPES.values())).map(np.dtype)
SMALL = BIG_ENDIAN.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=5)))
DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert"]), st.floats(0, 1, exclude_max=True), st.integers(1, 255)
)


def packed(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype], array.ndim, *array.shape)
    return header + array.tobytes()


def digits(n=3):
    return (np.arange(n * 28 * 28) % 251).astype(np.uint8).reshape(n, 28, 28)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "some-idx"


def read(file, content):
    file.write_bytes(content)
    return idx.read_idx(file)


@given(array=SMALL, zipped=st.booleans())
def test_what_is_written_is_read(file, array, zipped):
    content = packed(array)
    came = read(file, gzip.compress(content) if zipped else content)
    assert came.dtype == array.dtype.newbyteorder("=")
    assert came.dtype.isnative
    np.testing.assert_array_equal(came, array)


@given(
    content=st.binary(max_size=64),
    prefix=st.sampled_from([b"", b"\0\0\x08", b"\0\0\x0d\x02", b"\x1f\x8b\x08\0"]),
)
def test_random_bytes_give_an_input_error_or_an_array_of_all_their_content(file, content, prefix):
    try:
        came = read(file, prefix + content)
    except InputError as error:
        assert str(file) in str(error)
    else:
        assert packed(came.astype(came.dtype.newbyteorder(">"))) == prefix + content


@given(array=SMALL, zipped=st.booleans(), damage=DAMAGE)
def test_mutated_bytes_give_an_input_error_or_what_the_file_now_says(file, array, zipped, damage):
    content = bytearray(gzip.compress(packed(array), mtime=0) if zipped else packed(array))
    change, place, byte = damage
    at = int(place * len(content))
    if change == "flip":
        content[at] ^= byte
    elif change == "cut":
        del content[at:]
    else:
        content.insert(at, byte)
    try:
        came = read(file, bytes(content))
    except InputError as error:
        assert str(file) in str(error)
        return
    came = packed(came.astype(came.dtype.newbyteorder(">")))
    assert came == (packed(array) if zipped else bytes(content))


BAD = {
    "empty": (b"", "an empty file"),
    "empty gzip": (gzip.compress(b""), "an empty file"),
    "text": (b"label,pixel\n", "two zero bytes"),
    "short magic": (b"\0\0\x08", "two zero bytes"),
    "unknown type": (b"\0\0\x07\x01\0\0\0\x01\0", "type 0x07"),
    "no dimensions": (b"\0\0\x08\x00\0", "0 dimensions"),
    "short header": (b"\0\0\x08\x03\0\0\0\x01", "3 dimensions"),
    "no element": (packed(np.zeros((0, 28, 28), ">u1")), "0 in all"),
    "truncated": (packed(digits())[:-1], "2351"),
    "trailing": (packed(digits()) + b"\0", "more"),
    "truncated gzip": (gzip.compress(packed(digits()))[:-9], "a damaged one"),
    "gzip of more": (gzip.compress(packed(digits()) + bytes(10**6)), "more"),
    "garbage after gzip": (gzip.compress(packed(digits())) + b"garbage", "a damaged one"),
    "too large": (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31), str(2**93)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_what_came(file, name):
    content, came = BAD[name]
    with pytest.raises(InputError, match="some-idx") as raised:
        read(file, content)
    assert came in str(raised.value)


def test_no_more_is_unpacked_than_declared(file, monkeypatch):
    unpacked = []
    reading = gzip.GzipFile.read

    def counted(self, size=-1):
        content = reading(self, size)
        unpacked.append(len(content))
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(InputError, match="more"):
        read(file, gzip.compress(packed(digits(1)) + bytes(10**7)))
    assert sum(unpacked) == 16 + 28 * 28 + 1


def test_the_limit_is_stated_and_can_be_set(file):
    file.write_bytes(packed(digits()))
    with pytest.raises(InputError, match="1 to 100 bytes"):
        idx.read_idx(file, largest=100)


@pytest.mark.parametrize("path", ["nowhere", "null\0byte", "."])
def test_what_is_no_file_is_an_input_error(path):
    with pytest.raises(InputError):
        idx.read_idx(path)


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_four_files(tmp_path, mark, suffix):
    for part, n in (("t10k", 3), ("train", 5)):
        for kind, array in (("images{}idx3", digits(n)), ("labels{}idx1", np.arange(n, dtype=np.uint8))):
            content = packed(array)
            name = f"{part}-{kind.format(mark)}-ubyte{suffix}"
            (tmp_path / name).write_bytes(gzip.compress(content) if suffix else content)
    test, train = idx.load(tmp_path), idx.load(tmp_path, "train")
    assert test.images.shape == (3, 28, 28, 1)
    assert train.labels.tolist() == [0, 1, 2, 3, 4]
    assert test.labels.dtype == np.int64
    assert test.classes == ("0", "1", "2")
    assert test.name == f"{tmp_path.name}/test"


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_links_out_of_the_folder_are_refused(tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "t10k-images-idx3-ubyte").write_bytes(packed(digits()))
    outside = tmp_path / "outside"
    outside.write_bytes(packed(digits() if "images" in kind else np.zeros(3, np.uint8)))
    (folder / f"t10k-{kind}-ubyte").unlink(missing_ok=True)
    (folder / f"t10k-{kind}-ubyte").symlink_to(outside)
    with pytest.raises(InputError, match="inside this folder"):
        idx.load(folder)


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(gzip.compress(packed(digits())))
    assert len(idx.load(tmp_path).images) == 3


def test_a_single_file_with_and_without_labels_beside_it(tmp_path):
    images = tmp_path / "mine-images-idx3-ubyte"
    images.write_bytes(packed(digits()))
    assert idx.load(images).labels is None
    (tmp_path / "mine-labels-idx1-ubyte.gz").write_bytes(gzip.compress(packed(np.array([7, 2, 1], np.uint8))))
    assert idx.load(images).labels.tolist() == [7, 2, 1]
    other = tmp_path / "pictures"
    other.write_bytes(packed(digits()))
    assert idx.load(other).labels is None


def test_what_does_not_fit_together_is_named(tmp_path):
    with pytest.raises(InputError, match="an empty folder"):
        idx.load(tmp_path)
    images, labels = tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte"
    images.write_bytes(packed(digits()))
    labels.write_bytes(packed(np.zeros(2, np.uint8)))
    with pytest.raises(InputError, match="one label for each image"):
        idx.load(tmp_path)
    with pytest.raises(InputError, match=r"uint8 \[n h w\]"):
        idx.load(labels)
    with pytest.raises(InputError, match="part"):
        idx.load(tmp_path, "validation")
    with pytest.raises(InputError, match="t10k-images"):
        images.unlink()
        idx.load(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 4), np.uint8), None),
        (np.zeros((2, 4, 4, 1)), None),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 2])),
    ],
)
def test_inputs_that_do_not_fit_are_refused(images, labels):
    with pytest.raises((InputError, TypeError)):  # a checker of array types may speak first
        Inputs(images, labels, "broken", ("zero", "one"))
