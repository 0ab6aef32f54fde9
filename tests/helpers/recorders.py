"""`python -m recorders FOLDER N`: a stranger's metadata, all that is done with it, and what then happens.

A program of its own: an audit hook cannot be taken back. It ends with a line of what was watched.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.abc
import io
import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import tiny
import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import xplore
from xplore._util.errors import InputError, visible
from xplore.archive import Archive, trusted
from xplore.archive.migrate import migrate
from xplore.archive.tables import FILE
from xplore.archive.trusted import FACTORIES
from xplore.campaign.merge import joined
from xplore.campaign.replay import rejudged
from xplore.campaign.resume import resumed
from xplore.cli import app
from xplore.constraints import Affine
from xplore.report import EXPORTS, FORMATS, exporter, reporter
from xplore.report.reading import read
from xplore.report.review import Session

MODELS = [tiny.one(), tiny.two()]
ALLOWED = {factory.module for factory in FACTORIES.values()}
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")
FILES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
NETWORK = ("socket.connect", "socket.getaddrinfo", "webbrowser.open", "urllib.Request")
WRITES = ("review", "resume")
"""What writes into the folder of an archive; all else leaves it as it is."""


class Watch:
    """What is done while it is `on`: writes that leave the folders which may be written, and what else."""

    def __init__(self) -> None:
        self.on, self.may, self.faults = False, [Path("/nowhere")], []
        self.seen: Counter[str] = Counter()
        self.named: set[str] = set()

    def hook(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.on:
            return
        self.seen[event] += 1
        if event in (*PROCESSES, *NETWORK):
            self.faults.append(f"{event} {given!r}")
        elif event in FILES or (event == "open" and self._writes(*given)):
            self.wrote(event, given[0])
        elif event == "sqlite3.connect" and "mode=ro" not in os.fsdecode(given[0]):
            self.wrote(event, os.fsdecode(given[0]).removeprefix("file:").partition("?")[0])

    def _writes(self, path: Any, mode: Any, flags: Any) -> bool:
        if isinstance(path, int):
            return False
        opened = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return bool(opened) or any(sign in str(mode or "") for sign in "wax+")

    def wrote(self, event: str, path: Any) -> None:
        self.seen["written"] += 1
        place = Path(os.path.realpath(os.fsdecode(path)))
        if place != Path(os.devnull) and not any(place.is_relative_to(folder) for folder in self.may):
            self.faults.append(f"{event} {place}")

    def imported(self, how: str, name: str) -> None:
        """A name of the text that is imported, though the dictionary does not name it."""
        if self.on:
            self.seen[how] += 1
            known = name in ALLOWED or any(module.startswith(f"{name}.") for module in ALLOWED)
            if not known and (name in self.named or name.partition(".")[0] == "canary"):
                self.faults.append(f"{how} {name!r}")

    def called(self, name: str) -> None:
        self.seen["called"] += 1
        self.faults.append(f"called {name}")

    @contextlib.contextmanager
    def watching(self, *may: Path) -> Iterator[None]:
        self.may, self.on, self.faults = [Path(os.path.realpath(place)) for place in may], True, []
        try:
            yield
        finally:
            self.on = False
            assert not self.faults, self.faults  # whatever else was raised


WATCH = Watch()


class Finder(importlib.abc.MetaPathFinder):
    """Sees each module that is looked for, and finds none."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        WATCH.imported("looked for", name)


def recorded(how: str, f: Callable[..., Any], *, statements: bool = False) -> Callable[..., Any]:
    """A function of imports that tells what it is asked for; of statements, which name what they import in
    the source, only a module that nobody has imported yet.
    """

    def asked(name: str, *args: Any, **more: Any) -> Any:
        if not (statements and name in sys.modules):
            WATCH.imported(how, name)
        return f(name, *args, **more)

    return asked


def trap(module: str, name: str) -> None:
    """A function that no text of an archive may reach, where it might be looked for."""

    def call(*given: Any, **more: Any) -> None:
        WATCH.called(f"{module}:{name}")
        raise InputError(name, expected="never to be called", got=f"{given!r} {more!r}")

    setattr(sys.modules[module], name, call)


def install() -> None:
    sys.addaudithook(WATCH.hook)
    sys.meta_path.insert(0, Finder())
    importlib.import_module = recorded("import_module", importlib.import_module)
    builtins.__import__ = recorded("__import__", builtins.__import__, statements=True)
    for name in ("named", "build", "build_model"):
        trap("xplore.campaign.config.instantiate", name)
    for module in TRAPS:
        trap(module, "trap")


