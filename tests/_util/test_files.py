"""Files that may be anything: nothing outside of a folder is read, and no more than is allowed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xplore._util.errors import InputError
from xplore._util.files import contents, found, inside, text


def test_names_stay_inside_the_folder(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside.png"
    (folder / "sub").mkdir(parents=True)
    outside.write_bytes(b"x")
    (folder / "in.png").write_bytes(b"x")
    (folder / "near").symlink_to("in.png")
    (folder / "far").symlink_to(outside)
    (folder / "loop").symlink_to("loop")
    assert inside(folder, "in.png") == (folder / "in.png").resolve()
    assert inside(folder, "sub/../near") == (folder / "in.png").resolve()
    for name in ("../outside.png", str(outside), "far", "sub/../../outside.png", ".", "", "null\0", "loop/x"):
        with pytest.raises(InputError, match="folder"):
            inside(folder, name)


@given(name=st.text(alphabet=st.sampled_from("./ab\0~é"), max_size=12))
def test_any_name_is_inside_or_refused(name):
    try:
        path = inside("/data/pictures", name)
    except InputError:
        return
    assert Path("/data/pictures") in path.parents


def test_the_first_name_that_a_folder_holds(tmp_path):
    (tmp_path / "b").write_bytes(b"x")
    (tmp_path / "c").symlink_to("b")
    (tmp_path / "far").symlink_to("/etc/hostname")
    assert found(tmp_path, "a", "c", "b") == tmp_path / "c"
    assert found(tmp_path, "a") is None
    for folder, names in (
        (tmp_path, ("a", "far")),
        (tmp_path, ("../b",)),
        (tmp_path / "b", ("a",)),
        (tmp_path / "none", ("a",)),
        ("null\0byte", ("a",)),
    ):
        with pytest.raises(InputError, match="folder"):
            found(folder, *names)


@given(content=st.binary(min_size=1, max_size=60), largest=st.integers(1, 60), zipped=st.booleans())
def test_no_more_than_the_limit_is_read(tmp_path_factory, content, largest, zipped):
    file = tmp_path_factory.getbasetemp() / "content"
    file.write_bytes(gzip.compress(content) if zipped else content)
    if not zipped and content.startswith(b"\x1f\x8b"):
        return
    if len(content) > largest:
        with pytest.raises(InputError, match=f"at most {largest} bytes, got more"):
            contents(file, "some bytes", largest)
    else:
        assert contents(file, "some bytes", largest) == content


def test_text_is_utf_8_with_or_without_its_mark(tmp_path):
    file = tmp_path / "words"
    file.write_bytes(b"\xef\xbb\xbf" + "vier Wörter".encode())
    assert text(file, "words", 100) == "vier Wörter"
    file.write_bytes("vier Wörter".encode("latin-1"))
    with pytest.raises(InputError, match="words, in UTF-8"):
        text(file, "words", 100)
