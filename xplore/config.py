"""TOML to objects: every part is named by `use = "module:Name"`, the rest are its arguments."""

from __future__ import annotations

import difflib
import importlib
import inspect
import tomllib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from xplore.errors import InputError
from xplore.search import Recipe

Part = dict[str, Any]


class Settings(BaseModel):
    """What a campaign does beside its parts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seeds: PositiveInt | None = Field(None, description="how many seeds; all, where it is left out")
    lanes: PositiveInt = Field(64, description="how many inputs step together; never decides what is found")
    rng: int = Field(0, ge=0, lt=2**31, description="the random state")
    round_size: PositiveInt = Field(256, description="seeds a round; aims follow coverage by rounds")
    lag: PositiveInt = Field(2, description="rounds after which coverage guides an aim")
    main_criterion: int = Field(0, ge=0, description="which criterion guides the search and heads the report")


class Config(BaseModel):
    """One campaign."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = "campaign"
    models: list[Part] = Field(min_length=2)
    seeds: Part
    constraint: Part
    objective: Part = {"use": "xplore.objectives:Joint"}
    search: Part = {"use": "xplore.search:Gradient"}
    oracle: Part = {"use": "xplore.oracles:LabelsDiffer"}
    criteria: list[Part] = Field([{"use": "xplore.coverage:NeuronCoverage"}], min_length=1)
    campaign: Settings = Settings()
    baseline: Part | None = None
    referee: Part | None = None
    training: Part | None = None


def folder() -> Path:
    """Where the configs that come with xplore are: inside the package, or beside it in a checkout."""
    inside = Path(__file__).with_name("configs")
    return inside if inside.is_dir() else Path(__file__).parents[1] / "configs"


def find(name: str) -> Path:
    """The file that a config is named by: a path, or the name of one that comes with xplore.

    Raises:
        InputError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    ours = folder() / (path.name if path.suffix == ".toml" else f"{name}.toml")
    if ours.is_file() and (path.parent == Path() or path.parent.name == "configs"):
        return ours
    known = sorted(file.stem for file in folder().glob("*.toml"))
    near = difflib.get_close_matches(path.stem, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"config {name}",
        expected=f"a file, or one of {', '.join(known)}",
        got="no such file",
        fix=f"{hint}name a TOML file",
    )


def load(name: str, settings: Sequence[str] = ()) -> Config:
    """A config by path or name, with `key.path=value` settings over it.

    Raises:
        InputError: a file, key or value that cannot be used; the message names it.
    """
    path = find(name)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            str(path), expected="a TOML file", got=str(error), fix="mend the line it names"
        ) from error
    for setting in settings:
        _set(data, setting)
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise _explained(error) from error
    for key, part in parts(config):
        _check(key, part)
    return config


def parts(config: Config) -> list[tuple[str, Part]]:
    """Every part with its TOML path."""
    found: list[tuple[str, Part]] = []
    for key in ("seeds", "constraint", "objective", "search", "oracle", "baseline", "referee", "training"):
        if (part := getattr(config, key)) is not None:
            found.append((key, part))
    for key in ("models", "criteria"):
        found += [(f"{key}[{index}]", part) for index, part in enumerate(getattr(config, key))]
    return found


def build(part: Part, **more: Any) -> Any:
    """The object or the result that a part names, from its arguments."""
    target = named(part["use"])
    hints = _hints(target)
    arguments = {key: _value(value, hints.get(key)) for key, value in part.items() if key != "use"}
    return target(**arguments, **more)


def named(use: str) -> Any:
    """What `"module:Name"` names.

    Raises:
        InputError: no such module or name.
    """
    module, _, name = use.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"use = {use!r}", expected='"module:Name" to import', got=str(error)) from error
    if not name or not hasattr(found, name):
        near = difflib.get_close_matches(name, dir(found), 1)
        fix = f"did you mean {near[0]!r}?" if near else ""
        raise InputError(f"use = {use!r}", expected=f"a name in {module}", got=name or "none", fix=fix)
    return getattr(found, name)


def _set(data: dict[str, Any], setting: str) -> None:
    """Apply one `key.path=value`; a value that is no TOML is a string."""
    path, equals, text = setting.partition("=")
    if not equals:
        raise InputError(f"--set {setting}", expected="key.path=value", got="no '='")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = path.strip().split(".")
    place: Any = data
    for key in parents:
        place = place[int(key)] if isinstance(place, list) and key.isdigit() else place.setdefault(key, {})
        if not isinstance(place, (dict, list)):
            raise InputError(f"--set {path}", expected="a path of tables", got=f"{key} is a value")
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value


def _value(value: Any, hint: Any) -> Any:
    if isinstance(value, dict) and "use" in value:
        if hint is Recipe:
            return Recipe.of(named(value["use"]), **{k: v for k, v in value.items() if k != "use"})
        return build(value)
    return None if value == "none" else value


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target if inspect.isfunction(target) else target.__init__)
    except (NameError, TypeError, AttributeError):
        return {}


def _check(key: str, part: Part) -> None:
    """Do the arguments fit the signature of what the part names?"""
    if not isinstance(part.get("use"), str):
        raise InputError(key, expected='use = "module:Name"', got=repr(part.get("use")))
    target = named(part["use"])
    signature = inspect.signature(target)
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return
    allowed = [name for name in signature.parameters if name != "self"]
    hints = _hints(target)
    for name, value in part.items():
        if name == "use":
            continue
        if name not in allowed:
            raise _unknown(f"{key}.{name}", name, allowed)
        if isinstance(value, dict) and "use" in value:
            _check(f"{key}.{name}", value)
        else:
            _check_value(f"{key}.{name}", value, hints.get(name), signature.parameters[name].default)


def _check_value(key: str, value: Any, hint: Any, default: Any) -> None:
    """Does a value fit its annotation? A traced number (`Number`) is known by its default."""
    if hint is Any and isinstance(default, (float, type(None))):
        hint = float | Literal["none"]
    if hint in (None, Any) or value == "none":
        return
    try:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        raise InputError(key, expected=_expected(error, hint), got=repr(value)) from error


def _expected(error: ValidationError, hint: Any) -> str:
    first = error.errors()[0]
    if hint == float | Literal["none"]:
        return 'a number, or "none"'
    return first["msg"].removeprefix("Input should be ")


def _unknown(key: str, name: str, allowed: Sequence[str]) -> InputError:
    near = difflib.get_close_matches(name, allowed, 1)
    fix = f"did you mean {near[0]!r}?" if near else ""
    return InputError(
        f"config key {key}", expected=f"one of {', '.join(allowed) or 'no keys'}", got=repr(name), fix=fix
    )


def _explained(error: ValidationError) -> InputError:
    """The first fault of a config, by its TOML path."""
    first = error.errors()[0]
    path = ".".join(str(key) for key in first["loc"])
    if first["type"] == "extra_forbidden":
        inner: type[BaseModel] = Settings if first["loc"][0] == "campaign" else Config
        return _unknown(path, str(first["loc"][-1]), list(inner.model_fields))
    if first["type"] == "missing":
        return InputError(f"config key {path}", expected="to be given", got="nothing")
    expected = first["msg"].removeprefix("Input should be ").removeprefix("List should have ")
    return InputError(f"config key {path}", expected=expected, got=repr(first["input"]))
