"""Pictures from files that may be anything."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mutation import mutated
from PIL import Image

from xplore._util.errors import InputError
from xplore.data import pictures
from xplore.data.pictures import read_picture

RGB = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures") / "some-picture"


def encoded(pixels, kind="PNG", **options):
    held = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(held, kind, **options)
    return held.getvalue()


def read(file, content):
    file.write_bytes(content)
    return np.asarray(read_picture(file))


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@given(pixels=RGB, kind=st.sampled_from(["PNG", "BMP"]))
def test_what_is_written_is_read(file, pixels, kind):
    np.testing.assert_array_equal(read(file, encoded(pixels, kind)), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_read_nearly(file, kind):
    smooth = np.add.outer(np.arange(40), np.arange(60))[..., None].repeat(3, 2).astype(np.uint8)
    came = read(file, encoded(smooth, kind, quality=95))
    assert came.shape == smooth.shape
    assert np.abs(came.astype(int) - smooth).mean() < 3


@settings(deadline=None)
@given(
    content=st.binary(max_size=200),
    prefix=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"]),
)
def test_random_bytes_give_an_input_error_or_a_picture(file, content, prefix):
    try:
        came = read(file, prefix + content)
    except InputError as error:
        assert str(file) in str(error)
    else:
        assert came.ndim == 3 and came.shape[2] == 3


@settings(deadline=None)
@given(data=st.data(), kind=st.sampled_from(pictures.FORMATS))
def test_mutated_bytes_give_an_input_error_or_a_picture(file, data, kind):
    try:
        came = read(file, mutated(data, encoded(noise(16, 16), kind), most=4))
    except InputError as error:
        assert str(file) in str(error)
    else:
        assert came.ndim == 3 and came.shape[2] == 3 and came.dtype == np.uint8


def test_it_is_turned_as_its_exif_says(file):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = (200, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees, clockwise
    came = read(file, encoded(wide, "JPEG", exif=exif, quality=95, subsampling=0))
    assert came.shape == (16, 8, 3)
    assert came[2, 4, 0] > 150
    assert came[13, 4, 0] < 50


def test_other_modes_become_rgb_of_8_bits(file):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert read(file, encoded(Image.fromarray(deep)))[0, :, 1].tolist() == [0, 1, 128, 255]
    grey = np.array([[3, 250]], np.uint8)
    assert read(file, encoded(grey)).tolist() == [[[3, 3, 3], [250, 250, 250]]]
    assert read(file, encoded(Image.new("1", (1, 1), 1))).tolist() == [[[255, 255, 255]]]
    clear = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    assert read(file, encoded(clear)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 7, 8, 9])
    assert read(file, encoded(palette)).tolist() == [[[7, 8, 9]]]
    assert read(file, encoded(palette, transparency=1)).tolist() == [[[255, 255, 255]]]
    assert read(file, encoded(Image.new("LA", (1, 1), (9, 255)))).tolist() == [[[9, 9, 9]]]
    ink = read(file, encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert ink[4, 4, 0] > 200 and ink[4, 4, 1:].max() < 60


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(side):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "side", [10_000, 60_000]
)  # above the limit Pillow warns, above twice of it it raises
def test_bombs_are_refused_with_the_limit(file, side):
    with pytest.raises(InputError, match=f"at most {Image.MAX_IMAGE_PIXELS} pixels"):
        read(file, bomb(side))


def test_the_largest_file_is_named(file, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 100)
    with pytest.raises(InputError, match="at most 100 bytes"):
        read(file, encoded(noise(16, 16)))


BAD = {
    "empty": (b"", "an empty file"),
    "text": (b"file,label\n", "11 bytes that are none"),
    "truncated jpeg": (encoded(noise(64, 64), "JPEG")[:900], "a damaged one"),
    "truncated png": (encoded(noise(64, 64))[:-100], "a damaged one"),
    "a picture of another format": (encoded(noise(4, 4), "GIF"), "that are none"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_what_came(file, name):
    content, came = BAD[name]
    with pytest.raises(InputError, match="some-picture") as raised:
        read(file, content)
    assert came in str(raised.value)


@pytest.mark.parametrize("path", ["nowhere.png", "null\0byte", "."])
def test_what_is_no_file_is_an_input_error(path):
    with pytest.raises(InputError):
        read_picture(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="something else"):
        read_picture(tmp_path / "pipe.png")
