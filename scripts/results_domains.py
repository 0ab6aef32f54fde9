"""Write docs/results/domains.md: every domain of the paper, each model in turn as the one to deviate.

    python scripts/results_domains.py [--data FOLDER] [--keep runs/domains] [--only driving] [--page]

`--data` holds what the project does not carry: `contagio-ben.csv.gz`, `contagio-mal.csv.gz`, `udacity_ch2/`.
Campaigns that an earlier run kept are read, not run again, so that domains can be run one by one; `--page`
runs none. Every figure of the page comes from the archives, and every finding is replayed.
"""

from __future__ import annotations

import argparse
import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import xplore
from xplore._util.errors import InputError
from xplore.campaign.config import file as config
from xplore.campaign.config.run import run_config
from xplore.campaign.provenance import device

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ["search.use=xplore.search:Original", "search.tries=1"]
ON_LOGITS = ["objective.on=logits"]
ON_PROBABILITIES = ["objective.on=probabilities"]  # as published for ImageNet


def original(edit: str, size: int, steps: int, *more: str) -> list[str]:
    """DeepXplore's procedure on images, step 10, unclipped, without a bound."""
    given = [f"search.edit={edit}", f"search.size={size}", f"search.steps={steps}", "constraint.bound=none"]
    return [*PUBLISHED, *more, *given]


def rows(edit: str, *more: str) -> list[str]:
    """DeepXplore's procedure on rows."""
    return [*PUBLISHED, f"search.edit={edit}", "search.steps=50", *ON_LOGITS, *more]


@dataclass(frozen=True)
class Domain:
    """A config, how many of its seeds, and the methods to run: settings over the config.

    `before` are the valid findings of each method on the page of 2026-11-26, before doubt was a verdict.
    `paper` are its models, its accuracies, and its differences from 2,000 seeds, where it has the domain;
    `differs` says how ours are others.
    """

    config: str
    seeds: int
    methods: dict[str, list[str]]
    before: dict[str, tuple[int, int, int]]
    paper: tuple[str, str, tuple[int, int, int]] | None
    differs: str
    data: str = ""


LIGHT = "constraint={use='xplore.constraints:Lighting'}"
DREBIN = ["search.steps=30", "objective.lambda2=0.5"]  # 30 places are left in each stored app
ANGLES = ["objective.on=before_atan", "objective.both_ways=false"]
DOMAINS = {
    "MNIST": Domain(
        "mnist",
        300,
        {
            "Occlusion": [],
            "Original, occlusion": original("occlusion", 10, 50, *ON_LOGITS),
        },
        {"Occlusion": (287, 285, 287), "Original, occlusion": (20, 14, 21)},
        ("LeNet-1/4/5", "98.33/98.59/98.96 %", (1073, 1968, 827)),
        "LeNets of the same shapes, trained on 4,000 digits (the paper's: 60,000); seeds are held-out digits. More"
        " of them, of more charts: [mnist.md](mnist.md).",
    ),
    "ImageNet": Domain(
        "imagenet",
        20,
        {
            "Occlusion": [],
            "Original, light": original("light", 50, 10, *ON_PROBABILITIES, LIGHT),
        },
        {"Occlusion": (8, 7, 8), "Original, light": (1, 0, 0)},
        ("VGG16/VGG19/ResNet50", "92.6/92.7/96.43 % (top-5)", (1969, 1976, 1996)),
        "EfficientNet-Lite 0/1/2 as published in place of VGG and ResNet, whose weights the project cannot carry;"
        " seeds are photographs with labels that packages carry (18 of those 20 are answered rightly by each).",
    ),
    "Driving": Domain(
        "driving",
        300,
        {
            "Occlusion": [],
            "Original, light": original("light", 50, 20, *ANGLES, LIGHT),
        },
        {"Occlusion": (195, 195, 195), "Original, light": (4, 5, 1)},
        ("DAVE orig/norminit/dropout", "99.91/99.94/99.96 % (1 - MSE)", (1720, 1866, 1930)),
        "The same layers, trained on 1,057 frames (the paper: the whole drive) to predict the turn of the coming"
        " second as the pictures tell it, since the published table holds no steering (below).",
        "udacity_ch2",
    ),
    "PDF": Domain(
        "pdf",
        300,
        {
            "Features, at most 3": [],
            "Original": rows("features", "search.step=0.1", "constraint.changes=68", "objective.lambda1=2.0"),
        },
        {"Features, at most 3": (271, 263, 254), "Original": (0, 0, 0)},
        ("2, 3 and 4 layers of 200", "96.15/96.25/96.47 %", (1103, 789, 1253)),
        "The same layers, on Contagio alone, standardised inside the models; numbers that"
        " follow from others follow, where the paper's stay; whole numbers stay whole, ranges are kept.",
        ".",
    ),
    "Drebin": Domain(
        "drebin",
        300,
        {
            "Additions, at most 5": [],
            "Original": rows("manifest", "search.step=1.0", "constraint.changes=30", *DREBIN),
        },
        {"Additions, at most 5": (148, 142, 137), "Original": (63, 0, 0)},
        ("200-200, 50-50, 200-10", "98.6/96.82/92.66 %", (2000, 2000, 2000)),
        "The same layers; the apps are synthetic, in Drebin's format, since Drebin's own are not"
        " carried: the figures show that it runs, and say nothing of malware.",
    ),
    "Phishing": Domain(
        "phishing",
        273,
        {
            "Features, at most 2": [],
            "Original": rows("features", "search.step=0.1", "constraint.changes=9"),
        },
        {"Features, at most 2": (194, 198, 200), "Original": (0, 1, 4)},
        None,
        "the paper has no such domain. Its space is small enough that what is found can be compared with all there"
        " is: [phishing.md](phishing.md).",
    ),
}


