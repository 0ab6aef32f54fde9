"""PDF files: the lists of what may change, what follows in real files, the fixed split, and bad files."""

import gzip
import hashlib
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples
from mutation import mutated

from xplore._util.errors import InputError
from xplore.data import pdf
from xplore.inputs.rules import Row, holds
from xplore.models import pdf as zoo

CONTAGIO = os.environ.get("XPLORE_DATA", "")
real = pytest.mark.skipif(not CONTAGIO, reason="XPLORE_DATA names no folder with the files of Contagio")
HEAD = ",".join(("class", "filename", *pdf.NAMES))


def a_line(number, bad="FALSE"):
    """A file's line: whole numbers that keep every rule."""
    values = {name: 0 for name in pdf.NAMES}
    values |= {"size": 1000 + number, "count_obj": 5, "version": 4, "author_lc": 3, "author_len": 3}
    values |= {name: -1 for name in ("createdate_ts", "createdate_tz", "moddate_ts", "moddate_tz")}
    values |= {"box_other_only": "TRUE", "pdfid_mismatch": "FALSE"}
    return ",".join(map(str, (bad, f"/files/{number}.pdf", *values.values())))


def content(lines, head=HEAD):
    return ("\n".join([head, *lines]) + "\n").encode()


def put(folder, ben=None, mal=None):
    for name, given_, bad in zip(pdf.FILES, (ben, mal), ("FALSE", "TRUE"), strict=True):
        made = (
            content([a_line(n + 100 * (bad == "TRUE"), bad) for n in range(5)]) if given_ is None else given_
        )
        (folder / name).write_bytes(made)
    return folder


def test_33_only_grow_35_move_either_way_67_are_never_chosen():
    assert len(set(pdf.NAMES)) == len(pdf.NAMES) == 135
    assert (len(pdf.GROW), len(pdf.EITHER), len(set(pdf.GROW) | set(pdf.EITHER))) == (33, 35, 68)
    features = zoo.realistic()
    assert (sum(features.grows), sum(features.frozen)) == (33, 67)
    assert set(pdf.FOLLOW) <= {
        name for name, frozen in zip(pdf.NAMES, features.frozen, strict=True) if frozen
    }
    assert "49 frozen; 18 that follow" in features.description
    kinds = [column.kind for column in features.columns]
    assert (kinds.count("float"), kinds.count("binary"), kinds.count("integer")) == (23, 2, 110)


@real
def test_in_every_file_of_contagio_what_follows_does_and_the_rules_hold():
    rows = np.concatenate([pdf.load(part, CONTAGIO).images for part in pdf.PARTS])
    assert rows.shape == (9999, 135)
    features = zoo.realistic()
    features.check(features.encode_inputs(rows))
    row = Row(features.columns, jnp.asarray(rows))
    for name, value in pdf.FOLLOW.items():
        theirs, ours = rows[:, pdf.NAMES.index(name)], np.asarray(value(row))
        # A day's border lies within what float32 keeps of a date; one ratio of the set has a fraction.
        apart = ~np.isclose(ours, theirs, rtol=1e-5, atol=1.0 if name.endswith("_version_ratio") else 1e-6)
        if name == "delta_ts":  # the difference of two dates that are kept to 128 seconds
            apart &= np.abs(ours - theirs) > 256
        assert apart.sum() == 0, name
        assert np.abs(theirs).max() > 0, name
    assert bool(holds(features.rules, features.columns, jnp.asarray(rows)).all())


@real
def test_the_split_never_moves_and_no_row_is_in_both_parts():
    test, train = (pdf.load(part, CONTAGIO) for part in pdf.PARTS)
    assert (len(test.images), len(train.images)) == (2059, 7940)
    assert not {row.tobytes() for row in test.images} & {row.tobytes() for row in train.images}
    assert 0.4 < test.labels.mean() < 0.6 and 0.4 < train.labels.mean() < 0.6
    assert test.columns == pdf.NAMES and test.classes == ("benign", "malicious")
    known = hashlib.sha256(test.images.tobytes() + test.labels.tobytes()).hexdigest()
    assert known.startswith("a2c5a6ce8ff9884d")


