"""Every example runs as a user would run it, and does what its page in the gallery shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import make_gallery
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
GALLERY = ROOT / "docs" / "gallery"
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


def words_of(text):
    """A text without its numbers and how it is spaced."""
    return NUMBER.sub("#", text).split()


def numbers_of(text):
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (GALLERY / f"{path.stem}.md").read_text()
    shown = make_gallery.printed_on(page)
    assert words_of(done.stdout) == words_of(shown), f"run: python scripts/make_gallery.py {path}"
    # Another processor's arithmetic may move a few samples.
    np.testing.assert_allclose(numbers_of(done.stdout), numbers_of(shown), rtol=0.1, atol=5)
    made = sorted(p.name for p in tmp_path.iterdir() if p.suffix in make_gallery.PICTURES)
    assert make_gallery.page_of(path.stem, path.read_text(), shown, made) == page
    assert all((GALLERY / path.stem / name).is_file() for name in made)


def test_the_index_lists_every_example():
    titles = {path.stem: make_gallery.title_of(path.read_text()) for path in EXAMPLES}
    assert make_gallery.index_of(titles) == (GALLERY / "index.md").read_text()


def test_there_are_examples():
    assert EXAMPLES