def campaign(folder: Path, domain: Domain, settings: list[str], data: Path | None) -> dict[str, Any]:
    """Run one campaign, replay all of its findings, and return its summary with what replayed."""
    if (folder / "report.html").is_file():
        result = xplore.Result(folder)
    else:
        given = ["baseline=none", *settings, f"campaign.seeds={domain.seeds}"]
        if domain.data and data is None:
            raise InputError("--data", expected="the folder with the data of all domains", got="none")
        given += [f"seeds.path={data / domain.data}"] if domain.data and data else []
        chosen = config.load(domain.config, given)
        result = run_config(chosen, folder, command="scripts/results_domains.py")
    again = xplore.replay(folder, config_models(domain))
    return result.summary | {"replayed": sum(again.values())}


def config_models(domain: Domain) -> list[Any]:
    """The models of a config, built."""
    return [config.build_model(part) for part in config.load(domain.config).models]


def lines(name: str, work: Path, data: Path | None, run: bool) -> list[str]:
    """A line a method: each model in turn deviates."""
    domain, table = DOMAINS[name], []
    for method, settings in domain.methods.items():
        told = []
        for index in range(3):
            folder = work / name.lower() / f"{method.lower().replace(', ', '-').replace(' ', '-')}-{index}"
            if not run and not (folder / "report.html").is_file():
                return [*table, f"| {method} | not run" + " |" * 10]
            told.append(campaign(folder, domain, [*settings, f"objective.deviate={index}"], data))
            print(
                f"{name}, {method}, {index}: {told[-1]['valid']} valid of {told[-1]['findings']}", flush=True
            )
        table.append(line(method, told, domain.before[method]))
    return table


def line(method: str, told: list[dict[str, Any]], before: tuple[int, int, int]) -> str:
    """One method: the figures of three campaigns, one a deviating model."""

    def three(values: list[Any]) -> str:
        return " / ".join(f"{v:,}" if isinstance(v, int) else f"{v:.3f}" for v in values)

    covered = [list(list(one["coverage"].values())[index].values())[-1] for index, one in enumerate(told)]
    cells = [
        method,
        f"{told[0]['seeds'] - told[0]['already_differ']:,} of {told[0]['seeds']:,}",
        three([one["found"] for one in told]),
        three([one["findings"] for one in told]),
        f"**{three([one['valid'] for one in told])}**",
        three([one["in_doubt"] for one in told]),
        three([one["findings"] - one["valid"] - one["in_doubt"] for one in told]),
        three(list(before)),
        three(covered),
        " / ".join(f"{one['seconds']:.{0 if one['seconds'] >= 10 else 1}f}" for one in told),
        f"{sum(one['replayed'] for one in told):,} of {sum(one['findings'] for one in told):,}",
    ]
    return "| " + " | ".join(cells) + " |"


def accuracies(models: list[str]) -> str:
    """What the model cards say of held-out data."""
    said = []
    for name in models:
        card = ROOT / "models" / f"{name}.md"
        found = (
            re.search(r"\| ([^|]*(?:held-out|held out)[^|]*) \| ([0-9.]+ (?:%|rad))", card.read_text("utf-8"))
            if card.exists()
            else None
        )
        said.append(f"{name} {found[2]}" if found else name)
    return ", ".join(said)


def section(name: str, work: Path, data: Path | None, run: bool) -> str:
    """A domain: ours, then the paper's."""
    domain = DOMAINS[name]
    own = [part["use"].split(":")[1] for part in config.load(domain.config).models]
    return SECTION.format(
        name=name,
        own=accuracies(own),
        lines="\n".join(lines(name, work, data, run)),
        paper=published(*domain.paper) if domain.paper else "",
        differs=domain.differs,
    )


