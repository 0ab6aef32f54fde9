"""Findings judged again by the plain models, outside the engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xplore.adapters import adapt
from xplore.adapters.predictor import reading
from xplore.archive import Archive
from xplore.encoding import Encoding, encoding_of
from xplore.errors import InputError
from xplore.factories import arguments, from_zoo, make
from xplore.model import Model
from xplore.oracles import AnglesDiffer, LabelsDiffer, Oracle, ValuesDiffer
from xplore.panel import Panel
from xplore.table import Table


def replay(
    folder: str | Path,
    models: Sequence[Any] | None = None,
    *,
    prefix: str = "",
    as_tested: bool = True,
    oracle: Oracle | None = None,
) -> dict[str, bool]:
    """Judge each stored finding again, by the plain models, one at a time: `{id: does it reproduce?}`.

    It reproduces if the models still differ, and every one decides as recorded. With `as_tested=False` the
    models may have other weights than those that were tested, and need only differ. Without `models` they
    are built from the config that the archive records, if all of them are of its own zoo: no other code
    that an archive names is imported. An `oracle` is needed only where the campaign's was the user's own.

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
    with closing(Archive.open(Path(folder))) as archive, archive.snapshot():
        shape = next((shape_of(one.media, one.after) for one in archive.findings()), None)
        panel = _replaying(archive.meta, folder, models, as_tested, shape)
        judge = oracle or _oracle(archive.meta, folder)
        reproduced = {}
        for finding in archive.findings(prefix=prefix):
            decisions, differ = alone(panel, judge, finding.media, finding.after)
            reproduced[finding.id] = differ and (decisions == finding.decisions or not as_tested)
    return reproduced


def shape_of(media: str, data: bytes) -> tuple[int, ...]:
    """The shape of a stored input, as models read it."""
    encoding = encoding_of(media, data)
    return encoding.shape(encoding.unpack(data).shape)


@jax.jit
def _plain(panel: Panel, encoding: Encoding, codes: Any) -> Any:
    return panel.plain(encoding.decode(codes))


def alone(panel: Panel, oracle: Oracle, media: str, data: bytes) -> tuple[tuple[int, ...], bool]:
    """What each model decides on one stored input, as written and by itself, and whether they differ."""
    encoding = encoding_of(media, data)
    outputs = _plain(panel, encoding, encoding.unpack(data)[None])
    return tuple(np.asarray(oracle.decisions(outputs))[:, 0].tolist()), bool(oracle.divided(outputs)[0])


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
    if len(panel.models) != len(meta["models"]):
        raise InputError(
            f"models of {folder}",
            expected=", ".join(known["name"] for known in meta["models"]),
            got=", ".join(panel.names),
            fix="give the models of that campaign, in its order",
        )
    for model, known in zip(panel.models, meta["models"], strict=True):
        if as_tested and shape is not None and model.digest() != known["digest"]:
            raise InputError(
                f"model {model.name}",
                expected=f"the weights that were tested (sha256 {known['digest'][:12]})",
                got=model.digest()[:12],
                fix="load the weights of that campaign",
            )
    return panel


def _model(part: dict[str, Any]) -> Model:
    """A model of the zoo, read as an archive says."""
    return adapt(make({"use": part["use"]}, "model"), **arguments(part, "model"))


def _oracle(meta: dict[str, Any], folder: str | Path) -> Oracle:
    """The oracle of a campaign, if it is one of xplore's."""
    told = meta.get("decisions", {"kind": "labels"})
    match told.get("kind"):
        case "labels":
            return LabelsDiffer()
        case "values":
            return ValuesDiffer(float(told["apart"]), str(told["unit"]))
        case "angles":
            return AnglesDiffer(float(told["apart"]))
    raise InputError(
        f"oracle of {folder}",
        expected="one of xplore.oracles",
        got=str(meta.get("oracle")),
        fix="give it: xplore.replay(folder, models, oracle=...)",
    )
