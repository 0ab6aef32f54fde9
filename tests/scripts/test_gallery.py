"""docs/gallery.md shows a finding of every constraint on images, in pictures that are small."""

import re
from pathlib import Path

from laws.parts import CONSTRAINTS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_constraint_on_images_is_shown():
    page = (DOCS / "gallery.md").read_text("utf-8")
    shown = dict(re.findall(r"(?m)^## (\w+)\n\nBound: [^\n]+\n\n!\[[^]]+\]\((images/gallery/[^)]+)\)", page))
    assert set(shown) == {type(constraint).__name__ for constraint in CONSTRAINTS}
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images" / "gallery").iterdir()}
    assert {f"images/gallery/{name}" for name in sizes} == set(shown.values())
    assert max(sizes.values()) <= 60_000 and sum(sizes.values()) <= 1_500_000