def published(models: str, accuracy: str, differences: tuple[int, int, int]) -> str:
    """The paper's figures, in a line."""
    found = " / ".join(f"{n:,}" for n in differences)
    share = " / ".join(f"{n / 2000:.0%}" for n in differences)
    return f"The paper, 2,000 seeds: {models}, {accuracy}; differences {found} ({share}).\n\n"


def steering(data: Path | None) -> str:
    """Is the published table of angles steering?"""
    if data is None or not (data / "udacity_ch2").is_dir():
        return "Not measured in this run: `--data` did not hold `udacity_ch2/`."
    from xplore.data import udacity

    told = {}
    for labels in ("table", "motion"):
        parts = [udacity.load(data / "udacity_ch2", part, labels).labels for part in ("train", "test")]
        told[labels] = np.concatenate(parts)
    known = ~np.isnan(told["motion"])
    table, motion = told["table"], told["motion"]

    def follows(values: np.ndarray) -> float:
        both = ~np.isnan(values[:-1]) & ~np.isnan(values[1:])
        return float(np.corrcoef(values[:-1][both], values[1:][both])[0, 1])

    return STEERING.format(
        n=len(table),
        low=table.min(),
        high=table.max(),
        std=table.std(),
        uniform=(table.max() - table.min()) / 12**0.5,
        table=follows(table),
        motion=follows(motion),
        both=float(np.corrcoef(table[known], motion[known])[0, 1]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder with what the project does not carry")
    parser.add_argument("--keep", type=Path, default=ROOT / "runs" / "domains", help="the campaigns' folder")
    parser.add_argument("--only", action="append", choices=DOMAINS, help="run these alone; may be repeated")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page of what was kept")
    parser.add_argument("--beside", action="store_true", help="say that the machine did other work")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "domains.md")
    options = parser.parse_args()
    chosen = () if options.page else options.only or tuple(DOMAINS)
    try:
        sections = [section(name, options.keep, options.data, name in chosen) for name in DOMAINS]
        page = PAGE.format(
            date=datetime.date.today(),
            device=device(),
            sections="\n".join(sections),
            steering=steering(options.data),
            beside=BESIDE if options.beside else "",
        )
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    options.out.write_text(page, encoding="utf-8")
    print(options.out)


BESIDE = "; the machine did other work\nbeside, so they are upper ends"
SECTION = """## {name}

Models, with what they reach on held-out data: {own}.

| method | seeds on which models agree | found | differ once stored | valid | in doubt | invalid | valid before | coverage | seconds | replayed |
|---|---|---|---|---|---|---|---|---|---|---|
{lines}

{paper}Differences: {differs}
"""
STEERING = """The steering table published with the frames (`interpolated.csv`) holds {n:,} numbers from {low:.2f} to {high:.2f}
with a standard deviation of {std:.3f} (that of uniform noise in this range is {uniform:.3f}). Each number's
correlation with that of the next frame, a tenth of a second later, is {table:.2f}: these numbers are not steering.
How far the car turns in the coming second, measured by the pictures (`xplore.data.motion`), has {motion:.2f}, the
seconds overlapping; the correlation of the two is {both:.2f}. So the models here learn the latter, and are judged by
it."""
PAGE = """# The domains of DeepXplore

Written by `python scripts/results_domains.py --data FOLDER` on {date}, on {device}. All campaigns with `--rng 0`.

Each cell with three figures has one a model, in the order of the panel: the model that is to deviate
(`objective.deviate`), as in the paper's table of differences. *Found* is what the search claims; *differ once
stored* what is left when the stored input is judged again, alone, equal inputs counted once. Of these *invalid* are
those whose seed a model answered wrongly, and those beyond the bound of the constraint; *in doubt* those whose label outside
evidence speaks against; *valid* the others, each judged by the smallest change that shows it. *Valid before* are the valid
ones of the page of 2026-11-26, which counted what is now in doubt, and judged the change as it was found; since then
the bound of occlusion counts what is drawn as well as what is hidden, and on digits it is 0.15 in place of 0.25. *Coverage*
is that of the deviating model at the config's last criterion (neuron coverage at t = 0.75), by the inputs on which
models differ. Seconds include judging, shrinking and storing, not compiling{beside}. `Original` is the published
procedure, unclipped and without a bound: what of it is valid has the seed's answer and the evidence to satisfy.

Evidence differs. For digits a reference model and the training digits are asked; everywhere else only whether all models are sure of
another label. There nothing but the bound vouches for a label that few models hold.

{sections}
## The steering angles that were published

{steering}
"""


if __name__ == "__main__":
    main()
