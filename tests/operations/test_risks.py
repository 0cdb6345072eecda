"""The tables that name tests, and the links between the documents."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("name", ["risks.md", "threat-model.md"])
def test_every_row_names_tests_that_exist(name: str) -> None:
    rows = [
        line
        for line in (ROOT / "docs" / name).read_text().splitlines()
        if line.startswith("| ") and "Test |" not in line and "Shown by |" not in line
    ]
    assert rows
    for row in rows:
        tests = re.findall(r"`(tests/[\w./]+\.py)`", row)
        assert tests, row
        for test in tests:
            assert "def test_" in (ROOT / test).read_text(), test


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target
