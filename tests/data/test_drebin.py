"""Drebin's files: what is written is read, the split is fixed, and bad files and folders are told."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples
from mutation import mutated

from xplore._util.errors import InputError
from xplore.data import drebin

APPS = {
    f"{at:064x}": frozenset({f"permission::p{at % 5}", f"url::u{at}", "api_call::a(b)::c"})
    for at in range(20)
}
MALWARE = frozenset(list(APPS)[:6])


@pytest.fixture
def folder(tmp_path):
    drebin.write(tmp_path, APPS, MALWARE)
    drebin._parts.cache_clear()
    return tmp_path


def test_what_is_written_is_read(folder):
    assert drebin.read(folder) == (APPS, MALWARE)
    parts = [drebin.load(part, folder) for part in ("test", "train")]
    assert [len(part.images) for part in parts] == [4, 16]
    back = {}
    for part in parts:
        assert part.names == tuple(sorted({line for lines in APPS.values() for line in lines}))
        assert part.images.dtype == np.int32 and part.images.shape[1] == 3 + drebin.ROOM
        for code, label in zip(part.images, part.labels, strict=True):
            ones = code[code < len(part.names)]
            assert (np.diff(ones) > 0).all() and (code[len(ones) :] == len(part.names)).all()
            back[frozenset(part.names[at] for at in ones)] = label
    assert back == {lines: int(app in MALWARE) for app, lines in APPS.items()}


def test_only_a_manifests_features_that_training_apps_have_are_added(folder):
    train, chart = drebin.load("train", folder), drebin.additions(str(folder), changes=2)
    allowed = {train.names[at] for at in np.asarray(chart.allowed).tolist()}
    seen = {train.names[at] for code in train.images for at in code[code < len(train.names)]}
    assert allowed == {name for name in seen if name.startswith("permission::")}
    assert chart.encoding.features == len(train.names) > len(seen), "the test part has others"


def test_equal_apps_are_never_in_both_parts(tmp_path):
    twins = {f"{at:064x}": frozenset({f"permission::p{at % 7}"}) for at in range(40)}
    drebin.write(tmp_path, twins, frozenset())
    test, train = (drebin.load(part, tmp_path).images for part in ("test", "train"))
    assert len(test) + len(train) == 40 and len(test) > 0
    assert not {row.tobytes() for row in test} & {row.tobytes() for row in train}


def test_apps_that_are_too_wide_are_left_out_and_counted(folder):
    (folder / drebin.FOLDER / ("f" * 64)).write_text("\n".join(f"url::{at}" for at in range(9)))
    part = drebin.load("train", folder, widest=5)
    assert part.name.startswith("drebin but 1 apps of more than 5 features")
    with pytest.raises(InputError, match="at most 1 features"):
        drebin.load("train", folder, widest=1)


def test_the_synthetic_apps_never_move():
    apps, malware = drebin.generate()
    assert len(apps) == 2000 and 0.2 < len(malware) / 2000 < 0.3
    kinds = {line.split("::")[0] for lines in apps.values() for line in lines}
    assert kinds == set(drebin.COUNTS) > set(drebin.MANIFEST)
    test = drebin.load("test")
    assert "synthetic" in test.name and all("synthetic" in name for name in test.names)
    known = hashlib.sha256(test.images.tobytes() + test.labels.tobytes() + repr(test.names).encode())
    assert known.hexdigest().startswith("d38be2fd9cf02715")
    assert drebin.generate(50, 1) != drebin.generate(50, 2)


def put(folder, content, name="a" * 64):
    path = folder / drebin.FOLDER / name
    path.write_bytes(content)
    return folder


BAD = {
    "no line": (b"\n \n", "one at least, got none"),
    "empty": (b"", "an empty file"),
    "no kind": (b"permission::a\n::b\n", "'::b'"),
    "no value": (b"permission::\n", "'permission::'"),
    "no sign": (b"permission a\n", "'permission a'"),
    "no text": (b"url::\xff\xfe\n", "UTF-8"),
    "half a gzip": (b"\x1f\x8b\x08\x00", "a damaged one"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_what_came(folder, name):
    content, came = BAD[name]
    with pytest.raises(InputError, match="aaaa") as raised:
        drebin.load("test", put(folder, content))
    assert came in str(raised.value)


@pytest.mark.parametrize(
    ("families", "came"),
    [
        (None, "sha256_family.csv in this folder"),
        (b"", "an empty file"),
        (b"sha,family\nx,y\n", "columns sha256 and family"),
        (b"sha256,family\nx\n", "line 2"),
        (b"sha256,family\nx,\n", "line 2"),
        (b'sha256,family\n"x,y\n', "sha256"),
        (b"\xff\xff\xff", "UTF-8"),
    ],
)
def test_a_bad_list_of_families_is_told(folder, families, came):
    path = folder / drebin.FAMILIES
    path.unlink() if families is None else path.write_bytes(families)
    with pytest.raises(InputError) as raised:
        drebin.load("test", folder)
    assert came in str(raised.value)


def test_bad_folders_are_named(folder, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    with pytest.raises(InputError, match="no feature_vectors"):
        drebin.load("test", other)
    (other / drebin.FOLDER).mkdir()
    with pytest.raises(InputError, match="1 to 262,144 apps, got 0"):
        drebin.load("test", other)
    with pytest.raises(InputError, match="no such folder"):
        drebin.load("test", other / "nowhere")
    with pytest.raises(InputError, match="'validation'"):
        drebin.load("validation", folder)
    monkeypatch.setattr(drebin, "LARGEST", 20)
    with pytest.raises(InputError, match="at most 20 bytes"):
        drebin.load("test", folder)
    monkeypatch.setattr(drebin, "LARGEST", 2**20)
    monkeypatch.setattr(drebin, "MOST_FEATURES", 5)
    with pytest.raises(InputError, match="at most 5 features"):
        drebin.load("test", folder)
    monkeypatch.setattr(drebin, "MOST_APPS", 5)
    with pytest.raises(InputError, match="1 to 5 apps, got 20"):
        drebin.load("test", folder)


@pytest.mark.parametrize("what", ["an app", "all apps", "families"])
def test_links_out_of_the_folder_are_refused(folder, tmp_path_factory, what):
    outer = tmp_path_factory.mktemp("outer")
    drebin.write(outer, APPS, MALWARE)
    name = {
        "an app": f"{drebin.FOLDER}/{next(iter(APPS))}",
        "all apps": drebin.FOLDER,
        "families": drebin.FAMILIES,
    }
    path = folder / name[what]
    path.rename(folder / "aside")
    path.symlink_to(outer / name[what])
    with pytest.raises(InputError, match="inside this folder"):
        drebin.load("test", folder)


@examples(60)
@given(data=st.data(), random=st.booleans(), families=st.booleans())
def test_damaged_files_are_told_or_read(tmp_path_factory, data, random, families):
    folder = tmp_path_factory.mktemp("drebin")
    drebin.write(folder, APPS, MALWARE)
    path = folder / (drebin.FAMILIES if families else f"{drebin.FOLDER}/{next(iter(APPS))}")
    path.write_bytes(data.draw(st.binary(max_size=200)) if random else mutated(data, path.read_bytes(), 4))
    try:
        apps, malware = drebin.read(folder)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert len(apps) == 20 and malware <= apps.keys()
        assert all(all(line.partition("::")[::2]) for lines in apps.values() for line in lines)
