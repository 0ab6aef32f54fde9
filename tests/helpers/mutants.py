"""Configs and archives that are a little wrong, and what the command line makes of them.

A mutant is refused, in one line and with exit code 2, or is a campaign that records what it was given and
whose findings replay. Each is drawn from its number alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

from xplore import cli
from xplore._util.errors import InputError
from xplore.archive import Archive
from xplore.archive.tables import FILE

SECONDS = 120
"""After so many a command hangs."""
COMMON = {
    "name": "mutant",
    "seeds": {"use": "tiny:seeds"},
    "models": [{"use": "tiny:one"}, {"use": "tiny:two", "name": "second"}],
    "constraint": {"use": "xplore.constraints:Ball", "bound": 0.2, "norm": "inf"},
    "search": {"use": "xplore.search:Gradient", "steps": 3, "tries": 2},
    "criteria": [{"use": "xplore.coverage:NeuronCoverage", "t": 0.5}],
    "campaign": {"lanes": 8, "round_size": 6, "seeds": 12, "seconds": 5.0},
}
BASES: dict[str, dict[str, Any]] = {
    "ball": {**COMMON, "objective": {"use": "xplore.objectives:Joint", "lambda1": 1.0, "lambda2": 0.1}},
    "light": {
        **COMMON,
        "constraint": {"use": "xplore.constraints:Lighting", "bound": 0.2},
        "search": {"use": "xplore.search:Random", "steps": 3, "tries": 2},
        "oracle": {"use": "xplore.oracles:LabelsDiffer"},
    },
    "chain": {
        **COMMON,
        "constraint": {
            "use": "xplore.constraints:Chain",
            "parts": [
                {"use": "xplore.constraints:Blur", "sigma": 1.0},
                {"use": "xplore.constraints:Patches", "boxes": [[0, 0, 3, 3]], "bound": "none"},
            ],
        },
        "baseline": {"use": "xplore.search:Random"},
    },
    "occlusion": {
        **COMMON,
        "models": [
            {"use": "tiny:one", "output": "logits", "scale": 1.0, "mean": [0.0, 0.1, 0.0]},
            {"use": "tiny:two", "unit": "mean", "include": ["fc*"], "classes": ["a", "b", "c"]},
        ],
        "constraint": {
            "use": "xplore.constraints:Occlusion", "height": 3, "width": 3, "bound": 0.5, "background": 0.0,
        },
        "search": {
            "use": "xplore.search:Gradient", "steps": 3, "tries": 2,
            "optimizer": {"use": "optax:sgd", "learning_rate": 0.1},
        },
        "criteria": [
            {"use": "xplore.coverage:NeuronCoverage", "t": 0.25, "scale": "layer"},
            {"use": "xplore.coverage:NeuronCoverage", "t": 0.5},
        ],
        "training": {"use": "tiny:seeds"},
        "campaign": {**COMMON["campaign"], "main_criterion": 1, "shrink": False, "rng": 3, "findings": 4},
    },
}  # fmt: skip
ARCHIVED = {
    **BASES,
    "zoo": {
        **COMMON,
        "models": [{"use": f"xplore.models.lenet:{name}"} for name in ("lenet1", "lenet4")],
        "seeds": {"use": "xplore.data.mnist:load"},
    },
}
"""Of these, archives are mutated, too: one of models that are made again of what it says."""
NUMBERS = [0, -1, 1, 2, 0.5, 3, 1e-300, 1e300, 2**31, 2**53, 10**15, 2**63, 10**30, -0.0]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
TEXTS = [
    *("", " ", "none", "é" * 9, "a\0b", "a\nb", "\x1b[2J", "\u202ex", "\U0001f600", "x" * 300, "../x"),
    *("/etc/passwd", "a/b", "{x}", "%s", "$(id)", "=1", "nan", "1", "true", "fast", "bfloat16", "layer", "2"),
]
USES = [
    *(
        "builtins:exit",
        "os:getcwd",
        "tiny:nothing",
        "tiny",
        ":one",
        "tiny:",
        "a b:c",
        "..x:y",
        "tiny:N",
    ),
    *(
        "tiny:four_classes",
        "tiny:far",
        "tiny:absent_minded",
        "tiny:unread",
        "tiny:not_finite",
        "tiny:bright_seeds",
    ),
    *(
        "xplore.constraints:Lighting",
        "xplore.search:Random",
        "xplore.coverage:NeuronCoverage",
        "xplore.data.npz:load",
    ),
    *(
        "xplore.objectives:Diverge",
        "xplore.oracles:ValuesDiffer",
        "xplore.constraints:Constraint",
        "tiny:seeds",
    ),
    *(
        "xplore.search:GridSearch",
        "xplore.search:HillClimb",
        "xplore.search:Original",
        "builtins:dict",
        "builtins:print",
    ),
]
Path_ = tuple[Any, ...]


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Where something stands in a config."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*at, key))


def look(value: Any, at: Path_) -> Any:
    for key in at:
        value = value[key]
    return value


def deep(levels: int, table: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if table else [value]
    return value


def other(value: Any, key: Any, draw: random.Random) -> Any:
    """Something else than a value."""
    if key == "use":
        return draw.choice([*USES, *TEXTS])
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    alike = draw.random() < 0.6
    if number and alike:
        near = [type(value)(value * 2), value + 1, value / 2, -value, float(value)]
        return draw.choice([*near, draw.choice(NUMBERS), draw.choice(NUMBERS)])
    if isinstance(value, str) and alike:
        return draw.choice(TEXTS)
    if isinstance(value, list) and alike:
        return draw.choice(
            [[], value * 2, value[:1], value[::-1], [value], [*value, 1], dict.fromkeys("ab", 1)]
        )
    if isinstance(value, dict) and alike:
        return draw.choice([{}, [value], {**value, "use": draw.choice(USES)}, list(value), {"": value}])
    return draw.choice(
        [
            *(True, False, str(value), [value], [], {}, {"use": "tiny:one"}),
            *(draw.choice(NUMBERS), draw.choice(TEXTS)),
            deep(draw.choice([3, 30, 200]), draw.random() < 0.5),
        ]
    )


def mutated(config: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], list[tuple[Path_, Any]]]:
    """A config with a thing or two changed; and what stands where, of what was set."""
    config, told = deepcopy(config), []
    for _ in range(draw.choice([1, 1, 1, 2])):
        if not config:
            break
        at = draw.choice([*places(config)])
        place, key = look(config, at[:-1]), at[-1]
        match draw.choice(["set", "set", "set", "set", "set", "remove", "add", "twice", "rename"]):
            case "remove":
                del place[key]
            case "add" if isinstance(place, dict):
                at = (
                    *at[:-1],
                    draw.choice(["extra", "Use", "üñ", "", "a.b", "lane", "__class__", "self", "name"]),
                )
                place[at[-1]] = other(1, "", draw)
                told.append((at, place[at[-1]]))
            case "twice" if isinstance(place, list):
                place.append(deepcopy(place[key]))
            case "rename" if isinstance(place, dict):
                place[draw.choice([f"{key}s", str(key).upper(), str(key)[:-1]])] = place.pop(key)
            case _:
                place[key] = other(place[key], key, draw)
                told.append((at, place[key]))
    return config, [(at, value) for at, value in told if stands(config, at, value)]


def stands(config: dict[str, Any], at: Path_, value: Any) -> bool:
    """Is it still there? A second change may have taken the first one away."""
    try:
        return look(config, at) is value
    except (KeyError, IndexError, TypeError):
        return False


def toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{text(key)} = {toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return (
        text(value)
        if isinstance(value, str)
        else json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    )


def text(value: str) -> str:
    return re.sub("[\x7f-\x9f]", lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(value, ensure_ascii=False))


def written(config: dict[str, Any], path: Path) -> Path:
    path.write_bytes("".join(f"{text(key)} = {toml(value)}\n" for key, value in config.items()).encode())
    return path


def spoilt(content: bytes, draw: random.Random) -> bytes:
    """A file that was cut off, written over, or is no TOML otherwise."""
    at, lines = draw.randrange(len(content)), content.splitlines(keepends=True)
    signs = [b"\0", b"\x1b", b'"', b"[", b"}", b"\xff", b"\n", "é".encode(), b"#", b"=", b"\xef\xbb\xbf"]
    return draw.choice(
        [
            content[:at],
            content[:at] + draw.choice(signs) + content[at:],
            content[:at] + draw.choice(signs) + content[at + 1 :],
            content + draw.choice(lines),
            content + b"deep = " + b"[" * 3000 + b"]" * 3000,
            content + b"a." * 3000 + b"b = 1",
            b"n = " + b"9" * 5000 + b"\n" + content,
            b"when = 1979-05-27T07:32:00Z\n" + content,
            content[::-1],
        ]
    )


class HangError(Exception):
    """A command took too long."""


def command(*words: str) -> tuple[int, str, str]:
    """What `xplore` of these words ends with, prints and says on standard error; in this process."""

    def late(*_: object) -> None:
        raise HangError(f"more than {SECONDS} s")

    out, error, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["xplore", *words]
    kept = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            cli.main()
        code: Any = 0
    except SystemExit as done:
        code = done.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)
        sys.argv = before
    return int(code or 0), out.getvalue(), error.getvalue()


def refusal(code: int, error: str) -> str:
    """Why this is no refusal in one line; nothing, if it is one."""
    lines = error.splitlines()
    if code != 2:
        return f"exit code {code}: {error[-600:]}"
    fits = (
        len(lines) == 1 and lines[0].startswith("error: ") and "expected" in lines[0] and len(lines[0]) < 2000
    )
    return "" if fits else f"{len(lines)} lines: {error[-600:]}"


def recorded(value: Any) -> Any:
    """A value as an account holds it."""
    return json.loads(json.dumps(value))


def of_user(number: int, place: Path) -> tuple[str, str, str]:
    """The mutant of a user's config with this number: what it is, how it ended, what is wrong with that."""
    draw = random.Random(f"user {number}")
    base = draw.choice([*BASES])
    config, told = mutated(BASES[base], draw)
    what = f"{base}: {told}"[:300]
    path, out = written(config, place / "mutant.toml"), place / "run"
    if draw.random() < 0.1:
        what, told = f"{base}: its file", []
        path.write_bytes(spoilt(written(BASES[base], path).read_bytes(), draw))
    code, _, error = command("run", str(path), "--out", str(out))
    if code:
        left = [path.name for path in place.iterdir() if path.name != "mutant.toml"]
        return what, "refused", refusal(code, error) or (f"left {left}" if left else "")
    return what, "ran", ran(out, path, told)