TRAPS = (
    "builtins",
    "os",
    "xplore",
    "xplore.model.weights",
    "xplore.models.lenet",
    "xplore.constraints",
    "xplore.archive.trusted",
)
MODULES = [
    *(
        "canary",
        "canary.sub",
        "builtins",
        "os",
        "os.path",
        "subprocess",
        "shutil",
        "runpy",
        "pickle",
        "ctypes",
    ),
    *("xplore.models.hdf5", "xplore.models.keras_file", "xplore.data.udacity", "xplore.adapters.haiku"),
    *(
        "xplore.model.weights",
        "xplore.campaign.config.instantiate",
        "xplore.campaign.backends.ray",
        "antigravity",
        "xplore.models.lenet",
    ),
]
NAMES = [
    *("system", "exec", "eval", "open", "remove", "exit", "run", "rmtree", "touch", "save", "save_file"),
    *("main", "build", "read", "run_path", "lenet1", "load", "loads", "__builtins__", "Popen"),
]
USE = st.sampled_from(TRAPS).map("{}:trap".format)
DOTTED = st.tuples(st.sampled_from(MODULES), st.sampled_from(NAMES)).map(":".join)
DOTTED |= st.tuples(st.sampled_from(MODULES), st.sampled_from(NAMES)).map(".".join)
DOTTED |= st.builds("{}:{}".format, st.text(max_size=6), st.text(max_size=6)) | st.text(max_size=12)
USE |= DOTTED | st.sampled_from(sorted(FACTORIES))
KEYS = [
    *("command", "path", "filename", "file", "args", "bound", "parts", "weights", "name", "folder", "decode"),
    *("tensor_dict", "mode", "changes", "table", "boxes", "output", "size", "columns", "encode", "norm"),
]


def named(use: str, more: dict[str, Any]) -> dict[str, Any]:
    return {**more, "use": use}


def part(victim: str) -> st.SearchStrategy[Any]:
    plain = st.sampled_from([victim, "w", f"touch {victim}", "$(touch elsewhere)", 0, 0.1, -1, True, None])
    plain |= st.text(max_size=5) | st.floats() | st.just("none")

    def wider(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        given = st.dictionaries(st.sampled_from(KEYS), of, max_size=2)
        return st.lists(of, max_size=2) | st.builds(named, USE, given)

    inner = st.recursive(plain, wider, max_leaves=4)
    return st.builds(named, USE, st.dictionaries(st.sampled_from(KEYS), inner, max_size=3))


def metas(victim: str) -> st.SearchStrategy[dict[str, Any]]:
    """What an archive says in place of what it said: texts, parts, a table's columns."""
    one, ours = part(victim), st.just({"use": "xplore.models.lenet:lenet1"})
    text = DOTTED | st.sampled_from([victim, f"../{victim}", f"$(touch {victim})", "=cmd|' /C'!A0"])
    column = st.fixed_dictionaries(
        {"name": text, "kind": text, "dtype": text, "values": st.lists(text, max_size=2)}
    )
    table = st.fixed_dictionaries(
        {"columns": st.lists(column, min_size=1, max_size=2), "groups": st.just([]),
         "low": st.just([0.0]), "high": st.just([1.0]), "example": st.just([0.5])}
    )  # fmt: skip
    return st.fixed_dictionaries(
        {},
        optional={
            "config": st.fixed_dictionaries(
                {"models": st.lists(one | ours, min_size=2, max_size=2)},
                optional={"constraint": one, "oracle": one, "search": one, "backend": one, "seeds": one},
            ),
            "parts": st.fixed_dictionaries({"constraint": one}),
            "digests": st.dictionaries(st.sampled_from(["constraint", "oracle"]), st.just({"type": "0"})),
            "table": table,
            "classes": st.lists(text, min_size=3, max_size=3),
            "versions": st.dictionaries(st.sampled_from(["xplore", "jax"]), text),
            "notes": st.lists(text, max_size=2),
            **dict.fromkeys(("name", "command", "config_file", "device", "id", "ended"), text),
            **dict.fromkeys(("constraint", "bound", "search", "objective", "oracle"), text),
        },
    )


def names_in(value: Any) -> Iterator[str]:
    """The modules that texts name, so far as they do."""
    if isinstance(value, str):
        for name in (value, value.partition(":")[0], value.rpartition(".")[0]):
            if name:
                yield name
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_in(inner)


def told(folder: Path, meta: dict[str, Any], base: dict[str, Any], out: Path) -> Iterator[tuple[str, Any]]:
    """All that is done with an archive: what it is called, and how."""

    def writing(writer: Any, name: str) -> Callable[[], object]:
        def write() -> object:
            with closing(Archive.open(folder)) as archive:
                return writer.write(archive, out / name)

        return write

    def shown() -> None:
        with closing(Archive.open(folder)) as archive:
            reading = read(archive)
            lines = [reading.replay(row) for row in reading.rows]
            assert [*map(visible, lines)] == lines

    def reviewed() -> None:
        with closing(Session(folder, "ann")) as session:
            for name in session.queue[:2]:
                session.card(name)
            session.goal()
            session.answer(session.queue[-1], 0 if session.classes else "valid")
            session.card(session.queue[-1])
            session.summary()

    yield "open", shown
    for name in FORMATS:
        yield f"report {name}", writing(reporter(name), name)
    for name in EXPORTS:
        yield f"export {name}", writing(exporter(name, every=True), f"export {name}")
    yield "merge", lambda: joined([folder, folder], out / "merged")
    yield "migrate", lambda: migrate(folder, out / "new")
    yield "review", reviewed
    yield "resume", lambda: resumed(folder, base).close()
    yield "replay", lambda: rejudged(folder)
    yield "replay of models", lambda: rejudged(folder, MODELS)
    yield "replay command", lambda: app(["replay", str(folder)], standalone_mode=False)
    yield (
        "report command",
        lambda: app(["report", str(folder), "--out", str(out / "told")], standalone_mode=False),
    )


def copied(content: bytes, folder: Path, meta: dict[str, Any]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(content)
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        for key, value in meta.items():
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))
    return folder


