"""The reference pages, made from the code: the command line, every key of a config, the Python names.

`python scripts/docs_reference.py FOLDER` writes them as Markdown; the docs' build calls `pages`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "constraint": "xplore.constraints",
    "criteria": "xplore.coverage",
    "objective": "xplore.objectives",
    "search": "xplore.search",
    "oracle": "xplore.oracles",
}
CONFIG = """\
A campaign as a TOML file: `xplore run FILE`. Every key can be set on the command line, too:
`--set constraint.bound=0.3`, `--set criteria.0.t=0.5`; `--set baseline=none` drops a part.

A part is a table that names a class or a function by `use = "module:Name"`, one of xplore's below or your own
(a module beside the config, or on Python's path). Its other keys are the arguments of what it names; none is
written `"none"`. A part in a part is such a table again. This page is made from the code."""


def pages() -> dict[str, str]:
    """Each page's Markdown by its name."""
    return {"cli": command_line(), "config": config_keys(), "python": python()}


def command_line() -> str:
    """Every command and option, as Typer tells them."""
    import typer
    import typer.main
    from typer.cli import get_docs_for_click

    from xplore.cli import app

    command: Any = typer.main.get_command(app)
    told = get_docs_for_click(obj=command, ctx=typer.Context(command), name="xplore", title="Command line")
    told = told.replace("```console\n$ ", "```text\n")
    for name, each in command.commands.items():  # Typer cuts these short
        line = f"* [`{name}`](#xplore-{name}): {each.help.split(chr(10))[0]}"
        told = re.sub(rf"(?m)^\* `{name}`: .*$", lambda _, line=line: line, told, count=1)
    rows = [
        ("0", "done; a gate passed; every finding reproduced"),
        ("1", "a gate failed; a replay did not reproduce everything"),
        ("2", "bad input, told in one line: what it is, what was expected, what came, how to mend it"),
        ("70", "a fault that is not known to be the input's; `--debug` shows where"),
        ("130", "interrupted by Ctrl-C; `--resume` goes on"),
    ]
    return told.rstrip() + "\n\n## Exit codes\n\n" + _table(("code", "means"), rows)


def config_keys() -> str:
    """Every key of a config, from pydantic and from the signatures of what a config can name."""
    from xplore.campaign.config.file import Config, Settings
    from xplore.campaign.config.instantiate import READING as HINTS
    from xplore.campaign.config.instantiate import READING_HELP

    told = (*PACKAGES, "models", "seeds", "campaign", "reference_model")
    of_config = [
        (
            f"[`{name}`](#{name})" if name in told else f"`{name}`",
            "yes" * field.is_required(),
            field.description or "",
        )
        for name, field in Config.model_fields.items()
    ]
    settings = [
        (f"`{name}`", said(field.annotation), _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    reading = [(f"`{name}`", said(hint), READING_HELP[name]) for name, hint in HINTS.items()]
    parts = [
        "# Config keys",
        CONFIG,
        _table(("key", "needed", "what"), of_config),
        "## campaign",
        _table(("key", "value", "default", "what"), settings),
        "## models",
        "A model's part has the arguments of its factory, and beside them what is said of any model "
        "([Your own models](your-model.md)):",
        _table(("key", "value", "what"), reading),
        "Factories that come with xplore: " + ", ".join(f"`{use}`" for use in _named("models")) + ".",
    ]
    for key, package in PACKAGES.items():
        parts.append(f"## {key}")
        for found in concrete(package):
            parts += _part(f"{package}:{found.__name__}", found)
        for use in (use for use in _named(key) if not use.startswith(package)):
            parts += _part(use, _found(use))
    parts.append("## seeds")
    parts.append("For `training`, too. Each returns inputs with `images`, and maybe `labels` and `classes`.")
    for module in pkgutil.iter_modules(importlib.import_module("xplore.data").__path__):
        load = getattr(importlib.import_module(f"xplore.data.{module.name}"), "load", None)
        if load is not None and not module.name.startswith("_"):
            parts += _part(f"xplore.data.{module.name}:load", load)
    parts.append("## reference_model")
    for use in _named("reference_model"):
        parts += _part(use, _found(use))
    return "\n\n".join(parts) + "\n"


def python() -> str:
    """The public names, with their signatures and docstrings."""
    import xplore

    parts = [
        "# Python",
        "What `import xplore` offers, from the docstrings. The parts of a campaign, and what each takes, are "
        "on [Config keys](config.md): a class that a config names is a class to import.",
    ]
    for name in sorted(xplore.__all__, key=str.lower):
        if not name.startswith("__"):
            found = getattr(xplore, name)
            parts += [f"## {name}", f"```text\n{_signature(name, found)}\n```", prose(found)]
            methods = vars(found).items() if inspect.isclass(found) else ()
            parts += [
                f"`.{word}{'' if isinstance(of, property) else '(...)'}`: {first_line(of)}"
                for word, of in methods
                if not word.startswith("_") and of.__doc__
                if isinstance(of, property) or inspect.isfunction(of)
            ]
    return "\n\n".join(parts) + "\n"


def concrete(package: str) -> Iterator[type]:
    """The classes that a package offers and that can be made."""
    for name, found in vars(importlib.import_module(package)).items():
        own = inspect.isclass(found) and found.__module__.startswith(package + ".")
        if own and not name.startswith("_") and not inspect.isabstract(found):
            yield found


def _named(key: str) -> list[str]:
    """What the configs that come with xplore name for a key."""
    from xplore._util.checkout import folder
    from xplore.campaign.config import file as configs

    used = set()
    for path in folder("configs").glob("*.toml"):
        parts = configs.parts(configs.load(str(path)))
        used |= {part["use"] for name, part in parts if name.split("[")[0] == key}
    return sorted(used)


def _found(use: str) -> Any:
    module, name = use.split(":")
    return getattr(importlib.import_module(module), name)


def _part(use: str, found: Any) -> list[str]:
    """A part: what names it, what it is, and its keys."""
    hints = _hints(found)
    rows = [
        (f"`{name}`", said(hints.get(name, Any), p.default), _default(p.default))
        for name, p in inspect.signature(found).parameters.items()
    ]
    keys = _table(("key", "value", "default"), rows) if rows else "It has no keys."
    name = found.__name__ if inspect.isclass(found) else use.removeprefix("xplore.")
    made = [word for word in ("infer", "of") if inspect.isclass(found) and hasattr(found, word)]
    how = f"Made by `{name}.{made[0]}` in Python; a config names a function that does so." if made else ""
    return [f"### {name}", f'`use = "{use}"`', prose(found), how, keys]


def _hints(found: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(found if inspect.isfunction(found) else found.__init__)
    except NameError:
        return {}


def said(hint: Any, default: Any = None) -> str:
    """An annotation in words: what may stand in a TOML file.

    >>> said(Literal["a", "b"] | None), said(tuple[float, ...]), said(float | list[float])
    ('`"a"`, `"b"` or none', 'list of numbers', 'number or list of numbers')
    """
    from xplore._util.recipe import Recipe

    if get_origin(hint) is typing.Annotated:
        return said(get_args(hint)[0], default)
    if hint is Any:  # a number that may be traced
        return (
            "number" if isinstance(default, (float, int)) else "number or none" if default is None else "any"
        )
    if get_origin(hint) is Literal:
        return ", ".join(f"`{_toml(word)}`" for word in get_args(hint))
    if get_origin(hint) in (typing.Union, types.UnionType):
        words = [said(one) for one in get_args(hint) if one is not types.NoneType]
        words += ["none"] if types.NoneType in get_args(hint) else []
        return " or ".join(dict.fromkeys(words))
    if get_origin(hint) in (list, tuple, Sequence):
        inner = next((one for one in get_args(hint) if one is not Ellipsis), Any)
        return "list of " + {"number": "numbers", "text": "texts"}.get(said(inner), said(inner))
    if get_origin(hint) is Callable or hint is Callable:
        return "part (a function)"
    plain = {bool: "true or false", int: "whole number", float: "number", str: "text", Recipe: "part (optax)"}
    return plain.get(hint) or ("text" if _is_path(hint) else f"part ({getattr(hint, '__name__', hint)})")


def _is_path(hint: Any) -> bool:
    return "PathLike" in str(hint) or hint is Path


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty or str(value) in ("PydanticUndefined",):
        return "needed"
    return "none" if value is None else f"`{_toml(value)}`"


def first_line(found: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())


def prose(found: Any) -> str:
    """A docstring as Markdown: its examples as code, what it raises as a line.

    A dataclass that says nothing of itself says nothing here.
    """
    own = vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
    told: list[str] = []
    for part in inspect.cleandoc(own or "").split("\n\n"):
        if part.startswith(">>> "):
            told.append(f"```pycon\n{part}\n```")
        elif part.startswith("Raises:"):
            errors = re.findall(r"(?m)^    (\w+): ((?:.|\n {6,})+)", part)
            told += [f"Raises `{name}`: {' '.join(text.split())}" for name, text in errors]
        else:
            told.append(part)
    return "\n\n".join(told)


def _signature(name: str, found: Any) -> str:
    """As it is called, without annotations; one argument a line where it is long."""
    signature = inspect.signature(found)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    line = f"{name}{signature.replace(parameters=bare, return_annotation=signature.empty)}"
    return line if len(line) < 88 else line.replace("(", "(\n    ", 1).replace(", ", ",\n    ")[:-1] + ",\n)"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for page, text in pages().items():
        Path(sys.argv[1], f"{page}.md").write_text(text, "utf-8")