def ran(out: Path, path: Path, told: list[tuple[Path_, Any]]) -> str:
    """What is wrong with a campaign that ended well."""
    with closing(Archive.open(out)) as archive:
        config = archive.meta["config"]
    for at, value in told:
        if value == "none" and at[-1] in OPTIONAL:
            continue
        try:
            kept = look(config, at)
        except (KeyError, IndexError, TypeError):
            return f"nothing is recorded at {at}"
        if at == ("campaign",):  # what it leaves out is at its default
            kept = {key: kept[key] for key in value}
        if kept != recorded(value) and not _rooted(at, value, kept):
            return f"recorded at {at}: {kept!r}"
    code, said, error = command("replay", str(out), "--config", str(path))
    return "" if code == 0 else f"replay, exit code {code}: {said[-300:]} {error[-300:]}"


OPTIONAL = ("objective", "oracle", "baseline", "reference_model", "training", "backend")


def _rooted(at: Path_, value: Any, kept: Any) -> bool:
    return at[-1] in ("path", "folder", "file", "weights") and str(kept).endswith(str(value))


def bases(place: Path, names: Iterable[str] = ()) -> dict[str, bytes]:
    """Archives of the bases as they are, of half of the seeds."""
    made = {}
    for name in names or ARCHIVED:
        config = ARCHIVED[name]
        path = written({**config, "campaign": {**config["campaign"], "seeds": 6}}, place / f"{name}.toml")
        code, _, error = command("run", str(path), "--out", str(place / name))
        assert code == 0, error
        written(config, path)
        made[name] = (place / name / FILE).read_bytes()
    return made


