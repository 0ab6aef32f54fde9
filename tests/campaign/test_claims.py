"""A replay vouches for all that a finding claims: what is altered no longer reproduces."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

import xplore
from xplore._util.errors import InputError
from xplore.archive.records import content_hash
from xplore.archive.tables import FILE
from xplore.campaign.replay import AS_RECORDED, rejudged
from xplore.constraints import Affine, Ball, Features
from xplore.inputs.media import from_png, to_png
from xplore.model import Model
from xplore.oracles import LabelsDiffer, ValuesDiffer

MODELS = [tiny.one(), tiny.two()]
HOW: dict[str, Any] = {"steps": 4, "tries": 2, "plan": tiny.plan(), "progress": False}
PICK = (
    "SELECT id FROM findings WHERE origin = 'search' AND valid AND id IN (SELECT finding FROM shrunk) LIMIT 1"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = tiny.labels()
    labels[::3] = (labels[::3] + 1) % 3
    out = tmp_path_factory.mktemp("found") / "run"
    xplore.run(MODELS, tiny.images(), labels, constraint=Ball(0.1), out=out, **HOW)
    return out


def store(db: sqlite3.Connection, data: bytes) -> str:
    db.execute("INSERT OR IGNORE INTO artefacts VALUES (?, 'image/png', ?)", (content_hash(data), data))
    return content_hash(data)


def picture(db: sqlite3.Connection, name: str, column: str) -> bytes:
    sql = f"SELECT data FROM artefacts JOIN findings f ON hash = f.{column} WHERE f.id = ?"
    return db.execute(sql, (name,)).fetchone()[0]


def brighter(data: bytes, by: int) -> bytes:
    return to_png((from_png(data).astype(int) + by).clip(0, 255).astype(np.uint8))


def renamed(db: sqlite3.Connection, name: str) -> str:
    """The finding under the id of its two inputs as they are now."""
    new = content_hash(picture(db, name, "seed_artefact") + picture(db, name, "artefact"))[:12]
    for table, column in (("findings", "id"), ("seeds", "finding"), ("shrunk", "finding")):
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, name))
    return new


def other_seed(db: sqlite3.Connection, name: str) -> None:
    data = store(db, brighter(picture(db, name, "seed_artefact"), 3))
    db.execute("UPDATE findings SET seed_artefact = ? WHERE id = ?", (data, name))


def other_seed_and_id(db: sqlite3.Connection, name: str) -> None:
    other_seed(db, name)
    renamed(db, name)


def seed_of_another(db: sqlite3.Connection, name: str) -> None:
    sql = "UPDATE findings SET seed_artefact = (SELECT seed_artefact FROM findings WHERE id != ? LIMIT 1)"
    db.execute(f"{sql} WHERE id = ?", (name, name))
    renamed(db, name)


def other_input(db: sqlite3.Connection, name: str) -> None:
    data = store(db, brighter(picture(db, name, "artefact"), 60))
    db.execute("UPDATE findings SET artefact = ? WHERE id = ?", (data, name))
    renamed(db, name)


def smallest(db: sqlite3.Connection, name: str) -> None:
    data = store(db, picture(db, name, "seed_artefact"))
    db.execute("UPDATE shrunk SET artefact = ? WHERE finding = ?", (data, name))


def measure(**values: Any) -> Callable[[sqlite3.Connection, str], None]:
    def alter(db: sqlite3.Connection, name: str) -> None:
        (told,) = db.execute("SELECT measures FROM findings WHERE id = ?", (name,)).fetchone()
        told = json.dumps({**json.loads(told), **values})
        db.execute("UPDATE findings SET measures = ? WHERE id = ?", (told, name))

    return alter


def setting(sql: str, *values: Any) -> Callable[[sqlite3.Connection, str], None]:
    def alter(db: sqlite3.Connection, name: str) -> None:
        db.execute(sql, (*values, name))

    return alter


def reasons(*names: str) -> Callable[[sqlite3.Connection, str], None]:
    told = json.dumps(names)
    return setting("UPDATE findings SET reasons = ?, valid = ? WHERE id = ?", told, int(not names))


def relabelled(db: sqlite3.Connection, name: str) -> None:
    """In the finding and in its seed."""
    for table, column in (("findings", "id"), ("seeds", "finding")):
        db.execute(f"UPDATE {table} SET label = (label + 1) % 3 WHERE {column} = ?", (name,))


SURE = np.full((2, 3), 1 / 3, np.float32).tobytes()
LIES: dict[str, tuple[Callable[[sqlite3.Connection, str], None], str]] = {
    "another seed's picture": (other_seed, "its id is not that of its two inputs"),
    "another seed's picture and id": (other_seed_and_id, "l2 .*recorded"),
    "the picture of another seed": (seed_of_another, "recorded"),
    "another input": (other_input, "recorded"),
    "another id": (setting("UPDATE findings SET id = 'abcdefabcdef' WHERE id = ?"), "its id"),
    "another label": (setting("UPDATE findings SET label = (label + 1) % 3 WHERE id = ?"), "label"),
    "another label everywhere": (relabelled, "seed_wrong holds and is not recorded"),
    "no label": (setting("UPDATE findings SET label = NULL WHERE id = ?"), "label None, recorded"),
    "a reason more": (reasons("seed_wrong"), "seed_wrong is recorded and does not hold"),
    "another reason": (reasons("beyond_bound"), "beyond_bound is recorded and does not hold"),
    "a third": (reasons("unstable_alone"), "unstable_alone is recorded and does not hold"),
    "one of seeds": (reasons("already_differ"), "comes of the search, for the reasons already_differ"),
    "another size": (measure(l2=0.001), "l2 .*recorded 0.001"),
    "a size that is none": (measure(linf="small"), "linf .*recorded small"),
    "another margin": (measure(margin=0.99), "margin .*recorded 0.99"),
    "another agreement": (measure(agreed=7), "agree on .*recorded 7"),
    "the models' decisions": (
        setting("UPDATE findings SET decisions = '[0, 0]' WHERE id = ?"),
        "decisions .*recorded 0, 0",
    ),
    "how sure they are": (setting("UPDATE findings SET probabilities = ? WHERE id = ?", SURE), "as sure as"),
    "the seed's decisions": (
        setting("UPDATE seeds SET decisions = '[2, 1]' WHERE finding = ?"),
        "seed: decisions .*recorded 2, 1",
    ),
    "the smallest change": (smallest, "smallest change: the models do not differ"),
    "how sure they are of it": (
        setting("UPDATE shrunk SET probabilities = ? WHERE finding = ?", SURE),
        "smallest change: .*as sure as",
    ),
}


def altered(found: Path, folder: Path, lie: Callable[[sqlite3.Connection, str], None]) -> Path:
    folder.mkdir()
    shutil.copy(found / FILE, folder / FILE)
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("PRAGMA foreign_keys=OFF")
        lie(db, db.execute(PICK).fetchone()[0])
    return folder


@pytest.mark.slow
def test_what_was_found_reproduces(found: Path) -> None:
    came = rejudged(found, MODELS)
    assert len(came.faults) > 3 and set(came.faults.values()) == {()}
    assert came.unchecked == (AS_RECORDED,)
    reasons = {reason for one in xplore.Result(found).findings for reason in one.reasons}
    assert "seed_wrong" in reasons


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_what_was_altered_does_not_reproduce(lie: str, found: Path, tmp_path: Path) -> None:
    alter, why = LIES[lie]
    folder = altered(found, tmp_path / "run", alter)
    came = rejudged(folder, MODELS)
    wrong = {name: faults for name, faults in came.faults.items() if faults}
    assert len(wrong) == 1
    assert any(re.search(why, fault) for faults in wrong.values() for fault in faults), wrong


@pytest.mark.slow
def test_one_that_is_valid_for_a_reason_is_damage(found: Path, tmp_path: Path) -> None:
    folder = altered(found, tmp_path / "run", setting("UPDATE findings SET valid = 0 WHERE id = ?"))
    with pytest.raises(InputError, match="not valid, for 0 reasons"):
        xplore.replay(folder, MODELS)


@pytest.mark.slow
def test_other_weights_need_only_differ(found: Path, tmp_path: Path) -> None:
    folder = altered(found, tmp_path / "run", measure(l2=0.001))
    assert all(xplore.replay(folder, MODELS, as_tested=False).values())
    none = xplore.replay(folder, [tiny.one(), tiny.mended()], as_tested=False)
    assert none and not any(none.values())


@pytest.mark.slow
def test_a_bound_is_that_of_the_recorded_constraint(found: Path, tmp_path: Path) -> None:
    """One that was made tighter afterwards is not the campaign's; given, neither."""

    def tighter(db: sqlite3.Connection, name: str) -> None:
        told = json.dumps({"constraint": {"use": "xplore.constraints:Ball", "bound": 0.001}})
        db.execute("UPDATE meta SET value = ? WHERE key = 'parts'", (told,))

    folder = altered(found, tmp_path / "run", tighter)
    came = rejudged(folder, MODELS)
    assert set(came.faults.values()) == {()}
    assert "bounds and sizes of changes" in came.unchecked[0] and "give constraint=" in came.unchecked[0]
    assert len(rejudged(folder, MODELS, constraint=Ball(0.1)).unchecked) == 1
    assert "not the one that was given" in rejudged(folder, MODELS, constraint=Ball(0.2)).unchecked[0]


