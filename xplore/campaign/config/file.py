"""A campaign in TOML: read, checked, and explained where it is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from xplore._util import moved
from xplore._util.checkout import folder
from xplore._util.errors import InputError
from xplore.campaign.config import toml
from xplore.campaign.config.instantiate import (
    Part,
    build,
    build_model,
    check,
    check_model,
    importable,
    unknown,
)

__all__ = ["Config", "Settings", "build", "build_model", "find", "load", "parts"]


OPTIONAL = ("objective", "oracle", "baseline", "reference_model", "training", "backend")
"""Parts that a config may do without: `--set baseline=none` drops one."""
THRESHOLDS = (0.0, 0.25, 0.5, 0.75)
"""Of neuron coverage, by which a campaign measures where it names no criteria: from Python, too."""
DEFAULTS: dict[str, Any] = {
    "search": {},
    "criteria": [{"use": "xplore.coverage:NeuronCoverage", "t": t} for t in THRESHOLDS],
}
"""Parts that a config need not name, but has: `--set search.steps=5` sets an argument of the default."""
LIMITS = {"steps", "tries"}
"""Arguments that all searches have: with these alone, the search is the one that suits the models."""
LONGEST_NAME = 60


class Settings(BaseModel):
    """What a campaign does beside its parts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seeds: PositiveInt | None = Field(default=None, description="how many seeds; all, where it is left out")
    seconds: PositiveFloat | None = Field(default=None, description="ends after so long, without compilation")
    findings: PositiveInt | None = Field(default=None, description="ends with so many valid findings")
    queries: PositiveInt | None = Field(default=None, description="ends after so many queries of the models")
    until_coverage: float | None = Field(
        default=None, gt=0, le=1, description="ends when every model has this coverage, by the main criterion"
    )
    lanes: PositiveInt | None = Field(
        default=None,
        description="inputs that step together, by default what fits the device; never decides what is found",
    )
    rng: int = Field(default=0, ge=0, lt=2**31, description="the random state")
    round_size: PositiveInt = Field(default=256, description="seeds a round; aims follow coverage by rounds")
    lag: PositiveInt = Field(default=2, description="rounds after which coverage guides an aim")
    lowering: Literal["as_written", "fast"] = Field(
        default="as_written",
        description="how the search computes the models: fast is in the ways measured to be fastest here",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="the numbers that the search computes the models with"
    )
    shrink: bool = Field(default=True, description="reduce each finding to the smallest change that shows it")
    main_criterion: int = Field(
        default=0, ge=0, description="the criterion that guides the search, heads the report"
    )


class Config(BaseModel):
    """One campaign."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field("campaign", description="what the campaign is called; runs/NAME is its folder")
    models: list[Part] = Field(min_length=2, description="two or more models under test")
    seeds: Part = Field(description="inputs to start from, and their labels where there are any")
    constraint: Part = Field(description="how an input may change")
    objective: Part | None = Field(
        None, description="what the search climbs; by default it follows the models"
    )
    search: Part | None = Field(
        None, description="how the search moves; by default up the gradient, where the models have one"
    )
    oracle: Part | None = Field(
        None, description="what counts as a disagreement; by default it follows the models"
    )
    criteria: list[Part] = Field(
        DEFAULTS["criteria"],
        min_length=1,
        description="what is measured as coverage, one or more",
    )
    campaign: Settings = Field(Settings(), description="everything beside the parts")
    baseline: Part | None = Field(None, description="another search on the same seeds, to compare with")
    reference_model: Part | None = Field(
        None, description="an outside classifier: findings whose label it doubts are shown apart"
    )
    training: Part | None = Field(None, description="inputs of which the nearest to each finding is measured")
    backend: Part | None = Field(None, description="where it is computed; here, where it is left out")

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        fits = 0 < len(name) <= LONGEST_NAME and name.isprintable() and not {*name} & {*"/\\"}
        if not fits or name.startswith("."):
            raise ValueError(f"a name of 1 to {LONGEST_NAME} characters that a folder can have")
        return name


def find(name: str) -> Path:
    """The file that a config is named by: a path, or the name of one that comes with xplore.

    Raises:
        InputError: there is none.
    """
    path = Path(name)
    if _is_file(path):
        return path
    ours = folder("configs") / (path.name if path.suffix == ".toml" else f"{name}.toml")
    if _is_file(ours) and (path.parent == Path() or path.parent.name == "configs"):
        return ours
    known = sorted(file.stem for file in folder("configs").glob("*.toml"))
    near = difflib.get_close_matches(path.stem, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"config {name}",
        expected=f"a file, or one of {', '.join(known)}",
        got="no such file",
        fix=f"{hint}name a TOML file",
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def load(name: str, settings: Sequence[str] = ()) -> Config:
    """A config by path or name, with `key.path=value` settings over it.

    Paths in a file start where the file lies, and so do its modules; those of settings start where the
    process does, as they were typed there.

    Raises:
        InputError: a file, key or value that cannot be used; the message names it.
    """
    path = find(name)
    ours = path.parent == folder("configs")
    data = toml.read(path)
    toml.check_plain(data)
    data = {moved.key(key): value for key, value in data.items()}
    if not ours:
        data = toml.rooted(data, path.parent)
    for setting in map(moved.key, settings):
        key = setting.partition(".")[0]
        if key in DEFAULTS:
            data.setdefault(key, deepcopy(DEFAULTS[key]))
        toml.put(data, setting)
    toml.check_plain(data)
    for key in OPTIONAL:
        if data.get(key) == "none":
            del data[key]
    if isinstance(data.get("search"), dict) and not data["search"].keys() <= LIMITS:
        data["search"].setdefault("use", "xplore.search:Gradient")
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise _explained(error) from error
    if not ours:
        importable(path.parent)
    if any("use" in setting for setting in settings):
        importable(Path())
    for key, part in parts(config):
        (check_model if key.startswith("models[") else check)(key, part)
    return config


def parts(config: Config) -> list[tuple[str, Part]]:
    """Every part with its TOML path."""
    found: list[tuple[str, Part]] = []
    for key in ("seeds", "constraint", "search", *OPTIONAL):
        part = getattr(config, key)
        if part is not None and not (key == "search" and part.keys() <= LIMITS):
            found.append((key, part))
    for key in ("models", "criteria"):
        found += [(f"{key}[{index}]", part) for index, part in enumerate(getattr(config, key))]
    return found


def _explained(error: ValidationError) -> InputError:
    """The first fault of a config, by its TOML path; a key that is unknown before one that is missing."""
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    path = ".".join(str(key) for key in first["loc"])
    if first["type"] == "extra_forbidden":
        inner: type[BaseModel] = Settings if first["loc"][0] == "campaign" else Config
        return unknown(path, str(first["loc"][-1]), list(inner.model_fields))
    if first["type"] == "missing":
        return InputError(
            f"config key {path}", expected="to be given", got="nothing", fix=f"add {path} to the config"
        )
    expected = first["msg"]
    for prefix in ("Input should be ", "List should have ", "Value error, "):
        expected = expected.removeprefix(prefix)
    came = repr(first["input"])
    came = came if len(came) < 80 else f"{came[:77]}..."
    return InputError(f"config key {path}", expected=expected, got=came, fix=f"set {path} to that")