def account(content: bytes, folder: Path) -> dict[str, Any]:
    """What an archive of this content, which is put into a folder, says of its campaign."""
    (folder / FILE).write_bytes(content)
    with closing(sqlite3.connect(folder / FILE)) as db:
        return {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}


def tell(folder: Path, account: dict[str, Any]) -> None:
    """Let the archive in a folder say this of its campaign."""
    rows = [(key, json.dumps(value)) for key, value in account.items()]
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("DELETE FROM meta")
        db.executemany("INSERT INTO meta VALUES (?, ?)", rows)


def meta(folder: Path) -> dict[str, Any]:
    """The same as xplore reads it; nothing, where it refuses to."""
    try:
        with closing(Archive.open(folder)) as archive:
            return archive.meta
    except InputError:
        return {}


def of_archive(number: int, place: Path, made: dict[str, bytes]) -> tuple[str, str, str]:
    """The mutant of an account with this number: what it is, how replay and resume ended, what is wrong."""
    draw = random.Random(f"archive {number}")
    base = draw.choice([*made])
    folder = fresh(place / "run")
    sound = account(made[base], folder)
    key = draw.choice(["config", "config", "all", draw.choice([*sound])])
    part, changes = mutated(sound if key == "all" else {key: sound[key]}, draw)
    tell(folder, {**{name: value for name, value in sound.items() if key not in ("all", name)}, **part})
    path, read = written(ARCHIVED[base], place / "own.toml"), meta(folder)
    before, ended, wrong = (folder / FILE).read_bytes(), [], []
    for words in (
        ("replay", str(folder)),
        ("replay", str(folder), "--config", str(path)),
        ("run", str(path), "--out", str(folder), "--resume"),
    ):
        code, said, error = command(*words)
        fault = ""
        if code == 2:
            ended.append("refused")
            fault = refusal(code, error) or ("altered" * ((folder / FILE).read_bytes() != before))
        elif code == 1 and words[0] == "replay" and "does not reproduce: " in said:
            ended.append("not reproduced")
        elif code == 0 and words[0] == "replay":
            ended.append("reproduced")
        elif code == 0:
            ended.append("resumed")
            fault = went_on(folder, path, read, [at for at, _ in changes])
        else:
            fault = f"exit code {code}: {said[-300:]} {error[-600:]}"
        wrong += [f"{words[0]}: {fault}"] if fault else []
    return f"{base}, {key}: {changes}"[:300], ", ".join(ended), "; ".join(wrong)


NEW = {
    "runs",
    "finished",
    "ended",
    "seconds",
    "compile_seconds",
    "seeds_total",
    "notes",
    "baselines",
    "steps",
}
NEW |= {"queries", "found", "coverage", "not_finite"}
"""What a campaign that goes on tells anew."""


def went_on(folder: Path, path: Path, read: dict[str, Any], places: list[Path_]) -> str:
    """What is wrong with a campaign that went on: it still says what it said."""
    now = meta(folder)
    for at in places:
        if at[0] not in NEW and repr(look(now, at)) != repr(look(read, at)):
            return f"recorded at {at}: {look(now, at)!r}"
    code, said, error = command("replay", str(folder), "--config", str(path))
    return "" if code == 0 else f"replay, exit code {code}: {said[-300:]} {error[-300:]}"


def fresh(place: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def judged(
    kind: Callable[..., tuple[str, str, str]], number: int, place: Path, *more: Any
) -> tuple[str, str, str]:
    """A mutant in a folder of its own; what is raised is wrong, too."""
    try:
        return kind(number, fresh(place), *more)
    except (Exception, HangError) as error:
        return "?", "raised", f"{type(error).__name__}: {error}"[:600]
