"""Parts of a config to objects: named by `use = "module:Name"`, the rest are arguments."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from xplore._util.errors import InputError, one_line
from xplore._util.recipe import Recipe

Part = dict[str, Any]
READING: dict[str, Any] = {
    "name": str,
    "weights": str,
    "output": Literal["logits", "probabilities", "multilabel", "values"],
    "scale": float | list[float],
    "mean": float | list[float],
    "std": float | list[float],
    "layout": Literal["NHWC", "NCHW"],
    "size": list[int],
    "columns": list[int | str],
    "classes": list[str | int],
    "include": list[str],
    "exclude": list[str],
    "unit": Literal["mean", "max", "position", "token"],
}
"""What a config may say of any model, beside the arguments of what it names; `weights` is a file."""
READING_HELP = {
    "name": "what it is called in reports",
    "weights": "a .safetensors file with the paths of the parameters as keys",
    "output": "what it returns: logits, probabilities, multilabel, values",
    "scale": "it reads (x * scale - mean) / std: numbers, or one a channel",
    "mean": "see scale",
    "std": "see scale",
    "layout": "the order of its axes: NHWC, NCHW",
    "size": "[height, width] that an image is resized to",
    "columns": "which features of a row, by index or name",
    "classes": "the order of its classes, where models differ in that",
    "include": "globs on a layer's name or kind: which count as coverage",
    "exclude": "globs likewise: which do not",
    "unit": "what a neuron is: mean (of a channel), max, position, token",
}
"""The same in words."""


def build(part: Part) -> Any:
    """The object or the result that a part names, from its arguments."""
    target = named(part["use"])
    hints = _hints(target)
    arguments = {key: _value(value, hints.get(key)) for key, value in part.items() if key != "use"}
    try:
        return target(**arguments)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            part["use"],
            expected="a part that can be built",
            got=one_line(error),
            fix="mend its arguments; the exception that it comes from says where",
        ) from error


def build_model(part: Part) -> Any:
    """The model that a part names: what its factory returns, adapted, with weights of a file if it names one.

    What has no name of its own is called as its factory is.

    Raises:
        InputError: it cannot be built, or the weights do not fit it.
    """
    from xplore.adapters import adapt, with_weights
    from xplore.model import Model

    own, reading = _split(part)
    weights = reading.pop("weights", None)
    made = build(own)
    options = {key: _value(value, READING[key]) for key, value in reading.items()}
    if not isinstance(made, Model) and not getattr(made, "name", ""):  # it is called as its factory is
        options = {"name": part["use"].rpartition(":")[2], **options}
    model = adapt(made, **options)
    return model if weights is None else with_weights(model, weights)


def check_model(key: str, part: Part) -> None:
    """Do the arguments of a model's part fit its factory, and what any model may be said to be?"""
    if not isinstance(part.get("use"), str):
        check(key, part)
    named(part["use"], key)
    own, reading = _split(part)
    for name, value in reading.items():
        _check_value(f"{key}.{name}", value, READING[name], None)
    check(key, own, also=tuple(name for name in READING if name not in own))


def _split(part: Part) -> tuple[Part, Part]:
    """The arguments of a model's factory, and what is said of the model that it returns."""
    try:
        known = inspect.signature(named(part["use"])).parameters
    except (TypeError, ValueError):
        return part, {}
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):  # an adapter: it passes them on
        known = {**known, **dict.fromkeys(name for name in READING if name != "weights")}
    reading = {key: value for key, value in part.items() if key in READING and key not in known}
    return {key: value for key, value in part.items() if key not in reading}, reading


def named(use: str, key: str = "") -> Any:
    """What `"module:Name"` names; `key` is where a config says so.

    Raises:
        InputError: no such module or name, or none that can be called.
    """
    what = f"config key {key}.use" if key else f"use = {use!r}"
    module, _, name = use.partition(":")
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module of the user's own may raise anything
        raise InputError(
            what,
            expected='"module:Name" that can be imported',
            got=f"{use!r} ({one_line(error)})",
            fix="name a module on Python's path, or one beside the config or in src there",
        ) from error
    if not name or not hasattr(found, name):
        near = difflib.get_close_matches(name, dir(found), 1)
        fix = f"did you mean {near[0]!r}?" if near else f"name one that {module} has"
        raise InputError(what, expected=f"a name in {module}", got=repr(name) if name else "none", fix=fix)
    if not callable(getattr(found, name)):
        raise InputError(what, expected="a class or a function", got=repr(use), fix="name one of these")
    return getattr(found, name)


