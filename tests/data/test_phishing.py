"""Phishing websites: the embedded file, its fixed split, all pages there can be, the recall of a search."""

import gzip
import hashlib
import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.parts import examples
from mutation import mutated

from scripts import results_phishing as results
from xplore._util.errors import InputError, MissingExtraError
from xplore.data import phishing
from xplore.models import phishing as zoo
from xplore.panel import Panel
from xplore.search import HillClimb

FILE = f"{importlib.util.find_spec('river').submodule_search_locations[0]}/datasets/phishing.csv.gz"


def test_it_is_the_packages_file():
    table = np.genfromtxt(FILE, delimiter=",", names=True)
    rows, labels = phishing.embedded()
    np.testing.assert_array_equal(rows, np.array([table[name] for name in phishing.VALUES]).T)
    np.testing.assert_array_equal(labels, table["is_phishing"])
    assert 0 < labels.mean() < 1


def test_the_split_never_moves_and_no_row_is_in_both_parts():
    test, train = (phishing.load(part) for part in ("test", "train"))
    assert len(test.images) + len(train.images) == 1250
    assert not {row.tobytes() for row in test.images} & {row.tobytes() for row in train.images}
    known = hashlib.sha256(test.images.tobytes() + test.labels.tobytes()).hexdigest()
    assert known.startswith("95b33efc48f2ba2f")


def test_every_page_there_can_be_is_there_once():
    pages = phishing.every()
    assert len({page.tobytes() for page in pages}) == len(pages) == 3**7 * 2**2
    rows, _ = phishing.embedded()
    assert {row.tobytes() for row in rows} < {page.tobytes() for page in pages}


@pytest.mark.slow
def test_neither_river_nor_jax_is_imported():
    code = (
        "import sys; from xplore.data.phishing import load; load(); print({'river', 'jax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_river_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"xplore-tests\[phishing\]"):
        phishing.load()
    with pytest.raises(InputError, match="'all'"):
        phishing.load("all")


@examples(60)
@given(data=st.data(), zipped=st.booleans())
def test_a_damaged_file_is_told(tmp_path_factory, data, zipped):
    folder = tmp_path_factory.mktemp("river")
    (folder / "datasets").mkdir()
    plain = gzip.decompress(Path(FILE).read_bytes())
    whole = gzip.compress(plain, mtime=0) if zipped else plain
    (folder / "datasets" / "phishing.csv.gz").write_bytes(mutated(data, whole, 4))
    found = SimpleNamespace(submodule_search_locations=[str(folder)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: found)
        try:
            rows, labels = phishing.embedded()
        except InputError as error:
            assert "phishing.csv.gz" in str(error)
        else:
            assert rows.shape == (1250, 9) and set(np.unique(labels)) == {0, 1}


def by_hand(seed, changes):
    """All pages that differ from a seed in 1 to `changes` features, by writing each value down."""
    most = [len(values) for values in phishing.VALUES.values()]
    pages = set()
    for count in range(1, changes + 1):
        for at in itertools.combinations(range(9), count):
            others = [[v for v in range(most[i]) if v != seed[i]] for i in at]
            for values in itertools.product(*others):
                page = seed.copy()
                page[list(at)] = values
                pages.add(tuple(page.tolist()))
    return pages


@pytest.fixture(scope="module")
def judged():
    """Every page, the panel, and on which pages its models differ."""
    space = phishing.realistic().encode_inputs(phishing.every())
    panel = Panel.of([zoo.phishing1(), zoo.phishing2(), zoo.phishing3()])
    return space, panel, results.differing(panel, space)


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_the_enumeration_is_what_brute_force_gives(changes, judged):
    space, panel, differ = judged
    assert 0 < differ.mean() < 0.5
    for seed in phishing.realistic().encode_inputs(phishing.load("test").images[:3]):
        reach = results.within_reach(seed, space, changes)
        pages = by_hand(seed, changes)
        assert {tuple(page.tolist()) for page in space[reach]} == pages and len(pages) > 10
        rows = np.array(sorted(pages), np.float32)
        index = {page.tobytes(): at for at, page in enumerate(space)}
        expected = [differ[index[row.tobytes()]] for row in rows]
        alone = [results.differing(panel, row[None])[0] for row in rows[:20]]
        assert alone == expected[:20]


def test_a_search_finds_no_more_than_there_is():
    models = [zoo.phishing1(), zoo.phishing2(), zoo.phishing3()]
    came = results.recall(models, phishing.realistic(1), HillClimb(steps=10, tries=3))
    assert 0 < came.divided <= came.seeds and 0 < came.found_rows <= came.rows
