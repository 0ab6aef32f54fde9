"""What the fixture `campaign` is: campaigns and gates of one test, and what is kept for the next run."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xplore
from xplore._util.errors import InputError, one_line, shell, visible
from xplore.regression.committed import Regressions
from xplore.regression.folders import Entry, forget
from xplore.report.failure import failure
from xplore.report.gate import verdict as gate_verdict

if TYPE_CHECKING:
    from xplore.archive.records import Finding
    from xplore.campaign.result import Result
    from xplore.coverage import CellCriterion
    from xplore.regression.gate import Verdict

KEEP = "--xplore-keep"
FAULTS = (InputError, OSError, sqlite3.Error)
"""What a disk or a damaged file may do: it is told beside the test's own failure."""


class Campaigns:
    """`run` as `xplore.run`, `gate` as `xplore.gate`, `coverage` as `xplore.coverage_of`; quiet.

    What a failing test found lies in `.xplore/`, by the test's id, and is judged first at the next run: if it
    still shows, nothing is searched; if it does not, it is forgotten. Regression inputs that were committed
    are judged first always.
    """

    def __init__(self, node: pytest.Item, rng: int) -> None:
        self._node, self._rng = node, rng
        self._entry: Entry | None = None
        self._results: list[Result] = []
        self._verdicts: list[Verdict] = []
        self._passed, self._failed = False, True  # until it ends: what is found before an interrupt stays
        config = node.config
        self._start = config.invocation_params.dir  # a test may be anywhere by now
        committed, keep = Path(config.rootpath, config.getini("xplore_regressions")), config.getoption(KEEP)
        self._keep = None if keep is None else Regressions(self._start / keep)
        places = [committed] if self._keep is None else [committed, self._keep.folder]
        self._places = list(map(Regressions, dict.fromkeys(place.resolve() for place in places)))

    @property
    def entry(self) -> Entry:
        """This test's folder, taken at its first campaign."""
        if self._entry is None:
            config = self._node.config
            out = config.getoption("--xplore-out")
            place = config.rootpath / ".xplore" if out is None else self._start / out
            self._entry = Entry(place / _slug(self._node.nodeid))
        return self._entry

    def run(self, models: Sequence[Any], inputs: Any, labels: Any = None, **how: Any) -> Result:
        """`xplore.run`; findings of the last run that still show are the result, and nothing is searched."""
        self._regress(lambda: (models, how))
        again = self._replayed(lambda: models, how.get("oracle"))
        return self._ran(again or xplore.run(models, inputs, labels, **self._how(how)))

    def gate(self, old: Any, new: Any, inputs: Any, labels: Any = None, **how: Any) -> Verdict:
        """`xplore.gate`; the test fails where it does, or where regression inputs are answered wrongly."""
        from xplore.regression.gate import gate, replayed

        self._regress(lambda: ([old, new], how), gated=True)
        for folder, asked in self._again():
            still = self._still(folder, [old, new], how.get("oracle"), asked)
            if still is not None:
                verdict = replayed(_narrowed(folder, still), how.get("allow"), bool(how.get("null")), asked)
                if verdict is not None:
                    return self._judged(verdict)
        recorded = {"command": shell("pytest", self._node.nodeid), **how.get("recorded", {})}
        return self._judged(gate(old, new, inputs, labels, **self._how({**how, "recorded": recorded})))

    def _judged(self, verdict: Verdict) -> Verdict:
        self._ran(verdict.result)
        self._verdicts.append(verdict)
        if not verdict:
            pytest.fail(verdict.text, pytrace=False)
        return verdict

    def coverage(self, model: Any, inputs: Any, criterion: CellCriterion | None = None) -> float:
        """The share of a criterion's cells that inputs reach in a model."""
        return xplore.coverage_of(model, inputs, criterion)

    def configured(self, config: str, **settings: Any) -> Result:
        """A config's campaign, with settings of its `campaign` table, `steps` and `tries` of its search."""
        from xplore.campaign.config.file import build_model, load
        from xplore.campaign.config.run import judging, run_config

        given = {**self._budget(), **settings}
        place = Path(self._node.config.rootpath, config)
        name = str(place) if place.is_file() else config
        tables = {"steps": "search", "tries": "search"}
        settings = {"rng": self._rng, **given}
        loaded = load(
            name, [f"{tables.get(key, 'campaign')}.{key}={value}" for key, value in settings.items()]
        )
        self._regress(lambda: judging(loaded))
        again = self._replayed(lambda: [build_model(part) for part in loaded.models])
        command = shell("pytest", self._node.nodeid)
        return self._ran(again or run_config(loaded, self._folder(), command=command, progress=False))

    def ended(self, *, passed: bool, failed: bool) -> list[str]:
        """The test ended: where it failed, what it found is kept and told."""
        self._passed, self._failed = passed, failed
        if not failed or (self._entry is None and not self._results):
            return []
        sections = [self._summary(number) for number in range(len(self._results))]
        lines = [f"search as here:    {self._command('--xplore-rng', str(self._rng))}"]
        if self._results:
            replays = [word for result in self._results for word in ("--xplore-replay", str(result.folder))]
            lines.insert(0, f"judge them again:  {self._command(*replays)}")
        if self._entry is not None and self._entry.why:
            lines.append(visible(f"kept in {self._entry.folder}, for this run alone: {self._entry.why}"))
        return ["\n".join([*section, *lines]) for section in sections or [[]]]

    def close(self) -> None:
        """The test's folder is let go; what is not to stay is forgotten."""
        if self._entry is not None:
            self._entry.end(passed=self._passed, failed=self._failed)

    def _summary(self, number: int) -> list[str]:
        """What a campaign found, kept for the next run; where that cannot be, that is told as well."""
        faults = []
        try:
            self._results[number] = self._saved(number)
        except FAULTS as error:
            faults.append(f"not kept for the next run: {one_line(error, 500)}")
        result = self._results[number]
        if self._keep is not None:
            try:
                meta = result.archive.meta.get("table") or {}
                names = [str(column["name"]) for column in meta.get("columns", ())]
                self._keep.keep(self._node.nodeid, _examples(result), names)
            except FAULTS as error:
                faults.append(f"not kept as regression inputs: {one_line(error, 500)}")
        try:
            return [*failure(result), *map(visible, faults)]
        except FAULTS as error:
            return [*map(visible, [f"not told: {one_line(error, 500)}", *faults])]

    def _saved(self, number: int) -> Result:
        """A campaign's result in this test's folder, where nothing else is kept of it."""
        result = self._results[number]
        if self._node.config.getoption("--xplore-replay") is not None:
            return result
        if result.folder.parent != self.entry.folder:
            saved = xplore.Result(result.save(self.entry.new(number)))
            saved.only(finding.id for finding in result.findings)
            result = saved
        self.entry.only(number, result.folder)
        return result

    def _command(self, *options: str) -> str:
        return shell("pytest", self._node.nodeid, *options)

    @property
    def properties(self) -> list[tuple[str, Any]]:
        """Figures for JUnit XML and for the summary."""
        valid = sum(len(result.valid) for result in self._results)
        named: list[tuple[str, Any]] = [("xplore.campaigns", len(self._results)), ("xplore.valid", valid)]
        for verdict in self._verdicts:
            named += [("xplore.gate", verdict.decision), ("xplore.verdict", gate_verdict(verdict.record))]
            for line in verdict.lines:
                place = line.where if line.of is None else f"class.{line.name}.{line.where}"
                figures = {**(line.share or {}), "allowed": line.allowed}
                named += [(f"xplore.{place}.{key}", value) for key, value in figures.items()]
        return [*named, ("xplore.rng", self._rng)] if self._results else []

    def _how(self, how: dict[str, Any]) -> dict[str, Any]:
        budget = self._budget()
        if "seconds" in budget and "budget" not in how:
            how = {"budget": xplore.Budget(seconds=budget["seconds"]), **how}
        seeds = {"seeds": budget["seeds"]} if "seeds" in budget else {}
        return {"progress": False, "rng": self._rng, "out": self._folder(), **seeds, **how}

    def _budget(self) -> dict[str, Any]:
        from xplore._util.durations import duration

        option = self._node.config.getoption
        seeds, time = option("--xplore-seeds"), option("--xplore-time")
        if seeds is not None and not (seeds.isascii() and seeds.isdigit() and int(seeds)):
            raise InputError("--xplore-seeds", expected="a whole number >= 1", got=repr(seeds), fix="use 100")
        limit = {} if seeds is None else {"seeds": int(seeds)}
        return limit if time is None else {**limit, "seconds": duration(time, "--xplore-time")}

    def _folder(self) -> Path:
        return self.entry.new(len(self._results))

    def _ran(self, result: Result) -> Result:
        self._results.append(result)
        return result

    def _again(self) -> list[tuple[Path, bool]]:
        """The folders to be judged again before this campaign, and whether that was asked for."""
        asked, number = self._node.config.getoption("--xplore-replay"), len(self._results)
        if asked is None:
            return [(folder, False) for folder in self.entry.saved(number)]
        if number >= len(asked):
            raise InputError(
                "--xplore-replay",
                expected="a folder for each campaign of the test",
                got=f"{len(asked)}",
                fix="give the option once for each, in their order",
            )
        return [(self._start / asked[number], True)]

    def _replayed(self, models: Callable[[], Sequence[Any]], oracle: Any = None) -> Result | None:
        """What an earlier run found, if some still shows or it was asked for; else that is forgotten."""
        for folder, asked in self._again():
            still = self._still(folder, models(), oracle, asked)
            if still is not None and (still or asked):
                return _narrowed(folder, still)
            forget(folder)
        return None

    def _still(self, folder: Path, models: Sequence[Any], oracle: Any, asked: bool) -> list[str] | None:
        """The findings in a folder that still show; None where they cannot be judged: it is forgotten."""
        try:
            shows = xplore.replay(folder, models, as_tested=False, oracle=oracle)
        except InputError:  # of another version, of models of another kind: nothing to go by
            if asked:
                raise
            forget(folder)
            return None
        return [name for name, yes in shows.items() if yes]

    def _regress(
        self, method: Callable[[], tuple[Sequence[Any], Mapping[str, Any]]], *, gated: bool = False
    ) -> None:
        """Fail where models differ on regression inputs of this test; in a gate, where the new one errs."""
        from xplore.regression.committed import judged

        inputs = [one for place in self._places for one in place.of(self._node.nodeid)]
        if not inputs:
            return
        models, how = method()
        faults = []
        for one, decisions, differ in judged(inputs, models, how.get("constraint"), how.get("oracle")):
            wrong = decisions[-1] != one.expected if gated and one.expected is not None else differ
            if wrong:
                expected = "?" if one.expected is None else one.expected
                text = f"expected {expected}; answered {', '.join(map(str, decisions))}"
                faults.append(f"  {visible(str(one.path))}: {text}")
        if faults:
            head = f"{len(faults)} of {len(inputs)} regression inputs are still answered wrongly"
            pytest.fail("\n".join([head, *faults]), pytrace=False)


def _narrowed(folder: Path, still: Sequence[str]) -> Result:
    result = xplore.Result(folder)
    result.only(still)
    return result


def _examples(result: Result) -> list[Finding]:
    """A valid finding of each fault group; where a gate failed for some classes alone, of those classes."""
    from xplore.report.reading import read

    by_id = {finding.id: finding for finding in result.valid}
    if not by_id:
        return []
    reading = read(result.archive)
    gate, groups = reading.gate, reading.groups
    if gate is not None and gate.broken and not any(line.fails for line in gate.whole):
        broken = {line.of for line in gate.broken}
        groups = tuple(group for group in groups if group.expected in broken)
    rows = [[row for row in group.rows if row.id in by_id] for group in groups]
    return [by_id[of[0].id] for of in rows if of]


def _slug(nodeid: str) -> str:
    """A folder's name for a test's id, which no two tests share."""
    words = re.sub(r"[^0-9A-Za-z]+", "-", nodeid).strip("-")[-60:]
    return f"{words}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"
