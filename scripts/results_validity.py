"""Do people still read the label? Blind contact sheets of findings, and what readers made of them.

    python scripts/results_validity.py draw [--keep runs/validity]
    python scripts/results_validity.py page

`draw` runs four campaigns on the digits and writes, for each, two contact sheets without the answers and the
key beside them. A reader who has not seen the key writes `reading-NAME.json` for each sheet: to each number the
digit, and `at_once`, `doubt` or `unreadable`. `page` holds the readings against the keys.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import xplore
from xplore import config
from xplore.configured import run_config
from xplore.media import from_png

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "docs" / "results" / "validity"
RNG, PICKED, SHEETS, SEEDS = 2026, 40, 2, 1000
KINDS = {
    "occlusion": "mnist",
    "dark_rectangles": "mnist_blackout",
    "light": "mnist_light",
    "ball": "mnist_ball",
}
BEFORE = {"occlusion": 547, "dark_rectangles": 504, "light": 75, "ball": 947}
"""Valid findings of 1,000 seeds that are read at once, before: valid ones times the share of a blind reading."""
SIDE, COLUMNS, GAP, HEAD = 140, 8, 14, 18
Key = list[dict[str, Any]]


def draw(keep: Path) -> None:
    """Run the campaigns and write the sheets and the keys."""
    HERE.mkdir(parents=True, exist_ok=True)
    counts = {}
    for kind, name in KINDS.items():
        folder = keep / kind
        if not (folder / "report.html").is_file():
            chosen = config.load(name, [f"campaign.seeds={SEEDS}", f"campaign.rng={RNG}"])
            run_config(chosen, folder, command=f"scripts/results_validity.py draw --keep {keep}")
        result = xplore.Result(folder)
        keys = ("seeds", "findings", "valid", "in_doubt", "valid_as_found", "in_doubt_by_reason")
        counts[kind] = {key: result.summary[key] for key in keys}
        for number, items in enumerate(_sheets(result.valid)):
            label = f"{kind}-{number + 1}"
            _sheet([picture for picture, _ in items]).save(HERE / f"{label}.png", optimize=True)
            _write(f"key-{label}.json", [about for _, about in items])
    _write("counts.json", counts)


def _sheets(valid: list[Any]) -> list[list[tuple[np.ndarray, dict[str, Any]]]]:
    """So many valid findings and their seeds, drawn at random; no sheet has a finding and its own seed."""
    rng = np.random.default_rng(RNG)
    picked = [valid[i] for i in rng.permutation(len(valid))[:PICKED]]
    parts = [picked[at::SHEETS] for at in range(SHEETS)]
    sheets = []
    for number, findings in enumerate(parts):
        items = []
        for finding in findings:
            about = {"what": "finding", "id": finding.id, "expected": int(finding.expected)}
            items.append((from_png((finding.shrunk or finding).after), about))
        for finding in parts[number - 1]:
            about = {"what": "seed", "id": finding.id, "expected": int(finding.expected)}
            items.append((from_png(finding.before), about))
        sheets.append([items[i] for i in rng.permutation(len(items))])
    return sheets


def _sheet(pictures: list[np.ndarray]) -> Image.Image:
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + GAP + HEAD) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for at, picture in enumerate(pictures):
        x, y = GAP + at % COLUMNS * (SIDE + GAP), GAP + at // COLUMNS * (SIDE + GAP + HEAD)
        pen.text((x, y), str(at + 1), fill="black", font_size=14)
        large = Image.fromarray(picture[..., 0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(large, (x, y + HEAD))
    return sheet


def _write(name: str, value: Any) -> None:
    lines = ",\n ".join(json.dumps(one) for one in value) if isinstance(value, list) else None
    text = json.dumps(value, indent=1) if lines is None else f"[{lines}]"
    (HERE / name).write_text(f"{text}\n", encoding="utf-8")


def _read(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def score(key: Key, reading: dict[str, list[str]]) -> dict[str, dict[str, list[int]]]:
    """The numbers on a sheet that were read `at once` and rightly, `in doubt`, or as `another` class.

    What was called unreadable, and what was read rightly but not at once, is in doubt.
    """
    told = {what: {"at once": [], "in doubt": [], "another": []} for what in ("finding", "seed")}
    if sorted(map(int, reading)) != list(range(1, len(key) + 1)):
        raise ValueError(f"expected: an answer to each of {len(key)} numbers; got: {len(reading)}")
    for number, about in enumerate(key, 1):
        digit, how = reading[str(number)]
        if how not in ("at_once", "doubt", "unreadable"):
            raise ValueError(f"expected: at_once, doubt or unreadable; got: {how} for number {number}")
        right = digit == str(about["expected"])
        said = "at once" if right and how == "at_once" else "in doubt"
        said = said if right or how == "unreadable" else "another"
        told[about["what"]][said].append(number)
    return told


def page() -> str:
    """The page: a row for each kind, of findings and of their seeds."""
    counts = _read("counts.json")
    total = {said: 0 for said in ("at once", "in doubt", "another")}
    rows, yields, others = [], [], []
    for kind in KINDS:
        names = [f"{kind}-{number + 1}" for number in range(SHEETS)]
        each = [score(_read(f"key-{name}.json"), _read(f"reading-{name}.json")) for name in names]
        sums = {
            what: {said: sum(len(one[what][said]) for one in each) for said in total}
            for what in ("finding", "seed")
        }
        for said in total:
            total[said] += sums["finding"][said]
        for name, one in zip(names, each, strict=True):
            key = _read(f"key-{name}.json")
            for number in one["finding"]["another"]:
                digit = _read(f"reading-{name}.json")[str(number)][0]
                others.append(f"{name}, number {number}: a {key[number - 1]['expected']} read as {digit}")
        title, of = kind.replace("_", " "), counts[kind]
        f, s = sums["finding"], sums["seed"]
        rows.append(
            f"| {title} | {f['at once']} | {f['in doubt']} | {f['another']} | {s['at once']} | {s['in doubt']} "
            f"| {s['another']} | "
            + ", ".join(f"[{n + 1}](validity/{x}.png)" for n, x in enumerate(names))
            + " |"
        )
        now = round(of["valid"] * f["at once"] / PICKED)
        yields.append(
            f"| {title} | {of['findings']} | {of['valid']} | {of['in_doubt']} "
            f"| {of['findings'] - of['valid'] - of['in_doubt']} | {now} | {BEFORE[kind]} "
            f"| {now / BEFORE[kind]:.2f} |"
        )
    return PAGE.format(
        seeds=f"{SEEDS:,}",
        rng=RNG,
        picked=PICKED,
        rows="\n".join(rows),
        yields="\n".join(yields),
        all=PICKED * len(KINDS),
        at_once=total["at once"],
        in_doubt=total["in doubt"],
        another=total["another"],
        others="".join(f"- {one}\n" for one in others) or "- none\n",
    )


PAGE = """# Validity by eye: what people read