def importable(place: Path) -> None:
    """A user's own parts may lie in a folder, beside the config that names them, or in `src` there."""
    for folder in (place.resolve(), place.resolve() / "src"):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _value(value: Any, hint: Any) -> Any:
    if isinstance(value, dict) and "use" in value:
        if Recipe in (hint, *typing.get_args(hint)):
            return Recipe.of(named(value["use"]), **{k: v for k, v in value.items() if k != "use"})
        return build(value)
    if isinstance(value, list):
        return tuple(_value(item, str) for item in value)  # a class may be called "none"
    return None if value == "none" and hint is not str else value


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target if inspect.isfunction(target) else target.__init__)
    except (NameError, TypeError, AttributeError):
        return {}


_EXAMPLES = {
    "search": "xplore.search:Gradient",
    "baseline": "xplore.search:Random",
    "objective": "xplore.objectives:Joint",
    "oracle": "xplore.oracles:LabelsDiffer",
    "constraint": "xplore.constraints:Ball",
    "criteria": "xplore.coverage:NeuronCoverage",
    "seeds": "xplore.data.npz:load",
    "training": "xplore.data.npz:load",
    "backend": "xplore.campaign.backends:Ray",
}
"""What a key of a config may be, as an error shows it."""


def check(key: str, part: Part, also: tuple[str, ...] = ()) -> None:
    """Do the arguments fit the signature of what the part names? `also` are other keys that it may have."""
    if not isinstance(part.get("use"), str):
        came = "nothing" if "use" not in part else repr(part["use"])
        raise InputError(
            f"config key {key}.use",
            expected='"module:Name"',
            got=came,
            fix=f'say what {key} is, as in use = "{_EXAMPLES.get(key.partition("[")[0], "mymodule:Name")}"',
        )
    target = named(part["use"], key)
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return
    hints = _hints(target)
    for name, value in part.items():
        if name == "use":
            continue
        if name not in signature.parameters:
            raise unknown(f"{key}.{name}", name, [*signature.parameters, *also])
        if isinstance(value, dict) and "use" in value:
            check(f"{key}.{name}", value)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                check(f"{key}.{name}[{index}]", item)
        else:
            _check_value(f"{key}.{name}", value, hints.get(name), signature.parameters[name].default)
    for name, parameter in signature.parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and name not in part:
            raise InputError(
                f"config key {key}.{name}",
                expected=f"to be given, as {part['use']} needs it",
                got="nothing",
                fix=f"add {name} = ... to {key}",
            )


def _check_value(key: str, value: Any, hint: Any, default: Any) -> None:
    """Does a value fit its annotation? A traced number (`Number`) is known by its default."""
    if hint is Any and isinstance(default, (float, type(None))):
        hint = float | Literal["none"]
    if hint in (None, Any):
        return
    known = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    for form in (
        value,
        _tuples(value),
        None if value == "none" else value,
    ):
        try:
            known.validate_python(form, strict=True)
            return
        except ValidationError as error:
            fault = error
    raise InputError(
        f"config key {key}",
        expected=_expected(fault, hint),
        got=repr(value),
        fix=f"set {key.rsplit('.', 1)[-1]} to that",
    ) from fault


def _tuples(value: Any) -> Any:
    """Lists as tuples, inner ones too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _expected(error: ValidationError, hint: Any) -> str:
    first = error.errors()[0]
    if hint == float | Literal["none"]:
        return 'a number, or "none"'
    return first["msg"].removeprefix("Input should be ")


def unknown(key: str, name: str, allowed: Sequence[str]) -> InputError:
    lowered = {known.lower(): known for known in allowed}
    near = difflib.get_close_matches(name.lower(), lowered, 1)
    fix = f"did you mean {lowered[near[0]]!r}?" if near else "remove it"
    return InputError(
        f"config key {key}", expected=f"one of {', '.join(allowed) or 'no keys'}", got=repr(name), fix=fix
    )
