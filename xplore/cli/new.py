"""`xplore new`: a config to begin with, every key of it explained."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xplore._util.errors import InputError, one_line, shell, visible
from xplore.cli._app import app

HEAD = """\
# A campaign of xplore. Look at the models first, then search; the report lies in runs/{name}:
#   xplore inspect {file}
#   xplore run {file}
# Every key is here, at its default or as an example; where "#" leaves a line out, it may be taken in.
# A part is named by use = "module:Name", one of xplore's or of your own beside this file; its other keys are
# the arguments of what it names. Any key may be set on the command line, too: --set constraint.bound=0.5
# The digits of this example come with: pip install 'xplore-tests[demo]'
"""
MODELS = tuple(f"xplore.models.lenet:{name}" for name in ("lenet1", "lenet4", "lenet5"))
USED = {
    "seeds": "xplore.data.mnist:load",
    "constraint": "xplore.constraints:Occlusion",
    "objective": "xplore.objectives:Joint",
    "search": "xplore.search:Gradient",
    "oracle": "xplore.oracles:LabelsDiffer",
    "criteria": "xplore.coverage:NeuronCoverage",
    "baseline": "xplore.search:Random",
    "reference_model": "xplore.models.referee:referee",
    "training": "xplore.data.mnist:load",
    "backend": "xplore.campaign.backends:Ray",
}
"""The parts of the example; `OUT` are left out of it."""
OUT = ("oracle", "reference_model", "training", "backend")
ELSE = {
    "seeds": "in xplore.data: photos:load, npz:load, idx:load, udacity:load, pdf:load, phishing:load",
    "constraint": "in xplore.constraints: Lighting, Blackout, Ball, Affine, Photometric, Blur, Fog, Rain",
    "objective": "in xplore.objectives: Diverge, where models return numbers",
    "search": "in xplore.search: HillClimb, where a model has no gradient; Random; GridSearch; Original",
    "oracle": "in xplore.oracles: ValuesDiffer, AnglesDiffer, where models return numbers",
    "baseline": "in xplore.search: GridSearch, Original",
}
"""What may stand there instead."""
GIVEN: dict[str, Any] = {
    "training.part": "train",
    "seeds.path": "folder/with/idx/files",
    "training.path": "folder/with/idx/files",
    "search.optimizer": {"use": "optax:adam", "learning_rate": 0.1},
    "reference_model.path": "referee.safetensors",
    "backend.address": "auto",
    "backend.gpus": 0.5,
    "campaign.lanes": 64,
    "campaign.seeds": 100,
    "campaign.seconds": 600.0,
    "campaign.findings": 50,
    "campaign.queries": 100_000,
    "campaign.until_coverage": 0.9,
    "models.name": "mine",
    "models.weights": "mine.safetensors",
    "models.output": "logits",
    "models.scale": 1.0,
    "models.mean": 0.0,
    "models.std": 1.0,
    "models.layout": "NHWC",
    "models.size": [28, 28],
    "models.columns": [0],
    "models.classes": list("0123456789"),
    "models.include": ["conv*"],
    "models.exclude": ["softmax"],
    "models.unit": "mean",
}
"""Values beside the defaults, and examples where there is none."""
HELP = {
    "seeds.part": "or train",
    "seeds.path": "files of your own, instead of the digits that come along",
    "constraint.height": "of the rectangle, in pixels",
    "constraint.width": "of the rectangle, in pixels",
    "constraint.bound": "the share of the content that it may hide; none lifts it",
    "constraint.background": "the level of pixels that are no content",
    "objective.lambda1": "weighs the model that is to deviate against the others",
    "objective.lambda2": "weighs neurons that no finding has covered, as known `lag` rounds before",
    "objective.on": "how outputs are read: log_odds, log_probabilities, probabilities, logits",
    "objective.deviate": "which one is to: weakest (in turn, the least certain first), random, an index",
    "search.optimizer": "by default what suits the constraint",
    "search.steps": "a try",
    "search.tries": "a seed",
    "criteria.t": "a neuron is covered above it",
    "criteria.scale": "layer: each layer scaled to [0, 1] by its extremes; none: as it is",
    "baseline.steps": "a try; random search goes on until it has asked the models as often",
    "baseline.tries": "a seed",
    "reference_model.path": "weights of your own",
    "training.part": "what the models were trained on",
    "training.path": "as for seeds",
    "backend.address": "of a Ray cluster; by default a new one on this machine",
    "backend.cpus": "that a task takes",
    "backend.gpus": "that a task takes; by default one, where there are any",
    "backend.seconds": "that a task takes, about",
}
"""What an argument of a part is."""
WIDE = 34


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="NAME, for a file NAME.toml; it may lie in a folder.")],
) -> None:
    """Write a config that runs as it is, with a comment on every key."""
    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(sample(path))
    except FileExistsError as error:
        fix = "choose another name; nothing was overwritten"
        raise InputError(
            str(path), expected="a file that is not there", got="one that is", fix=fix
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte, a lone surrogate
        fix = "choose another name"
        raise InputError(str(path), expected="a file to be written", got=one_line(error), fix=fix) from error
    print(f"{visible(str(path))}: {shell('xplore', 'run', path)}")


def sample(path: Path) -> str:
    """The text of a config: the keys, defaults and words are those by which configs are checked."""
    from xplore.campaign.config.file import Config, Settings
    from xplore.campaign.config.instantiate import READING_HELP

    words = {key: str(field.description) for key, field in Config.model_fields.items()}
    name = path.name.removesuffix(".toml").replace("\\", "-")  # it names a folder, too
    lines = [HEAD.format(name=visible(name), file=shell(path)), _line("name", name, words["name"]), ""]
    lines.append(f"# {_capital(words['models'])}: functions that return one")
    for use in MODELS:
        lines += ["[[models]]", f"use = {_toml(use)}"]
    lines.append("# Beside the arguments of the function, of any model may be said:")
    lines += [
        _line(key, GIVEN[f"models.{key}"], description, out=True) for key, description in READING_HELP.items()
    ]
    for key, use in USED.items():
        lines += ["", *_part(key, use, words[key])]
    lines += ["", f"# {_capital(words['campaign'])}", "[campaign]"]
    for key, field in Settings.model_fields.items():
        given = GIVEN.get(f"campaign.{key}", field.default)
        lines.append(_line(key, given, str(field.description), out=field.default is None))
    return "\n".join([*lines, ""])


def _part(key: str, use: str, words: str) -> list[str]:
    """A table of the example, with every argument of what it names."""
    from xplore.campaign.config.instantiate import named

    mark = "# " if key in OUT else ""
    if key == "criteria":
        return _criteria(words)
    head = f"[{key}]"
    instead = [f"# Instead, {ELSE[key]}"] if key in ELSE else []
    lines = [f"# {_capital(words)}", *instead, f"{mark}{head}", f"{mark}use = {_toml(use)}"]
    for name, parameter in inspect.signature(named(use)).parameters.items():
        path = f"{key}.{name}"
        out = key in OUT or parameter.default is None
        lines.append(_line(name, GIVEN.get(path, parameter.default), HELP[path], out=out))
    return lines


def _criteria(words: str) -> list[str]:
    """The criteria of a config that names none."""
    from xplore.campaign.config.file import DEFAULTS

    lines = [f"# {_capital(words)}"]
    for part in DEFAULTS["criteria"]:
        lines += ["[[criteria]]", f"use = {_toml(part['use'])}", _line("t", part["t"], HELP["criteria.t"])]
    return [*lines, _line("scale", "layer", HELP["criteria.scale"])]


def _line(key: str, value: Any, description: str, *, out: bool = False) -> str:
    line = f"{'# ' * out}{key} = {_toml(value)}"
    return f"{line:<{WIDE}}  # {description}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _toml(value: Any) -> str:
    """A value in TOML; strings as JSON has them, which is also TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