Sheets and keys by `python scripts/results_validity.py draw`, this page from the readings by
`python scripts/results_validity.py page`.

Four campaigns on {seeds} held-out digits as shipped (`mnist`, `mnist_blackout`, `mnist_light`, `mnist_ball`), with `campaign.rng = {rng}`.
Of each, {picked} valid findings were drawn at random (random state {rng}); the smallest change of each is on one of two contact
sheets, its seed on the other, mixed and numbered. Readers saw sheets alone: they were told that the pictures show
digits from 0 to 9 and were asked, for each, which digit it is, and whether they read it at once, with doubt, or not at all. None had seen a key,
the code or a report. *At once* counts pictures that were read at once and as the label says; *another* counts
readings as another digit, at once or with doubt; the others are *in doubt*. Every sheet that was drawn is kept in `validity/`, with
its key and its reading.

| kind | findings: at once | in doubt | another | their seeds: at once | in doubt | another | sheets |
|---|---|---|---|---|---|---|---|
{rows}

Of {all} findings {at_once} were read at once and rightly, {in_doubt} with doubt, {another} as another digit:

{others}
## What that leaves

*Yield* is the number of valid findings times the share that was read at once. *Before* is the same of the
release before, whose bounds counted what is hidden alone (0.25), whose findings were shown as found, and which knew no doubt.

| kind | findings | valid | in doubt | invalid | yield | before | ratio |
|---|---|---|---|---|---|---|---|
{yields}
"""


def main() -> None:
    """Draw the sheets, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("draw", "page"))
    parser.add_argument("--keep", type=Path, default=Path("runs/validity"))
    args = parser.parse_args()
    if args.what == "draw":
        draw(args.keep)
    else:
        (HERE.parent / "validity.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
