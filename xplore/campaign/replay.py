"""Findings judged again by the plain models, outside the engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xplore._util.errors import InputError, short
from xplore._util.identity import fields
from xplore._util.jax_settings import own_settings
from xplore.adapters import adapt
from xplore.adapters.predictor import reading
from xplore.archive import Archive
from xplore.archive.merged_metadata import parts
from xplore.archive.metadata import comparable, here
from xplore.archive.rows import DAMAGE
from xplore.archive.trusted import arguments, from_zoo, make
from xplore.campaign.claims import CHECKED, Claims, ask
from xplore.constraints import Constraint
from xplore.inputs.encoding import encoding_of
from xplore.inputs.table import Table
from xplore.model import Model
from xplore.oracles import AnglesDiffer, LabelsDiffer, NegativeFlips, Oracle, ValuesDiffer
from xplore.panel import Panel

FEATURES = "xplore.constraints:Features"
AS_RECORDED = "labels, distances to training inputs, answers of the reference model, coverage: as recorded"
"""What no replay looks at."""


@dataclass(frozen=True)
class Replayed:
    """What came of a replay: of each finding, by its id, what it claims and does not hold; nothing, where all
    of it does. `unchecked` tells what was not looked at, and why.
    """

    faults: dict[str, tuple[str, ...]]
    unchecked: tuple[str, ...] = ()


@own_settings()
def replay(
    folder: str | Path,
    models: Sequence[Any] | None = None,
    *,
    prefix: str = "",
    as_tested: bool = True,
    oracle: Oracle | None = None,
    constraint: Constraint | None = None,
) -> dict[str, bool]:
    """Judge each stored finding again, by the plain models, one at a time: `{id: does it reproduce?}`.

    It reproduces if all that it claims holds: the models still differ, every one decides as recorded and is
    as sure; the seed's decisions and its label are those recorded of the seed; its reasons not to count are
    those that hold; sizes, bound and smallest change are as told, and its id is the hash of its two inputs.
    `rejudged` says what does not hold, and what could not be looked at. With `as_tested=False` the
    models may have other weights than those that were tested, and need only differ.

    Without `models` they are built from what the archive records, if that may be named (`archive.trusted`):
    no other code that an archive names is imported. The constraint, too; give that of a campaign with rules
    or functions of your own. An `oracle` is needed only where the campaign's was the user's own.

    >>> import xplore
    >>> from xplore.data import phishing
    >>> from xplore.models.phishing import phishing1, phishing2
    >>> pages, how = phishing.load(), {"steps": 3, "tries": 1, "lanes": 8, "progress": False}
    >>> models = [phishing1(), phishing2()]
    >>> result = xplore.run(models, pages.images[:8], constraint=phishing.realistic(), **how)
    >>> list(replay(result.folder, models).values())
    [True]

    Raises:
        InputError: no archive, no models to be had, or models with other weights than those recorded.
    """
    given = {"prefix": prefix, "as_tested": as_tested, "oracle": oracle, "constraint": constraint}
    return {name: not faults for name, faults in rejudged(folder, models, **given).faults.items()}


def rejudged(
    folder: str | Path,
    models: Sequence[Any] | None = None,
    *,
    prefix: str = "",
    as_tested: bool = True,
    oracle: Oracle | None = None,
    constraint: Constraint | None = None,
) -> Replayed:
    """What `replay` says, with what does not hold of each finding, and what was not looked at; raises as it
    does.
    """
    with closing(Archive.open(Path(folder))) as archive, archive.snapshot():
        meta = archive.meta
        shape = next((shape_of(one.media, one.after) for one in archive.findings()), None)
        panel = _replaying(meta, folder, models, as_tested, shape)
        judge = oracle or _oracle(meta, folder)
        found = archive.findings(prefix=prefix)
        if not as_tested:
            differ = ((one.id, ask(panel, judge, one.media, one.after).differ) for one in found)
            return Replayed({name: () if yes else ("the models do not differ",) for name, yes in differ})
        charts, unchecked = _charts(meta, constraint)
        claims = [Claims(panel, judge, chart) for chart in charts]
        seeds = {(seed.campaign, seed.seed): seed for seed in archive.seeds()}
        faults: dict[str, tuple[str, ...]] = {}
        for one in found:
            by = claims[one.campaign] if 0 <= one.campaign < len(claims) else Claims(panel, judge)
            faults[one.id] = by.faults(one, seeds.get((one.campaign, one.seed)))
            unchecked += [f"reason {name}" for name in one.reasons if name not in CHECKED]
        return Replayed(faults, tuple(dict.fromkeys(unchecked)))


def _charts(meta: dict[str, Any], given: Constraint | None) -> tuple[list[Constraint | None], list[str]]:
    """The constraint of each campaign of an archive, and what is not looked at without it."""
    charts: list[Constraint | None] = []
    unchecked = []
    for account in parts(meta):
        found = [given] if given is not None else _recorded(account)
        chart = next((chart for chart in found if _is(chart, account)), None)
        charts.append(chart)
        if chart is None:
            why = "which is not the one that was given" if found else "which the archive cannot make again"
            unchecked.append(
                f"bounds and sizes of changes by {short(account.get('constraint'))}, {why}: give constraint="
            )
    return charts, [
        *unchecked,
        AS_RECORDED,
    ]


def _recorded(account: dict[str, Any]) -> list[Constraint]:
    """What may have been a campaign's constraint, of what its archive says of it."""
    config = account.get("config")
    accounts = [account.get("parts"), config if isinstance(config, dict) else None]
    made = []
    for part in (held.get("constraint") for held in accounts if held):
        table = account.get("table")
        of_table = {"table": table} if table and part and part.get("use") == FEATURES else {}
        with suppress(InputError, *DAMAGE):
            made.append(make({**part, **of_table}, "constraint"))
    return made