@pytest.mark.slow
def test_rules_of_one_s_own_are_given(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((40, 4)).astype(np.float32)
    random = np.random.default_rng(1)
    kernel, other = random.normal(size=(2, 4, 2)).astype(np.float32)
    models = [
        Model(lambda p, x: x @ p, kernel + far * other, name=name) for name, far in (("a", 0), ("b", 0.3))
    ]
    table = Features.infer(rows, list("abcd"))
    ruled = table.where(lambda row: row.a <= 2)
    for name, chart in (("plain", table), ("ruled", ruled)):
        xplore.run(models, rows, constraint=chart, out=tmp_path / name, **HOW)
    assert len(rejudged(tmp_path / "plain", models).unchecked) == 1
    assert "which the archive cannot make again" in rejudged(tmp_path / "ruled", models).unchecked[0]
    came = rejudged(tmp_path / "ruled", models, constraint=ruled)
    assert len(came.unchecked) == 1 and came.faults and set(came.faults.values()) == {()}


@pytest.mark.slow
def test_of_a_chart_whose_latents_tell_its_bound(tmp_path: Path) -> None:
    out = tmp_path / "run"
    xplore.run(MODELS, tiny.images(), constraint=Affine(), out=out, **{**HOW, "steps": 8})
    came = rejudged(out, MODELS)
    assert came.faults and set(came.faults.values()) == {()} and len(came.unchecked) == 1
    with closing(sqlite3.connect(out / FILE)) as db, db:
        db.execute("UPDATE findings SET latents = (SELECT latents FROM findings ORDER BY id DESC LIMIT 1)")
    wrong = [faults for faults in rejudged(out, MODELS).faults.values() if faults]
    assert len(wrong) >= len(came.faults) - 1, "one has its own, where it came of the search"


@pytest.mark.slow
def test_of_values(tmp_path: Path) -> None:
    models = [
        Model(lambda p, x: x.reshape(len(x), -1) @ p, far * np.ones((108, 1), np.float32) / 108, name=name,
              output="values")
        for name, far in (("a", 1.0), ("b", 1.3))
    ]  # fmt: skip
    truth = tiny.images().reshape(24, -1).mean(axis=1) / 255
    how = {**HOW, "oracle": ValuesDiffer(0.16), "constraint": Ball(0.2)}
    xplore.run(models, tiny.images(), truth, out=tmp_path / "run", **how)
    came = rejudged(tmp_path / "run", models)
    assert came.faults and set(came.faults.values()) == {()}
    with closing(sqlite3.connect(tmp_path / "run" / FILE)) as db, db:
        told = "json_set(measures, '$.seed_values', json('[0, 9]'))"
        db.execute(f"UPDATE findings SET measures = {told}")
    assert not any(xplore.replay(tmp_path / "run", models).values())


class Own(LabelsDiffer):
    """A user's own, which tells of decisions as `LabelsDiffer` does."""


@pytest.mark.slow
def test_an_oracle_of_one_s_own_is_not_taken_for_xplore_s(tmp_path: Path) -> None:
    xplore.run(MODELS, tiny.images(), constraint=Ball(0.1), oracle=Own(), out=tmp_path / "run", **HOW)
    with pytest.raises(InputError, match=r"oracle of .*give it"):
        xplore.replay(tmp_path / "run", MODELS)
    again = xplore.replay(tmp_path / "run", MODELS, oracle=Own())
    assert again and all(again.values())


@pytest.mark.slow
def test_the_command_says_why(found: Path, tmp_path: Path) -> None:
    folder = altered(found, tmp_path / "run", relabelled)
    tests = str(Path(tiny.__file__).parent)
    program = f"import sys; sys.path.insert(0, {tests!r}); from xplore import cli; cli.main()"
    words = ["replay", str(folder), "--model", "tiny:one", "--model", "tiny:two"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "does not reproduce: " in done.stdout and "seed_wrong holds and is not recorded" in done.stdout
    assert "not checked: labels" in done.stdout
