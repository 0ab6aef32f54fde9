"""Configs and accounts that are a little wrong are refused in one line, or are what they say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mutants
import pytest

pytestmark = pytest.mark.slow

USERS, ARCHIVES = 42, 8
"""All 500: `python scripts/mutate.py`."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mutant"


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a config as it is."""
    return mutants.bases(tmp_path_factory.mktemp("bases"), ["ball"])["ball"]


def test_fifty_mutants_are_refused_or_are_what_they_say(ball: bytes, place: Path) -> None:
    made = {"ball": ball}
    todo = [(mutants.of_user, number, ()) for number in range(USERS)]
    todo += [(mutants.of_archive, number, (made,)) for number in range(ARCHIVES)]
    ends, wrong = Counter[str](), []
    for kind, number, more in todo:
        what, end, fault = mutants.judged(kind, number, place, *more)
        ends[end] += 1
        wrong += [(kind.__name__, number, what, fault)] if fault else []
    assert wrong == []
    assert ends["refused"] > 10 and ends["ran"] > 2 and len(ends) > 3, ends


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((f"search.{key}", 2**31) for key in ("steps", "tries")),
        *((f"campaign.{key}", 2**40) for key in ("seeds", "lanes", "round_size", "lag")),
        ("constraint.bound", 1e300),
        ("objective.lambda1", 1e300),
        ("criteria.0.t", -1e19),
        ("constraint.bound", {"use": "tiny:one"}),
        ("search.steps", {"use": "tiny:two"}),
        ("campaign.seeds", 2**31 - 1),
        ("campaign.lanes", 2**30),
        ("campaign.queries", 2**62),
        ("name", mutants.deep(25, table=True)),
        ("campaign.deep", mutants.deep(25, table=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_campaign_can_have_is_one_line(key: str, value: object, place: Path) -> None:
    config = mutants.deepcopy(mutants.BASES["ball"])
    *parents, last = key.split(".")
    mutants.look(config, tuple(int(part) if part.isdigit() else part for part in parents))[last] = value
    path = mutants.written(config, mutants.fresh(place) / "mutant.toml")
    code, out, error = mutants.command("run", str(path))
    assert mutants.refusal(code, error) == "" and out == "" and len(error) < 1200
    assert key.rpartition(".")[2] in error and [*place.iterdir()] == [path]


@pytest.mark.parametrize(
    "text",
    ["a." * 3000 + "b = 1", "a = " + "[" * 3000 + "]" * 3000, "a = " + "{b = " * 2000 + "1" + "}" * 2000],
    ids=["dots", "lists", "tables"],
)
def test_what_is_too_deep_is_one_line(text: str, place: Path) -> None:
    path = mutants.written(mutants.BASES["ball"], mutants.fresh(place) / "mutant.toml")
    whole = path.read_text()
    path.write_text(f"{text}\n{whole}")
    for words in ((), ("--set", text.replace(" = ", "=", 1))):
        code, _, error = mutants.command("run", str(path), *words)
        assert mutants.refusal(code, error) == "" and len(error) < 1200
        path.write_text(whole)


@pytest.mark.parametrize(
    "at", [("models", 0, "digest"), ("models",), ("decisions",), ("seeds_total",), ("notes",)], ids=str
)
@pytest.mark.parametrize("gone", [True, False], ids=["gone", "none"])
def test_an_account_without_a_part_is_read_or_refused(
    at: tuple[str | int, ...], gone: bool, ball: bytes, place: Path
) -> None:
    folder = mutants.fresh(place / "run")
    path, account = mutants.written(mutants.BASES["ball"], place / "own.toml"), mutants.account(ball, folder)
    held = mutants.look(account, at[:-1])
    held.pop(at[-1])
    held.update({} if gone else {at[-1]: None})
    mutants.tell(folder, account)
    for words in (("replay", "--config", str(path)), ("run", str(path), "--resume", "--out")):
        code, _, error = mutants.command(*words, str(folder))
        assert code == 0 or mutants.refusal(code, error) == ""


def test_a_mutant_is_drawn_from_its_number_alone() -> None:
    drawn = [mutants.mutated(mutants.BASES["ball"], mutants.random.Random(f"user {n}")) for n in range(40)]
    again = [mutants.mutated(mutants.BASES["ball"], mutants.random.Random(f"user {n}")) for n in range(40)]
    assert repr(drawn) == repr(again) and len({*map(repr, drawn)}) > 35
