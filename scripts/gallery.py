"""Write docs/gallery.md: of every constraint on images one valid finding, in pictures and in words.

    python scripts/gallery.py [--only Rain ...]

For each constraint a small campaign is run, and of its valid findings the page shows the one with the largest
margin (how sure two models are that disagree), as its smallest change. Of digits a reference model puts those
in doubt whose label it does not keep. `--only` draws some anew and keeps the others as they are.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import xplore
from xplore.constraints import (
    Affine,
    Ball,
    Blackout,
    Blur,
    Chain,
    Constraint,
    Fog,
    Latent,
    Lighting,
    Noise,
    Occlusion,
    Patches,
    Photometric,
    Rain,
    Snow,
)
from xplore.data import mnist, photos
from xplore.data._base import Inputs
from xplore.models.efficientnet import lite0, lite1, lite2
from xplore.models.lenet import lenet1, lenet4, lenet5
from xplore.models.pca import decoder, encoder
from xplore.models.referee import referee
from xplore.report.pictures import decode, png, triptych, webp
from xplore.report.reading import Reading, read
from xplore.report.rows import Row
from xplore.search import Gradient, Random, Search

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gallery.md"
PICTURES = PAGE.parent / "images" / "gallery"
LARGEST = 60_000
HEAD = """# Gallery

One valid finding of every constraint on images: the seed, the smallest change that shows it, and what
changed (orange is brighter, blue darker, amplified). Of a small campaign's valid findings each is the
one with the largest margin: the probability by which the less sure of two models that disagree prefers
its answer. Of digits a reference model has put those in doubt that it no longer answers as the seed.
Nothing else was chosen. That the label still holds is an assumption: judge for yourself.

Made by `python scripts/gallery.py`. Constraints on tables change features, not pictures: see
[Tables](internals.md#tables).
"""


class Domain(NamedTuple):
    """Models that should agree, and seeds to start from."""

    name: str
    models: Callable[[], list[Any]]
    seeds: Callable[[], Inputs]
    lanes: int
    reference_model: Callable[[], Any] | None = None


def digits() -> Inputs:
    """A hundred of the digits that nothing was trained on."""
    test = mnist.load("test")
    return Inputs(test.images[:100], test.labels[:100], test.name, test.classes)


def photographs() -> Inputs:
    """The first dozen of the embedded photographs whose class is known."""
    every = photos.load()
    known = np.flatnonzero(every.labels >= 0)[:12]
    return Inputs(every.images[known], every.labels[known], every.name, every.classes)


DIGITS = Domain("digit", lambda: [lenet1(), lenet4(), lenet5()], digits, 64, referee)
PHOTOS = Domain("photograph", lambda: [lite0(), lite1(), lite2()], photographs, 12)
CASES: list[tuple[Constraint, Domain, Search]] = [
    (Lighting(), DIGITS, Gradient(steps=4, tries=16)),
    (Occlusion(10, 10), DIGITS, Gradient()),
    (Blackout(3, 6), DIGITS, Gradient()),
    (Ball(), DIGITS, Gradient()),
    (Affine(border="reflect"), PHOTOS, Random(steps=10)),
    (Photometric(), PHOTOS, Random(steps=40)),
    (Blur(2.0), PHOTOS, Random(steps=10)),
    (Fog(), PHOTOS, Random(steps=10)),
    (Rain(), PHOTOS, Random(steps=10)),
    (Snow(), PHOTOS, Random(steps=10)),
    (Noise(0.05, 0.2, 0.04), PHOTOS, Gradient(steps=4, tries=1)),
    (Patches(((150, 20, 48, 48),)), PHOTOS, Gradient(steps=4, tries=1)),
    (Chain((Affine(), Blur())), DIGITS, Gradient()),
    (Latent(decoder(), encoder(), 1.5), DIGITS, Gradient()),
]


def campaign(constraint: Constraint, domain: Domain, search: Search) -> xplore.Result:
    """A small campaign; its folder lives as long as what is returned."""
    seeds = domain.seeds()
    return xplore.run(
        domain.models(),
        seeds.images,
        seeds.labels,
        constraint=constraint,
        search=search,
        reference_model=domain.reference_model and domain.reference_model(),
        lanes=domain.lanes,
        classes=seeds.classes,
    )


def drawn(reading: Reading, row: Row, name: str) -> str:
    """The picture's file: exact for small inputs, else as good as `LARGEST` bytes allow."""
    stored = next(reading.archive.findings(prefix=row.id))
    picture = triptych(decode(stored.before), decode((stored.shrunk or stored).after), side=168)
    data, suffix = png(picture), "png"
    for quality in (85, 70, 55, 40):
        if len(data) <= LARGEST:
            break
        data, suffix = webp(picture, quality), "webp"
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob(f"{name}.*"):
        old.unlink()
    (PICTURES / f"{name}.{suffix}").write_bytes(data)
    return f"images/gallery/{name}.{suffix}"


def section(constraint: Constraint, domain: Domain, search: Search) -> str:
    """A constraint's part of the page."""
    title = type(constraint).__name__
    result = campaign(constraint, domain, search)
    reading = read(result.archive)
    row = max(reading.valid, key=lambda row: (row.shown.measure("margin") or 0, row.id), default=None)
    lines = [f"## {title}", "", f"Bound: {constraint.description}.", ""]
    if row is None:
        return "\n".join([*lines, f"No {domain.name} divided the models within this budget.", ""])
    path = drawn(reading, row, title.lower())
    expected = reading.class_name(row.expected)
    lines += [f"![A {domain.name}, the finding, and what changed]({path})", ""]
    lines += [f"What changed: {row.shown.settings}.", ""] if row.shown.settings else []
    answers = [
        f"{model} says {reading.class_name(answer)} ({sure:.0%})"
        for model, answer, sure in zip(reading.models, row.decisions, row.shown.confidences, strict=True)
        if sure is not None
    ]
    valid = len(reading.valid)
    count = f"One of {valid} valid findings" if valid > 1 else "The only valid finding"
    lines += [f"All models answered {expected} before, rightly. Now {'; '.join(answers)}.", ""]
    return "\n".join([*lines, f"{count}, from {reading.seeds.count} seeds.", ""])


def sections(text: str) -> dict[str, str]:
    """The parts of a page as it stands, by title."""
    parts = re.split(r"(?m)^## (\w+)\n", text)[1:]
    return {title: f"## {title}\n{body}" for title, body in zip(parts[::2], parts[1::2], strict=True)}


def written(only: list[str]) -> Iterator[str]:
    """Each constraint's part, drawn anew or as it was."""
    kept = sections(PAGE.read_text("utf-8")) if PAGE.is_file() else {}
    for constraint, domain, search in CASES:
        title = type(constraint).__name__
        if only and title not in only and title in kept:
            yield kept[title].rstrip("\n") + "\n"
        else:
            yield section(constraint, domain, search)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="constraints to draw anew")
    page = "\n".join([HEAD, *written(parser.parse_args().only)])
    PAGE.write_text(page, "utf-8")
    sizes = [path.stat().st_size for path in PICTURES.iterdir()]
    print(
        f"{PAGE}: {len(sizes)} pictures, {np.sum(sizes) / 1e6:.2f} MB, the largest {max(sizes) / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
