"""Folders of pictures, and the photographs that packages carry."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutation import mutated
from PIL import Image

from xplore._util.errors import InputError, MissingExtraError
from xplore.data import _base, photos, pictures


def colour(path, rgb, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, rgb).save(path)


@pytest.fixture
def folders(tmp_path):
    colour(tmp_path / "n02123045" / "b.png", (9, 0, 0))
    colour(tmp_path / "n02123045" / "a.webp", (9, 0, 0))
    colour(tmp_path / "Great_White_Shark" / "c.bmp", (0, 9, 0))
    colour(tmp_path / "7" / "d.JPG", (0, 0, 9))
    (tmp_path / "7" / "readme.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_the_embedded_photographs():
    seeds = photos.load()
    assert seeds.images.shape == (38, 224, 224, 3)
    assert seeds.labels[:20].tolist()[:4] == [243, 559, 438, 990]
    assert (seeds.labels[20:] == -1).all()
    assert seeds.classes[243] == "bull mastiff"
    assert min(image.std() for image in seeds.images) > 5
    seeds.images[:] = 0
    assert photos.load().images.any()
    assert photos.load(size=32).images.shape == (38, 32, 32, 3)


@pytest.mark.slow
def test_neither_package_nor_jax_is_imported():
    code = "import sys; from xplore.data import photos; photos.load(size=8); "
    code += "print({'foolbox', 'skimage', 'scipy', 'jax'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("absent", ["foolbox", "skimage"])
def test_without_a_package_the_extra_is_named(monkeypatch, absent):
    photos.embedded.cache_clear()
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else found(name))
    with pytest.raises(MissingExtraError, match=r"xplore-tests\[imagenet\]"):
        photos.load()


def test_the_names_of_the_classes():
    names, words = photos.imagenet()
    assert len(set(names)) == len(names) == 1000
    synsets = [line[:9] for line in Path(photos.__file__).with_name("imagenet.txt").read_text().splitlines()]
    assert synsets == sorted(synsets)  # ILSVRC 2012 numbers its classes so
    assert [words[synset] for synset in synsets] == [{number} for number in range(1000)]
    assert words["crane"] == {134, 517}
    # What the photographs of foolbox show, by their own labels.
    known = {
        22: "bald eagle",
        251: "dalmatian",
        305: "dung beetle",
        609: "jeep",
        949: "strawberry",
        990: "buckeye",
    }
    assert {number: names[number] for number in known} == known


def test_a_sub_folder_is_a_class(folders):
    seeds = photos.load(folders, size=16)
    assert seeds.labels.tolist() == [7, 2, 281, 281]
    assert seeds.images.shape == (4, 16, 16, 3)
    assert seeds.images[1][8, 8].tolist() == [0, 9, 0]
    assert seeds.name == folders.name
    own = photos.load(folders, size=16, classes="folders")
    assert own.classes == ("7", "Great_White_Shark", "n02123045")
    assert own.labels.tolist() == [0, 1, 2, 2]
    with pytest.raises(InputError, match=r"one of 2 classes, as cat or 0, got '7'"):
        photos.load(folders, classes=["cat", "dog"])


def test_a_flat_folder_has_no_labels(tmp_path):
    for name in ("b.png", "a.png"):
        colour(tmp_path / name, (ord(name[0]), 0, 0))
    seeds = photos.load(tmp_path, size=8)
    assert seeds.labels is None
    assert seeds.images[:][:, 4, 4, 0].tolist() == [97, 98]
    assert photos.load(tmp_path, size=8, classes="folders").classes == ()


def test_a_table_says_the_labels(folders):
    table = "label,file,note\n281,7/d.JPG,x\n,n02123045/b.png,\ncock,n02123045/a.webp,\n"
    (folders / "labels.csv").write_text(table, "utf-8-sig")
    assert photos.load(folders, size=8).labels.tolist() == [281, -1, 7]


def test_its_middle_is_taken(tmp_path):
    wide = np.zeros((16, 40, 3), np.uint8)
    wide[1:15, 13:27] = 200  # 7/8 of the shorter side
    wide[4:12, 16:24] = 100  # half of it
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert set(np.unique(photos.load(tmp_path, size=14).images[:])) == {100, 200}
    assert (photos.load(tmp_path, size=8, crop=0.5).images[:] == 100).all()
    assert photos.load(tmp_path, size=16, crop=1).images[0].sum(0).tolist() == wide[:, 12:28].sum(0).tolist()


@pytest.mark.parametrize(
    ("table", "came"),
    [
        ("", "an empty file"),
        ("name,label\na.png,1\n", "the columns file and label"),
        ("file,label\na.png\n", "line 2"),
        ("file,label\n../a.png,1\n", "inside this folder"),
        ("file,label\n/etc/hostname,1\n", "inside this folder"),
        ("file,label\nfar.png,1\n", "inside this folder"),
        ("file,label\nnone.png,1\n", "no such file"),
        ("file,label\na.png,1000\n", "one of 1000 classes"),
        ("file,label\na.png,crane\n", r"one of crane \(n02012849\), crane \(n03126707\)"),
        ('file,label\n"a.png,1\n', "a CSV file"),
        ("file,label\n", "got none"),
    ],
)
def test_bad_tables_are_refused(tmp_path, table, came):
    folder = tmp_path / "folder"
    colour(folder / "a.png", (9, 9, 9))
    colour(tmp_path / "a.png", (9, 9, 9))
    (folder / "far.png").symlink_to(tmp_path / "a.png")
    (folder / "labels.csv").write_text(table)
    with pytest.raises(InputError, match=came):
        photos.load(folder, size=8)


@pytest.mark.parametrize(
    ("make", "came"),
    [
        (lambda f: None, "got none"),
        (lambda f: (f / "readme.txt").write_text("x"), "got none"),
        (lambda f: (f / "a.png").write_bytes(b""), "an empty file"),
        (lambda f: (f / "a.png").write_text("no picture"), "that are none"),
        (lambda f: (f / "a.png").mkdir(), "something else"),
        (lambda f: (f / "a.png").symlink_to("/etc/hostname"), "inside this folder"),
        (lambda f: (f / "7").symlink_to("/usr/share"), "inside this folder"),
        (lambda f: (colour(f / "a.png", (9, 9, 9)), colour(f / "7" / "b.png", (9, 9, 9))), "both: a.png"),
        (lambda f: colour(f / "dogs and cats" / "a.png", (9, 9, 9)), "'dogs and cats'"),
    ],
)
def test_bad_folders_are_refused(tmp_path, make, came):
    make(tmp_path)
    with pytest.raises(InputError, match=came):
        photos.load(tmp_path, size=8).images[:]


def test_the_limits_are_named(folders, monkeypatch):
    whole = photos.load(folders, size=8).images
    monkeypatch.setattr(_base, "LARGEST", 3 * 8 * 8 * 3)
    assert whole[1:].shape == (3, 8, 8, 3)
    with pytest.raises(InputError, match="at most 576 bytes at once, got 768; take a slice"):
        whole[:]
    monkeypatch.setattr(pictures, "LARGEST", 100)
    with pytest.raises(InputError, match=r"d.JPG: expected a picture of at most 100 bytes, got \d+ bytes"):
        photos.load(folders, size=8)
    monkeypatch.setattr(photos, "MOST", 3)
    with pytest.raises(InputError, match="at most 3 pictures"):
        photos.load(folders, size=8)


def test_a_picture_is_decoded_when_it_is_asked_for(folders):
    (folders / "7" / "d.JPG").write_text("no picture")
    seeds = photos.load(folders, size=8)
    assert seeds.images.shape == (4, 8, 8, 3) and len(seeds.images) == len(seeds.labels) == 4
    assert seeds.images[3].tolist() == seeds.images[-1].tolist() == seeds.images[[1, 3]][1].tolist()
    np.testing.assert_array_equal(np.asarray(seeds.images[1:]), np.stack([*seeds.images[1:]]))
    assert np.asarray(seeds.images[3:], float).max() == 9
    with pytest.raises(InputError, match=r"d\.JPG: expected a picture .*, got 10 bytes that are none"):
        seeds.images[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "nowhere"},
        {"path": "null\0byte"},
        {"path": __file__},
        {"size": 0},
        {"size": 10**6},
        {"crop": 0.0},
        {"crop": 1.5},
        {"classes": "imagenet21k"},
        {"classes": []},
        {"classes": ["cat", "cat"]},
        {"classes": "folders"},
    ],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InputError):
        photos.load(**arguments)


@given(data=st.data())
def test_mutated_tables_give_an_input_error_or_labels(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("table")
    colour(folder / "a.png", (9, 9, 9), (2, 2))
    (folder / "labels.csv").write_bytes(mutated(data, b"file,label\na.png,281\na.png,cock\n", most=4))
    try:
        seeds = photos.load(folder, size=2)
    except InputError as error:
        assert str(folder) in str(error)
    else:
        assert (seeds.images[:] == 9).all()
