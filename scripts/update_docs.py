"""Put the recorded results into the pages of the docs, between their markers, as in the README.

    python scripts/update_docs.py

The tests compare the pages with the same records.
"""

from __future__ import annotations

from pathlib import Path

from update_readme import render

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """Render every page anew."""
    for page in sorted(DOCS.rglob("*.md")):
        page.write_text(render(page.read_text()))


if __name__ == "__main__":
    main()