def used(folder: Path, meta: dict[str, Any], base: dict[str, Any], out: Path, came: Counter[str]) -> None:
    for name, use in told(folder, meta, base, out):
        try:
            quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
            with quiet[0], quiet[1], WATCH.watching(out, *[folder] * (name in WRITES)):
                use()
            came[name] += 1
        except InputError:
            came[f"{name} refused"] += 1
        except typer.Exit:  # a command whose findings do not reproduce
            came[f"{name} says no"] += 1


class AnyName(dict[str, trusted.Factory]):
    """A dictionary with a fault: it knows whatever is asked for."""

    def __missing__(self, use: str) -> trusted.Factory:
        return trusted.Factory("model", *use.split(":"), dict.fromkeys(KEYS, lambda value: True))

    def get(self, use: str, default: Any = None) -> Any:
        return self[use]


def seen(content: bytes, run: Path, out: Path) -> list[str]:
    """The faults that are seen of a dictionary that knows any name, of a program and of a file elsewhere."""
    known, faults = trusted.FACTORIES, []
    trusted.FACTORIES = AnyName()
    for use in ("xplore.model.weights:trap", "canary:touch", "xplore.models.lenet:trap"):
        folder = copied(content, run, {"config": {"models": [{"use": use}] * 2}})
        WATCH.named = {use.partition(":")[0]}
        try:
            with WATCH.watching(out):
                rejudged(folder)
        except AssertionError:
            faults += WATCH.faults
    trusted.FACTORIES = known
    with contextlib.suppress(AssertionError), WATCH.watching(out):
        os.system("true")
        (out.parent / "elsewhere").write_text("")
    return [*faults, *WATCH.faults]


PLACES = [
    lambda part: {"config": {"models": [part, part]}},
    lambda part: {"config": {"models": OURS, "constraint": part, "oracle": part, "search": part}},
    lambda part: {"parts": {"constraint": part}, "digests": {"constraint": {"type": "0"}}},
    lambda part: {"config": {"models": [{**OURS[0], "classes": [part], "name": part}, OURS[1]]}},
    lambda part: {"parts": {"constraint": {"use": "xplore.constraints:Chain", "parts": [part]}}},
]
"""Where an account names a part."""
OURS = [{"use": "xplore.models.lenet:lenet1"}] * 2


def main(place: Path, examples: int) -> None:
    victim = place / "precious.txt"
    victim.write_text("do not lose me\n")
    (place / "canary").mkdir()
    for name in ("__init__", "sub"):
        (place / "canary" / f"{name}.py").write_text(f"open({str(victim)!r}, 'a').close()\ntouch = print\n")
    sys.path.insert(0, str(place))
    base, run, out = place / "base", place / "run", place / "out"
    xplore.run(
        MODELS, tiny.images(), tiny.labels(), constraint=Affine(), out=base,
        steps=8, tries=2, plan=tiny.plan(), progress=False,
    )  # fmt: skip
    content = (base / FILE).read_bytes()
    with closing(Archive.open(base)) as archive:
        meta = archive.meta
    came: Counter[str] = Counter()
    for said in ({"config": {"models": OURS}}, {}):  # what is imported late is imported by now
        used(copied(content, run, said), said, meta, out, came)
        shutil.rmtree(out)
    install()
    os.chdir(place)

    def harmless(said: dict[str, Any]) -> None:
        WATCH.named = set(names_in(said))
        shutil.rmtree(out, ignore_errors=True)
        used(copied(content, run, said), said, meta, out, came)
        assert victim.read_text() == "do not lose me\n" and "canary" not in sys.modules
        here = {path.name for path in place.iterdir()}
        assert here <= {"precious.txt", "canary", "base", "run", "out", ".hypothesis"}, here

    how: dict[str, Any] = {"deadline": None, "database": None, "phases": [Phase.generate]}

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), **how)
    @given(metas(str(victim)))
    def any_metadata(said: dict[str, Any]) -> None:
        harmless(said)

    for at, account in enumerate(PLACES):
        harmless(account({"use": f"{TRAPS[at]}:trap"}))
    any_metadata()
    assert WATCH.seen["open"] and WATCH.seen["written"] and not WATCH.seen["called"], WATCH.seen
    kinds = {fault.split()[0] for fault in seen(content, run, out)}
    print(json.dumps({"seen": sorted(kinds), "came": came}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
