"""The table of kinds of faults names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_every_test_of_the_faults_table_exists():
    table = (TESTS / "FAULTS.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", table)
    rows = [line for line in table.splitlines() if re.match(r"\| (?!kind \|)[^-]", line)]
    assert all("::test_" in row for row in rows)
    assert len(named) > len(rows)
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (TESTS / path).is_file()
        or f"def {name}(" not in (TESTS / path).read_text(encoding="utf-8")
    ]
    assert missing == []
