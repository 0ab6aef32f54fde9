"""Each rule of docs/trust.md names the files of its tests, and they exist."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "trust.md").read_text(encoding="utf-8")


def test_each_rule_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| kind ")]
    assert len(rows) > 20
    for row in rows:
        names = re.findall(r"`((?:\w+/)?test_\w+)`", row.rsplit(" | ", 1)[1])
        assert names, row
        for name in names:
            assert len([*TESTS.rglob(f"{name}.py")]) == 1, name