def _is(chart: Constraint, account: dict[str, Any]) -> bool:
    """Is this a campaign's constraint? By its digest, where that can be compared, else by what it prints."""
    now = {"versions": here(), "digests": {"constraint": fields(chart)}}
    if comparable(account, now):
        return account["digests"].get("constraint") == now["digests"]["constraint"]
    return repr(chart) == account.get("constraint") and chart.description == account.get("bound")


def shape_of(media: str, data: bytes) -> tuple[int, ...]:
    """The shape of a stored input, as models read it."""
    encoding = encoding_of(media, data)
    return encoding.shape(encoding.unpack(data).shape)


def _replaying(
    meta: dict[str, Any],
    folder: str | Path,
    models: Sequence[Any] | None,
    as_tested: bool,
    shape: tuple[int, ...] | None,
) -> Panel:
    """The models that judge inputs `[b *shape]` again: those that were tested, if that is asked.

    Where no input is to be judged there is no shape, by which models are bound, and nothing is compared.
    """
    if models is None:
        if not from_zoo(meta):
            raise InputError(
                f"models of {folder}",
                expected="a campaign whose models are all of xplore's own zoo",
                got="models of your own",
                fix="give the config they came from (--config), each one (--model), or use xplore.replay",
            )
        models = [_model(part) for part in meta["config"]["models"]]
    table = Table.recorded(meta["table"]) if meta.get("table") else None
    panel = Panel.of([reading(model, table) for model in models])
    panel = panel if shape is None else panel.bind(shape)
    tested = meta.get("models") or []
    if len(panel.models) != len(tested):
        raise InputError(
            f"models of {folder}",
            expected=", ".join(known["name"] for known in tested) or "models that the archive tells of",
            got=", ".join(panel.names),
            fix="give the models of that campaign, in its order",
        )
    for model, known in zip(panel.models, tested, strict=True):
        digest = known.get("digest") or "not recorded"
        if as_tested and shape is not None and model.digest() != digest:
            raise InputError(
                f"model {model.name}",
                expected=f"the weights that were tested (sha256 {digest[:12]})",
                got=model.digest()[:12],
                fix="load the weights of that campaign",
            )
    return panel


def _model(part: dict[str, Any]) -> Model:
    """A model of the zoo, read as an archive says."""
    return adapt(make({"use": part["use"]}, "model"), **arguments(part, "model"))


def _oracle(meta: dict[str, Any], folder: str | Path) -> Oracle:
    """The oracle of a campaign, if it is one of xplore's; of `NegativeFlips` how it divides single inputs."""
    decisions = meta.get("decisions") or {"kind": "labels"}
    made: Oracle | None = None
    match decisions.get("kind"):
        case "labels":
            made = LabelsDiffer()
        case "values":
            made = ValuesDiffer(float(decisions["apart"]), str(decisions["unit"]))
        case "angles":
            made = AnglesDiffer(float(decisions["apart"]))
    if made is not None and meta.get("oracle") in (None, repr(made), repr(NegativeFlips())):
        return made
    raise InputError(
        f"oracle of {folder}",
        expected="one of xplore.oracles",
        got=str(meta.get("oracle")),
        fix="give it: xplore.replay(folder, models, oracle=...)",
    )
