"""Exact recall of the searches on phishing websites: of all 8,748 pages, which differ, and which were found?

    python scripts/results_phishing.py    # writes docs/results/phishing.md

The whole space is judged by the panel. A seed can be divided if a page within the bound is judged
differently by two models; a search is held to that.
"""

import argparse
import datetime
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import xplore  # noqa: E402
from xplore.adapters.predictor import reading  # noqa: E402
from xplore.archive import Archive  # noqa: E402
from xplore.campaign.provenance import device  # noqa: E402
from xplore.constraints import Features  # noqa: E402
from xplore.data import phishing  # noqa: E402
from xplore.inputs.encoding import encoding_of  # noqa: E402
from xplore.models import phishing as zoo  # noqa: E402
from xplore.objectives import Joint  # noqa: E402
from xplore.panel import Panel  # noqa: E402
from xplore.search import Gradient, HillClimb, Random, Search  # noqa: E402

SEARCHES: tuple[tuple[str, Search], ...] = (
    ("Gradient", Gradient(steps=10, tries=5)),
    ("Flips", HillClimb(steps=20, tries=5)),
    ("Random", Random(steps=100, tries=1)),
)
"""At most 100 model queries a seed each: a gradient step is two."""


class Recall(NamedTuple):
    """What one search found of what there is."""

    seeds: int
    divided: int
    rows: int
    found_rows: int
    valid: int
    in_doubt: int
    invalid: int
    queries: int


ask = jax.jit(lambda panel, x: panel.plain(x).argmax(axis=-1))


def differing(panel: Panel, rows: Float32[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """On which rows do the models' labels differ?"""
    parts = [np.asarray(ask(panel, jnp.asarray(rows[i : i + 972]))) for i in range(0, len(rows), 972)]
    labels = np.concatenate(parts, axis=1)
    return (labels != labels[:1]).any(axis=0)


def within_reach(
    seed: Float32[np.ndarray, " d"], rows: Float32[np.ndarray, "n d"], changes: int
) -> Bool[np.ndarray, " n"]:
    """The rows that differ from a seed in at most so many features, itself left out."""
    apart = (rows != seed).sum(axis=1)
    return (apart > 0) & (apart <= changes)


def recall(models: Sequence[Any], features: Features, search: Search) -> Recall:
    """A search from every held-out page on which the models agree, beside all that could be found."""
    pages = phishing.load("test")
    space = features.encode_inputs(phishing.every())
    panel = Panel.of([reading(model, features) for model in models])
    differ = differing(panel, space)
    codes = features.encode_inputs(pages.images)
    agree = [code for code, apart in zip(codes, differing(panel, codes), strict=True) if not apart]
    reach = np.stack([within_reach(code, space, features.changes) & differ for code in agree])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        objective = Joint(1.0, 0.1)
        result = xplore.run(
            models, pages.images, pages.labels, constraint=features, search=search, objective=objective,
            out=out, progress=False,
        )  # fmt: skip
        told = result.summary
        archive = Archive.open(out)
        found = list(archive.findings())
        fates = [record.fate for record in archive.seeds()]
        queries = archive.meta["queries"]
        archive.close()
    after = [encoding_of(finding.media).unpack(finding.after) for finding in found]
    index = {row.tobytes(): number for number, row in enumerate(space)}
    hit = {index[row.tobytes()] for row in after}
    if not all(differ[number] for number in hit):
        raise SystemExit("a finding on which the enumeration sees no difference")
    reachable = reach.any(axis=0)
    if set(told["invalid_by_reason"]) - {"seed_wrong"}:
        raise SystemExit(f"a finding that breaks a rule: {told['invalid_by_reason']}")
    return Recall(
        seeds=int(reach.any(axis=1).sum()),
        divided=fates.count("found"),
        rows=int(reachable.sum()),
        found_rows=len(hit),
        valid=told["valid"],
        in_doubt=told["in_doubt"],
        invalid=told["findings"] - told["valid"] - told["in_doubt"],
        queries=queries,
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Exact recall of the searches on phishing websites.")
    parser.add_argument("--changes", type=int, action="append", help="features that may change (1, 2 and 3)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "phishing.md")
    chosen = parser.parse_args()
    networks = [zoo.phishing1(), zoo.phishing2(), zoo.phishing3()]
    lines = []
    for told, models in (("three networks", networks), ("and the forest", [*networks, zoo.forest()])):
        for changes in chosen.changes or (1, 2, 3):
            features = phishing.realistic(changes)
            for name, search in SEARCHES:
                if search.needs_grad and len(models) > 3:
                    continue  # trees have no slope
                came = recall(models, features, search)
                lines.append(
                    f"| {told} | {changes} | {name} | {came.divided} of {came.seeds} "
                    f"({100 * came.divided / max(came.seeds, 1):.1f} %) "
                    f"| {came.found_rows} of {came.rows} | {came.valid} / {came.in_doubt} / {came.invalid} "
                    f"| {came.queries:,} |"
                )
                print(lines[-1], flush=True)
    table = "\n".join(lines)
    chosen.out.write_text(
        f"""# Phishing websites: exact recall

A page has nine features, each with two or three values: 8,748 pages there can be. All are judged by the panel, so
that it is known which seeds can be divided within the bound, and on which pages models differ there. Seeds are the
held-out pages on which all models agree. A search ends at its first finding a seed, so that it meets few of the
pages: the column of seeds is what it can be held to.

| models | features that may change | search | seeds divided, of those that can be | distinct pages found, of those in reach | findings: valid / in doubt / invalid | model queries |
|---|---|---|---|---|---|---|
{table}

Each search asks the models at most 100 times a seed; a gradient step counts as two. Many held-out pages are equal,
and equal findings of equal seeds are counted once. *Invalid* are those whose seed the models answer wrongly, all
alike; none breaks a rule. *In doubt* would be those on which all models are sure of another label than the seed's:
of two labels models that disagree never are. The page of 2026-11-22, which did not tell verdicts, has the same
figures elsewhere.

`python scripts/results_phishing.py`, {datetime.date.today()}, {device()}.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
