"""What the fixture `campaign` is: campaigns and gates of one test, and what is kept for the next run."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xplore
from xplore.errors import InputError, shell, visible
from xplore.regressions import Regressions
from xplore.report.failure import failure
from xplore.schema import FILE

if TYPE_CHECKING:
    from xplore.coverage import CellCriterion
    from xplore.finding import Finding
    from xplore.gating import Verdict
    from xplore.result import Result


class Campaigns:
    """`run` as `xplore.run`, `gate` as `xplore.gate`, `coverage` as `xplore.coverage_of`; quiet.

    What a failing test found lies in `.xplore/`, by the test's id, and is judged first at the next run: if it
    still shows, nothing is searched; if it does not, it is forgotten. Regression inputs that were committed
    are judged first always.
    """

    def __init__(self, node: pytest.Item, folders: pytest.TempPathFactory, rng: int) -> None:
        self._node, self._folders, self._rng = node, folders, rng
        self._results: list[Result] = []
        self._verdicts: list[Verdict] = []
        config = node.config
        place = Path(config.getoption("--xplore-out") or config.rootpath / ".xplore")
        self.entry = place / _slug(node.nodeid)
        kept = config.getoption("--xplore-keep")
        self._keep = None if kept is None else Regressions(Path(kept))
        committed = Regressions(Path(config.rootpath, config.getini("xplore_regressions")))
        self._places = [committed] if self._keep is None else [committed, self._keep]

    def run(self, models: Sequence[Any], inputs: Any, labels: Any = None, **how: Any) -> Result:
        """`xplore.run`; findings of the last run that still show are the result, and nothing is searched."""
        self._regress(models, how)
        again = self._replayed(lambda: models, how.get("oracle"))
        return self._ran(again or xplore.run(models, inputs, labels, **self._how(how)))

    def gate(self, old: Any, new: Any, inputs: Any, labels: Any = None, **how: Any) -> Verdict:
        """`xplore.gate`; the test fails where it does, or where regression inputs are answered wrongly."""
        from xplore.gating import gate, replayed

        self._regress([old, new], how, gated=True)
        again = self._again()
        if again is not None:
            folder, asked = again
            still = self._still(folder, [old, new], how.get("oracle"), asked)
            verdict = replayed(_narrowed(folder, still), how.get("allow"), bool(how.get("null")), asked)
            if verdict is not None:
                return self._judged(verdict)
        return self._judged(gate(old, new, inputs, labels, **self._how(how)))

    def _judged(self, verdict: Verdict) -> Verdict:
        self._ran(verdict.result)
        self._verdicts.append(verdict)
        if not verdict:
            pytest.fail(verdict.told, pytrace=False)
        return verdict

    def coverage(self, model: Any, inputs: Any, criterion: CellCriterion | None = None) -> float:
        """The share of a criterion's cells that inputs reach in a model."""
        return xplore.coverage_of(model, inputs, criterion)

    def configured(self, config: str, **settings: Any) -> Result:
        """A config's campaign, with settings of its `campaign` table, `steps` and `tries` of its search."""
        from xplore.config import build_model, load
        from xplore.configured import run_config

        given = {**self._budget(), **settings}
        place = Path(self._node.config.rootpath, config)
        name = str(place) if place.is_file() else config
        tables = {"steps": "search", "tries": "search"}
        settings = {"rng": self._rng, **given}
        loaded = load(
            name, [f"{tables.get(key, 'campaign')}.{key}={value}" for key, value in settings.items()]
        )
        again = self._replayed(lambda: [build_model(part) for part in loaded.models])
        command = shell("pytest", self._node.nodeid)
        return self._ran(again or run_config(loaded, self._folder(), command=command, progress=False))

    def ended(self, failed: bool) -> list[str]:
        """The test ended: what it found is kept and told, or forgotten."""
        if not failed:
            shutil.rmtree(self.entry, ignore_errors=True)
            return []
        for number, result in enumerate(self._results):
            place = self.entry / str(number)
            if result.folder != place and self._node.config.getoption("--xplore-replay") is None:
                self._forget(place)
                shutil.copytree(result.folder, place)
                kept = xplore.Result(place)
                kept.only(finding.id for finding in result.findings)
                self._results[number] = kept
            if self._keep is not None:
                meta = result.archive.meta.get("table") or {}
                names = [str(column["name"]) for column in meta.get("columns", ())]
                self._keep.keep(self._node.nodeid, _examples(result), names)
        replays = [word for result in self._results for word in ("--xplore-replay", result.folder)]
        commands = [
            "judge them again:  " + shell("pytest", self._node.nodeid, *replays),
            "search as here:    " + shell("pytest", self._node.nodeid, "--xplore-rng", str(self._rng)),
        ]
        return ["\n".join([*failure(result), *commands]) for result in self._results]

    @property
    def properties(self) -> list[tuple[str, Any]]:
        """Figures for JUnit XML and for the summary."""
        valid = sum(len(result.valid) for result in self._results)
        told: list[tuple[str, Any]] = [("xplore.campaigns", len(self._results)), ("xplore.valid", valid)]
        for verdict in self._verdicts:
            for line in verdict.lines:
                if line.share is not None:
                    told += [(f"xplore.{line.where}.{key}", value) for key, value in line.share.items()]
        return [*told, ("xplore.rng", self._rng)] if self._results else []

    def _how(self, how: dict[str, Any]) -> dict[str, Any]:
        budget = self._budget()
        if "seconds" in budget and "budget" not in how:
            how = {"budget": xplore.Budget(seconds=budget["seconds"]), **how}
        seeds = {"seeds": budget["seeds"]} if "seeds" in budget else {}
        return {"progress": False, "rng": self._rng, "out": self._folder(), **seeds, **how}

    def _budget(self) -> dict[str, Any]:
        from xplore.durations import duration

        option = self._node.config.getoption
        seeds, time = option("--xplore-seeds"), option("--xplore-time")
        if seeds is not None and not (seeds.isascii() and seeds.isdigit() and int(seeds)):
            raise InputError("--xplore-seeds", expected="a whole number >= 1", got=repr(seeds), fix="use 100")
        told = {} if seeds is None else {"seeds": int(seeds)}
        return told if time is None else {**told, "seconds": duration(time, "--xplore-time")}

    def _folder(self) -> Path:
        return self._folders.mktemp("xplore") / "campaign"

    def _ran(self, result: Result) -> Result:
        self._results.append(result)
        return result

    def _forget(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def _again(self) -> tuple[Path, bool] | None:
        """The folder to be judged again before this campaign, and whether it was asked for."""
        asked, number = self._node.config.getoption("--xplore-replay"), len(self._results)
        if asked is None:
            folder = self.entry / str(number)
            return (folder, False) if (folder / FILE).is_file() else None
        if number >= len(asked):
            raise InputError(
                "--xplore-replay",
                expected="a folder for each campaign of the test",
                got=f"{len(asked)}",
                fix="give the option once for each, in their order",
            )
        return Path(asked[number]), True

    def _replayed(self, models: Callable[[], Sequence[Any]], oracle: Any = None) -> Result | None:
        """What an earlier run found, if some still shows or it was asked for; else that is forgotten."""
        again = self._again()
        if again is None:
            return None
        folder, asked = again
        still = self._still(folder, models(), oracle, asked)
        if still or asked:
            return _narrowed(folder, still)
        self._forget(folder)
        return None

    def _still(self, folder: Path, models: Sequence[Any], oracle: Any, asked: bool) -> list[str]:
        """The findings in a folder that still show."""
        try:
            told = xplore.replay(folder, models, as_tested=False, oracle=oracle)
        except InputError:  # of another version, of models of another kind: nothing to go by
            if asked:
                raise
            self._forget(folder)
            return []
        return [name for name, shows in told.items() if shows]

    def _regress(self, models: Sequence[Any], how: dict[str, Any], *, gated: bool = False) -> None:
        """Fail where models differ on regression inputs of this test; in a gate, where the new one errs."""
        from xplore.regressions import judged

        kept = [one for place in self._places for one in place.of(self._node.nodeid)]
        faults = []
        for one, decisions, differ in judged(kept, models, how.get("constraint"), how.get("oracle")):
            wrong = decisions[-1] != one.expected if gated and one.expected is not None else differ
            if wrong:
                expected = "?" if one.expected is None else one.expected
                said = f"expected {expected}; answered {', '.join(map(str, decisions))}"
                faults.append(f"  {visible(str(one.path))}: {said}")
        if faults:
            head = f"{len(faults)} of {len(kept)} regression inputs are still answered wrongly"
            pytest.fail("\n".join([head, *faults]), pytrace=False)


def _narrowed(folder: Path, still: Sequence[str]) -> Result:
    result = xplore.Result(folder)
    result.only(still)
    return result


def _examples(result: Result) -> list[Finding]:
    """A valid finding of each fault group."""
    from xplore.report.reading import read

    kept = {finding.id: finding for finding in result.valid}
    groups = read(result.archive).groups if kept else ()
    rows = [[row for row in group.rows if row.id in kept] for group in groups]
    return [kept[of[0].id] for of in rows if of]


def _slug(nodeid: str) -> str:
    """A folder's name for a test's id, which no two tests share."""
    words = re.sub(r"[^0-9A-Za-z]+", "-", nodeid).strip("-")[-60:]
    return f"{words}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"
