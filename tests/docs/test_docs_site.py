"""The site builds without a warning, and asks no network for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import update_readme

ROOT = Path(__file__).resolve().parents[2]
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*")


def test_the_pages_show_the_recorded_results():
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text()
        assert update_readme.render(text) == text, f"{page}: run: python scripts/update_docs.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_fetches_from_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    fetched = {str(p): found for p in pages if (found := FETCHED.findall(p.read_text()))}
    assert not fetched


def test_the_reference_names_every_command_and_rule(site):
    text = (site / "reference" / "cli.html").read_text()
    for command in ("adapt", "deploy", "front", "virtual run", "datasets fetch"):
        assert f"speck-adacal {command}</code>" in text
    assert "pooling behind the neurons" in (site / "spec" / "configuration.html").read_text()
