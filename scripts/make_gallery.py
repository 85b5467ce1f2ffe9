"""Write the gallery, `docs/gallery/*.md`, from runs of the examples.

    python scripts/make_gallery.py            # all
    python scripts/make_gallery.py 03 05      # some

A page shows the example's code, what it printed, and the pictures that it wrote. The examples'
tests run the same programs and compare what they print with the pages.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
GALLERY = ROOT / "docs" / "gallery"
PICTURES = (".svg", ".png", ".gif")
_LINES, _COLUMNS = 7, 46  # of what a program prints, on its card


def title_of(code: str) -> str:
    """The first sentence of an example's docstring."""
    return (ast.get_docstring(ast.parse(code)) or "").split("\n\n")[0].replace("\n", " ")


def page_of(name: str, code: str, printed: str, pictures: list[str]) -> str:
    """One page: title, code, output, pictures."""
    figures = [f"![{Path(p).stem.replace('_', ' ')}]({name}/{p})" for p in pictures]
    parts = [
        f"# {title_of(code).rstrip('.')}",
        f"`python examples/{name}.py` prints (simulated where it says nothing else):",
        f"```text\n{printed.rstrip()}\n```",
        *figures,
        f"The program, `examples/{name}.py`:",
        f"```python\n{code.rstrip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def index_of(pages: dict[str, str]) -> str:
    """The list of all examples, each with its first picture, or with what it prints.

    Args:
        pages: titles by name; the pages themselves are read from the gallery.
    """
    cards = "\n".join(card_of(name, title) for name, title in pages.items())
    return (
        "# Gallery\n\nEach page is a program, what it printed and the pictures that it wrote; each "
        "is a notebook too, in `examples/notebooks`. `python scripts/make_gallery.py` makes the "
        "pages; the tests run every program and compare.\n\n"
        f'<div class="cards" markdown>\n\n{cards}\n</div>\n'
    )


def card_of(name: str, title: str) -> str:
    """One example in the list."""
    pictures = sorted((GALLERY / name).glob("*")) if (GALLERY / name).is_dir() else []
    lines = printed_on((GALLERY / f"{name}.md").read_text()).splitlines()[:_LINES]
    printed = "\n".join(cut(line) for line in lines)
    shown = f"```text\n{printed}\n```"
    if pictures:
        shown = f"![{pictures[0].stem.replace('_', ' ')}]({name}/{pictures[0].name})"
    return f'<div class="card" markdown>\n\n[{name}]({name}.md)\n\n{shown}\n\n{title}\n\n</div>\n'


def cut(line: str) -> str:
    """As much of a line as a card is wide."""
    return line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1].rstrip()}…"


def printed_on(page: str) -> str:
    """What a page says that its program prints."""
    found = re.search(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def make_page(example: Path) -> None:
    """Run one example in a folder of its own and write its page and pictures."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(example)], cwd=folder, capture_output=True, text=True, check=True
        )
        made = sorted(p for p in Path(folder).iterdir() if p.suffix in PICTURES)
        target = GALLERY / example.stem
        shutil.rmtree(target, ignore_errors=True)
        if made:
            target.mkdir(parents=True)
        for picture in made:
            shutil.copy(picture, target / picture.name)
    page = page_of(example.stem, example.read_text(), done.stdout, [p.name for p in made])
    (GALLERY / f"{example.stem}.md").write_text(page)


def main() -> None:
    """Make the pages asked for, all by default, and the index."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    wanted = tuple(sys.argv[1:])
    for example in EXAMPLES:
        if not wanted or example.name.startswith(wanted):
            make_page(example)
    index = index_of({e.stem: title_of(e.read_text()) for e in EXAMPLES})
    (GALLERY / "index.md").write_text(index)


if __name__ == "__main__":
    main()
