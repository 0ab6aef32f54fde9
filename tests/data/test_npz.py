"""Arrays of NumPy's `.npz` files: mapped or read as NumPy reads them, or refused with a reason."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mutation import mutated
from profiles import many

from xplore._util.errors import InputError
from xplore.campaign.config.file import build
from xplore.data import npz

SHAPES = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("npz") / "some.npz"


def header(shape, descr="|u1"):
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, {"descr": descr, "fortran_order": False, "shape": shape})
    return held.getvalue()


def packed(path, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return path


@settings(deadline=None)
@given(data=st.data(), save=st.sampled_from([np.savez, np.savez_compressed]), fortran=st.booleans())
def test_what_numpy_writes_is_read(file, data, save, fortran):
    pixels = data.draw(hnp.arrays(np.uint8, SHAPES))
    labels = data.draw(hnp.arrays(np.int32, len(pixels), elements=st.integers(-1, 9)))
    other = np.asfortranarray(pixels) if fortran else pixels
    save(file, labels=labels, other=np.arange(7.0), images=other)
    seeds = npz.load(file)
    assert isinstance(seeds.images, np.memmap) == (save is np.savez)
    np.testing.assert_array_equal(seeds.images.reshape(pixels.shape), pixels)
    assert seeds.labels.tolist() == labels.tolist()
    assert seeds.classes == tuple(map(str, range(labels.max() + 1)))


def test_arrays_are_named_and_labels_may_be_names_values_or_none(file):
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    np.savez(file, x=pixels, y=np.array(["dog", "cat", "dog"]), angle=np.float32([0.5, np.nan, 1]))
    named = npz.load(file, "x", "y")
    assert (named.labels.tolist(), named.classes, named.name) == ([1, 0, 1], ("cat", "dog"), "some.npz")
    assert npz.load(file, "x", "y", ["dog", "cat"]).labels.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(npz.load(file, "x", "angle").labels, [0.5, np.nan, 1])
    assert npz.load(file, "x").labels is None
    part = {"use": "xplore.data.npz:load", "path": str(file), "images": "x", "labels": "y"}
    np.testing.assert_array_equal(build(part).images[..., 0], pixels)


def test_a_file_beyond_the_memory_is_not_read(tmp_path):
    """A terabyte of zeros that lie nowhere: only what is asked for is read."""
    size = 2**40
    path = packed(tmp_path / "large.npz", {"images.npy": header((size // 256, 16, 16, 1))})
    content, told = path.read_bytes(), zipfile.ZipFile(path).getinfo("images.npy")
    with path.open("r+b") as plain:  # the same, its central directory behind a hole
        start = 30 + len("images.npy") + told.file_size
        plain.truncate(start)
        plain.seek(start + size - 1)
        plain.write(b"\x07")
        at = plain.tell()
        whole = (told.file_size + size).to_bytes(8, "little")
        directory = bytearray(content[start : start + 46])
        directory[20:28] = b"\xff" * 8
        directory[30:32] = (20).to_bytes(2, "little")
        plain.write(directory + b"images.npy" + b"\x01\0\x10\0" + whole + whole)
        end = plain.tell()
        ending = [0x2D.to_bytes(2, "little") * 2, b"\0" * 8, (1).to_bytes(8, "little") * 2]
        plain.write(b"PK\x06\x06" + (44).to_bytes(8, "little") + b"".join(ending))
        plain.write((end - at).to_bytes(8, "little") + at.to_bytes(8, "little"))
        plain.write(b"PK\x06\x07" + b"\0" * 4 + end.to_bytes(8, "little") + (1).to_bytes(4, "little"))
        plain.write(b"PK\x05\x06" + b"\0" * 4 + b"\1\0\1\0" + b"\xff" * 8 + b"\0\0")
    images = npz.load(path).images
    assert images.shape == (2**32, 16, 16, 1) and images[-1].ravel()[-2:].tolist() == [0, 7]


@pytest.mark.parametrize(
    ("members", "came"),
    [
        ({}, "expected an array 'images', got none"),
        ({"x.npy": header((1, 2, 2)), "y.npy": b""}, r"got x, y; name it: images='x'"),
        ({"images.npy": b"no array"}, "a damaged one"),
        ({"images.npy": b""}, "a damaged one"),
        ({"images.npy": header((2, 2, 2)) + b"1234567"}, "expected 8 bytes of an array, got 7"),
        ({"images.npy": header((2, 2, 2)) + b"123456789"}, "expected 8 bytes of an array, got 9"),
        ({"images.npy": header((2**40, 2**40, 2**40))}, "bytes of an array, got 0"),
        ({"images.npy": header((-1, 2, 2))}, "an array of numbers"),
        ({"images.npy": header((0, 2, 2))}, r"expected images, uint8.*\[0, 2, 2\]"),
        ({"images.npy": header((4, 4)) + b"x" * 16}, r"expected images, uint8.*uint8 \[4, 4\]"),
        ({"images.npy": header((1, 1, 1), "<f4") + b"x" * 4}, "store levels"),
        ({"images.npy": header((1, 1, 1), "|O") + b"x" * 8}, "an array of numbers, got object"),
        ({"images.npy": header((1, 1, 1), [("a", "|u1")]) + b"x"}, "an array of numbers"),
        ({"images.npy": header((1, 2, 2)) + b"1234", "labels.npy": header((2,)) + b"12"}, "one for each"),
        ({"images.npy": header((1, 2, 2)) + b"1234", "labels.npy": header((1,), "<c8") + b"x" * 8}, "names"),
    ],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_no_such_array_is_refused(tmp_path, members, came, how):
    if how == zipfile.ZIP_DEFLATED and came == "bytes of an array, got 0":
        came = "at most 1073741824 bytes"
    with pytest.raises(InputError, match=came):
        npz.load(packed(tmp_path / "bad.npz", members, how))


@pytest.mark.parametrize("content", [None, b"", b"no zip at all", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_such_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npz"):
        npz.load(tmp_path / "bad.npz")
    with pytest.raises(InputError):
        npz.load("null\0byte")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = packed(tmp_path / "bomb.npz", {"images.npy": header((2**14, 8, 8)) + bytes(2**20)}, how=8)
    assert path.stat().st_size < 2000 and npz.load(path).images.shape == (2**14, 8, 8, 1)
    monkeypatch.setattr(npz, "LARGEST", 2**20)
    with pytest.raises(
        InputError, match=r"1048576 bytes, got \d+, which are compressed; store it plain, by np"
    ):
        npz.load(path)


def test_other_packing_is_refused(tmp_path):
    path = packed(tmp_path / "bad.npz", {"images.npy": header((1, 1, 1)) + b"x"}, zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match=r"store it plain, by np\.savez"):
        npz.load(path)


@settings(deadline=None, max_examples=many(300))
@given(data=st.data(), save=st.sampled_from([np.savez, np.savez_compressed]))
def test_damaged_files_give_an_input_error_or_arrays(file, data, save):
    save(file, images=np.full((3, 4, 4), 5, np.uint8), labels=np.array([1, 0, 1]))
    file.write_bytes(mutated(data, file.read_bytes(), most=6, cut=data.draw(st.booleans())))
    try:
        seeds = npz.load(file)
    except InputError as error:
        assert str(file) in str(error) or "some.npz" in str(error)
    else:
        assert seeds.images[:].nbytes <= 4096