@real
def test_ranges_are_those_of_the_training_part():
    low, high = pdf.ends(pdf.load("train", CONTAGIO).images)
    known = zoo.load_ranges()
    np.testing.assert_array_equal(known["low"], low)
    np.testing.assert_array_equal(known["high"], high)
    at = pdf.NAMES.index("moddate_ts")
    assert low[at] > 1e9, "of a date, where there is one"


@pytest.mark.parametrize("zipped", [False, True])
def test_files_are_read_plain_and_zipped(tmp_path, zipped):
    put(tmp_path)
    if zipped:
        for name in pdf.FILES:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
            (tmp_path / name).unlink()
    parts = [pdf.load(part, tmp_path) for part in pdf.PARTS]
    assert [len(part.images) for part in parts] == [2, 8]
    sizes = np.concatenate([part.images[:, pdf.NAMES.index("size")] for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    assert sorted(sizes) == [*range(1000, 1005), *range(1100, 1105)]
    assert (labels == (sizes >= 1100)).all()
    assert parts[0].images[0, pdf.NAMES.index("box_other_only")] == 1


BAD = {
    "empty": (b"", "an empty file"),
    "header alone": (content([]), "a header alone"),
    "no header": (content([], a_line(0)), "'FALSE' for 'class'"),
    "other columns": (content([], HEAD.replace("author_lc", "author_LC")), "'author_LC' for 'author_lc'"),
    "a column more": (content([a_line(0)], HEAD + ",more"), "138 columns"),
    "a short line": (content([a_line(0), "TRUE,x,1"]), "3 in line 3"),
    "a word": (content([a_line(0).replace("1000", "many")]), "'many' as size in line 2"),
    "infinite": (content([a_line(0), a_line(1).replace("1001", "inf")]), "'inf' as size in line 3"),
    "not a number": (content([a_line(0).replace("1000", "nan")]), "'nan' as size"),
    "beyond float32": (content([a_line(0).replace("1000", "1e40")]), "'1e40' as size"),
    "another class": (content([a_line(0, "3")]), "TRUE or FALSE as the class"),
    "no text": (b"\xff\xfe" + content([a_line(0)]), "UTF-8"),
    "half a gzip": (gzip.compress(content([a_line(0)]))[:-9], "a damaged one"),
    "quotes": (content(['"' + a_line(0)]), "mimicus"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_what_came(tmp_path, name):
    made, came = BAD[name]
    put(tmp_path, mal=made)
    with pytest.raises(InputError, match=r"contagio-mal\.csv") as raised:
        pdf.load("test", tmp_path)
    assert came in str(raised.value)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"give path=FOLDER"):
        pdf.load("test")
    with pytest.raises(InputError, match="'validation'"):
        pdf.load("validation", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        pdf.load("test", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"contagio-ben\.csv\.gz in this folder"):
        pdf.load("test", tmp_path)
    with pytest.raises(InputError, match="a folder, got a file"):
        pdf.load("test", put(tmp_path) / pdf.FILES[0])
    with pytest.raises(InputError, match="null"):
        pdf.load("test", "null\0byte")
    with pytest.raises(InputError, match="at most 3000 bytes"):
        pdf.load("test", tmp_path, largest=3000)


def test_links_out_of_the_folder_are_refused(tmp_path):
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir(), outer.mkdir()
    put(outer)
    for name in pdf.FILES:
        (inner / name).symlink_to(outer / name)
    with pytest.raises(InputError, match="inside this folder"):
        pdf.load("test", inner)
    linked = tmp_path / "linked"
    linked.symlink_to(outer)
    assert len(pdf.load("train", linked).images) == 8, "a link to the folder is the user's own word"


@examples(60)
@given(data=st.data(), random=st.booleans(), zipped=st.booleans())
def test_damaged_files_are_told_or_read(tmp_path_factory, data, random, zipped):
    folder = put(tmp_path_factory.mktemp("pdf"))
    whole = (folder / pdf.FILES[0]).read_bytes()
    whole = gzip.compress(whole, mtime=0) if zipped else whole
    made = data.draw(st.binary(max_size=300)) if random else mutated(data, whole, 4)
    (folder / pdf.FILES[0]).write_bytes(made)
    try:
        came = pdf.load("train", folder)
    except InputError as error:
        assert str(Path(pdf.FILES[0]).stem) in str(error)
    else:
        assert np.isfinite(came.images).all() and came.images.shape[1] == 135
